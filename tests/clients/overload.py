#!/usr/bin/env python3
"""Ask for more than the server can do, by HTTP and by HTTPS.

    python overload.py PORTEND

While 5,000 clients send their bodies a byte now and then, honest predictions
must go on at 90 % or more of their rate without them. When twice as many heavy
requests come as can be scored, those beyond are answered 429, those taken are
answered rightly, and as many are answered as at the best of times.

Rates are compared within one run, as medians of windows that alternate, and
measured again when a busy machine spoils them.
"""

import contextlib
import gzip
import multiprocessing
import re
import resource
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from server import DEMO, START_SECONDS, expect, serving

FILES = 20_000
TRICKLING = 5_000
LEAST_RATIO = 0.9
ATTEMPTS = 3

HEAD, _, ROWS = (DEMO / "fraud-scoring.csv").read_text(encoding="utf-8").partition("\n")


def post(body, *headers):
    """A whole request."""
    head = ["POST /predictions HTTP/1.1", "Host: localhost", "Content-Type: text/csv",
            "Accept: text/csv", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: some milliseconds of work
HONEST = post(f"{HEAD}\n{ROWS * 200}".encode())
#: some ten milliseconds of work, and cheap to send
HEAVY = post(gzip.compress(f"{HEAD}\n{ROWS * 3000}".encode()), "Content-Encoding: gzip")
#: enough to be waited for longer than the test takes, by the rule of a least rate
BEGINNING = post(b"1" * 60_000)[:-10_000]


class Client:
    """One connection that is kept."""

    def __init__(self, port, tls):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")

    def ask(self, request):
        """Status, head and body of the answer."""
        self.socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.some()
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)[1])
        pieces, count = [body], len(body)
        while count < length:
            pieces.append(self.some())
            count += len(pieces[-1])
        return int(head.split(b" ", 2)[1]), head.decode(), b"".join(pieces)

    def some(self):
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("the server ended the connection")
        return piece


def right_answer(client, request):
    """The body of the answer, once the model is loaded."""
    end = time.monotonic() + START_SECONDS
    while True:
        status, head, body = client.ask(request)
        if status == 200:
            return body
        expect(f"status before the model is loaded: {head}", (status, time.monotonic() < end), (503, True))
        time.sleep(0.05)


def together(count, work):
    """Run work(number) in so many threads; what they gave, or the first error."""
    results, errors = [None] * count, []

    def one(number):
        try:
            results[number] = work(number)
        except BaseException as error:  # an exit as well: it ends this thread only
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def closed_loop(clients, request, wanted, seconds):
    """Answers a second when each client asks again as soon as it is answered; all must be right."""
    start = time.monotonic()

    def one(number):
        answered = 0
        while time.monotonic() < start + seconds:
            status, _, body = clients[number].ask(request)
            expect("status", status, 200)
            if body != wanted:
                raise ValueError("a wrong answer")
            answered += 1
        return answered

    answered = sum(together(len(clients), one))
    return answered / (time.monotonic() - start)  # the last answers come a little later


def open_loop(clients, request, wanted, rate, seconds):
    """Answers a second, and refusals, when requests come at a rate whatever becomes of them."""
    start, lock, sent = time.monotonic(), threading.Lock(), [0]

    def one(number):
        answered = refused = 0
        while True:
            with lock:
                due = start + sent[0] / rate
                sent[0] += 1
            if due >= start + seconds:
                return answered, refused
            time.sleep(max(0, due - time.monotonic()))
            status, head, body = clients[number].ask(request)
            if status == 429 and "\r\nretry-after: " in head.lower():
                refused += 1
            elif status == 200 and body == wanted:
                answered += 1
            else:
                raise ValueError(f"neither refused nor answered rightly: {head}")

    results = together(len(clients), one)
    took = time.monotonic() - start
    answered, refused = (sum(column) for column in zip(*results))
    return answered / took, refused, answered + refused


def trickle(port, tls, pipe):
    """A process of its own: open connections with a POST on each, and send a byte of each now and then."""

    def opened(number):
        mine = []
        for _ in range(TRICKLING // 10):
            client = Client(port, tls)
            client.socket.sendall(BEGINNING)
            mine.append(client.socket)
        return mine

    sockets = [one for part in together(10, opened) for one in part]
    pipe.send("open")
    turn = 0
    while not pipe.poll(0.05):
        for one in sockets[turn % 80 :: 80]:  # each once in four seconds
            one.send(b"1")
        turn += 1
    answered = select.poll()
    for one in sockets:
        answered.register(one, select.POLLIN)
    # session tickets are read at the first byte; what came beyond is an answer or an end
    ended = 0
    for number, _ in answered.poll(0):
        one = next(s for s in sockets if s.fileno() == number)
        one.settimeout(0.001)
        try:
            one.recv(1)
            ended += 1
        except TimeoutError:
            pass
    pipe.send(ended)


@contextlib.contextmanager
def trickling(port, tls):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=trickle, args=(port, tls, theirs))
    process.start()
    theirs.close()
    try:
        expect("the trickling clients", ours.recv(), "open")
        yield
        ours.send("stop")
        expect("trickling clients that were ended", ours.recv(), 0)
    except EOFError:
        sys.exit("FAILED: the trickling clients broke off")
    finally:
        process.kill()
        process.join()


def check_trickling(port, tls, title):
    clients = [Client(port, tls) for _ in range(4)]
    wanted = right_answer(clients[0], HONEST)

    def windows(count):
        return [closed_loop(clients, HONEST, wanted, 0.5) for _ in range(count)]

    windows(1)
    for attempt in range(ATTEMPTS):
        before = windows(5)
        with trickling(port, tls):
            loaded = windows(3)
            start = time.monotonic()
            pinging = Client(port, tls)
            for _ in range(10):
                expect("/ping while clients trickle", pinging.ask(PING)[0], 200)
            pings = time.monotonic() - start
            loaded += windows(2)
        ratio = median(loaded) / median(before)
        print(f"{title}: {median(before):.0f} predictions of 2,000 rows a second, "
              f"{median(loaded):.0f} beside {TRICKLING} trickling clients: {ratio:.2f}; "
              f"a connection and 10 pings took {pings * 1000:.0f} ms")
        if ratio >= LEAST_RATIO and pings < 2:
            return
        time.sleep(0.5)
    sys.exit(f"FAILED: {title}: less than {LEAST_RATIO} in each of {ATTEMPTS} attempts")


def check_twice_the_capacity(port, tls, title, at_once):
    clients = [Client(port, tls) for _ in range(3 * at_once)]
    wanted = right_answer(clients[0], HEAVY)
    for attempt in range(ATTEMPTS):
        best, taken, refused, asked = [], [], 0, 0
        for _ in range(3):
            best.append(closed_loop(clients[:at_once], HEAVY, wanted, 0.7))
            rate, more, all_of_them = open_loop(clients, HEAVY, wanted, 2 * best[-1], 0.7)
            taken.append(rate)
            refused += more
            asked += all_of_them
        ratio = median(taken) / median(best)
        print(f"{title}: {median(best):.0f} heavy predictions a second at best, {median(taken):.0f} when twice as "
              f"many are asked for: {ratio:.2f}; {refused} of {asked} refused")
        if ratio >= LEAST_RATIO and refused:
            return
    sys.exit(f"FAILED: {title}: less than {LEAST_RATIO} in each of {ATTEMPTS} attempts, or nothing refused")


def certificate(folder):
    """A key and a certificate that signs itself: the settings, and what a client must know."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
         "-keyout", "self.key", "-out", "self.crt", "-days", "30", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        cwd=folder, check=True, capture_output=True,
    )
    names = {"ENABLED": "true", "CERTIFICATE": f"{folder}/self.crt", "CERTIFICATE_KEY": f"{folder}/self.key"}
    settings = {f"PREDICTION_API_TLS_{name}": value for name, value in names.items()}
    return settings, ssl.create_default_context(cafile=Path(folder) / "self.crt")


def main(binary):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < TRICKLING + 1_000:
        sys.exit(f"FAILED: {most} open files are the most that this system allows: raise `ulimit -Hn`")
    files = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    workers, queue = 2, 4  # so many at once keep the workers busy and are never refused
    small = {"PREDICTION_API_WORKERS": str(workers), "PORTEND_QUEUE": str(queue)}
    with tempfile.TemporaryDirectory() as folder:
        settings, context = certificate(folder)
        for title, tls, more in (("HTTP", None, {}), ("HTTPS", context, settings)):
            more = more | {"PORTEND_ACCESS_LOG": "off"}
            with serving(binary, DEMO / "fraud", **more) as port:
                check_trickling(port, tls, title)
            with serving(binary, DEMO / "fraud", **more, **small) as port:
                check_twice_the_capacity(port, tls, title, queue)


if __name__ == "__main__":
    main(*sys.argv[1:])
