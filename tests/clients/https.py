#!/usr/bin/env python3
"""Scan HTTPS with sslyze and compare the findings with Mozilla's configurations.

    python https.py PORTEND

A chain of an authority that sslyze is told of must pass without a finding. A
certificate that signs itself can satisfy everything but the validation of its
path: no authority vouches for it, and that must be the only finding.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from server import DEMO, expect, serving

TLS13 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
TLS12 = {"AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"}
CURVES = {"X25519", "secp256r1", "secp384r1"}
RSA = ["-newkey", "rsa:2048"]
EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def request(folder, name, kind, *more):
    """A key, and a request for its certificate, or with `-x509` the certificate itself."""
    openssl(folder, "req", *kind, "-noenc", "-keyout", f"{name}.key", "-subj", f"/CN={name}", *more)


def certificates(folder):
    """`ca.crt`; `rsa.crt` and `ec.crt` signed by it; `self.crt` signed by itself."""
    authority = "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"
    request(folder, "ca", EC, "-x509", "-days", "90", "-out", "ca.crt",
            *(word for extension in authority for word in ("-addext", extension)))
    server = ["subjectAltName=DNS:localhost", "basicConstraints=critical,CA:FALSE",
              "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth"]
    (folder / "server").write_text("\n".join([*server, "authorityKeyIdentifier=keyid"]))
    for name, kind in {"rsa": RSA, "ec": EC}.items():
        request(folder, name, kind, "-new", "-out", f"{name}.csr")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "90", "-extfile", "server", "-out", f"{name}.crt")
    request(folder, "self", EC, "-x509", "-days", "90", "-out", "self.crt", "-addext", server[0])


def scan(folder, port, profile, authority):
    """Exit code, printed text and findings of sslyze."""
    findings = folder / "findings.json"
    command = [Path(sys.executable).parent / "sslyze", "--mozilla_config", profile]
    command += ["--certinfo_ca_file", authority, "--json_out", findings, f"localhost:{port}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    [found] = json.loads(findings.read_text())["server_scan_results"]
    return done.returncode, done.stdout, found["scan_result"]


def names(found, version):
    """The suites that the server accepts in a version."""
    suites = found[f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"]
    return {suite["cipher_suite"]["name"] for suite in suites}


def check(binary, folder, name, profile, protocols, unmet):
    settings = {"ENABLED": "true", "CERTIFICATE": str(folder / f"{name}.crt"),
                "CERTIFICATE_KEY": str(folder / f"{name}.key"), "PROTOCOLS": protocols}
    settings = {f"PREDICTION_API_TLS_{key}": value for key, value in settings.items()}
    with serving(binary, DEMO / "fraud", **settings) as port:
        status, printed, found = scan(folder, port, profile, "ca.crt")
    title = f"{name}, {profile}"
    verdict = printed.rsplit(f"localhost:{port}:", 1)[-1].split("SCANS", 1)[0]
    problems = [line for line in verdict.splitlines() if line.startswith("        * ")]
    expect(f"{title}: unmet", [line.split(":")[0].strip(" *") for line in problems], unmet)
    expect(f"{title}: exit code", status, 1 if unmet else 0)
    for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        expect(f"{title}: {version}", names(found, version), set())
    sign = "RSA" if name == "rsa" else "ECDSA"
    wanted = {f"TLS_ECDHE_{sign}_WITH_{suite}" for suite in TLS12} if "TLSv1.2" in protocols else set()
    expect(f"{title}: TLS 1.2", names(found, "tls_1_2"), wanted)
    expect(f"{title}: TLS 1.3", names(found, "tls_1_3"), TLS13)
    curves = {curve["name"] for curve in found["elliptic_curves"]["result"]["supported_curves"]}
    expect(f"{title}: curves", curves, CURVES)
    print(f"{title}: {'only ' + ', '.join(unmet) if unmet else 'compliant'}")


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        certificates(folder)
        both = "TLSv1.2 TLSv1.3"
        check(binary, folder, "rsa", "intermediate", both, [])
        check(binary, folder, "ec", "intermediate", both, [])
        check(binary, folder, "ec", "modern", "TLSv1.3", [])
        check(binary, folder, "self", "intermediate", both, ["certificate_path_validation"])


if __name__ == "__main__":
    main(sys.argv[1])
