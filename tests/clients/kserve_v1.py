#!/usr/bin/env python3
"""Ask Portend with KServe's client in version 1 of its protocol, and compare with the prediction API's numbers.

    python kserve_v1.py PORTEND
"""

import asyncio
import csv
import json
import sys

from kserve import InferenceRESTClient, RESTConfig
from server import DEMO, Connection, expect, serving

NAMES = ["dir", "hir", "lvr", "ccs", "mcs", "uria", "comdominiom", "pbcr", "dmi", "self", "single"]


def predicted(port, records):
    """The probability of yes by the prediction API."""
    status, _, text = Connection(port).post(
        "/deployments/fraud/predictions", json.dumps(records), Content_Type="application/json"
    )
    expect("status of /predictions", status, 200)
    by_label = [{v["label"]: v["value"] for v in row["predictionValues"]} for row in json.loads(text)["data"]]
    return [row["yes"] for row in by_label]


async def ask(port):
    url = f"http://127.0.0.1:{port}"
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    expect("ready", await client.is_model_ready(url, "fraud"), True)
    for prefix in ("", "/model/fraud", "/seldon/any/fraud"):
        expect(f"alive at {prefix or '/'}", await client.is_server_live(url + prefix), True)
    records = list(csv.DictReader((DEMO / "fraud-scoring.csv").open()))
    wanted = predicted(port, records)
    for what, instances in {
        "records": [{name: record[name] or None for name in NAMES} for record in records],
        "lists": [[record[name] or None for name in NAMES] for record in records],
    }.items():
        found = await client.infer(url, {"instances": instances}, model_name="fraud")
        expect(what, found, {"predictions": wanted})
    try:
        await client.is_model_ready(url, "nope")
        sys.exit("FAILED: another model is ready")
    except Exception as error:
        expect(f"the error {error!r}", "there is no such deployment; there are: fraud, revenue" in str(error), True)
    try:
        await client.infer(url, {"instances": [[1]]}, model_name="fraud")
        sys.exit("FAILED: a row of one value is no error")
    except Exception as error:
        expect(f"the error {error!r}", "400" in str(error), True)
    await client.close()


def main():
    with serving(sys.argv[1], DEMO) as port:
        asyncio.run(ask(port))
    print("kserve: ok")


main()
