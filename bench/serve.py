"""Measures Portend beside an empty axum handler and a hand-written FastAPI peer, in one run.

    serve.py FOLDER [--portend BINARY] [--axum BINARY] [--peer-workers N] [--rounds N]

FOLDER is what make.py wrote. A server whose binary is not given is left out. bench/serve.sh
prepares everything and calls this. From the environment: BENCH_SECONDS is the length of one wrk
run (default 5), BENCH_OUT a file for the results as JSON.

The machine may be shared and noisy, so every figure is the median of several rounds and each round
visits every server before the next begins: a slow minute then hits all of them. CPU per request is
the steadiest figure, since the load generator's own CPU is not in it.
"""

import argparse
import http.client
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
START_LIMIT = 60  # seconds for a server to answer its first ping
REQUEST_LIMIT = 120  # seconds for one large request
CURLS = 5  # 10,000-row requests in a round
REST = 3  # seconds after a start in which a server may give back memory
TICK = os.sysconf("SC_CLK_TCK")
ADDRESS = re.compile(r"(?:listening|running) on (http://127\.0\.0\.1:\d+)")
TYPES = {"csv": "text/csv", "json": "application/json"}

# Name, unit, what it is, and whether more is better. The order is that of the tables.
FIGURES = [
    ("c64_req_s", "req/s", "1 row, 64 connections", True),
    ("c64_p50_ms", "ms", "1 row, 64 connections, p50", False),
    ("c64_p99_ms", "ms", "1 row, 64 connections, p99", False),
    ("c64_cpu_ms", "ms", "1 row, 64 connections, CPU per request", False),
    ("c1_p50_ms", "ms", "1 row, 1 connection, p50", False),
    ("rows100_p50_ms", "ms", "100 rows, 1 connection, p50", False),
    ("rows10k_ms", "ms", "10,000 rows, wall", False),
    ("mb50_s", "s", "50 MB of CSV, wall", False),
    ("mb50_peak_mib", "MiB", "50 MB of CSV, peak RSS of a fresh process", False),
    ("cold_ms", "ms", "cold start, spawn to the first 200", False),
    ("idle_mib", "MiB", "RSS when started and idle", False),
]


class Server:
    """One started server, its address and its process tree."""

    started = []

    def __init__(self, name, command):
        self.name = name
        # Portend listens before its model is loaded; the others load first.
        self.ready = "/ready" if name == "portend" else "/ping"
        self.lines = []
        self.url = None
        self.heard = threading.Event()
        begin = time.perf_counter()
        # A session of its own, so that a worker whose parent died can still be ended.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        Server.started.append(self)
        # Reads on after the address, for a server that fills the pipe would stop.
        threading.Thread(target=self.listen, daemon=True).start()
        if not self.heard.wait(START_LIMIT) or self.url is None:
            sys.exit(f"{name} named no address:\n" + "".join(self.lines[-20:]))
        self.await_ping(begin + START_LIMIT)
        self.cold_ms = (time.perf_counter() - begin) * 1000

    def listen(self):
        for line in self.process.stderr:
            self.lines = self.lines[-50:] + [line]
            found = ADDRESS.search(line)
            if found and self.url is None:
                self.url = found[1]
                self.heard.set()
        self.heard.set()

    def await_ping(self, deadline):
        while True:
            try:
                if self.ask("GET", self.ready, 5)[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            if time.perf_counter() > deadline or self.process.poll() is not None:
                sys.exit(f"{self.name} does not answer {self.ready}:\n" + "".join(self.lines[-20:]))
            time.sleep(0.001)

    def ask(self, method, path, limit, body=None, headers={}):
        """The status and body of one answer; http.client looks at no proxy settings."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=limit)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def pids(self):
        """The process and all that descend from it: uvicorn's workers do the work, not its parent."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    parent = int(stat_fields(entry)[1])
                except OSError:
                    continue
                children.setdefault(parent, []).append(int(entry))
        found, ahead = [], [self.process.pid]
        while ahead:
            pid = ahead.pop()
            found.append(pid)
            ahead += children.get(pid, [])
        return found

    def cpu_seconds(self):
        """User and system time of the tree, with that of children already gone."""
        return sum(sum(map(int, stat_fields(pid)[11:15])) for pid in self.pids()) / TICK

    def memory_mib(self, field):
        """The tree's VmRSS or VmHWM. Pages that workers share are counted in each of them."""
        total = 0
        for pid in self.pids():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(rf"^{field}:\s+(\d+) kB", status, re.M)[1])
        return total / 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        Server.started.remove(self)


def stat_fields(pid):
    """/proc/PID/stat from the state on; the name before it may hold spaces and brackets."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def wrk(server, body, kind, connections, seconds):
    # One thread: it outruns every server here, and a second one would only take its core.
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    cpu = server.cpu_seconds()
    done = subprocess.run(
        command + ["-s", str(HERE / "post.lua"), server.url + "/predictions"],
        env={**os.environ, "BODY": str(body), "CONTENT_TYPE": TYPES[kind]},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    cpu = server.cpu_seconds() - cpu
    line = re.search(r"^RESULT (.*)$", done.stdout, re.M)
    if not line:
        sys.exit(f"wrk failed on {server.name}:\n{done.stdout}{done.stderr}")
    found = json.loads(line[1])
    if found["refused"] or found["broken"] or not found["requests"]:
        sys.exit(f"{server.name} did not answer every request: {found}")
    return {
        "req_s": found["requests"] / (found["us"] / 1e6),
        "p50_ms": found["p50_us"] / 1000,
        "p99_ms": found["p99_us"] / 1000,
        "cpu_ms": cpu / found["requests"] * 1000,
    }


def curl(server, body, kind):
    """Seconds on the wall for one request, connection included."""
    # Without "Expect:" curl would hold a large body back until the server asks for it.
    headers = ["-H", f"Content-Type: {TYPES[kind]}", "-H", "Expect:"]
    done = subprocess.run(
        ["curl", "-q", "-sSf", "--noproxy", "*", "-o", "/dev/null", "-w", "%{time_total}"]
        + ["-m", str(REQUEST_LIMIT)]
        + headers
        + ["--data-binary", f"@{body}", server.url + "/predictions"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{server.name} failed on {body.name}: {done.stderr}")
    return float(done.stdout)


def probabilities(server, body, kind):
    """Each row's values by label, to see that two servers give the same answers."""
    status, text = server.ask(
        "POST", "/predictions", REQUEST_LIMIT, body.read_bytes(), {"Content-Type": TYPES[kind]}
    )
    if status != 200:
        sys.exit(f"{server.name} answers {body.name} with {status}: {text[:500]!r}")
    rows = json.loads(text)["data"]
    return [{float(v["label"]): v["value"] for v in row["predictionValues"]} for row in rows]


def check_answers(servers, data):
    """Speed counts only for the right answer: all that predict must agree on 100 rows."""
    answers = [
        (f"{server.name} {kind}", probabilities(server, data / f"100.{kind}", kind))
        for server in servers
        if server.name != "axum"
        for kind in kinds(server.name)
    ]
    first_name, first = answers[0] if answers else (None, None)
    for name, rows in answers[1:]:
        apart = [abs(a[k] - b[k]) for a, b in zip(first, rows, strict=True) for k in a | b]
        if max(apart) > 1e-5:
            sys.exit(f"{name} and {first_name} predict {max(apart)} apart")


def kinds(name):
    """The peer may show its better side; the others take CSV."""
    return ("csv", "json") if name == "peer" else ("csv",)


def measure(commands, data, rounds):
    """All rounds of all figures: {server: {kind: {figure: [values]}}}."""
    found = {name: {kind: {} for kind in kinds(name)} for name in commands}

    def keep(server, kind, figure, value):
        found[server.name][kind].setdefault(figure, []).append(value)

    def say(text):
        print(text, file=sys.stderr, flush=True)

    # Fresh processes first, one at a time on an otherwise idle machine.
    for turn in range(rounds):
        say(f"fresh processes, round {turn + 1} of {rounds}")
        for name, command in commands.items():
            server = Server(name, command)
            keep(server, "csv", "cold_ms", server.cold_ms)
            time.sleep(REST)
            keep(server, "csv", "idle_mib", server.memory_mib("VmRSS"))
            if name != "axum":
                curl(server, data / "50mb.csv", "csv")
                keep(server, "csv", "mb50_peak_mib", server.memory_mib("VmHWM"))
            server.stop()

    servers = [Server(name, command) for name, command in commands.items()]
    check_answers(servers, data)
    sides = [(server, kind) for server in servers for kind in kinds(server.name)]
    for server, kind in sides:
        wrk(server, data / f"1.{kind}", kind, 64, 1)  # warms up, not counted

    for turn in range(rounds):
        say(f"small requests, round {turn + 1} of {rounds}")
        for server, kind in sides:
            for figure, value in wrk(server, data / f"1.{kind}", kind, 64, SECONDS).items():
                keep(server, kind, "c64_" + figure, value)
        for rows, figure in (("1", "c1_p50_ms"), ("100", "rows100_p50_ms")):
            for server, kind in sides:
                one = wrk(server, data / f"{rows}.{kind}", kind, 1, SECONDS)
                keep(server, kind, figure, one["p50_ms"])

    # The empty handler parses nothing, so large bodies say nothing about it.
    sides = [(server, kind) for server, kind in sides if server.name != "axum"]
    for turn in range(rounds):
        say(f"large requests, round {turn + 1} of {rounds}")
        for server, kind in sides:
            for _ in range(CURLS):
                keep(server, kind, "rows10k_ms", curl(server, data / f"10k.{kind}", kind) * 1000)
        for server, kind in sides:
            if kind == "csv":
                keep(server, kind, "mb50_s", curl(server, data / "50mb.csv", kind))
    return found


def summarise(found):
    """Medians by server and figure, for the peer of its better body."""
    best = {}
    for name, by_kind in found.items():
        best[name] = {}
        for figure, _, _, more in FIGURES:
            medians = [statistics.median(v[figure]) for v in by_kind.values() if figure in v]
            if medians:
                best[name][figure] = max(medians) if more else min(medians)
    return best


def ratios(best):
    """Portend over each other server, so that above 1 means more of the figure."""
    mine = best.get("portend", {})
    return {
        name: {f: mine[f] / value for f, value in theirs.items() if f in mine and value}
        for name, theirs in best.items()
        if name != "portend"
    }


def table(title, columns):
    """Prints one line per figure; columns is {heading: {figure: value}}."""

    def cell(value):
        return "-" if value is None else f"{value:,.1f}" if value >= 100 else f"{value:.3g}"

    print(f"\n{title:<52}" + "".join(f"{heading:>14}" for heading in columns))
    for figure, unit, text, more in FIGURES:
        cells = "".join(f"{cell(values.get(figure)):>14}" for values in columns.values())
        better = "more is better" if more else "less is better"
        print(f"{text + ', ' + unit:<52}{cells}   {better}")


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def main():
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--portend")
    options.add_argument("--axum")
    options.add_argument("--peer-workers", type=int, default=1)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()

    model = str(given.folder / "model.json")
    peer = str(HERE / "peers" / "fastapi_xgboost.py")
    commands = {}
    if given.axum:
        commands["axum"] = [given.axum, "--port", "0"]
    if given.portend:
        commands["portend"] = [given.portend, "serve", model, "--port", "0", "--no-access-log"]
    commands["peer"] = [sys.executable, peer, model, "--workers", str(given.peer_workers)]

    # An ended run must end its servers: turn the signals into an exit that passes through finally.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    result = {"machine": machine(), "seconds": SECONDS, "rounds": given.rounds}
    result["peer_workers"] = given.peer_workers
    try:
        found = measure(commands, given.folder, given.rounds)
    finally:
        for server in Server.started.copy():
            server.stop()

    best = summarise(found)
    compared = ratios(best)
    table("median of all rounds", best)
    if "portend" in best:
        table("portend over", compared)
    result |= {"figures": best, "ratios": compared, "rounds_by_body": found}
    if os.environ.get("BENCH_OUT"):
        pathlib.Path(os.environ["BENCH_OUT"]).write_text(json.dumps(result, indent=1) + "\n")


main()
