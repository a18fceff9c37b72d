"""Rows for the demo's model `fraud`, as columns of numpy, and what the prediction API answers to them."""

import csv
import io
import json

import numpy as np
from server import DEMO, Connection, expect

LEVELS = ["pbcr", "dmi", "self", "single"]
ROWS = 300


def rows():
    """The demo's rows as columns, repeated until there are enough to be worth compressing."""
    text = (DEMO / "fraud-scoring.csv").read_text()
    records = list(csv.DictReader(io.StringIO(text)))
    records = [records[i % len(records)] for i in range(ROWS)]
    names = ["dir", "hir", "lvr", "ccs", "mcs", "uria", "comdominiom", *LEVELS]
    columns = {}
    for name in names:
        cells = [record[name] for record in records]
        if name in LEVELS:
            columns[name] = np.array([cell.encode() for cell in cells], dtype=np.object_)
        else:
            columns[name] = np.array([float(cell) if cell else np.nan for cell in cells])
    return records, columns


def predicted(port, records):
    """What the prediction API answers: labels, and the probabilities of no and yes."""
    status, _, text = Connection(port).post(
        "/deployments/fraud/predictions", json.dumps(records), Content_Type="application/json"
    )
    expect("status of /predictions", status, 200)
    data = json.loads(text)["data"]
    by_label = [{v["label"]: v["value"] for v in row["predictionValues"]} for row in data]
    return [row["prediction"] for row in data], [[p["no"], p["yes"]] for p in by_label]
