#!/usr/bin/env python3
"""Send the same random messages to Seldon's own wrapper and to Portend, around the same models, and compare answers.

    python seldon_compare.py PORTEND [--bodies N] [--seed N]

For each model, N messages are drawn from the seed. The wrapper is the program of `seldon-core-microservice`, with
seldon/Reference.py around the model, loaded by LightGBM itself. Status and JSON must be the same, numbers within 1e-12,
but for these differences, and no others:

    Where the wrapper answers 500 because a body is wrong, Portend answers 400, with reason MICROSERVICE_BAD_DATA.
    The text of an error, `info`, is Portend's own.
    Rows that are passed through (/transform-input, /transform-output) keep their encoding: the wrapper makes a tensor
    of a list under jsonData, and an ndarray of a tensor with null or a whole number beyond 64 bits.
    NaN, Infinity and -Infinity, which are no JSON, are told as texts, not bare, and are taken in feedback.
"""

import argparse
import base64
import contextlib
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import requests
from server import START_SECONDS, STOP_SECONDS, expect, serving

MODELS = Path(__file__).resolve().parents[2] / "testdata" / "models"
COMPARED = ["lgb_wine", "lgb_diabetes"]  # several classes, one number
HERE = Path(__file__).resolve().parent
BOUNDARY = "the-boundary"


def free_ports(count):
    """Ports that nobody listens on; held until all are found, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def wrapped(name, manifest):
    """Seldon's wrapper around a model; gives its ports for HTTP and gRPC."""
    http_port, grpc_port, metrics_port = free_ports(3)
    package = MODELS / name / "package"
    values = {
        "model_file": str(package / manifest["model"]["path"]),
        "features": json.dumps([feature["name"] for feature in manifest["features"]]),
        "classes": json.dumps(classes(manifest)),
    }
    parameters = [{"name": key, "value": value, "type": "STRING"} for key, value in values.items()]
    command = [sys.executable, "wrapper.py", "Reference", "--service-type", "MODEL"]
    command += ["--parameters", json.dumps(parameters), "--workers", "1", "--single-threaded", "1"]
    command += ["--http-port", str(http_port), "--grpc-port", str(grpc_port), "--metrics-port", str(metrics_port)]
    environment = os.environ | {
        "PREDICTIVE_UNIT_ID": "package",
        "PREDICTIVE_UNIT_IMAGE": f"package:{manifest['version']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",  # the wrapper forks, which the threads of LightGBM do not survive
    }
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, cwd=HERE / "seldon", env=environment, stdout=said, stderr=said, start_new_session=True
        )
        try:
            wait_for(process, http_port)
            yield http_port, grpc_port
        except BaseException:
            said.seek(0)
            print("the wrapper said:\n", said.read()[-4000:].decode(errors="replace"), file=sys.stderr)
            raise
        finally:
            # it and its workers, which are a session of their own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(process, port):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"FAILED: the wrapper ended with {process.returncode}")
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"http://127.0.0.1:{port}/health/ping", timeout=5).text == "pong":
                return
        time.sleep(0.1)
    sys.exit(f"FAILED: the wrapper does not answer within {START_SECONDS} s")


def classes(manifest):
    target = manifest["target"]
    return [str(label) for label in target.get("classes") or [target["name"]]]


def read_rows(name):
    lines = (MODELS / name / "rows.csv").read_text().splitlines()
    return [[float(cell) if cell else None for cell in line.split(",")] for line in lines[1:]]


class Draw:
    """Messages drawn at random."""

    def __init__(self, seed, features, rows):
        self.random = random.Random(seed)
        self.features, self.all_rows = features, rows

    def chance(self, share):
        return self.random.random() < share

    def rows(self, missing=True):
        rows = [list(self.random.choice(self.all_rows)) for _ in range(self.random.randint(1, 6))]
        for row in rows:
            for at, cell in enumerate(row):
                if cell is not None and abs(cell) < 2**53 and self.chance(0.1):
                    row[at] = round(cell)
                if missing and self.chance(0.03):
                    row[at] = None
        return rows

    def array(self):
        """Rows as `data`, with or without names, in another order or with one that nobody knows."""
        kind = self.random.choice(["ndarray", "tensor"])
        rows, names = self.rows(), list(self.features)
        if self.chance(0.3):
            order = self.random.sample(range(len(names)), len(names))
            names = [names[at] for at in order]
            rows = [[row[at] for at in order] for row in rows]
        elif self.chance(0.2):
            names.append("nobody's")
            rows = [[*row, 7] for row in rows]
        elif self.chance(0.2):
            names = [f"t:{at}" for at in range(len(names))]
        data = {"ndarray": rows}
        if kind == "tensor":
            values = [cell for row in rows for cell in row]
            data = {"tensor": {"shape": [len(rows), len(rows[0])], "values": values}}
        if names[0] != self.features[0] or len(names) != len(self.features) or self.chance(0.5):
            data["names"] = names
        return {"data": data}

    def payload(self):
        kind = self.random.choice(["array"] * 5 + ["records", "record", "lists", "text", "bytes", "json text"])
        rows = self.rows()
        records = [dict(zip(self.features, row)) for row in rows]
        table = [self.features, *([("" if cell is None else repr(cell)) for cell in row] for row in rows)]
        text = "".join(",".join(row) + "\n" for row in table)
        match kind:
            case "array":
                return self.array()
            case "records":
                return {"jsonData": records}
            case "record":
                return {"jsonData": records[0]}
            case "lists":
                return {"jsonData": rows}
            case "text":
                return {"strData": text}
            case "bytes":
                return {"binData": base64.b64encode(text.encode()).decode()}
            case "json text":
                return {"strData": json.dumps(records)}

    def meta(self):
        some = {
            "puid": self.random.choice(["", "abc", "ü-1"]),
            "tags": self.random.choice([{}, {"z": 2}, {"a": {"b": [1, None]}, "c": "<&>"}]),
            "metrics": self.random.choice([[], [{"key": "k", "type": "GAUGE", "value": 1.5, "tags": {"a": "b"}}]]),
            "routing": {"router": -1},
            "requestPath": self.random.choice([{}, {"before": "image:1"}, {"package": "mine:2"}]),
        }
        return {key: value for key, value in some.items() if self.chance(0.4)}

    def message(self):
        message = self.payload()
        if self.chance(0.5):
            message["meta"] = self.meta()
        if self.chance(0.1):
            message["unknown"] = [1]
        return self.random.sample(sorted(message), len(message)), message

    def feedback(self):
        feedback = {"request": self.array(), "reward": self.random.choice([0, 1, -0.5])}
        if self.chance(0.3):
            feedback["request"]["meta"] = {"puid": "abc", "tags": {"z": 2}}
        if self.chance(0.5):
            feedback["response"] = {"data": {"names": ["a"], "ndarray": [[1]]}, "meta": {"routing": {"a": 1}}}
        if self.chance(0.5):
            feedback["truth"] = {"data": {"tensor": {"shape": [1, 1], "values": [1]}}}
        if self.chance(0.2):
            del feedback["request"]
        strip(feedback)
        return feedback

    def bad(self):
        """A message or text that is wrong."""
        rows, width = self.rows(missing=False), len(self.features)
        values = [cell for row in rows for cell in row]
        return self.random.choice(
            [
                "",
                "{",
                "[1, 2",
                "data",
                "7",
                "[]",
                "null",
                '"text"',
                "{}",
                {"foo": 1},
                {"meta": {"puid": "a"}},
                {"data": {"tensor": {"shape": [len(rows) + 1, width], "values": values}}},
                {"data": {"tensor": {"shape": [len(rows)], "values": values}}},
                {"data": {"tensor": {"values": values}}},
                {"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}},
                {"data": {"ndarray": [rows[0], rows[0][1:]]}},
                {"data": {"ndarray": [row[1:] for row in rows]}},
                {"data": {"ndarray": [[*row, 1] for row in rows]}},
                {"data": {"ndarray": [["no number", *rows[0][1:]]]}},
                {"data": {"ndarray": [[[1], *rows[0][1:]]]}},
                {"data": {"ndarray": 7}},
                {"data": {"ndarray": rows, "names": self.features[:-1]}},
                {"data": None},
                {"strData": "a,b\n1,2\n"},
                {"strData": ""},
                {"binData": "?"},
                {"binData": base64.b64encode(b"\xff\xfe").decode()},
                {"jsonData": 7},
                {"jsonData": [7]},
                {"jsonData": rows, "data": {"ndarray": [[1]]}},
            ]
        )

    def request(self):
        """A request: its method, path with query, headers and body."""
        if self.chance(0.1):
            path = self.random.choice(["/send-feedback", "/api/v1.0/feedback", "/api/v0.1/feedback"])
            feedback = self.feedback()
            if self.chance(0.2):
                feedback["rewardx"] = 1
            return self.arrival(path, json.dumps(feedback), None)
        if self.chance(0.1):
            path = self.random.choice(["/route", "/aggregate", "/predict/nothing", "/api/v1.0/nothing"])
            return self.arrival(path, json.dumps(self.payload()), None)
        if self.chance(0.2):
            path = self.random.choice(["/predict", "/api/v1.0/predictions"])
            bad = self.bad()
            return self.arrival(path, bad if isinstance(bad, str) else json.dumps(bad), None)
        others = ["/api/v0.1/predictions", "/transform-input", "/transform-output"]
        path = self.random.choice(["/predict"] * 3 + ["/api/v1.0/predictions"] * 3 + others)
        order, message = self.message()
        if path.startswith("/transform"):
            strip(message)
            if isinstance(message.get("jsonData"), list):
                del message["jsonData"]
                message["strData"], order = "text", [*order, "strData"]
        message = {key: message[key] for key in order if key in message}
        return self.arrival(path, json.dumps(message), message)

    def arrival(self, path, text, message):
        """One of the ways in which a message may come."""
        way = self.random.choice(["json"] * 4 + ["form", "query", "get", "parts", "text"])
        query = "?" + urllib.parse.urlencode({"json": text})
        is_long = len(query) > 4000 or text == ""
        if way == "form":
            kind = "application/x-www-form-urlencoded"
            return "POST", path, {"Content-Type": kind}, urllib.parse.urlencode({"json": text})
        if way == "query" and not is_long:
            return "POST", path + query, {"Content-Type": "application/json"}, "{}"
        if way == "get" and not is_long and path in ("/predict", "/transform-input", "/send-feedback"):
            return "GET", path + query, {}, None
        if way == "parts" and message is not None:
            return "POST", path, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, parts(message)
        if way == "text" and self.chance(0.2):
            return "POST", path, {"Content-Type": "text/plain"}, text
        return "POST", path, {"Content-Type": "application/json"}, text


def strip(value):
    """Zero for null and for what is not finite, the differences in arrays that are not scored."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        if item is None or isinstance(item, float) and not math.isfinite(item):
            value[key] = 0
        strip(item)


def parts(message):
    """A form with a part for each key; binData and half of the texts as files."""
    lines = []
    for key, value in message.items():
        name, content = f'name="{key}"', json.dumps(value)
        if key == "binData":
            name, content = f'{name}; filename="rows.csv"', base64.b64decode(value).decode()
        elif key == "strData":
            content = value
            if len(value) % 2:
                name = f'{name}; filename="rows.csv"'
        lines += [f"--{BOUNDARY}", f"Content-Disposition: form-data; {name}", "", content]
    return "\r\n".join([*lines, f"--{BOUNDARY}--", ""])


def ask(session, port, request):
    method, path, headers, body = request
    body = body.encode() if body is not None else None
    answer = session.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, data=body, timeout=60)
    try:
        return answer.status_code, answer.json()
    except ValueError:
        sys.exit(f"FAILED: {path} at port {port} is not answered in JSON: {answer.status_code} {answer.text[:500]!r}")


def same(found, wanted):
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, float) or isinstance(found, float):
        numbers = isinstance(found, (int, float)) and isinstance(wanted, (int, float))
        return numbers and math.isclose(found, wanted, rel_tol=1e-12)
    return type(found) is type(wanted) and found == wanted


def agree(found, wanted, path):
    """Whether an answer is the wrapper's, but for the differences above."""
    (found_status, found), (status, wanted) = found, wanted
    if status == 200:
        return found_status == 200 and same(found, wanted)
    unknown = path.startswith(("/predict/nothing", "/api/v1.0/nothing"))
    expected = {"status": 1, "code": -1, "reason": "MICROSERVICE_BAD_DATA", "info": found.get("status", {}).get("info")}
    is_told = isinstance(expected["info"], str) and bool(expected["info"])
    return is_told and found == {"status": expected} and found_status == (404 if unknown else 400)


def compare(name, binary, seed, bodies):
    manifest = json.loads((MODELS / name / "package" / "portend.json").read_text())
    features = [feature["name"] for feature in manifest["features"]]
    draw, seen, failed = Draw(f"{seed} {name}", features, read_rows(name)), {}, 0
    with wrapped(name, manifest) as (reference, _), serving(binary, str(MODELS / name / "package")) as port:
        session = requests.Session()
        for number in range(bodies):
            request = draw.request()
            wanted, found = ask(session, reference, request), ask(session, port, request)
            seen[wanted[0]] = seen.get(wanted[0], 0) + 1
            if not agree(found, wanted, request[1]):
                failed += 1
                print(f"{name} {number}: {' '.join(map(str, request))[:1500]}")
                print(f"  wrapper: {str(wanted)[:800]}\n  Portend: {str(found)[:800]}")
        session.close()
    statuses = ", ".join(f"{count} of {status}" for status, count in sorted(seen.items()))
    print(f"{name}: {bodies} messages, of which the wrapper answered {statuses}; {failed} differ", flush=True)
    expect(f"{name}: enough that is answered", seen.get(200, 0) > bodies / 3, True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--bodies", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    failed = sum(compare(name, options.binary, options.seed, options.bodies) for name in COMPARED)
    if failed:
        sys.exit(f"FAILED: again with seldon_compare.py {options.binary} --seed {options.seed}")


if __name__ == "__main__":
    main()
