"""What is said of an image beside it, and the Python packages in it: bills of materials that CycloneDX's own validator
takes, provenance that names the image, both found through a registry without lists; a layer of packages that is the
same wherever it is made, made once and sent once, and that a Python in a container imports.

    python3 tests/clients/image_contents.py STATIC_PORTEND [BUILDER]

This is the Python that runs it: cyclonedx-python-lib[validation] and uv must be there.
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

from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator

from registry import Registry, layout, run

STATIC = os.path.abspath(sys.argv[1])
PROGRAM = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else sys.argv[1])
HERE = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = HERE / "examples/demo/fraud/model_x.mlpkg"
BOM, STATEMENT = "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


def get(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/{path}", headers={"Accept": MANIFESTS})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def statement(port, name, digest, kind):
    """The digest of the manifest about an image that is of a kind, and what is in it."""
    listed = get(port, f"{name}/manifests/{digest.replace(':', '-')}")["manifests"]
    [entry] = [one for one in listed if one["artifactType"] == kind]
    manifest = get(port, f"{name}/manifests/{entry['digest']}")
    assert manifest["subject"]["digest"] == digest and manifest["artifactType"] == kind, manifest
    [layer] = manifest["layers"]
    return entry["digest"], get(port, f"{name}/blobs/{layer['digest']}")


def surroundings(folder, **environment):
    """This environment, with the uv beside this Python, and with a home and a cache of its own."""
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")} | environment


def image(folder, *words, **environment):
    return run(PROGRAM, "image", *words, cwd=folder, env=surroundings(folder, **environment))


def attestations(folder, port):
    name = f"127.0.0.1:{port}/team/fraud:1"
    build = ["build", PACKAGE, "--binary", STATIC]
    digest = image(folder, *build, "--to", name)
    referrer, bill = statement(port, "team/fraud", digest, BOM)
    errors = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_5).validate_str(json.dumps(bill))
    assert errors is None, errors
    crates = {part["name"]: part["version"] for part in bill["components"] if part["type"] == "library"}
    lock = (HERE / "Cargo.lock").read_text()
    assert {"ring", "ureq", "axum", "portend-model"} <= crates.keys(), sorted(crates)
    assert not {"criterion", "cc", "serde_derive"} & crates.keys(), "what only builds or tests it is not in it"
    for crate, version in crates.items():
        assert f'name = "{crate}"\nversion = "{version}"\n' in lock, f"{crate} {version} is not in Cargo.lock"
    model = [part for part in bill["components"] if part["type"] == "machine-learning-model"]
    assert [part["hashes"][0]["content"] for part in model] == [run("sha256sum", PACKAGE).split()[0]], model
    print(f"the bill of materials is valid and names {len(crates)} crates and the model")
    made, provenance = statement(port, "team/fraud", digest, STATEMENT)
    assert provenance["_type"] == "https://in-toto.io/Statement/v1", provenance
    assert provenance["predicateType"] == "https://slsa.dev/provenance/v1", provenance
    assert provenance["subject"][0]["digest"]["sha256"] == digest.removeprefix("sha256:"), provenance
    materials = [one["digest"]["sha256"] for one in provenance["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert sorted(materials) == sorted([model[0]["hashes"][0]["content"], run("sha256sum", STATIC).split()[0]]), materials
    shown = image(folder, "inspect", name)
    assert BOM in shown and STATEMENT in shown and "referrers (2)" in shown, shown

    # again, elsewhere: the same statements, and none twice
    other = folder / "elsewhere"
    other.mkdir()
    shutil.copy(PACKAGE, other / "renamed.mlpkg")
    assert image(other, "build", "renamed.mlpkg", "--binary", STATIC, "--to", name) == digest
    assert [statement(port, "team/fraud", digest, kind)[0] for kind in (BOM, STATEMENT)] == [referrer, made]
    print("a build elsewhere makes the same statements")
    # carried on request
    image(folder, "copy", name, "oci:carried:v1", "--referrers")
    run("skopeo", "inspect", f"oci:{folder}/carried:v1")
    again = f"127.0.0.1:{port}/other/fraud:1"
    image(folder, "push", "oci:carried:v1", again, "--referrers")
    assert statement(port, "other/fraud", digest, BOM)[0] == referrer
    image(folder, "copy", name, "oci:plain:v1")
    assert "referrers" not in image(folder, "inspect", "oci:plain:v1")
    print("statements are carried through a layout into another repository, where that is asked for")


def dependencies(folder, port):
    source = folder / "package"
    shutil.copytree(HERE / "examples/demo/fraud/model_x", source) if (HERE / "examples/demo/fraud/model_x").is_dir() \
        else run("python3", "-m", "zipfile", "-e", PACKAGE, source)
    (source / "checksums.txt").unlink(missing_ok=True)
    # a base of no meaning: the layer lies between it and the program
    (folder / "base-root").mkdir()
    (folder / "base-root/marker").write_text("base\n")
    run("tar", "-C", folder / "base-root", "-cf", folder / "base.layer", "marker")
    layout(folder / "base", [(folder / "base.layer").read_bytes()])
    build = ["build", "package", "--binary", STATIC, "--base", "oci:base:v1", "--python", "3.11", "--no-attestations"]

    def layers(text, to, **environment):
        (source / "requirements.txt").write_text(text)
        start = time.monotonic()
        image(folder, *build, "--to", to, **environment)
        found = json.loads(image(folder, "inspect", to, "--output", "json"))["images"][0]
        return found, time.monotonic() - start

    one, first = layers("Tabulate==0.9.0\nsix == 1.17.0  # and a comment\n", "one.tar")
    other, second = layers("six==1.17.0\ntabulate==0.9.0\n", "other.tar")
    cold, _ = layers("six==1.17.0\ntabulate==0.9.0\n", "cold.tar", XDG_CACHE_HOME=str(folder / "another-cache"))
    digests = [found["layers"][1]["digest"] for found in (one, other, cold)]
    assert len(set(digests)) == 1, digests
    labels = one["config"]["config"]["Labels"]
    assert labels["portend.dependencies"] == other["config"]["config"]["Labels"]["portend.dependencies"], labels
    assert "PYTHONPATH=/opt/python" in one["config"]["config"]["Env"], one["config"]
    print(f"the same packages, written differently: the same layer; {first:.1f} s, from the cache {second:.1f} s, made anew the same")
    upgraded, _ = layers("six==1.16.0\ntabulate==0.9.0\n", "upgraded.tar")
    assert upgraded["layers"][1]["digest"] != digests[0] and upgraded["layers"][0] == one["layers"][0]

    name = f"127.0.0.1:{port}/team/python:1"
    push = lambda archive: subprocess.run([PROGRAM, "image", "push", archive, name], cwd=folder, text=True, check=True,
                                          capture_output=True, env=surroundings(folder)).stderr
    push("one.tar")
    (source / "README.md").write_text("another model\n")
    layers("six==1.17.0\ntabulate==0.9.0\n", "next.tar")
    said = push("next.tar")
    # the model's layer, and the configuration that names it
    assert "blobs: 2 sent" in said, said
    print("the layer of packages is sent once: of the next image only the model and the configuration")

    image(folder, "copy", "one.tar", "oci:unpacked:v1")
    run("umoci", "unpack", "--image", f"{folder}/unpacked:v1", folder / "bundle")
    root = folder / "bundle/rootfs/opt/python"
    said = run("python3", "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(root)!r}); import six, tabulate; "
               "from importlib.metadata import version; print(six.__version__, version('tabulate'), tabulate.__file__)")
    assert said == f"1.17.0 0.9.0 {root}/tabulate/__init__.py", said
    assert not (root / "bin").exists() and "bin/" not in (root / "tabulate-0.9.0.dist-info/RECORD").read_text()
    for text, expected in [("requests==2.32.3\n", "leaves out"), ("six\n", "has no version"),
                           ("no-such-package-of-portend==1.0\n", "uv cannot install")]:
        (source / "requirements.txt").write_text(text)
        done = subprocess.run([PROGRAM, "image", *map(str, build), "--to", "no.tar"], cwd=folder, text=True,
                              env=surroundings(folder), capture_output=True)
        assert done.returncode == 1 and expected in done.stderr, done
    print("a Python imports what is in the layer; lists that would change with time are refused")


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    with Registry(scratch / "registry") as registry:
        attestations(scratch, registry.port)
        dependencies(scratch, registry.port)
