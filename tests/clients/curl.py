#!/usr/bin/env python3
"""Post the same rows with curl in each form that the documentation shows.

    python curl.py PORTEND

Plain CSV, CSV squeezed by gzip, JSON and a form with a file must all give the
same answer.
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from server import DEMO, expect, serving

ROWS = DEMO / "fraud-scoring.csv"


def cell(text):
    try:
        return float(text)
    except ValueError:
        return text or None


def main(binary):
    with open(ROWS, encoding="utf-8", newline="") as file:
        records = [{name: cell(c) for name, c in row.items()} for row in csv.DictReader(file)]
    with tempfile.TemporaryDirectory() as folder, serving(binary, DEMO / "fraud") as port:
        folder = Path(folder)
        (folder / "rows.json").write_text(json.dumps(records), encoding="utf-8")
        with open(folder / "rows.csv.gz", "wb") as file:
            subprocess.run(["gzip", "--stdout", ROWS], stdout=file, check=True)
        rows = ["--data-binary", f"@{ROWS}", "-H", "Content-Type: text/csv"]
        squeezed = ["--data-binary", f"@{folder}/rows.csv.gz", *rows[2:]]
        records_file = ["--data-binary", f"@{folder}/rows.json"]
        forms = {
            "CSV": rows,
            # curl asks this before it sends anything large
            "CSV after a go-ahead": [*rows, "-H", "Expect: 100-continue"],
            "CSV in chunks": [*rows, "-H", "Transfer-Encoding: chunked"],
            "gzip": [*squeezed, "-H", "Content-Encoding: gzip"],
            "JSON": [*records_file, "-H", "Content-Type: application/json"],
            "form": ["-F", f"file=@{ROWS}"],
        }
        answers = {}
        for form, options in forms.items():
            command = ["curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]
            url = f"http://127.0.0.1:{port}/predictions"
            curl = subprocess.run(
                [*command, *options, url], check=False, stdout=subprocess.PIPE, text=True
            )
            expect(f"exit code of curl, {form} ({curl.stdout[:300]})", curl.returncode, 0)
            answers[form] = json.loads(curl.stdout)["data"]
    expect("rows", len(answers["CSV"]), len(records))
    for form, answer in answers.items():
        expect(f"answer to {form}", answer, answers["CSV"])
    print(f"curl: the same answer to {', '.join(answers)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
