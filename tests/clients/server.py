"""What the client tests share: a Portend server, and requests to it."""

import contextlib
import gzip
import http.client
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
START_SECONDS = 30
STOP_SECONDS = 15
RETRIES = 7


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"FAILED: {what}\n  found:  {found!r}\n  wanted: {wanted!r}")


def expect_close(what, found, wanted, relative):
    if not abs(found - wanted) <= relative * abs(wanted):  # written so that NaN fails
        sys.exit(f"FAILED: {what}\n  found:  {found!r}\n  wanted: {wanted!r} within {relative:g}")


@contextlib.contextmanager
def serving(binary, path, **settings):
    """Serve a path on a free port of loopback, with settings in the environment; gives the port."""
    command = [binary, "serve", path, "--host", "127.0.0.1", "--port", "0"]
    environment = os.environ | {"PORTEND_GRPC_PORT": "0"} | settings
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    lines, ports = [], Queue()

    def listen():  # to the end: a server whose standard error is full would hang
        for line in server.stderr:
            lines.append(line)
            if found := re.search(r"listening on https?://127\.0\.0\.1:(\d+)", line):
                ports.put(int(found[1]))

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield ports.get(timeout=START_SECONDS)
        expect("the server after its last answer", server.poll(), None)
        server.terminate()
        expect("exit code after SIGTERM", server.wait(STOP_SECONDS), 0)
    except Empty:
        sys.exit(f"FAILED: no 'listening on' line within {START_SECONDS} s")
    except BaseException:
        print("the server said:\n", *lines[-20:], sep="", file=sys.stderr)
        raise
    finally:
        server.kill()
        server.wait()
        listener.join()
    if any("panicked" in line for line in lines):
        sys.exit("FAILED: the server panicked\n" + "".join(lines))


class Connection(http.client.HTTPConnection):
    """One connection, kept open for every request, as the real clients do."""

    def __init__(self, port):
        super().__init__("127.0.0.1", port, timeout=60)

    def send_apart(self, target, body, headers):
        """Send the head, then the body, so that the server sees a head alone as it may on a network."""
        self.putrequest("POST", target, skip_accept_encoding=True)
        for name, value in headers.items():
            self.putheader(name.replace("_", "-"), value)
        self.putheader("Content-Length", str(len(body)))
        self.endheaders()
        time.sleep(0.002)
        self.send(body)
        return self.getresponse()

    def post(self, target, body, **headers):
        """The status, headers and text of an answer. The target goes out as it stands."""
        body = body.encode()
        headers = {"User-Agent": "client-test", "Accept-Encoding": "gzip, deflate", **headers}
        for attempt in range(RETRIES):
            try:
                answer = self.send_apart(target, body, headers)
                content = answer.read()
            except ConnectionError as error:
                # With `Connection: close` in the answer before, http.client would have connected anew.
                sys.exit(f"FAILED: POST {target}: the connection ended unannounced: {error}")
            if answer.status != 503:  # a model that is still loading; the clients ask again, too
                break
            time.sleep(0.1 * 2**attempt)
        if answer.getheader("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        # The clients read this one as a number and take an answer without it for a failure.
        took = answer.getheader("X-DataRobot-Execution-Time", "")
        if not re.fullmatch(r"\d+(\.\d+)?", took):
            sys.exit(f"FAILED: X-DataRobot-Execution-Time of {target} is {took!r}")
        return answer.status, answer.headers, content.decode("utf-8")
