#!/usr/bin/env python3
"""Score 10,000 rows with the published batch-scoring client.

    python batch_scoring.py PORTEND

Runs in an environment made of requirements.txt. The client must lose no row
and write what a plain request for the same rows answers.
"""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from server import DEMO, Connection, expect, expect_close, serving

ROWS = 10_000
# No multiple of the ten rows that repeat, so that an answer to another batch shows.
BATCH = 499
CLIENT_SECONDS = 120  # it takes six; answers that it does not understand keep it busy for ever
DEPLOYMENT = "5fc92906ad764dde6c3264fa"
LAUNCHER = Path(__file__).with_name("batch_scoring_launch.py")


def many_rows():
    """The demo's rows over and over, numbered in `id`, as CSV."""
    with open(DEMO / "fraud-scoring.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for number in range(ROWS):
        writer.writerow([number, *rows[number % len(rows)][1:]])
    return text.getvalue()


def run_client(port, folder):
    command = [
        sys.executable, LAUNCHER, "--host", f"http://127.0.0.1:{port}",
        "--user", "user@example.com", "--api_token", "any", "--yes",
        "--delimiter=,", "--n_samples", str(BATCH), "--compress", "--keep_cols", "id",
        "--pred_threshold", "threshold", "--pred_decision", "decision",
        "--out", "scored.csv", DEPLOYMENT, "rows.csv",
    ]  # fmt: skip
    # Its settings file, its logs and a proxy of this machine stay out of the test.
    env = {**os.environ, "HOME": str(folder), "NO_PROXY": "127.0.0.1"}
    log = folder / "client.log"
    with open(log, "wb") as file:
        client = subprocess.Popen(
            command, cwd=folder, env=env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        code = client.wait(CLIENT_SECONDS)
    except subprocess.TimeoutExpired:
        code = f"none within {CLIENT_SECONDS} s"
        os.killpg(client.pid, signal.SIGKILL)  # it has workers, which would outlive it
        client.wait()
    said = log.read_text(encoding="utf-8")
    if code != 0:
        print("the client said:\n", said[-4000:], sep="", file=sys.stderr)
    expect("exit code of the client", code, 0)
    counts = re.search(r"done: (\d+) lost: (\d+)", said)
    expect("rows done and lost", counts and counts.groups(), (str(ROWS), "0"))


def main(binary):
    text = many_rows()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(binary, DEMO / "fraud") as port,
    ):
        folder = Path(folder)
        (folder / "rows.csv").write_text(text, encoding="utf-8")
        run_client(port, folder)
        with open(folder / "scored.csv", encoding="utf-8", newline="") as file:
            header, *scored = csv.reader(file)
        status, _, answer = Connection(port).post(
            f"/predApi/v1.0/deployments/{DEPLOYMENT}/predictions", text, Content_Type="text/csv"
        )
    expect("status of the plain request", status, 200)
    direct = json.loads(answer)["data"]
    expect("rows of the plain request", [row["rowId"] for row in direct], list(range(ROWS)))

    expect("columns", header, ["row_id", "id", "no", "yes", "threshold", "decision"])
    scored.sort(key=lambda row: int(row[0]))  # the client writes batches as they come back
    expect("row ids", [row[0] for row in scored], [str(n) for n in range(ROWS)])
    expect("ids", [row[1] for row in scored], [str(n) for n in range(ROWS)])
    for (number, _, no, yes, threshold, decision), row in zip(scored, direct):
        values = {entry["label"]: entry["value"] for entry in row["predictionValues"]}
        expect_close(f"row {number}: no", float(no), values["no"], 1e-9)
        expect_close(f"row {number}: yes", float(yes), values["yes"], 1e-9)
        expect(f"row {number}: threshold", float(threshold), row["predictionThreshold"])
        expect(f"row {number}: decision", decision, row["prediction"])
    decisions = sorted({row[5] for row in scored})
    expect("decisions in the demo rows", decisions, ["no", "yes"])
    print(f"batch-scoring: {ROWS} rows in batches of {BATCH}, none lost, equal to a plain answer")


if __name__ == "__main__":
    main(*sys.argv[1:])
