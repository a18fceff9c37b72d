#!/usr/bin/env python3
"""Talk to Portend with tritonclient's HTTP client, as its users do, and compare with the prediction API's numbers.

    python v2_http.py PORTEND
"""

import sys

import numpy as np
from fraud import ROWS, predicted, rows
from server import DEMO, expect, serving
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException


def inputs(columns, binary=True, datatype=None):
    made = []
    for name, values in columns.items():
        kind = "BYTES" if values.dtype == np.object_ else datatype or "FP64"
        values = values if kind in ("BYTES", "FP64") else values.astype(np.float32)
        tensor = InferInput(name, [len(values), 1], kind)
        tensor.set_data_from_numpy(values.reshape(-1, 1), binary_data=binary)
        made.append(tensor)
    return made


def check(what, answer, labels, probabilities):
    found = answer.as_numpy("label")
    expect(f"{what}: labels", [x.decode() if isinstance(x, bytes) else x for x in found], labels)
    found = answer.as_numpy("probabilities").astype(np.float32)
    wanted = np.array(probabilities, dtype=np.float32)
    expect(f"{what}: shape", found.shape, wanted.shape)
    expect(f"{what}: probabilities", found.tolist(), wanted.tolist())


def infer(client, columns, labels, probabilities):
    # binary is what the client does when it is told nothing
    answer = client.infer("fraud", inputs(columns), request_id="7")
    expect("id", answer.get_response()["id"], "7")
    expect("version", answer.get_response()["model_version"], "1")
    check("binary", answer, labels, probabilities)
    check("version", client.infer("fraud", inputs(columns), model_version="1"), labels, probabilities)

    outputs = [InferRequestedOutput(name, binary_data=False) for name in ("label", "probabilities")]
    # the client writes a missing value as NaN, which is no JSON
    check("JSON", client.infer("fraud", inputs(columns, binary=False), outputs=outputs), labels, probabilities)
    for request in (None, "gzip", "deflate"):
        for response in (None, "gzip", "deflate"):
            answer = client.infer(
                "fraud",
                inputs(columns),
                request_compression_algorithm=request,
                response_compression_algorithm=response,
            )
            check(f"{request} to {response}", answer, labels, probabilities)


def several_outputs(client, columns):
    names = [("leaf", True), ("margin", False), ("probabilities", True), ("label", False)]
    outputs = [InferRequestedOutput(name, binary_data=binary) for name, binary in names]
    answer = client.infer("fraud", inputs(columns), outputs=outputs)
    listed = [output["name"] for output in answer.get_response()["outputs"]]
    expect("outputs in their order", listed, [name for name, _ in names])
    margin = answer.as_numpy("margin")
    wanted = 1 / (1 + np.exp(-margin.astype(np.float64)))
    yes = answer.as_numpy("probabilities")[:, 1]
    expect("margins and probabilities agree", bool(np.allclose(yes, wanted, atol=1e-6)), True)
    leaf = answer.as_numpy("leaf")
    expect("leaves", (leaf.dtype, leaf.shape), (np.dtype(np.int32), (ROWS, 40)))


def describe(client):
    expect("live", client.is_server_live(), True)
    expect("ready", client.is_server_ready(), True)
    expect("model ready", client.is_model_ready("fraud"), True)
    expect("no such model", client.is_model_ready("nope"), False)
    metadata = client.get_server_metadata()
    expect("server", metadata["name"], "portend")
    expect("extension", "binary_tensor_data" in metadata["extensions"], True)
    metadata = client.get_model_metadata("fraud", model_version="1")
    expect("input", metadata["inputs"][0], {"name": "dir", "datatype": "FP64", "shape": [-1, 1]})
    expect("level", metadata["inputs"][-1], {"name": "single", "datatype": "BYTES", "shape": [-1, 1]})
    outputs = {output["name"]: output for output in metadata["outputs"]}
    expect("outputs", sorted(outputs), ["label", "leaf", "margin", "probabilities"])
    expect("labels", outputs["probabilities"]["labels"], ["no", "yes"])
    config = client.get_model_config("fraud")
    expect("config", config["input"][0], {"name": "dir", "data_type": "TYPE_FP64", "dims": [-1, 1]})


def statistics(client, columns):
    before = client.get_inference_statistics("fraud")["model_stats"][0]
    client.infer("fraud", inputs(columns))
    after = client.get_inference_statistics("fraud")["model_stats"][0]
    expect("rows", after["inference_count"] - before["inference_count"], ROWS)
    expect("calls", after["execution_count"] - before["execution_count"], 1)
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        grown = [after["inference_stats"][part][key] - before["inference_stats"][part][key] for key in ("count", "ns")]
        expect(f"{part} counts", grown[0], 1)
        expect(f"{part} takes time", grown[1] > 0, True)
    everyone = client.get_inference_statistics()["model_stats"]
    expect("all models", [stats["name"] for stats in everyone], ["fraud", "revenue"])


def refusals(client, columns):
    def refused(what, call, message):
        try:
            call()
        except InferenceServerException as error:
            return expect(what, error.message(), message)
        sys.exit(f"FAILED: {what} was not refused")

    some = {name: values for name, values in columns.items() if name != "lvr"}
    refused("a column less", lambda: client.infer("fraud", inputs(some)), "column 'lvr' is missing: the model needs it")
    unknown = "there is no such deployment; there are: fraud, revenue"
    refused("no such model", lambda: client.infer("nope", inputs(columns)), unknown)
    refused("no such model's metadata", lambda: client.get_model_metadata("nope"), unknown)
    refused(
        "no such version",
        lambda: client.infer("fraud", inputs(columns), model_version="9"),
        "model 'fraud' has no version '9': it has 1",
    )
    refused(
        "no such output",
        lambda: client.infer("fraud", inputs(columns), outputs=[InferRequestedOutput("nope")]),
        "the model has no output 'nope': it has label, probabilities, margin, leaf",
    )
    refused(
        "shared memory",
        lambda: client.register_system_shared_memory("a", "/a", 8),
        "shared memory is not offered: send tensors in the body",
    )


def repository(client, columns):
    def states():
        return {entry["name"]: entry["state"] for entry in client.get_model_repository_index()}

    expect("index", states(), {"fraud": "READY", "revenue": "UNAVAILABLE"})
    client.load_model("revenue")
    expect("index after load", states(), {"fraud": "READY", "revenue": "READY"})
    client.unload_model("fraud")
    expect("index after unload", states(), {"fraud": "UNAVAILABLE", "revenue": "READY"})
    expect("ready after unload", client.is_model_ready("fraud"), False)
    client.load_model("fraud")
    expect("ready after load", client.is_model_ready("fraud"), True)
    client.infer("fraud", inputs(columns))


def main():
    with serving(sys.argv[1], DEMO) as port:
        client = InferenceServerClient(f"127.0.0.1:{port}")
        records, columns = rows()
        labels, probabilities = predicted(port, records)
        describe(client)
        infer(client, columns, labels, probabilities)
        several_outputs(client, columns)
        statistics(client, columns)
        refusals(client, columns)
        repository(client, columns)
        client.close()
    print("tritonclient over HTTP: what it was asked, it answered; what it must refuse, it refused")


main()
