#!/usr/bin/env python3
"""Talk to Portend with Seldon's own client and testers over gRPC, as their users do.

    python seldon_grpc.py PORTEND
"""

import json
import sys
import tempfile

import grpc
import numpy as np
from google.protobuf import any_pb2, empty_pb2, json_format, struct_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from seldon_core.proto import prediction_pb2, prediction_pb2_grpc
from seldon_core.proto.tensorflow.core.framework import tensor_pb2, types_pb2
from seldon_core.seldon_client import SeldonClient
from seldon_rest import CLASSES, NAMES, WINE, batch, feedback_counted, payloads, predicted, rows, run
from server import DEMO, expect, serving


def array(response, kind):
    """The rows of an answer that has the encoding `kind`."""
    expect("encoding", response.data.WhichOneof("data_oneof"), kind)
    expect("class names", list(response.data.names), CLASSES)
    if kind == "tftensor":
        tensor = response.data.tftensor
        expect("dtype", tensor.dtype, types_pb2.DT_DOUBLE)
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        return np.frombuffer(tensor.tensor_content, "<f8").reshape(shape).tolist()
    if kind == "tensor":
        return np.array(response.data.tensor.values).reshape(response.data.tensor.shape).tolist()
    return json_format.MessageToDict(response.data.ndarray)


def check(what, answer, kind, wanted):
    if not answer.success or answer.response is None:
        sys.exit(f"FAILED: {what}: {answer}")
    expect(what, array(answer.response, kind), wanted)


def tf_tensors(data):
    """The rows in each form that TensorFlow writes."""
    shape = {"dim": [{"size": size} for size in data.shape]}
    listed = json_format.ParseDict({"dtype": "DT_DOUBLE", "tensorShape": shape}, tensor_pb2.TensorProto())
    raw = tensor_pb2.TensorProto()
    raw.CopyFrom(listed)
    listed.double_val.extend(data.ravel())
    raw.tensor_content = data.tobytes()
    return listed, raw


def packed(message):
    custom = any_pb2.Any()
    custom.Pack(message)
    return custom


def grpc_payloads(data):
    """The payloads of REST, and those that gRPC has besides."""
    kinds = {kind: told for kind, told in payloads(data).items() if not kind.startswith("tftensor")}
    for form, tensor in zip(("listed", "raw"), tf_tensors(data)):
        message = prediction_pb2.SeldonMessage(data=prediction_pb2.DefaultData(tftensor=tensor))
        kinds[f"tftensor, {form}"] = ({"raw_data": message}, "tftensor")
    values = json_format.ParseDict(data.tolist(), struct_pb2.ListValue())
    tensor = prediction_pb2.Tensor(shape=data.shape, values=data.ravel())
    for form, message in (("list", values), ("tensor", tensor), ("tftensor", tf_tensors(data)[1])):
        kinds[f"custom_data, {form}"] = ({"custom_data": packed(message)}, "tensor")
    return kinds


def gateway(port, data, wanted):
    """Through a gateway, which finds the model by metadata."""
    base = {"gateway_endpoint": f"127.0.0.1:{port}", "transport": "grpc", "client_return_type": "proto"}
    ways = {
        "istio": SeldonClient(gateway="istio", deployment_name="wine", namespace="hub", **base),
        "ambassador": SeldonClient(gateway="ambassador", deployment_name="wine", **base),
        "seldon": SeldonClient(gateway="seldon", deployment_name="wine", **base),
    }
    for where, client in ways.items():
        for kind, (payload, encoding) in grpc_payloads(data).items():
            answer = client.predict(**payload)
            check(f"{where}, {kind}", answer, encoding, wanted)
            expect(f"{where}: requestPath", dict(answer.response.meta.requestPath), {"package": "package:1"})
            give_feedback(client.feedback, answer, f"{where}, {kind}")
    client = ways["istio"]
    answer = client.predict(data=data, meta={"tag": "x", "n": 1})
    expect("tags", json_format.MessageToDict(answer.response.meta)["tags"], {"tag": "x", "n": 1.0})
    answer = client.predict(raw_data={"data": {"ndarray": data.tolist()}, "meta": {"puid": "p-1"}})
    check("raw_data", answer, "ndarray", wanted)
    expect("puid", answer.response.meta.puid, "p-1")
    answer = client.predict(data=data, client_return_type="dict")
    expect("as dict", answer.response["data"]["tensor"]["values"], [p for row in wanted for p in row])
    answer = client.predict(data=data[:, 1:])
    expect("a column less", (answer.success, "StatusCode.INVALID_ARGUMENT" in answer.msg), (False, True))
    return len(ways) * len(grpc_payloads(data))


def give_feedback(call, answer, what, **how):
    feedback = call(prediction_request=answer.request, prediction_response=answer.response, reward=0.5, **how)
    if not feedback.success or feedback.response is None:
        sys.exit(f"FAILED: {what}: feedback: {feedback}")


def microservice(port, data, wanted):
    """As an executor talks to the model's container."""
    client = SeldonClient(microservice_endpoint=f"127.0.0.1:{port}", transport="grpc")
    sent = 0
    for kind, (payload, encoding) in grpc_payloads(data).items():
        if "raw_data" in payload:
            continue  # the client knows this for gateways only
        answer = client.microservice(method="predict", **payload)
        check(f"microservice, {kind}", answer, encoding, wanted)
        give_feedback(client.microservice_feedback, answer, f"microservice, {kind}")
        sent += 1
    for method in ("transform-input", "transform-output"):
        for payload_type in ("ndarray", "tensor"):
            answer = client.microservice(data=data, method=method, payload_type=payload_type)
            check(method, answer, payload_type, data.tolist())
    answer = client.microservice(data=data, method="route")
    expect("route", (answer.success, "Route not defined" in answer.msg), (False, True))
    answer = client.microservice(datas=[data, data], method="aggregate", ndatas=2)
    expect("aggregate", (answer.success, "Aggregate not defined" in answer.msg), (False, True))
    return sent


def described(port):
    """Metadata, the headers of an answer, and what reflection tells."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        seldon, model = prediction_pb2_grpc.SeldonStub(channel), prediction_pb2_grpc.ModelStub(channel)
        told = model.Metadata(empty_pb2.Empty())
        expect("name", (told.name, list(told.versions), told.platform), ("package", ["1"], "lightgbm"))
        schema = json_format.MessageToDict(told.inputs[0].schema)
        expect("inputs", (told.inputs[0].messagetype, schema["names"]), ("tensor", NAMES))
        expect("outputs", json_format.MessageToDict(told.outputs[0].schema)["names"], CLASSES)
        asked = prediction_pb2.SeldonModelMetadataRequest(name="package")
        expect("ModelMetadata", seldon.ModelMetadata(asked), told)
        graph = seldon.GraphMetadata(empty_pb2.Empty())
        expect("graph", (graph.name, dict(graph.models)), ("package", {"package": told}))
        expect("graph's arrays", (list(graph.inputs), list(graph.outputs)), (list(told.inputs), list(told.outputs)))
        message = prediction_pb2.SeldonMessage(meta=prediction_pb2.Meta(puid="of the message"), strData="[]")
        for metadata, wanted in (((), "of the message"), ((("seldon-puid", "of the call"),), "of the call")):
            _, call = seldon.Predict.with_call(message, metadata=metadata)
            expect("seldon-puid", dict(call.initial_metadata())["seldon-puid"], wanted)
        database = ProtoReflectionDescriptorDatabase(channel)
        names = {name for name in database.get_services() if name.startswith("seldon.protos.")}
        services = prediction_pb2.DESCRIPTOR.services_by_name
        expect("services", names, {f"seldon.protos.{name}" for name in services})
        for name, service in services.items():
            found = database.FindFileContainingSymbol(f"seldon.protos.{name}").service
            calls = {call.name for one in found if one.name == name for call in one.method}
            expect(f"calls of {name}", calls, {call.name for call in service.methods})
        for name in ("google/protobuf/struct.proto", "tensorflow.proto"):
            expect("a file that another one needs", database.FindFileByName(name).name, name)


def testers(port):
    """The command-line testers, with a contract of the model's features."""
    features = [{"name": name, "dtype": "FLOAT", "ftype": "continuous", "range": [0, 20]} for name in NAMES]
    targets = [{"name": "class", "dtype": "FLOAT", "ftype": "continuous", "range": [0, 1], "repeat": len(CLASSES)}]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as contract:
        json.dump({"features": features, "targets": targets}, contract)
        contract.flush()
        place = [contract.name, "127.0.0.1", str(port)]
        for command in (
            ["seldon-core-tester", *place, "--grpc", "-b", "3", "-n", "2", "-p"],
            ["seldon-core-microservice-tester", *place, "--grpc", "-b", "3", "-p", "-t"],
            ["seldon-core-tester", *place, "--grpc", "-p", "--endpoint", "transform-input"],
            ["seldon-core-api-tester", *place, "wine", "--grpc", "-b", "3", "-p"],
            ["seldon-core-api-tester", *place, "wine", "--grpc", "-b", "3", "-p", "-t", "--namespace", "hub"],
        ):
            said = run(command)
            names = all(name in said for name in CLASSES)
            what = " ".join(command[:1] + command[4:])
            expect(f"{what}: an answer", ("RECEIVED RESPONSE" in said, names), (True, True))
        for command in ("seldon-core-tester", "seldon-core-api-tester"):
            said = run([command, *place, "--grpc", "-p", "--endpoint", "send-feedback"])
            expect(f"{command}: feedback", "Success:True" in said, True)


def token(binary, data):
    with serving(binary, str(WINE), PORTEND_TOKEN="s3cret") as port:
        base = {"gateway": "istio", "namespace": "hub", "deployment_name": "wine", "client_return_type": "proto"}
        client = SeldonClient(gateway_endpoint=f"127.0.0.1:{port}", transport="grpc", **base)
        answer = client.predict(data=data)
        expect("no token", (answer.success, "UNAUTHENTICATED" in answer.msg), (False, True))
        for headers, wanted in (
            ({"x-auth-token": "s3cret"}, True),
            ({"authorization": "Bearer s3cret"}, True),
            ({"x-auth-token": "other"}, False),
        ):
            expect(f"token {headers}", client.predict(data=data, headers=headers).success, wanted)


def several(binary):
    """Of several models the one that metadata names, or the default; and numbers, texts and missing values in one array."""
    row = [0.35, 0.2, None, 3, 2, 2, 0, "no", "no", "no", "no"]
    data = np.array([row], dtype=object)
    with serving(binary, str(DEMO)) as port:
        base = {"gateway": "istio", "namespace": "any", "transport": "grpc", "client_return_type": "proto"}
        client = SeldonClient(gateway_endpoint=f"127.0.0.1:{port}", **base)
        answer = client.predict(data=data, payload_type="ndarray", deployment_name="fraud")
        expect("mixed", (answer.success, list(answer.response.data.names)), (True, ["no", "yes"]))
        answer = client.predict(data=data, payload_type="ndarray", deployment_name="nobody")
        expect("no such model", (answer.success, "NOT_FOUND" in answer.msg), (False, True))
        inside = SeldonClient(microservice_endpoint=f"127.0.0.1:{port}", transport="grpc")
        answer = inside.microservice(data=data, payload_type="ndarray", method="predict")
        expect("no model named", (answer.success, "fraud" in answer.msg), (False, True))
    with serving(binary, str(DEMO), PORTEND_DEFAULT_MODEL="fraud") as port:
        inside = SeldonClient(microservice_endpoint=f"127.0.0.1:{port}", transport="grpc")
        answer = inside.microservice(data=data, payload_type="ndarray", method="predict")
        expect("the default", (answer.success, list(answer.response.data.names)), (True, ["no", "yes"]))


def main():
    binary = sys.argv[1]
    data = rows()
    with serving(binary, str(WINE)) as port:
        wanted = predicted(port, data)
        sent = gateway(port, data, wanted) + microservice(port, data, wanted)
        feedback_counted(port, sent)
        described(port)
        testers(port)
        batch(port, "grpc", data, wanted)
    token(binary, data)
    several(binary)
    print("Seldon's client and testers over gRPC: what they asked, Portend answered")


if __name__ == "__main__":
    main()
