"""Images in the registries of clouds, with the identities that clouds give: Amazon's by a web identity, keys, a
container's and a machine's service, against moto; Google's by a key file and a machine's service. The registry is
Debian's, which takes what they give and nothing else. A proxy leads the clouds' names to this machine.

    python3 tests/clients/image_cloud.py PORTEND

This is the Python that runs it: moto[server] and cryptography must be there.
"""

import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from registry import Registry, certificate, free_port, layout, run, wait_for

PROGRAM = os.path.abspath(sys.argv[1])
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
GOOGLE = "europe-west1-docker.pkg.dev"
AWS_PASSWORD = "123456789012-auth-token"  # what moto gives
GOOGLE_TOKEN = "ya29.the-token-of-google"
printed = []


def serving(handle):
    """Starts a server whose answers `handle(method, path, headers, body)` gives as (status, headers, bytes)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, headers, content = handle(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def proxy(port_of):
    """A proxy that leads CONNECT to ports of this machine, by the name that is asked for."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked = []

    def pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        finally:
            for end in (one, other):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def connect(client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = client.recv(1)
            if not more:
                return
            head += more
        name = head.split()[1].decode().rsplit(":", 1)[0]
        asked.append(name)
        if name not in port_of:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return client.close()
        server = socket.create_connection(("127.0.0.1", port_of[name]))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=pump, args=(server, client), daemon=True).start()
        pump(client, server)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=connect, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1], asked


def main(folder):
    ca, key, cert = certificate(folder, f"*.dkr.ecr.eu-west-1.amazonaws.com", GOOGLE)
    digest = layout(folder / "image", [b"a layer of no meaning" * 1000])
    users = {"AWS": AWS_PASSWORD, "oauth2accesstoken": GOOGLE_TOKEN}
    moto_port = free_port()
    moto = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(moto_port)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Registry(folder / "registry", users, (key, cert)) as registry:
            wait_for("moto", lambda: socket.create_connection(("127.0.0.1", moto_port)).close())
            port, asked = proxy({ECR: registry.port, GOOGLE: registry.port})
            base = {"PATH": os.environ["PATH"], "HOME": str(folder), "HTTPS_PROXY": f"http://127.0.0.1:{port}",
                    "NO_PROXY": "127.0.0.1", "AWS_EC2_METADATA_DISABLED": "true", "GCE_METADATA_HOST": "127.0.0.1:9"}

            def push(name, expect=0, **environment):
                words = [PROGRAM, "image", "push", f"oci:{folder}/image:v1", f"{name}:1", "--ca-file", ca]
                done = subprocess.run([str(word) for word in words], env=base | environment, text=True,
                                      capture_output=True, timeout=120)
                printed.append(done.stdout + done.stderr)
                if done.returncode != expect:
                    sys.exit(f"push to {name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
                if expect == 0:
                    assert done.stdout.strip() == digest, done.stdout
                return done.stderr

            amazon(folder, moto_port, push)
            google(folder, push)
    finally:
        moto.terminate()
        moto.wait(30)
    shown = "".join(printed)
    for secret in [AWS_PASSWORD, GOOGLE_TOKEN, "FIRST-WEB-TOKEN", "SECOND-WEB-TOKEN", "the-secret-key", "container-secret",
                   "PRIVATE KEY", "subject-token"]:
        assert secret not in shown, f"{secret} was printed:\n{shown}"
    print("nothing that was printed holds a secret")


def amazon(folder, moto_port, push):
    token_file = folder / "web-identity"
    seen = []
    stale = []  # answers to give before those of moto

    def recorded(method, path, headers, body):
        """Passes on to moto what is asked, and writes it down."""
        seen.append((headers.get("x-amz-target") or urllib.parse.parse_qs(body.decode()).get("Action", [""])[0],
                     {name.lower(): value for name, value in headers.items()}, body.decode()))
        if "X-Amz-Target" in headers and stale:
            return stale.pop()()
        wanted = {k: v for k, v in headers.items() if k.lower() not in ("host", "content-length")}
        request = urllib.request.Request(f"http://127.0.0.1:{moto_port}{path}", body, wanted, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, {}, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, {}, error.read()

    endpoint = f"http://127.0.0.1:{serving(recorded)}"
    web = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/portend-push", "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
           "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": endpoint}
    actions = lambda: [action.rsplit(".", 1)[-1] for action, _, _ in seen]

    token_file.write_text("FIRST-WEB-TOKEN\n")
    push(f"{ECR}/team/one", **web)
    # moto's passwords have expired in 2015: each is used all the same, and not asked for without end
    assert actions() == ["AssumeRoleWithWebIdentity", "GetAuthorizationToken"], actions()
    assert "WebIdentityToken=FIRST-WEB-TOKEN&" in seen[0][2] + "&", seen[0]
    assert "authorization" not in seen[0][1], seen[0]
    signed = seen[1][1]
    assert "/eu-west-1/ecr/aws4_request" in signed["authorization"] and signed["x-amz-security-token"], signed
    print("amazon: a web identity became keys, keys a password, and the registry took it; it had expired in 2015")

    def stale_password():
        token_file.write_text("SECOND-WEB-TOKEN\n")  # the cluster replaces the token meanwhile
        data = base64.b64encode(b"AWS:a-password-of-yesterday").decode()
        return 200, {}, json.dumps({"authorizationData": [{"authorizationToken": data, "expiresAt": 4e9}]}).encode()

    seen.clear()
    stale.append(stale_password)
    push(f"{ECR}/team/two", **web)
    assert actions() == ["AssumeRoleWithWebIdentity", "GetAuthorizationToken"] * 2, actions()
    assert "SECOND-WEB-TOKEN" in seen[2][2], seen[2]
    print("amazon: a password that the registry refused was renewed, with the token that the file then held")

    seen.clear()
    stale.append(lambda: (400, {}, json.dumps({
        "__type": "AccessDeniedException", "message": "User: x is not authorized to perform: y"}).encode()))
    said = push(f"{ECR}/team/three", expect=1, **web)
    assert "ecr:GetAuthorizationToken" in said and '"*"' in said, said
    print("amazon: a policy without ecr:GetAuthorizationToken is told by its name")
    said = push(f"{ECR}/team/three", expect=1, **web | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "none")})
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in said and "No such file" in said, said
    said = push(f"{ECR}/team/three", expect=1, AWS_REGION="eu-west-1")
    assert "no credentials of AWS" in said, said

    seen.clear()
    keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "the-secret-key", "AWS_ENDPOINT_URL_ECR": endpoint}
    push(f"{ECR}/team/four", **keys)
    (folder / "aws-file").write_text(
        "[default]\naws_access_key_id = A\n[ci]\naws_access_key_id = AKIAFILE\naws_secret_access_key = the-secret-key\n")
    push(f"{ECR}/team/five", AWS_ENDPOINT_URL_ECR=endpoint, AWS_PROFILE="ci",
         AWS_SHARED_CREDENTIALS_FILE=str(folder / "aws-file"))
    assert ["AKIAEXAMPLE" in seen[0][1]["authorization"], "AKIAFILE" in seen[1][1]["authorization"]] == [True, True]

    asked = []
    keys_of = lambda name: json.dumps({"Code": "Success", "AccessKeyId": name, "SecretAccessKey": "container-secret",
                                       "Token": "session-of-" + name, "Expiration": "2030-01-01T00:00:00Z"}).encode()

    def services(method, path, headers, body):
        """The services of machines and of containers, as their documentation has them."""
        asked.append((method, path))
        if (method, path) == ("PUT", "/latest/api/token"):
            assert headers["x-aws-ec2-metadata-token-ttl-seconds"]
            return 200, {}, b"imds-token"
        if path.startswith("/latest/meta-data/iam/security-credentials/"):
            if headers.get("x-aws-ec2-metadata-token") != "imds-token":
                return 401, {}, b""
            role = path.rsplit("/", 1)[1]
            return (200, {}, keys_of("AKIAMACHINE")) if role else (200, {}, b"portend-role\n")
        if path == "/container":
            return (200, {}, keys_of("AKIACONTAINER")) if headers.get("authorization") == "pod-token" else (403, {}, b"")
        if path == "/leads-away":
            return 302, {"Location": f"{endpoint}/stolen"}, b""
        return 404, {}, b""

    service = f"http://127.0.0.1:{serving(services)}"
    seen.clear()
    push(f"{ECR}/team/six", AWS_ENDPOINT_URL_ECR=endpoint, AWS_EC2_METADATA_DISABLED="false",
         AWS_EC2_METADATA_SERVICE_ENDPOINT=service)
    assert "AKIAMACHINE" in seen[0][1]["authorization"], seen
    assert asked == [("PUT", "/latest/api/token"), ("GET", "/latest/meta-data/iam/security-credentials/"),
                     ("GET", "/latest/meta-data/iam/security-credentials/portend-role")], asked
    (folder / "pod-token").write_text("pod-token\n")
    pod = {"AWS_ENDPOINT_URL_ECR": endpoint, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(folder / "pod-token")}
    seen.clear()
    push(f"{ECR}/team/seven", AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{service}/container", **pod)
    assert "AKIACONTAINER" in seen[0][1]["authorization"], seen
    said = push(f"{ECR}/team/eight", expect=1, AWS_CONTAINER_CREDENTIALS_FULL_URI="http://192.0.2.1/keys", **pod)
    assert "refused" in said, said
    seen.clear()
    push(f"{ECR}/team/eight", expect=1, AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{service}/leads-away", **pod)
    assert not seen, f"a redirect was followed with a token: {seen}"
    print("amazon: keys of variables, of a file, of a machine's and of a container's service; no redirect is followed")


def google(folder, push):
    private = rsa.generate_private_key(65537, 2048)
    text = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption()).decode()
    seen = []

    def services(method, path, headers, body):
        """The service that gives tokens, and that of a machine, as their documentation has them."""
        seen.append((path, dict(headers), urllib.parse.parse_qs(body.decode())))
        token = json.dumps({"access_token": GOOGLE_TOKEN, "expires_in": 3599, "token_type": "Bearer"}).encode()
        if path.startswith("/computeMetadata/v1/instance/service-accounts/default/token"):
            if headers.get("metadata-flavor") != "Google":
                return 403, {}, b""
            return 200, {"Metadata-Flavor": "Google"}, token
        if path == "/subject":
            return 200, {}, b'{"value": "subject-token"}'
        if path == "/sts":
            return 200, {}, token.replace(GOOGLE_TOKEN.encode(), b"federated")
        if path == "/impersonate" and headers.get("authorization") == "Bearer federated":
            return 200, {}, json.dumps({"accessToken": GOOGLE_TOKEN, "expireTime": "2030-01-01T00:00:00Z"}).encode()
        if path == "/token":
            return 200, {}, token
        return 400, {}, b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'

    port = serving(services)
    account = {"type": "service_account", "client_email": "ci@project.iam.gserviceaccount.com", "private_key": text,
               "private_key_id": "k1", "token_uri": f"http://127.0.0.1:{port}/token"}
    key_file = folder / "key.json"
    named = {"GOOGLE_APPLICATION_CREDENTIALS": str(key_file)}
    key_file.write_text(json.dumps(account))
    push(f"{GOOGLE}/project/one/image", **named)
    assert len(seen) == 1, "a token is kept for its hour"
    form = seen[0][2]
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"], form
    head, claims, signature = form["assertion"][0].split(".")
    decode = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    private.public_key().verify(decode(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    claims = json.loads(decode(claims))
    assert claims["iss"] == account["client_email"] and claims["aud"] == account["token_uri"], claims
    assert claims["exp"] - claims["iat"] == 3600 and json.loads(decode(head))["kid"] == "k1"
    key_file.write_text(json.dumps(account | {"token_uri": f"http://127.0.0.1:{port}/wrong"}))
    said = push(f"{GOOGLE}/project/two/image", expect=1, **named)
    assert "Invalid JWT Signature" in said, said
    key_file.write_text(json.dumps(account | {"token_uri": "http://192.0.2.1/token"}))
    assert "not protected by TLS" in push(f"{GOOGLE}/project/two/image", expect=1, **named)
    key_file.write_text("{")
    assert "is not a key file" in push(f"{GOOGLE}/project/two/image", expect=1, **named)
    print("google: a key file's signature is right, and its token opens the registry")
    seen.clear()
    push(f"{GOOGLE}/project/three/image", GCE_METADATA_HOST=f"127.0.0.1:{port}")
    assert len(seen) == 1 and seen[0][0].startswith("/computeMetadata"), seen
    key_file.write_text(json.dumps({
        "type": "external_account", "audience": "//iam.googleapis.com/x", "token_url": f"http://127.0.0.1:{port}/sts",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "service_account_impersonation_url": f"http://127.0.0.1:{port}/impersonate",
        "credential_source": {"url": f"http://127.0.0.1:{port}/subject",
                              "format": {"type": "json", "subject_token_field_name": "value"}}}))
    seen.clear()
    push(f"{GOOGLE}/project/four/image", **named)
    assert [path for path, _, _ in seen] == ["/subject", "/sts", "/impersonate"], seen
    assert "log in" in push(f"{GOOGLE}/project/five/image", expect=1), "without any identity"
    print("google: a machine's service, and a federation with a service account")


with tempfile.TemporaryDirectory() as scratch:
    main(pathlib.Path(scratch))
