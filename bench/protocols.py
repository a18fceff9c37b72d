"""Measures the same rows over each protocol of one Portend, in one run: CPU per request beside the prediction API's.

    protocols.py FOLDER --portend BINARY --grpc-load BINARY [--rounds N]

FOLDER is what make.py wrote. bench/protocols.sh prepares everything and calls this. Each round visits every protocol
before the next begins, and medians are given. From the environment: BENCH_SECONDS is the length of one load (default 4),
BENCH_OUT a file for the results as JSON.
"""

import argparse
import csv
import json
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
TICK = os.sysconf("SC_CLK_TCK")
START_LIMIT = 30
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
SELDON_PREDICT = "/seldon.protos.Seldon/Predict"


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def prefixed(message):
    return struct.pack(">BI", 0, len(message)) + message


def grpc_message(name, rows, width, raw):
    """A ModelInferRequest of one tensor with raw contents, behind its prefix."""
    shape = field(3, varint(rows) + varint(width))
    return prefixed(field(1, name.encode()) + field(5, field(1, b"input") + field(2, b"FP32") + shape) + field(7, raw))


def seldon_tensor(table):
    """A SeldonMessage of a Tensor, behind its prefix."""
    numbers = [value for row in table for value in row]
    shape = field(1, varint(len(table)) + varint(len(table[0])))
    return prefixed(field(3, field(2, shape + field(2, struct.pack(f"<{len(numbers)}d", *numbers)))))


def seldon_ndarray(table):
    """A SeldonMessage of a ListValue, behind its prefix."""
    rows = [b"".join(field(1, b"\x11" + struct.pack("<d", value)) for value in row) for row in table]
    return prefixed(field(3, field(3, b"".join(field(1, field(6, row)) for row in rows))))


class Protocol:
    """A body, and where and how it is sent."""

    def __init__(self, name, path, body, kind, header="", connections=64, calls=1):
        self.name, self.path, self.body, self.kind, self.header = name, path, body, kind, header
        self.connections, self.calls = connections, calls


def protocols(rows, names, records, model):
    """The same rows as each protocol has them; the first is what the others are compared with."""
    width = len(names)
    numbers = [float(value) for record in records for value in record]
    raw = struct.pack(f"<{len(numbers)}f", *numbers)
    table = [[float(value) for value in record] for record in records]
    text = "\n".join(",".join(line) for line in [names, *records]) + "\n"
    tensor = {"name": "input", "shape": [rows, width], "datatype": "FP32"}
    v2 = {"inputs": [tensor | {"data": numbers}]}
    parameters = {"binary_data_size": len(raw)}
    head = {"parameters": {"binary_data_output": True}, "inputs": [tensor | {"parameters": parameters}]}
    head = json.dumps(head, separators=(",", ":")).encode()
    seldon = {"data": {"names": names, "ndarray": table}}
    objects = [dict(zip(names, record)) for record in table]
    infer, js = f"/v2/models/{model}/infer", "application/json"
    call = grpc_message(model, rows, width, raw)

    def dumped(value):
        return json.dumps(value, separators=(",", ":")).encode()

    return [
        Protocol("prediction API, CSV", "/predictions", text.encode(), "text/csv"),
        Protocol("prediction API, JSON", "/predictions", dumped(objects), js),
        Protocol("v2 REST, JSON", infer, dumped(v2), js),
        Protocol(
            "v2 REST, binary",
            infer,
            head + raw,
            "application/octet-stream",
            f"Inference-Header-Content-Length: {len(head)}",
        ),
        Protocol("v2 gRPC, 64 connections", MODEL_INFER, call, "grpc"),
        Protocol("v2 gRPC, 4 connections of 16", MODEL_INFER, call, "grpc", connections=4, calls=16),
        Protocol("Seldon REST, ndarray", "/api/v1.0/predictions", dumped(seldon), js),
        Protocol("Seldon gRPC, tensor", SELDON_PREDICT, seldon_tensor(table), "grpc"),
        Protocol("Seldon gRPC, ndarray", SELDON_PREDICT, seldon_ndarray(table), "grpc"),
        Protocol("MLflow, dataframe_split", "/invocations", dumped({"dataframe_split": {"columns": names, "data": table}}), js),
        Protocol("KServe v1, instances", f"/v1/models/{model}:predict", dumped({"instances": table}), js),
    ]


class Server:
    """Portend with one model, and what it has used."""

    def __init__(self, binary, model):
        command = [binary, "serve", model, "--port", "0", "--grpc-port", "0", "--no-access-log"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end and (line := self.process.stderr.readline()):
            if found := re.search(r"listening on http://(127\.0\.0\.1:\d+)", line):
                self.address = found[1]
                return
        sys.exit("portend named no address")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def load(self, protocol, body, grpc_load, seconds):
        """Sends a body over and over; what each request cost."""
        cpu = self.cpu_seconds()
        if protocol.kind == "grpc":
            command = [grpc_load, self.address, protocol.path, body]
            command += [str(n) for n in (protocol.connections, protocol.calls, seconds)]
            environment = os.environ
        else:
            command = ["wrk", "-t1", f"-c{protocol.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
            command += ["-s", str(HERE / "post.lua"), f"http://{self.address}{protocol.path}"]
            environment = {**os.environ, "BODY": body, "CONTENT_TYPE": protocol.kind, "HEADER": protocol.header}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60)
        cpu = self.cpu_seconds() - cpu
        line = re.search(r"^RESULT (.*)$", done.stdout, re.M)
        found = json.loads(line[1]) if line else {}
        if not found or found["refused"] or found["broken"] or not found["requests"]:
            sys.exit(f"{protocol.name}: {found or done.stdout + done.stderr}")
        return {
            "cpu_us": cpu / found["requests"] * 1e6,
            "req_s": found["requests"] / (found["us"] / 1e6),
            "p50_ms": found["p50_us"] / 1000,
            "p99_ms": found["p99_us"] / 1000,
        }


def main():
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--portend", required=True)
    options.add_argument("--grpc-load", required=True)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    server = Server(given.portend, str(given.folder / "model.json"))
    result = {"seconds": SECONDS, "rounds": given.rounds, "rows": {}}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for rows in (1, 100):
                with (given.folder / f"{rows}.csv").open() as text:
                    names, *records = csv.reader(text)
                measured = protocols(rows, names, records, "model")
                figures = {}
                for turn in range(given.rounds + 1):
                    for place, protocol in enumerate(measured):
                        body = pathlib.Path(folder, f"{place}")
                        body.write_bytes(protocol.body)
                        seconds = SECONDS if turn else 1  # the first round warms up
                        found = server.load(protocol, str(body), given.grpc_load, seconds)
                        for figure, value in found.items() if turn else ():
                            figures.setdefault(protocol.name, {}).setdefault(figure, []).append(value)
                result["rows"][rows] = print_table(rows, figures)
    finally:
        server.process.terminate()
        server.process.wait()
    if os.environ.get("BENCH_OUT"):
        pathlib.Path(os.environ["BENCH_OUT"]).write_text(json.dumps(result, indent=1) + "\n")


def print_table(rows, figures):
    medians = {name: {f: statistics.median(v) for f, v in by.items()} for name, by in figures.items()}
    first = next(iter(medians.values()))["cpu_us"]
    print(f"\n{f'{rows} row(s), 64 at once':<32}{'CPU, us':>10}{'over CSV':>10}{'req/s':>10}{'p50, ms':>10}{'p99, ms':>10}")
    for name, by in medians.items():
        cells = [by["cpu_us"], by["cpu_us"] / first, by["req_s"], by["p50_ms"], by["p99_ms"]]
        formats = ["10.1f", "10.2f", "10,.0f", "10.2f", "10.2f"]
        print(f"{name:<32}" + "".join(format(cell, form) for cell, form in zip(cells, formats)))
    return medians


main()
