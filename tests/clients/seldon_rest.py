#!/usr/bin/env python3
"""Talk to Portend with Seldon's own client and testers over REST, as their users do.

    python seldon_rest.py PORTEND

The payload tftensor is sent where TensorFlow is installed, which is not among the pins: it takes more than a gigabyte.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from google.protobuf import json_format
from seldon_core.seldon_client import SeldonCallCredentials, SeldonClient
from server import DEMO, Connection, expect, serving

WITH_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
MODELS = Path(__file__).resolve().parents[2] / "testdata" / "models"
WINE = MODELS / "lgb_wine" / "package"
NAMES = [feature["name"] for feature in json.loads((WINE / "portend.json").read_text())["features"]]
CLASSES = [str(label) for label in json.loads((WINE / "portend.json").read_text())["target"]["classes"]]


def rows():
    lines = (MODELS / "lgb_wine" / "rows.csv").read_text().splitlines()[1:6]
    return np.array([[float(cell) for cell in line.split(",")] for line in lines])


def predicted(port, data):
    """What the prediction API answers: a probability for each class."""
    records = [dict(zip(NAMES, row)) for row in data.tolist()]
    status, _, text = Connection(port).post("/predictions", json.dumps(records), Content_Type="application/json")
    expect("status of /predictions", status, 200)
    return [[value["value"] for value in row["predictionValues"]] for row in json.loads(text)["data"]]


def array(response, kind):
    """The rows of an answer that has the encoding `kind`."""
    expect("encoding", response.data.WhichOneof("data_oneof"), kind)
    expect("class names", list(response.data.names), CLASSES)
    if kind == "tftensor":
        import tensorflow

        return tensorflow.make_ndarray(response.data.tftensor).tolist()
    if kind == "tensor":
        return np.array(response.data.tensor.values).reshape(response.data.tensor.shape).tolist()
    return json_format.MessageToDict(response.data.ndarray)


def check(what, answer, kind, wanted):
    if not answer.success or answer.response is None:
        sys.exit(f"FAILED: {what}: {answer}")
    expect(what, array(answer.response, kind), wanted)


def payloads(data):
    """Each kind of payload: the client's arguments, and the encoding of the answer."""
    lines = [",".join(NAMES), *(",".join(map(repr, row)) for row in data.tolist())]
    table = "\n".join(lines) + "\n"
    records = [dict(zip(NAMES, row)) for row in data.tolist()]
    kinds = {
        "tensor": ({"data": data, "payload_type": "tensor"}, "tensor"),
        "tensor with names": ({"data": data, "payload_type": "tensor", "names": NAMES}, "tensor"),
        "columns in another order": (
            {"data": data[:, ::-1], "payload_type": "ndarray", "names": NAMES[::-1]},
            "ndarray",
        ),
        "ndarray": ({"data": data, "payload_type": "ndarray"}, "ndarray"),
        "str_data": ({"str_data": table}, "tensor"),
        "bin_data": ({"bin_data": table.encode()}, "tensor"),
        "json_data": ({"json_data": records}, "tensor"),
    }
    if WITH_TENSORFLOW:
        kinds["tftensor"] = ({"data": data, "payload_type": "tftensor"}, "tftensor")
        kinds["tftensor with names"] = ({"data": data, "payload_type": "tftensor", "names": NAMES}, "tftensor")
    return kinds


def gateway(port, data, wanted):
    """Through a gateway: below an address of Seldon's, of PrimeHub's, and at the root."""
    endpoint = f"127.0.0.1:{port}"
    base = {"gateway_endpoint": endpoint, "deployment_name": "wine", "transport": "rest", "client_return_type": "proto"}
    with_namespace = SeldonClient(gateway="istio", namespace="hub", **base)
    without = SeldonClient(gateway="ambassador", **base)
    bare = SeldonClient(gateway="seldon", **base)
    ways = [
        ("/seldon/hub/wine", with_namespace, {}),
        ("/seldon/wine", without, {}),
        ("/deployment/wine", with_namespace, {"gateway_prefix": "/deployment/wine"}),
        ("no prefix", with_namespace, {"gateway_prefix": ""}),
        ("gateway seldon", bare, {}),
    ]
    for where, client, how in ways:
        for kind, (payload, encoding) in payloads(data).items():
            answer = client.predict(**payload, **how)
            check(f"{where}, {kind}", answer, encoding, wanted)
            path = dict(answer.response.meta.requestPath)
            expect(f"{where}: requestPath", path, {"package": "package:1"})
            feedback = client.feedback(
                prediction_request=answer.request, prediction_response=answer.response, reward=0.5, **how
            )
            if not feedback.success or feedback.response is None:
                sys.exit(f"FAILED: {where}, {kind}: feedback: {feedback}")
    answer = with_namespace.predict(data=data, meta={"tag": "x", "n": 1})
    tags = json_format.MessageToDict(answer.response.meta)["tags"]
    expect("tags", tags, {"tag": "x", "n": 1.0})
    answer = with_namespace.predict(raw_data={"data": {"ndarray": data.tolist()}, "meta": {"puid": "p-1"}})
    check("raw_data", answer, "ndarray", wanted)
    expect("puid", answer.response.meta.puid, "p-1")
    answer = with_namespace.predict(data=data, client_return_type="dict")
    expect("as dict", answer.response["data"]["tensor"]["values"], [p for row in wanted for p in row])
    return len(ways) * len(payloads(data)) + 1


def microservice(port, data, wanted):
    """As an executor talks to the model's container."""
    client = SeldonClient(microservice_endpoint=f"127.0.0.1:{port}")
    for kind, (payload, encoding) in payloads(data).items():
        answer = client.microservice(method="predict", transport="rest", **payload)
        check(f"microservice, {kind}", answer, encoding, wanted)
        feedback = client.microservice_feedback(
            prediction_request=answer.request, prediction_response=answer.response, reward=0.5, transport="rest"
        )
        if not feedback.success or feedback.response is None:
            sys.exit(f"FAILED: microservice, {kind}: feedback: {feedback}")
    for method in ("transform-input", "transform-output"):
        answer = client.microservice(data=data, method=method, payload_type="ndarray")
        check(method, answer, "ndarray", data.tolist())
    answer = client.microservice(data=data, method="route")
    expect("route", (answer.success, answer.response.status.info), (False, "Route not defined"))
    answer = client.microservice(datas=[data, data], method="aggregate", ndatas=2)
    expect("aggregate", (answer.success, answer.response.status.reason), (False, "MICROSERVICE_BAD_DATA"))
    answer = client.microservice(data=data[:, 1:], method="predict")
    expect("a column less", answer.success, False)
    expect("its reason", answer.response.status.reason, "MICROSERVICE_BAD_DATA")
    return len(payloads(data))


def feedback_counted(port, wanted):
    connection = Connection(port)
    connection.request("GET", "/info")
    told = json.loads(connection.getresponse().read())["feedback"]
    expect("feedback", told, {"count": wanted, "reward": wanted * 0.5})


def testers(port):
    """The command-line testers, with a contract of the model's features."""
    features = [{"name": name, "dtype": "FLOAT", "ftype": "continuous", "range": [0, 20]} for name in NAMES]
    targets = [{"name": "class", "dtype": "FLOAT", "ftype": "continuous", "range": [0, 1], "repeat": len(CLASSES)}]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as contract:
        json.dump({"features": features, "targets": targets}, contract)
        contract.flush()
        place = [contract.name, "127.0.0.1", str(port)]
        for command in (
            ["seldon-core-tester", *place, "-b", "3", "-n", "2", "-p"],
            ["seldon-core-tester", *place, "-b", "3", "-p", "-t"],
            ["seldon-core-tester", *place, "-p", "--endpoint", "transform-input"],
            ["seldon-core-api-tester", *place, "wine", "-b", "3", "-p"],
            ["seldon-core-api-tester", *place, "wine", "-b", "3", "-p", "-t", "--namespace", "hub"],
        ):
            said = run(command)
            names = all(name in said for name in CLASSES)
            what = " ".join(command[:1] + command[4:])
            expect(f"{what}: an answer", ("RECEIVED RESPONSE" in said, names), (True, True))
        for command in ("seldon-core-tester", "seldon-core-api-tester"):
            said = run([command, *place, "-p", "--endpoint", "send-feedback"])
            expect(f"{command}: feedback", "Success:True" in said, True)


def run(command):
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=120)
    if done.returncode != 0 or "RECEIVED RESPONSE:\nNone" in done.stdout or "Traceback" in done.stderr:
        sys.exit(f"FAILED: {' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def batch(port, transport, data, wanted):
    """The command-line batch processor, with a row in each request and with two."""
    place = ["--deployment-name", "wine", "--gateway-type", "istio", "--namespace", "hub", "--host", f"127.0.0.1:{port}"]
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "in"), Path(folder, "out")
        given.write_text("".join(json.dumps([row]) + "\n" for row in data.tolist()))
        files = ["--input-data-path", str(given), "--output-data-path", str(found)]
        for size in ("1", "2"):
            how = ["--transport", transport, "--data-type", "data", "--payload-type", "ndarray", "--batch-size", size]
            run(["seldon-batch-processor", *place, *how, *files, "--workers", "2"])
            answers = sorted(map(json.loads, found.read_text().splitlines()), key=lambda a: a["meta"]["tags"]["batch_index"])
            expect(f"batches of {size}", [row for answer in answers for row in answer["data"]["ndarray"]], wanted)


def token(binary, data):
    """Over HTTP the client sends its token when it is told not to use TLS."""
    with serving(binary, str(WINE), PORTEND_TOKEN="s3cret") as port:
        base = {"gateway": "istio", "namespace": "hub", "deployment_name": "wine", "client_return_type": "proto"}
        base |= {"gateway_endpoint": f"127.0.0.1:{port}", "ssl": False}
        expect("no token", SeldonClient(**base).predict(data=data).success, False)
        for given, wanted in (("s3cret", True), ("other", False)):
            client = SeldonClient(call_credentials=SeldonCallCredentials(token=given), **base)
            expect(f"token {given}", client.predict(data=data).success, wanted)


def mixed(binary):
    """Numbers, texts and missing values in one array."""
    with serving(binary, DEMO) as port:
        base = {"gateway": "istio", "namespace": "any", "deployment_name": "fraud", "client_return_type": "proto"}
        client = SeldonClient(gateway_endpoint=f"127.0.0.1:{port}", **base)
        row = [0.35, 0.2, None, 3, 2, 2, 0, "no", "no", "no", "no"]
        answer = client.predict(data=np.array([row], dtype=object), payload_type="ndarray")
        expect("mixed", (answer.success, list(answer.response.data.names)), (True, ["no", "yes"]))


def main():
    binary = sys.argv[1]
    data = rows()
    with serving(binary, str(WINE)) as port:
        wanted = predicted(port, data)
        sent = gateway(port, data, wanted) - 1 + microservice(port, data, wanted)
        feedback_counted(port, sent)
        testers(port)
        batch(port, "rest", data, wanted)
    token(binary, data)
    mixed(binary)
    print("Seldon's client and testers over REST: what they asked, Portend answered")
    if not WITH_TENSORFLOW:
        print("not asked: tftensor, because TensorFlow is not installed")


if __name__ == "__main__":
    main()
