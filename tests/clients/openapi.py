#!/usr/bin/env python3
"""Check Portend's OpenAPI documents with a validator, and a server against them with schemathesis, which sends whatever they
allow, and more.

    python openapi.py PORTEND

Documents are those of a repository, of its models, and of a model that is served alone.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator
from server import DEMO, expect, serving

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[1] / "testdata" / "models"
TOKEN = "sesame"
CHANGED = r"(/deployments/\{id\}|/models/\{name\}|/unload)$"
FUZZING = "20"  # seconds


def fetched(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def check(what, document):
    errors = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
    expect(f"what is wrong with {what}", errors, [])


def valid(port, *paths):
    for path in paths:
        check(path, fetched(port, path))


def conforms(port, prefix, document, *options):
    """Runs schemathesis, which tells what it finds; it ends with another code than 0 if it finds anything."""
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "openapi.toml", "--no-color"]
    # it takes an address that is relative to the document for one that is relative to the host
    command += ["run", f"http://127.0.0.1:{port}{prefix}{document}", "--url", f"http://127.0.0.1:{port}{prefix}"]
    command += ["--continue-on-failure", "--header", f"Authorization: Bearer {TOKEN}", *options]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"FAILED: schemathesis on {prefix}{document} {options}\n{done.stdout[-20000:]}{done.stderr[-5000:]}")
    counts = [line.strip() for line in done.stdout.splitlines() if "generated" in line or "Operations: " in line]
    print(f"{prefix}{document}:", "; ".join(counts))


def main():
    committed = HERE.parents[1] / "docs" / "reference" / "openapi.json"
    check("the committed document", json.loads(committed.read_text()))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        models = shutil.copytree(DEMO, folder / "models")
        # what takes models away is asked last, and elsewhere
        stays = ["--exclude-method", "DELETE", "--exclude-path-regex", "/unload$"]
        with serving(sys.argv[1], models, PORTEND_TOKEN=TOKEN) as port:
            valid(port, "/openapi.json", "/model/fraud/openapi.json", "/seldon.json", "/model/revenue/seldon.json")
            conforms(port, "", "/openapi.json", "--phases", "examples,coverage", *stays)
            conforms(port, "/model/fraud", "/openapi.json", "--phases", "examples", *stays)
            conforms(port, "/model/revenue", "/openapi.json", "--phases", "examples", *stays)
        model = MODELS / "xgb_penguins" / "package"
        with serving(sys.argv[1], model, PORTEND_TOKEN=TOKEN) as port:
            valid(port, "/openapi.json", "/model/any/openapi.json")
            conforms(port, "", "/openapi.json", "--phases", "examples,fuzzing", "--max-time", FUZZING, *stays)
        with serving(sys.argv[1], models, PORTEND_TOKEN=TOKEN) as port:
            conforms(port, "", "/openapi.json", "--phases", "coverage", "--include-path-regex", CHANGED)
    print("openapi: ok")


main()
