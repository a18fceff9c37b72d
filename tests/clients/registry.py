"""Debian's registry of images, for the tests of images: started on this machine with a password, over TLS or plain."""

import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time


def run(*words, expect=0, **options):
    """Runs a program to its end and gives what it printed; another exit code than the expected one ends the test."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    if done.returncode != expect:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(what, check):
    for _ in range(240):
        try:
            return check()
        except OSError:
            time.sleep(0.25)
    sys.exit(f"{what} did not come")


def certificate(folder, *names):
    """Makes an authority and a server's certificate for these names; their files."""
    ca, key, cert = folder / "ca.pem", folder / "server.key", folder / "server.pem"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority",
        "-keyout", folder / "ca.key", "-out", ca)
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-keyout", key,
        "-out", folder / "server.csr")
    kinds = ("IP" if name[0].isdigit() and name.replace(".", "").isdigit() else "DNS" for name in names)
    (folder / "extensions").write_text(
        "subjectAltName=" + ",".join(f"{kind}:{name}" for kind, name in zip(kinds, names)))
    run("openssl", "x509", "-req", "-days", "2", "-in", folder / "server.csr", "-CA", ca, "-CAkey", folder / "ca.key",
        "-CAcreateserial", "-extfile", folder / "extensions", "-out", cert)
    return ca, key, cert


class Registry:
    """A running `docker-registry`. `stop` it, or use it in a `with`."""

    def __init__(self, folder, users=None, tls=None, client_authority=None, port=None):
        self.folder, self.port = folder, port or free_port()
        folder.mkdir(exist_ok=True)
        lines = ["version: 0.1", "log: {level: error, accesslog: {disabled: true}}",
                 f"storage: {{filesystem: {{rootdirectory: {folder}/store}}, delete: {{enabled: true}}}}"]
        http = f"addr: '127.0.0.1:{self.port}'"
        if tls:
            key, cert = tls
            clients = f", clientcas: [{client_authority}]" if client_authority else ""
            http += f", tls: {{certificate: {cert}, key: {key}{clients}}}"
        lines.append(f"http: {{{http}}}")
        if users:
            entries = [run("htpasswd", "-Bbn", name, password) for name, password in users.items()]
            (folder / "htpasswd").write_text("\n".join(entries) + "\n")
            lines.append(f"auth: {{htpasswd: {{realm: portend, path: {folder}/htpasswd}}}}")
        (folder / "registry.yml").write_text("\n".join(lines) + "\n")
        self.start()

    def start(self):
        self.process = subprocess.Popen(["docker-registry", "serve", self.folder / "registry.yml"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the registry", lambda: socket.create_connection(("127.0.0.1", self.port)).close())

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def layout(folder, layers, name="v1"):
    """Writes an OCI layout with these bytes as uncompressed layers; the digest of its manifest."""
    blobs = pathlib.Path(folder) / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    described = [blob("layer.v1.tar", layer) for layer in layers]
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [
        one["digest"] for one in described]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob("config.v1+json", json.dumps(config).encode()), "layers": described}
    entry = blob("manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return entry["digest"]
