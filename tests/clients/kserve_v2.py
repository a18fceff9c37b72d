#!/usr/bin/env python3
"""Ask Portend with KServe's client in version 2 of its protocol, and compare with the prediction API's numbers.

    python kserve_v2.py PORTEND
"""

import asyncio
import csv
import sys

import httpx
import numpy as np
from fraud import LEVELS, predicted
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from server import DEMO, expect, serving

NAMES = ["dir", "hir", "lvr", "ccs", "mcs", "uria", "comdominiom", *LEVELS]


def column(records, name):
    if name in LEVELS:
        return [record[name] for record in records]
    return [float(record[name]) if record[name] else None for record in records]


def as_json(records):
    rows = len(records)
    kind = {name: "BYTES" if name in LEVELS else "FP64" for name in NAMES}
    return [InferInput(name, [rows], kind[name], data=column(records, name)) for name in NAMES]


def as_arrays(records, binary, dtype=np.float64):
    made = []
    for name in NAMES:
        values = np.array(column(records, name), dtype=np.object_ if name in LEVELS else dtype).reshape(-1, 1)
        kind = "BYTES" if name in LEVELS else {np.float64: "FP64", np.float32: "FP32"}[dtype]
        made.append(InferInput(name, list(values.shape), kind))
        made[-1].set_data_from_numpy(values, binary_data=binary)
    return made


def close(what, answer, labels, probabilities, exact=True):
    found = answer.get_output_by_name("label").as_numpy()
    texts = [x.decode() if isinstance(x, bytes) else str(x) for x in found.reshape(-1)]
    expect(f"{what}: labels", texts, labels)
    found = answer.get_output_by_name("probabilities").as_numpy().astype(np.float32)
    wanted = np.array(probabilities, dtype=np.float32)
    expect(f"{what}: shape", found.shape, wanted.shape)
    expect(f"{what}: probabilities", bool((found == wanted).all() if exact else np.allclose(found, wanted, 1e-3)), True)


async def refused(what, asking, status, message):
    try:
        await asking
    except httpx.HTTPStatusError as error:
        expect(f"{what}: status", error.response.status_code, status)
        return expect(f"{what}: {error}", message in str(error), True)
    sys.exit(f"FAILED: {what} is no error")


async def ask(port):
    url = f"http://127.0.0.1:{port}"
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=30)) as client:
        expect("live", await client.is_server_live(url), True)
        expect("ready", await client.is_server_ready(url), True)
        expect("model ready", await client.is_model_ready(url, "fraud"), True)
        expect("another model ready", await client.is_model_ready(url, "nope"), False)

        records = list(csv.DictReader((DEMO / "fraud-scoring.csv").open()))
        labels, probabilities = predicted(port, records)

        async def infer(what, inputs, exact=True, **more):
            request = InferRequest("fraud", inputs, **more)
            headers = {}
            answer = await client.infer(url, request, model_name="fraud", response_headers=headers)
            expect(f"{what}: id", bool(answer.id) and answer.id == (request.id or answer.id), True)  # the client makes one
            expect(f"{what}: model", answer.model_name, "fraud")  # the client drops the version
            close(what, answer, labels, probabilities, exact)
            return headers

        headers = await infer("JSON", as_json(records), request_id="7")
        expect("JSON is answered as JSON", "inference-header-content-length" in headers, False)
        await infer("JSON from arrays", as_arrays(records, False))
        await infer("binary", as_arrays(records, True))
        await infer("binary in single precision", as_arrays(records, True, np.float32), exact=False)
        await infer("some binary", as_arrays(records, True)[:7] + as_json(records)[7:])
        headers = await infer(
            "binary outputs", as_arrays(records, True), parameters={"binary_data_output": True}
        )
        expect("binary is answered as binary", "inference-header-content-length" in headers, True)
        listed = [
            RequestedOutput("probabilities", parameters={"binary_data": True}),
            RequestedOutput("label", parameters={"binary_data": False}),
        ]
        await infer("listed outputs", as_json(records), request_outputs=listed)

        # bodies as plain objects
        body = {"inputs": [one.to_dict() for one in as_json(records)]}
        close("an object", await client.infer(url, body, model_name="fraud"), labels, probabilities)
        graph = await client.infer(f"{url}/v2/models/fraud/infer", body, is_graph_endpoint=True)
        expect("an object of a graph", graph["model_name"], "fraud")

        one = as_json(records)
        other_output = InferRequest("fraud", one, request_outputs=[RequestedOutput("nope")])
        unknown = "there is no such deployment; there are: fraud, revenue"
        for what, model, data, status, message in [
            ("another model", "nope", InferRequest("nope", one), 404, unknown),
            ("no input", "fraud", {"inputs": []}, 400, ""),
            ("a column less", "fraud", InferRequest("fraud", one[1:]), 400, "column 'dir' is missing"),
            ("no request", "fraud", {"instances": [1]}, 400, "missing field `inputs`"),
            ("another output", "fraud", other_output, 400, "the model has no output 'nope'"),
        ]:
            await refused(what, client.infer(url, data, model_name=model), status, message)

        prefixed = f"{url}/deployments/fraud"
        expect("ready under a prefix", await client.is_server_ready(prefixed), True)
        answer = await client.infer(prefixed, InferRequest("any", one), model_name="any")
        close("under a prefix", answer, labels, probabilities)
        expect("the name under a prefix", answer.model_name, "any")


def main():
    with serving(sys.argv[1], DEMO) as port:
        asyncio.run(ask(port))
    print("kserve v2: ok")


main()
