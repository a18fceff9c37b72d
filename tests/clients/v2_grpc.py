#!/usr/bin/env python3
"""Talk to Portend with tritonclient's gRPC clients (blocking, asyncio, streams), as their users do, and with the health
and reflection clients of grpcio; compare with the prediction API's numbers.

    python v2_grpc.py PORTEND
"""

import asyncio
import queue
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import numpy as np
import tritonclient.grpc.aio
from fraud import ROWS, predicted, rows
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from server import DEMO, expect, serving
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException


def inputs(columns):
    made = []
    for name, values in columns.items():
        tensor = InferInput(name, [len(values), 1], "BYTES" if values.dtype == np.object_ else "FP64")
        tensor.set_data_from_numpy(values.reshape(-1, 1))
        made.append(tensor)
    return made


def check(what, answer, labels, probabilities):
    expect(f"{what}: labels", [x.decode() for x in answer.as_numpy("label")], labels)
    found = answer.as_numpy("probabilities")
    expect(f"{what}: shape", found.shape, (len(labels), 2))
    expect(f"{what}: probabilities", found.tolist(), np.array(probabilities, dtype=np.float32).tolist())


def infer(client, columns, labels, probabilities):
    answer = client.infer("fraud", inputs(columns), request_id="7")
    expect("id", answer.get_response().id, "7")
    expect("model", (answer.get_response().model_name, answer.get_response().model_version), ("fraud", "1"))
    check("raw", answer, labels, probabilities)
    check("version", client.infer("fraud", inputs(columns), model_version="1"), labels, probabilities)
    for how in ("gzip", "deflate"):
        check(how, client.infer("fraud", inputs(columns), compression_algorithm=how), labels, probabilities)
    check("deadline", client.infer("fraud", inputs(columns), client_timeout=30), labels, probabilities)

    names = ["leaf", "margin", "probabilities", "label"]
    answer = client.infer("fraud", inputs(columns), outputs=[InferRequestedOutput(name) for name in names])
    expect("outputs in their order", [output.name for output in answer.get_response().outputs], names)
    wanted = 1 / (1 + np.exp(-answer.as_numpy("margin").astype(np.float64)))
    expect("margins", bool(np.allclose(answer.as_numpy("probabilities")[:, 1], wanted, atol=1e-6)), True)
    leaf = answer.as_numpy("leaf")
    expect("leaves", (leaf.dtype, leaf.shape), (np.dtype(np.int32), (ROWS, 40)))

    called = queue.Queue()
    client.async_infer("fraud", inputs(columns), callback=lambda result, error: called.put((result, error)))
    result, error = called.get(timeout=30)
    expect("asynchronous", error, None)
    check("asynchronous", result, labels, probabilities)


def typed(port, columns, labels, probabilities):
    """Contents as lists of values, which no client of Triton sends, and lists in the answer then."""
    request = service_pb2.ModelInferRequest(model_name="fraud", id="t")
    request.outputs.add(name="label")
    request.outputs.add(name="probabilities")
    request.outputs.add(name="leaf")
    for name, values in columns.items():
        tensor = request.inputs.add(name=name, shape=[len(values)])
        if values.dtype == np.object_:
            tensor.datatype = "BYTES"
            tensor.contents.bytes_contents.extend(values)
        else:
            tensor.datatype = "FP64"
            tensor.contents.fp64_contents.extend(values)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        answer = call(request)
    expect("typed: raw", len(answer.raw_output_contents), 0)
    expect("typed: labels", [x.decode() for x in answer.outputs[0].contents.bytes_contents], labels)
    found = np.array(answer.outputs[1].contents.fp32_contents, dtype=np.float32).reshape(-1, 2)
    expect("typed: probabilities", found.tolist(), np.array(probabilities, dtype=np.float32).tolist())
    expect("typed: leaves", len(answer.outputs[2].contents.int_contents), ROWS * 40)


def stream(client, columns, labels, probabilities):
    """Good and bad requests on one stream: each has its answer, in order."""
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    some = {name: values for name, values in columns.items() if name != "lvr"}
    for turn in range(20):
        sent = inputs(some if turn % 4 == 3 else columns)
        client.async_stream_infer("fraud", sent, request_id=str(turn), enable_empty_final_response=turn % 2 == 0)
    for turn in range(20):
        result, error = answers.get(timeout=30)
        if turn % 4 == 3:
            expect("stream: refused", error.message(), "column 'lvr' is missing: the model needs it")
            continue
        expect("stream: error", error, None)
        response = result.get_response()
        expect("stream: id", response.id, str(turn))
        expect("stream: last", response.parameters["triton_final_response"].bool_param, True)
        check("stream", result, labels, probabilities)
    client.stop_stream()


async def asynchronous(port, columns, labels, probabilities):
    async with tritonclient.grpc.aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
        expect("aio: ready", await client.is_server_ready(), True)
        many = await asyncio.gather(*(client.infer("fraud", inputs(columns)) for _ in range(20)))
        for answer in many:
            check("aio", answer, labels, probabilities)

        async def requests():
            for turn in range(5):
                yield {"model_name": "fraud", "inputs": inputs(columns), "request_id": str(turn)}

        turn = 0
        async for result, error in client.stream_infer(requests()):
            expect("aio stream", (error, result.get_response().id), (None, str(turn)))
            check("aio stream", result, labels, probabilities)
            turn += 1
        expect("aio stream: answers", turn, 5)


def describe(client):
    expect("live", client.is_server_live(), True)
    expect("ready", client.is_server_ready(), True)
    expect("model ready", client.is_model_ready("fraud"), True)
    metadata = client.get_server_metadata()
    expect("server", (metadata.name, "statistics" in metadata.extensions), ("portend", True))
    metadata = client.get_model_metadata("fraud", model_version="1", as_json=True)
    expect("input", metadata["inputs"][0], {"name": "dir", "datatype": "FP64", "shape": ["-1", "1"]})
    expect("level", metadata["inputs"][-1], {"name": "single", "datatype": "BYTES", "shape": ["-1", "1"]})
    names = [output["name"] for output in metadata["outputs"]]
    expect("outputs", names, ["label", "probabilities", "margin", "leaf"])
    config = client.get_model_config("fraud").config
    expect("config", (config.name, config.backend), ("fraud", "portend"))
    first = config.input[0]
    expect("config's input", (first.name, first.data_type, first.dims), ("dir", model_config_pb2.TYPE_FP64, [-1, 1]))
    expect("memory", len(client.get_system_shared_memory_status().regions), 0)


def statistics(client, columns):
    before = client.get_inference_statistics("fraud").model_stats[0]
    client.infer("fraud", inputs(columns))
    after = client.get_inference_statistics("fraud").model_stats[0]
    expect("rows", after.inference_count - before.inference_count, ROWS)
    expect("calls", after.execution_count - before.execution_count, 1)
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        old, new = getattr(before.inference_stats, part), getattr(after.inference_stats, part)
        expect(f"{part} counts", new.count - old.count, 1)
        expect(f"{part} takes time", new.ns > old.ns, True)
    names = [stats.name for stats in client.get_inference_statistics().model_stats]
    expect("all models", names, ["fraud", "revenue"])


def refusals(client, columns):
    def refused(what, call, code, message):
        try:
            call()
        except InferenceServerException as error:
            return expect(what, (error.status(), error.message()), (f"StatusCode.{code}", message))
        sys.exit(f"FAILED: {what} was not refused")

    some = {name: values for name, values in columns.items() if name != "lvr"}
    needed = "column 'lvr' is missing: the model needs it"
    refused("a column less", lambda: client.infer("fraud", inputs(some)), "INVALID_ARGUMENT", needed)
    unknown = "there is no such deployment; there are: fraud, revenue"
    refused("no such model", lambda: client.infer("nope", inputs(columns)), "NOT_FOUND", unknown)
    refused("no such model's metadata", lambda: client.get_model_metadata("nope"), "NOT_FOUND", unknown)
    refused(
        "no such version",
        lambda: client.infer("fraud", inputs(columns), model_version="9"),
        "NOT_FOUND",
        "model 'fraud' has no version '9': it has 1",
    )
    refused(
        "no such output",
        lambda: client.infer("fraud", inputs(columns), outputs=[InferRequestedOutput("nope")]),
        "INVALID_ARGUMENT",
        "the model has no output 'nope': it has label, probabilities, margin, leaf",
    )
    refused(
        "shared memory",
        lambda: client.register_system_shared_memory("a", "/a", 8),
        "UNIMPLEMENTED",
        "shared memory is not offered: send tensors in the message",
    )
    refused(
        "trace settings",
        lambda: client.get_trace_settings(),
        "UNIMPLEMENTED",
        "settings are not changed by calls: they are given to the server at its start",
    )
    refused(
        "a model with its files",
        lambda: client.load_model("fraud", config="{}"),
        "INVALID_ARGUMENT",
        "parameter 'config' is not offered: a model is loaded as it lies in the repository, and uploaded with POST "
        "/deployments/{id}",
    )


def repository(client, columns):
    def states():
        return {entry.name: entry.state for entry in client.get_model_repository_index().models}

    expect("index", states(), {"fraud": "READY", "revenue": "UNAVAILABLE"})
    client.load_model("revenue")
    expect("index after load", states(), {"fraud": "READY", "revenue": "READY"})
    client.unload_model("fraud")
    expect("index after unload", states(), {"fraud": "UNAVAILABLE", "revenue": "READY"})
    expect("ready after unload", client.is_model_ready("fraud"), False)
    client.load_model("fraud")
    expect("ready after load", client.is_model_ready("fraud"), True)
    client.infer("fraud", inputs(columns))


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "inference.GRPCInferenceService", "fraud"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
        expect(f"health of {name!r}", answer.status, health_pb2.HealthCheckResponse.SERVING)
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="nope"))
        sys.exit("FAILED: the health of what there is not")
    except grpc.RpcError as error:
        expect("health of what there is not", error.code(), grpc.StatusCode.NOT_FOUND)
    watched = stub.Watch(health_pb2.HealthCheckRequest(service="nope"))
    expect("watch", next(iter(watched)).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
    watched.cancel()


def reflection(channel):
    """Our declarations against Triton's own: each field of ours is one of theirs, with its number and type."""
    database = ProtoReflectionDescriptorDatabase(channel)
    expect("services", "inference.GRPCInferenceService" in database.get_services(), True)
    pool = DescriptorPool(database)
    ours = pool.FindServiceByName("inference.GRPCInferenceService").file
    theirs = {
        **service_pb2.DESCRIPTOR.message_types_by_name,
        **model_config_pb2.DESCRIPTOR.message_types_by_name,
    }
    compared = 0

    def same(our, their):
        nonlocal compared
        for field in our.fields:
            other = their.fields_by_name.get(field.name)
            expect(f"{our.full_name}.{field.name} is declared", other is not None, True)
            what = [(f.number, f.type, f.is_repeated) for f in (field, other)]
            expect(f"{our.full_name}.{field.name}", what[0], what[1])
            compared += 1
        for inner in our.nested_types:
            same(inner, their.nested_types_by_name[inner.name])

    for name, message in ours.message_types_by_name.items():
        same(message, theirs[name])
    expect("fields compared", compared > 100, True)


def encrypted(binary, columns, labels, probabilities):
    """The same over TLS, where ALPN chooses HTTP/2."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        command = [*command.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True)
        own = free_port()
        settings = {
            "PREDICTION_API_TLS_ENABLED": "true",
            "PREDICTION_API_TLS_CERTIFICATE": str(certificate),
            "PREDICTION_API_TLS_CERTIFICATE_KEY": str(key),
            "PORTEND_GRPC_PORT": str(own),
        }
        with serving(binary, DEMO, **settings) as shared:
            for port in (own, shared):
                client = InferenceServerClient(f"localhost:{port}", ssl=True, root_certificates=str(certificate))
                expect("TLS: ready", client.is_server_ready(), True)
                check("TLS", client.infer("fraud", inputs(columns)), labels, probabilities)
                client.close()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def main():
    own = free_port()
    with serving(sys.argv[1], DEMO, PORTEND_GRPC_PORT=str(own)) as shared:
        records, columns = rows()
        labels, probabilities = predicted(shared, records)
        for port in (own, shared):
            client = InferenceServerClient(f"127.0.0.1:{port}")
            describe(client)
            infer(client, columns, labels, probabilities)
            typed(port, columns, labels, probabilities)
            stream(client, columns, labels, probabilities)
            asyncio.run(asynchronous(port, columns, labels, probabilities))
            statistics(client, columns)
            refusals(client, columns)
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                health(channel)
                reflection(channel)
            if port == shared:
                repository(client, columns)
            client.close()
    encrypted(sys.argv[1], columns, labels, probabilities)
    print("tritonclient over gRPC: what it was asked, it answered; what it must refuse, it refused")


main()
