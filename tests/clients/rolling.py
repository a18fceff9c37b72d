#!/usr/bin/env python3
"""Replace a server behind nginx, as docs/guide/reverse-proxy.md shows, and lose no request.

    python rolling.py PORTEND NGINX

nginx runs with the configuration of that page: ports, certificates and the
places of its files are put in, nothing else is changed. While clients ask for
predictions over connections that they keep, two servers are replaced one after
the other; every answer must be 200 and right.
"""

import http.client
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from overload import certificate
from server import DEMO, expect, serving

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "reverse-proxy.md"
CLIENTS = 8
REPLACEMENTS = 2
PATIENCE = 30

ROWS = (DEMO / "fraud-scoring.csv").read_bytes()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def replaced(text, old, new):
    """Replace what must be there exactly once."""
    expect(f"places of {old!r} in the guide's configuration", text.count(old), 1)
    return text.replace(old, new)


def configuration(folder, port, upstream):
    """The guide's configuration, with what a test of its own needs around it."""
    page = GUIDE.read_text(encoding="utf-8")
    text = re.search(r"```nginx\n(upstream .*?)```", page, re.DOTALL)[1]
    text = replaced(text, "server 127.0.0.1:8080;", f"server 127.0.0.1:{upstream};")
    text = replaced(text, "listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    text = replaced(text, "/etc/nginx/models.crt", f"{folder}/self.crt")
    text = replaced(text, "/etc/nginx/models.key", f"{folder}/self.key")
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in places)
    user = "user root;\n" if os.geteuid() == 0 else ""  # who may read the folder
    return (f"{user}worker_processes 2;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n")


class Nginx:
    """The proxy in a folder of its own."""

    def __init__(self, program, folder, port):
        self.command = [program, "-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]
        self.folder, self.port = Path(folder), port

    def point_to(self, upstream):
        text = configuration(self.folder, self.port, upstream)
        (self.folder / "nginx.conf").write_text(text, encoding="utf-8")

    def start(self):
        self.process = subprocess.Popen([*self.command, "-g", "daemon off;"])
        wait_for("nginx", self.workers)

    def workers(self):
        """Processes of the proxy but its first."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return set(Path(children).read_text().split())

    def reload(self):
        """Switch, and wait until the workers from before have ended."""
        before = self.workers()
        subprocess.run([*self.command, "-s", "reload"], check=True)
        wait_for("new workers of nginx", lambda: self.workers() - before)
        wait_for("the end of nginx's workers from before", lambda: not self.workers() & before)

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


def wait_for(what, ask):
    end = time.monotonic() + PATIENCE
    while not ask():
        if time.monotonic() > end:
            sys.exit(f"FAILED: waited too long for {what}")
        time.sleep(0.05)


def ask(connection):
    connection.request("POST", "/predictions", ROWS, {"Content-Type": "text/csv"})
    answer = connection.getresponse()
    return answer.status, answer.read()


class Load:
    """Clients that ask again and again, each over one connection as long as the proxy keeps it."""

    def __init__(self, port, context):
        self.port, self.context = port, context
        self.over, self.answers, self.ended, self.failures = False, 0, 0, []
        self.lock = threading.Lock()
        status, self.wanted = ask(self.connect())
        expect("status through nginx", status, 200)
        self.threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def connect(self):
        return http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE, context=self.context)

    def run(self):
        connection = self.connect()  # it connects anew after an answer that said `Connection: close`
        while not self.over:
            fresh = connection.sock is None
            try:
                status, body = ask(connection)
                failure = None if (status, body) == (200, self.wanted) else f"{status}: {body[:200]}"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # an old worker of nginx ends idle connections without a word, and a client must ask again; when it is
                # Portend that ends one, nginx says 502
                self.ended += 1
                failure = None if not fresh and self.asked_again(connection) else repr(error)
            with self.lock:
                self.answers += 1
                if failure:
                    self.failures.append(failure)

    def asked_again(self, connection):
        try:
            return ask(connection) == (200, self.wanted)
        except (OSError, http.client.HTTPException):
            return False

    def wait_for_more(self):
        """Let every client ask a good deal."""
        wanted = self.answers + 50 * CLIENTS
        wait_for("answers", lambda: self.answers >= wanted or self.failures)

    def end(self):
        self.over = True
        for thread in self.threads:
            thread.join()


def main(binary, program):
    with tempfile.TemporaryDirectory() as folder:
        _, context = certificate(folder)
        nginx = Nginx(program, folder, free_port())
        old = serving(binary, DEMO / "fraud")
        nginx.point_to(old.__enter__())
        nginx.start()
        try:
            wait_for("the model", lambda: ready(nginx.port, context))
            load = Load(nginx.port, context)
            try:
                for _ in range(REPLACEMENTS):
                    load.wait_for_more()
                    new = serving(binary, DEMO / "fraud")
                    port = new.__enter__()
                    wait_for("the new server", lambda: ready(port))
                    nginx.point_to(port)
                    nginx.reload()
                    old.__exit__(None, None, None)  # SIGTERM; its exit code must be 0
                    old = new
                    load.wait_for_more()
            finally:
                load.end()
            expect("requests that failed", load.failures[:5], [])
        finally:
            nginx.stop()
            old.__exit__(None, None, None)
    print(f"nginx: {load.answers} answers while {REPLACEMENTS} servers were replaced, none failed; "
          f"nginx itself ended {load.ended} idle connections")


def ready(port, context=None):
    kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
    more = {"context": context} if context else {}
    connection = kind("localhost" if context else "127.0.0.1", port, timeout=PATIENCE, **more)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
