#!/usr/bin/env python3
"""Ask Portend with the model client of ODAHU's SDK, and compare with the prediction API's numbers.

    python odahu.py PORTEND
"""

import csv
import json
import os
import sys
import tempfile

from server import DEMO, Connection, expect, serving

MODEL = "fraud"


def client(port, settings):
    os.environ["ODAHUFLOW_CONFIG"] = settings  # before it is imported: the user's own file is left alone
    from odahuflow.sdk.clients.model import ModelClient

    return ModelClient(f"http://127.0.0.1:{port}", url_prefix=f"/model/{MODEL}", token="any")


def predicted(port, records):
    """The probability of yes by the prediction API."""
    status, _, text = Connection(port).post(
        f"/deployments/{MODEL}/predictions", json.dumps(records), Content_Type="application/json"
    )
    expect("status of /predictions", status, 200)
    by_label = [{v["label"]: v["value"] for v in row["predictionValues"]} for row in json.loads(text)["data"]]
    return [row["yes"] for row in by_label]


def main():
    records = list(csv.DictReader((DEMO / "fraud-scoring.csv").open()))
    with tempfile.TemporaryDirectory() as scratch, serving(sys.argv[1], DEMO) as port:
        asked = client(port, f"{scratch}/odahu.ini")
        info = asked.info()
        expect("paths", sorted(info["paths"]), ["/api/model/info", "/api/model/invoke"])
        post = info["paths"]["/api/model/invoke"]["post"]
        properties = post["parameters"][0]["schema"]["properties"]
        columns, example = properties["columns"]["example"], properties["data"]["example"]
        expect("predictions of the example", len(asked.invoke(columns=columns, data=example)["prediction"]), 1)

        wanted = predicted(port, records)
        data = [[record[name] or None for name in columns] for record in records]
        expect("columns and data", asked.invoke(columns=columns, data=data)["prediction"], wanted)
        expect("data alone", asked.invoke(data=data)["prediction"], wanted)
        reverse = [row[::-1] for row in data]
        expect("another order", asked.invoke(columns=columns[::-1], data=reverse)["prediction"], wanted)
        try:
            asked.invoke(columns=["x"], data=[[1]])
            sys.exit("FAILED: a missing column is no error")
        except Exception as error:
            said = "Wrong status code returned: 500" in str(error) and "column 'dir' is missing" in str(error)
            expect(f"the error {error}", said, True)
    print("odahu: ok")


main()
