"""Images and Debian's registry, with a server between that counts, refuses and breaks: what is sent and what is not,
what is said when something is wrong, and what happens when either end is killed.

    python3 tests/clients/image_registry.py STATIC_PORTEND [BUILDER]

Of the list of what images must do, the tests here are: the same input gives the same digest and a changed model one new
layer (`reproducible`); four kinds of trouble are told apart (`trouble`); one request tells whether an image is there
(`existence`); layers are mounted, go on and are begun again (`mounting`, `killed`); 3 GB pass in little memory
(`large`); a terminal sees how far each layer is (`bars`). image.py runs what was pushed, image_cloud.py logs in to clouds.
"""

import hashlib
import http.client
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from registry import Registry, certificate, free_port, layout, run

STATIC = os.path.abspath(sys.argv[1])
PROGRAM = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else sys.argv[1])
HERE = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = HERE / "examples/demo/fraud/model_x.mlpkg"
LARGE = 3 << 30
MOST_MEMORY = 128 << 20


class Front:
    """Stands between a client and the registry: writes down what passes, and answers itself where `lie` says so."""

    def __init__(self, registry, lie=lambda request: None):
        self.seen, front = [], self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                front.seen.append((self.command, self.path, length))
                lied = lie(self)
                if lied is None:
                    lied = self.passed_on(body)
                status, headers, content = lied
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                if not any(name.lower() == "content-length" for name, _ in headers):
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def passed_on(self, body):
                there = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=120)
                there.request(self.command, self.path, body, dict(self.headers))
                answer = there.getresponse()
                return answer.status, answer.getheaders(), answer.read()

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # a client that ends its connection early is no error here
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def sent(self):
        """The bytes of blobs that were sent."""
        return sum(length for method, path, length in self.seen if method in ("PUT", "PATCH") and "/uploads/" in path)

    def count(self, *methods):
        return sum(method in methods for method, _, _ in self.seen)


def image(*words, expect=0, folder=None):
    """Runs `portend image`; what it printed, and what it said beside."""
    home = {"HOME": str(folder or "/nowhere"), "XDG_CONFIG_HOME": "/nowhere", "PATH": os.environ["PATH"]}
    done = subprocess.run([PROGRAM, "image", *map(str, words)], capture_output=True, text=True, env=home, cwd=folder)
    if done.returncode != expect:
        sys.exit(f"portend image {' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip(), done.stderr


def reproducible(folder, registry):
    front = Front(registry)
    name = f"127.0.0.1:{front.port}/team/fraud:1"
    first, second = folder / "first", folder / "a/second"
    run("python3", "-m", "zipfile", "-e", PACKAGE, first / "model")
    (first / "model/checksums.txt").unlink(missing_ok=True)
    second.parent.mkdir()
    shutil.copytree(first, second)
    for path in second.rglob("*"):  # another day
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    build = ["build", "model", "--binary", STATIC, "--to", name, "--no-attestations"]
    digest, _ = image(*build, folder=first)
    before, umask = front.sent(), os.umask(0o077)
    assert image(*build, folder=second)[0] == digest
    os.umask(umask)
    assert front.sent() == before, "what is there was sent again"
    (second / "model/README.md").write_text("x")  # one byte more in the model
    changed, _ = image(*build, folder=second)
    assert changed != digest
    old, new = (json.loads(image("inspect", f"127.0.0.1:{front.port}/team/fraud@{one}", "--output", "json")[0])["images"][0]
                for one in (digest, changed))
    fresh = [layer for layer in new["layers"] if layer not in old["layers"]]
    assert len(fresh) == 1 and len(new["layers"]) == len(old["layers"]), fresh
    config = new["size"] - sum(layer["size"] for layer in new["layers"])
    assert front.sent() - before == fresh[0]["size"] + config, "more was sent than the model's layer and the configuration"
    print("the same digest from another folder, time and umask; another model is one new layer")


def trouble(folder, digest_of):
    with Registry(folder / "locked", users={"portend": "s3cret"}) as registry:
        denied = (403, [("Content-Type", "application/json")],
                  b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}')
        front = Front(registry, lambda request: denied if "/private/" in request.path else None)
        for name, password in [("right", "s3cret\n"), ("wrong", "other\n")]:
            (folder / name).write_text(password)
        login = lambda which: ["--username", "portend", "--password-file", folder / which]
        there = f"127.0.0.1:{front.port}/team/image:1"
        image("push", f"oci:{folder}/small:v1", there, *login("right"))
        said = []
        for command, expect in [("exists", 2), ("pull", 1)]:
            target = [f"oci:{folder}/nowhere:v1"] if command == "pull" else []
            ask = lambda name, which, code=expect: "".join(image(command, name, *target, *login(which), expect=code))
            said.append([
                ask(there, "wrong"),
                ask(f"127.0.0.1:{front.port}/private/image:1", "right"),
                ask(f"127.0.0.1:{front.port}/team/image:2", "right", 1),
                ask(f"127.0.0.1:{free_port()}/team/image:1", "right"),
            ])
        for password, permission, unknown, down in said:
            for text, words in [(password, "log in"), (permission, "do not permit"), (down, "cannot ask")]:
                assert words in text and "not there" not in text and "404" not in text, text
            assert "not there" in unknown or "MANIFEST_UNKNOWN" in unknown, unknown
            assert len({password, permission, unknown, down}) == 4
    print("a wrong password, a missing permission, an unknown tag and a registry that is down: four messages, one 'absent'")


def existence(folder, registry, digest):
    front = Front(registry)
    name = f"127.0.0.1:{registry.port}/kinds/image"
    image("push", f"oci:{folder}/small:v1", f"{name}:oci")
    run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--format", "v2s2",
        f"oci:{folder}/zipped:v1", f"docker://{name}:docker")
    for tag in ("oci", "docker"):
        told = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}:{tag}"))["Digest"]
        front.seen.clear()
        found, _ = image("exists", f"127.0.0.1:{front.port}/kinds/image:{tag}")
        assert found == told, (tag, found, told)
        asked = [(method, path) for method, path, _ in front.seen]
        # the first one tells how a registry is spoken to
        assert asked == [("GET", "/v2/"), ("HEAD", f"/v2/kinds/image/manifests/{tag}")], asked
    print("one request tells that an image is there, of either family of manifests")


def mounting(folder, registry):
    for refuses in (False, True):
        def lie(request):
            if refuses and "mount=" in request.path:  # an upload is begun instead
                request.path = request.path.split("?")[0]

        front = Front(registry, lie)
        source, target = f"127.0.0.1:{front.port}/mount/from-{int(refuses)}:1", f"127.0.0.1:{front.port}/mount/to-{int(refuses)}:1"
        layout(folder / f"mounted-{refuses}", [os.urandom(40 << 20)])
        digest, _ = image("push", f"oci:{folder}/mounted-{refuses}:v1", source)
        patches = front.count("PATCH")
        assert patches == 3, "40 MiB are three chunks, each to the address that the last answer gave"
        before = front.sent()
        assert image("copy", source, target)[0] == digest
        sent = front.sent() - before
        assert sent == 0 if not refuses else sent > 40 << 20, sent
    print("what lies beside is mounted without a byte sent, and sent where the registry does not mount")


def killed(folder, registry):
    digest = layout(folder / "long", [os.urandom(96 << 20), os.urandom(64 << 20)])
    front = Front(registry, lambda request: time.sleep(0.3) if request.command == "PATCH" else None)
    name = f"127.0.0.1:{front.port}/long/image:1"
    words = [PROGRAM, "image", "push", f"oci:{folder}/long:v1", name]
    push = lambda: subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until_patched(process, count):
        for _ in range(600):
            if front.count("PATCH") >= count or process.poll() is not None:
                return
            time.sleep(0.05)

    one = push()
    until_patched(one, 3)
    one.kill()
    one.communicate()
    assert image("exists", name, expect=1)[0].endswith("is not there")
    front.seen.clear()
    one = push()
    until_patched(one, 3)
    registry.stop(signal.SIGKILL)
    time.sleep(1)
    registry.start()
    out, said = one.communicate(timeout=300)
    assert one.returncode == 0 and out.strip() == digest, said
    assert json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}"))["Digest"] == digest
    image("pull", name, f"oci:{folder}/back:v1")
    print("a push that was killed is done again; one whose registry was killed and came back ends well")


def peak(process):
    """Waits for a program, and returns its peak memory in bytes. What the kernel counts for a process that has ended is no
    less than this one had when it started it, so it is asked while the program runs."""
    status, most = pathlib.Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        most = int(found[1]) << 10 if found else most
        time.sleep(0.02)
    assert most, "it ended before its memory was asked for"
    return most


def large(folder, registry):
    """A sparse file stands for the layer, so that it costs no disk on this side."""
    digest = layout(folder / "large", [b""])
    blobs, hasher = folder / "large/blobs/sha256", hashlib.sha256()
    beginning = os.urandom(1 << 20)
    hasher.update(beginning)
    for _ in range(LARGE // (1 << 20) - 1):
        hasher.update(bytes(1 << 20))
    with open(blobs / hasher.hexdigest(), "wb") as layer:
        layer.write(beginning)
        layer.truncate(LARGE)
    manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_text())
    manifest["layers"] = [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": LARGE,
                           "digest": f"sha256:{hasher.hexdigest()}"}]
    text = json.dumps(manifest).encode()
    digest = hashlib.sha256(text).hexdigest()
    (blobs / digest).write_bytes(text)
    index = json.loads((folder / "large/index.json").read_text())
    index["manifests"][0] |= {"digest": f"sha256:{digest}", "size": len(text)}
    (folder / "large/index.json").write_text(json.dumps(index))
    name = f"127.0.0.1:{registry.port}/large/image:1"
    peaks = []
    for words in (["push", f"oci:{folder}/large:v1", name], ["pull", name, f"oci:{folder}/pulled:v1"]):
        process = subprocess.Popen([PROGRAM, "image", *words, "--quiet"], stdout=subprocess.DEVNULL)
        peaks.append(peak(process))
        assert process.returncode == 0, words
    assert max(peaks) < MOST_MEMORY, peaks
    pushed, pulled = (peak / (1 << 20) for peak in peaks)
    print(f"a layer of 3 GB pushed with {pushed:.0f} MiB of memory and pulled with {pulled:.0f} MiB")


def certificates(folder):
    """A registry that wants to see a certificate, under an authority that nobody else knows."""
    keys = folder / "certs.d/127.0.0.1"
    keys.mkdir(parents=True)
    ca, key, cert = certificate(folder / "certs.d", "127.0.0.1")
    with Registry(folder / "mutual", tls=(key, cert), client_authority=ca) as registry:
        name = f"127.0.0.1:{registry.port}/team/image:1"
        own = keys.rename(keys.with_name(f"127.0.0.1:{registry.port}"))
        assert "--ca-file" in image("push", f"oci:{folder}/small:v1", name, expect=1)[1]
        image("push", f"oci:{folder}/small:v1", name, "--ca-file", ca, expect=1)  # no certificate is shown
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=client", "-keyout", own / "client.key",
            "-out", folder / "client.csr")
        shutil.copy(ca, own / "ca.crt")
        sign = ["openssl", "x509", "-req", "-days", "2", "-in", folder / "client.csr", "-CA", ca, "-CAkey",
                folder / "certs.d/ca.key", "-CAcreateserial", "-out", own / "client.cert"]
        run(*sign)  # of the first version, which no server takes any more
        said = image("push", f"oci:{folder}/small:v1", name, "--cert-dir", own, expect=1)[1]
        assert "client.cert: it cannot be shown" in said, said
        (folder / "client.extensions").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
        run(*sign, "-extfile", folder / "client.extensions")
        digest, _ = image("push", f"oci:{folder}/small:v1", name, "--cert-dir", own)
        home = {"HOME": "/nowhere", "XDG_CONFIG_HOME": str(folder / "config")}
        (folder / "config/containers").mkdir(parents=True)
        (folder / "certs.d").rename(folder / "config/containers/certs.d")
        own = folder / "config/containers/certs.d" / own.name
        assert run(PROGRAM, "image", "exists", name, env=home) == digest
        (own / "client.key").unlink()
        done = subprocess.run([PROGRAM, "image", "exists", name], env=home, capture_output=True, text=True)
        assert done.returncode == 2 and "client.key" in done.stderr, done
    print("a certificate is shown where the registry wants one, by --cert-dir and out of certs.d")


def bars(folder, registry):
    """On a terminal each layer has a bar, which goes to its end; elsewhere standard error has what was sent and no more."""
    digest = layout(folder / "barred", [os.urandom(20 << 20), os.urandom(30 << 20)])
    name = f"127.0.0.1:{registry.port}/barred/image:1"
    layers = [layer["digest"].split(":")[1][:12] for layer in json.loads(
        image("inspect", f"oci:{folder}/barred:v1", "--output", "json")[0])["images"][0]["layers"]]
    for word in ("done", "there"):  # the second time the registry has them
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 120))
        push = subprocess.Popen([PROGRAM, "image", "push", f"oci:{folder}/barred:v1", name], stdout=subprocess.PIPE,
                                stderr=theirs)
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 65536):
                seen += part
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        out, _ = push.communicate(timeout=60)
        assert push.returncode == 0 and out.decode().strip() == digest, (push.returncode, seen)
        last = re.split(r"\x1b\[\d*[A-Z]", seen.decode())[-1]
        for layer in layers:
            assert re.search(rf"{layer} █+ +([\d.]+ MB) of \1 +[\d.]+ \w+/s {word} ", last), (layer, word, last)
    _, said = image("push", f"oci:{folder}/barred:v1", name)
    assert "\x1b" not in said and not any(layer in said for layer in layers), said
    print("a bar for each layer on a terminal, to its end; none elsewhere")


def conversions(folder):
    """Docker's archives and manifests become the OCI's and back, and skopeo agrees about what is in them."""
    run("skopeo", "--insecure-policy", "copy", f"oci:{folder}/zipped:v1", f"docker-archive:{folder}/docker.tar:team/image:1")
    image("copy", f"{folder}/docker.tar", f"oci:{folder}/from-docker:v1")
    image("copy", f"oci:{folder}/from-docker:v1", f"docker-archive:{folder}/again.tar", "--name", "team/image:1")
    layers = lambda place: json.loads(run("skopeo", "inspect", "--config", place))["rootfs"]["diff_ids"]
    kinds = {place: layers(place) for place in (
        f"docker-archive:{folder}/docker.tar", f"oci:{folder}/from-docker:v1", f"docker-archive:{folder}/again.tar")}
    assert len({tuple(found) for found in kinds.values()}) == 1, kinds
    manifest = json.loads(run("skopeo", "inspect", "--raw", f"oci:{folder}/from-docker:v1"))
    assert all("vnd.oci" in layer["mediaType"] for layer in manifest["layers"]), manifest
    print("docker-archive to OCI and back: the same layers, each under the names of its family")


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    small = layout(scratch / "small", [b"a layer of no meaning" * 1000])
    # with a layer that Docker's family knows
    (scratch / "root").mkdir()
    (scratch / "root/file").write_text("text\n")
    run("tar", "-C", scratch / "root", "-cf", scratch / "layer.tar", "file")
    layout(scratch / "zipped", [(scratch / "layer.tar").read_bytes()])
    with Registry(scratch / "registry") as registry:
        reproducible(scratch, registry)
        trouble(scratch, small)
        existence(scratch, registry, small)
        mounting(scratch, registry)
        killed(scratch, registry)
        bars(scratch, registry)
        conversions(scratch)
        certificates(scratch)
        large(scratch, registry)
