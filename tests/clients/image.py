"""An image with the real static program: built, pushed to Debian's registry, read by skopeo and umoci, run in an empty
root and, where podman can run containers, by podman with a read-only root and without any capability. With the program
for another processor, an image for both, of which each half is taken out by skopeo and the other half run by QEMU.

    python3 tests/clients/image.py STATIC_PORTEND [STATIC_PORTEND_OF_ANOTHER_PROCESSOR QEMU]
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from registry import Registry, free_port, run

PROGRAM = os.path.abspath(sys.argv[1])
OTHER = sys.argv[2:]
HERE = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = HERE / "examples/demo/fraud/model_x.mlpkg"
ROWS = (HERE / "examples/demo/fraud-scoring.csv").read_bytes()
MOST_BYTES = 40_000_000  # the whole image of a tree model, compressed


def predicted(port):
    """The predictions of the bundled rows."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predictions", data=ROWS, headers={"Content-Type": "text/csv"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return [row["prediction"] for row in json.load(answer)["data"]]


EXPECTED = ["no", "yes", "no", "no", "no", "yes", "yes", "no", "no", "no"]


def serve(title, command, environment=None):
    """Starts a server with `PORT` in its command, asks it, and stops it."""
    port = free_port()
    command = [str(word).replace("PORT", str(port)) for word in command]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(120):
                try:
                    found = predicted(port)
                    break
                except OSError:
                    time.sleep(0.25)
                    if server.poll() is not None:
                        break
            else:
                found = None
            if server.poll() is not None:
                log.seek(0)
                sys.exit(f"{title}: ended with {server.returncode}: {log.read().decode()}")
        finally:
            if server.poll() is None:
                server.terminate()
            server.wait(60)
    assert found == EXPECTED, f"{title}: {found}"
    print(f"{title}: 10 rows predicted as they should be")


def main(folder):
    folder = pathlib.Path(folder)
    environment = dict(os.environ, HOME=str(folder))
    image = lambda *words: run(PROGRAM, "image", *words, cwd=folder, env=environment)

    start = time.monotonic()
    digest = image("build", PACKAGE, "--to", "model.tar")
    took = time.monotonic() - start
    found = json.loads(image("inspect", "model.tar", "--output", "json"))
    size = found["images"][0]["size"]
    print(f"built in {took:.2f} s: {digest}, {size / 1e6:.1f} MB")
    assert size < MOST_BYTES, size

    with Registry(folder / "registry", users={"portend": "s3cret"}) as registry:
        (folder / "password").write_text("s3cret\n")
        name = f"127.0.0.1:{registry.port}/team/fraud:1"
        login = ["--username", "portend", "--password-file", "password"]
        assert image("push", "model.tar", name, *login) == digest
        credentials = "--creds=portend:s3cret"
        told = json.loads(run("skopeo", "inspect", "--tls-verify=false", credentials, f"docker://{name}"))
        assert told["Digest"] == digest, told
        run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--src-creds=portend:s3cret",
            f"docker://{name}", f"oci:{folder}/layout:v1")
        print("pushed with a password, and read by skopeo with the same digest")

    # umoci takes the layers apart; a process in that root, as the image's user, sees nothing else
    run("umoci", "unpack", "--image", f"{folder}/layout:v1", folder / "bundle")
    root = folder / "bundle/rootfs"
    everything = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert everything == ["opt/ml/model/model_x.mlpkg", "usr/local/bin/portend"], everything
    chroot = shutil.which("chroot", path=os.environ["PATH"] + ":/usr/sbin")
    if os.geteuid() == 0:
        for path in [folder, folder / "bundle"]:
            path.chmod(0o755)
        serve("in an empty root",
              [chroot, "--userspec=65532:65532", root, "/usr/local/bin/portend", "serve", "--port", "PORT"], {})
        in_podman(folder, digest)
    else:
        print("not run as root: neither in an empty root nor by podman")
    if OTHER:
        for_both_processors(folder)


def for_both_processors(folder):
    """One name for two processors: whoever pulls gets the image of its own."""
    program, emulator = OTHER
    run(PROGRAM, "image", "build", PACKAGE, "--binary", PROGRAM, "--binary", os.path.abspath(program), "--to",
        f"oci:{folder}/both:v1")
    found = json.loads(run(PROGRAM, "image", "inspect", f"oci:{folder}/both:v1", "--output", "json"))
    platforms = [image["platform"] for image in found["images"]]
    assert sorted(platforms) == ["linux/amd64", "linux/arm64"], platforms
    for platform in platforms:
        architecture = platform.split("/")[1]
        to = folder / architecture
        run("skopeo", "--insecure-policy", "--override-arch", architecture, "copy", f"oci:{folder}/both:v1", f"oci:{to}:v1")
        told = json.loads(run("skopeo", "--override-arch", architecture, "inspect", f"oci:{to}:v1"))
        assert told["Architecture"] == architecture, told
    # the first program given is this machine's own
    root = folder / "other-bundle/rootfs"
    run("umoci", "unpack", "--rootless", "--image", f"{folder / platforms[1].split('/')[1]}:v1", root.parent)
    serve(f"{platforms[1]}, by {emulator}",
          [emulator, root / "usr/local/bin/portend", "serve", root / "opt/ml/model", "--host", "127.0.0.1", "--port", "PORT"])


def in_podman(folder, digest):
    """As the settings stand in a container of a continuous integration: no cgroup manager, no storage driver."""
    (folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\nnetns = "host"\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n'
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/images"\nrunroot = "{folder}/run"\n'
    )
    environment = dict(os.environ, HOME=str(folder), CONTAINERS_CONF=str(folder / "containers.conf"),
                       CONTAINERS_STORAGE_CONF=str(folder / "storage.conf"))
    run("podman", "load", "-i", folder / "model.tar", env=environment)
    # built on an image of another tool: its files, variables and labels stay, and it still runs
    (folder / "of-the-base").write_text("of the base\n")
    run("umoci", "init", "--layout", folder / "base")
    run("umoci", "new", "--image", f"{folder}/base:v1")
    run("umoci", "insert", "--image", f"{folder}/base:v1", folder / "of-the-base", "/etc/of-the-base")
    run("umoci", "config", "--image", f"{folder}/base:v1", "--config.env", "OF_THE_BASE=1", "--config.label", "base=here",
        "--os", "linux", "--architecture", json.loads(run(PROGRAM, "image", "inspect", folder / "model.tar", "--output",
                                                          "json"))["images"][0]["platform"].split("/")[1])
    run(PROGRAM, "image", "build", PACKAGE, "--base", f"oci:{folder}/base:v1", "--to", folder / "based.tar", "--name",
        "portend/based:1", env=environment)
    run("podman", "load", "-i", folder / "based.tar", env=environment)
    told = json.loads(run("podman", "image", "inspect", "docker.io/portend/based:1", env=environment))[0]["Config"]
    assert "OF_THE_BASE=1" in told["Env"] and told["Labels"]["base"] == "here" and told["User"] == "65532:65532", told
    run(PROGRAM, "image", "copy", folder / "based.tar", f"oci:{folder}/based:v1")
    run("umoci", "unpack", "--image", f"{folder}/based:v1", folder / "based-bundle")
    assert (folder / "based-bundle/rootfs/etc/of-the-base").read_text() == "of the base\n"
    # another model on an image of Portend's: it alone is served, and nothing is said of the first
    other = HERE / "examples/demo/revenue/revenue-estimate.mlpkg"
    run(PROGRAM, "image", "build", other, "--base", f"oci:{folder}/based:v1", "--to", f"oci:{folder}/rebased:v1")
    run("umoci", "unpack", "--image", f"{folder}/rebased:v1", folder / "rebased-bundle")
    models = os.listdir(folder / "rebased-bundle/rootfs/opt/ml/model")
    labels = json.loads(run("skopeo", "inspect", f"oci:{folder}/rebased:v1"))["Labels"]
    assert models == [other.name] and labels["portend.model.id"] != told["Labels"]["portend.model.id"], (models, labels)
    try:
        serve("by podman, on the base of another tool",
              ["podman", "run", "--rm", "--network", "host", "--read-only", "--cap-drop", "all",
               "-e", "PORTEND_HOST=127.0.0.1", "docker.io/portend/based:1", "--port", "PORT"], environment)
        serve("by podman, read-only and without capabilities",
              ["podman", "run", "--rm", "--network", "host", "--read-only", "--cap-drop", "all",
               "--security-opt", "no-new-privileges", "-e", "PORTEND_HOST=127.0.0.1",
               "docker.io/portend/model_x:1", "--port", "PORT"], environment)
    finally:
        run("podman", "rmi", "--all", "--force", env=environment)


with tempfile.TemporaryDirectory() as scratch:
    main(scratch)
