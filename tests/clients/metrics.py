#!/usr/bin/env python3
"""Read Portend's metrics with the parsers of Prometheus: its Python client's, promtool's, and a scraping server's.

    python metrics.py PORTEND [PROMTOOL PROMETHEUS]

The dashboard's queries are sent to a Prometheus that scraped a server which was used.
"""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as classic
from server import DEMO, Connection, expect, serving

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "portend.json"
OPEN = "application/openmetrics-text;version=1.0.0"
ROWS = (DEMO / "fraud-scoring.csv").read_text()
SECONDS = 30


def get(port, path, accept="*/*"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def use(port, rounds=3):
    """Requests that end well and badly, in two protocols."""
    connection = Connection(port)
    for _ in range(rounds):
        status, _, _ = connection.post("/deployments/fraud/predictions", ROWS, Content_Type="text/csv")
        expect("status of rows", status, 200)
        status, _, _ = connection.post("/deployments/revenue/predictions", "no\n1\n", Content_Type="text/csv")
        expect("status of rows without columns", status, 422)
        status, _, _ = connection.post("/v2/models/fraud/infer", "{}", Content_Type="application/json")
        expect("status of a request without inputs", status, 400)
        connection.post("/deployments/nobody/predictions", ROWS, Content_Type="text/csv")


def families(parse, text):
    """What a parser finds: type and samples of each family."""
    return {family.name: family for family in parse(text)}


def values(found):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in found.values()
        for sample in family.samples
        if not sample.name.startswith("process_") and "code" not in sample.labels
    }


def both_formats(port):
    content_type, text = get(port, "/metrics")
    expect("type of the classic format", content_type, "text/plain; version=0.0.4; charset=utf-8")
    content_type, open_text = get(port, "/metrics", OPEN)
    expect("type of OpenMetrics", content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    plain, opened = families(classic, text), families(open_metrics, open_text)
    expect("samples of the two formats", values(opened), values(plain))
    expect("type of a counter", opened["portend_requests"].type, "counter")
    expect("unit of a histogram", opened["portend_request_duration_seconds"].unit, "seconds")
    samples = opened["portend_request_duration_seconds"].samples
    exemplars = [sample.exemplar for sample in samples if sample.exemplar]
    if not exemplars or any(set(one.labels) != {"request_id"} for one in exemplars):
        sys.exit(f"FAILED: exemplars {exemplars}")
    count = {
        (s.labels["model"], s.labels["protocol"], s.labels["code"]): s.value
        for s in plain["portend_requests"].samples
    }
    wanted = {("fraud", "pps", "200"): 3, ("revenue", "pps", "422"): 3, ("fraud", "v2", "400"): 3}
    expect("requests", count, wanted)
    return text


def linted(promtool, text):
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    expect("what promtool says", (done.returncode, done.stdout + done.stderr), (0, ""))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def scraping(prometheus, port):
    """A Prometheus that scrapes that port each second; gives what sends a query to it."""
    with tempfile.TemporaryDirectory() as folder:
        target = {"job_name": "portend", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        configuration = {"global": {"scrape_interval": "1s"}, "scrape_configs": [target]}
        Path(folder, "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
        own = free_port()
        command = [prometheus, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        command.append(f"--web.listen-address=127.0.0.1:{own}")
        with open(Path(folder, "log"), "w") as log:
            server = subprocess.Popen(command, stderr=log)
        try:

            def query(expression):
                parameters = urllib.parse.urlencode({"query": expression})
                try:
                    answer = json.loads(get(own, f"/api/v1/query?{parameters}")[1])
                except urllib.error.HTTPError as error:
                    sys.exit(f"FAILED: {expression}\n  {error.read().decode()}")
                return answer["data"]["result"]

            end = time.monotonic() + SECONDS
            while True:
                with contextlib.suppress(OSError):
                    get(own, "/-/ready")
                    break
                if time.monotonic() > end or server.poll() is not None:
                    sys.exit("FAILED: Prometheus is not ready\n" + Path(folder, "log").read_text())
                time.sleep(0.2)
            yield query
        finally:
            server.terminate()
            server.wait()


def targets(panels):
    for panel in panels:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", []))


def dashboard(prometheus, port):
    """Every query of the dashboard finds what a server tells that was used a moment ago."""
    queries = list(targets(json.loads(DASHBOARD.read_text())["panels"]))
    with scraping(prometheus, port) as query:
        left, end = queries, time.monotonic() + SECONDS
        while left and time.monotonic() < end:
            use(port, 1)
            time.sleep(1)
            left = [(title, text) for title, text in left if not found(query(filled(text)))]
        expect("queries without an answer", left, [])
        up = query("up")
        expect("the scraped server", [sample["value"][1] for sample in up], ["1"])
    return len(queries)


def filled(text):
    """A query with what Grafana puts in place of its variables."""
    return text.replace("$__rate_interval", "20s").replace("$model", ".+").replace("$job", ".+")


def found(result):
    return any(sample["value"][1] != "NaN" for sample in result)


def main():
    portend, *tools = sys.argv[1:]
    with serving(portend, str(DEMO), PORTEND_ACCESS_LOG="off") as port:
        use(port)
        text = both_formats(port)
        said = "both formats read"
        if tools:
            linted(tools[0], text)
            said += f", promtool finds no fault, {dashboard(tools[1], port)} queries of the dashboard answered"
    with serving(portend, str(DEMO), PORTEND_ACCESS_LOG="off", PORTEND_COMPATIBLE_METRICS="all") as port:
        use(port)
        feedback = json.dumps({"reward": -1.5})
        Connection(port).post("/model/fraud/send-feedback", feedback, Content_Type="application/json")
        names = ["nv_inference_count", "seldon_api_executor_server_requests_seconds"]
        for name in [*names, "seldon_api_model_feedback_reward_total"]:
            for parse, accept in ((classic, "*/*"), (open_metrics, OPEN)):
                if not families(parse, get(port, "/metrics", accept)[1])[name].samples:
                    sys.exit(f"FAILED: {name} has no samples")
    print(f"metrics: {said}")


if __name__ == "__main__":
    main()
