#!/usr/bin/env python3
"""Ask Portend with KServe's gRPC client, and compare with the prediction API's numbers.

    python kserve_grpc.py PORTEND
"""

import asyncio
import logging
import sys

import grpc
import numpy as np
from fraud import predicted, rows
from kserve import InferenceGRPCClient, InferInput, InferRequest
from server import DEMO, expect, serving


def inputs(columns, raw):
    made = []
    for name, values in columns.items():
        tensor = InferInput(name, [len(values)], "BYTES" if values.dtype == np.object_ else "FP64")
        tensor.set_data_from_numpy(values, binary_data=raw)
        made.append(tensor)
    return made


async def ask(port):
    records, columns = rows()
    labels, probabilities = predicted(port, records)
    async with InferenceGRPCClient(f"127.0.0.1:{port}") as client:
        expect("live", await client.is_server_live(), True)
        expect("ready", await client.is_server_ready(), True)
        expect("model ready", await client.is_model_ready("fraud"), True)
        for how, raw in (("raw", True), ("lists", False)):
            answer = await client.infer(InferRequest("fraud", inputs(columns, raw), request_id="7"))
            expect(f"{how}: id", answer.id, "7")
            outputs = {output.name: output.as_numpy() for output in answer.outputs}
            expect(f"{how}: outputs", sorted(outputs), ["label", "probabilities"])
            expect(f"{how}: shape", outputs["probabilities"].shape, (len(labels), 2))
            found = [x.decode() if isinstance(x, bytes) else x for x in outputs["label"].tolist()]
            expect(f"{how}: labels", found, labels)
            wanted = np.array(probabilities, dtype=np.float32).tolist()
            expect(f"{how}: probabilities", outputs["probabilities"].tolist(), wanted)
        logging.disable()  # it logs what it raises
        some = {name: values for name, values in columns.items() if name != "lvr"}
        for what, request, code in (
            ("a column less", InferRequest("fraud", inputs(some, True)), grpc.StatusCode.INVALID_ARGUMENT),
            ("no such model", InferRequest("nope", inputs(columns, True)), grpc.StatusCode.NOT_FOUND),
        ):
            try:
                await client.infer(request)
                sys.exit(f"FAILED: {what} was not refused")
            except grpc.RpcError as error:
                expect(what, error.code(), code)


def main():
    with serving(sys.argv[1], DEMO) as port:
        asyncio.run(ask(port))
    print("kserve over gRPC: what it was asked, it answered; what it must refuse, it refused")


main()
