#!/usr/bin/env python3
"""Send the same random messages over gRPC to Seldon's own wrapper and to Portend, around the same models, and compare.

    python seldon_compare_grpc.py PORTEND [--messages N] [--seed N]

Messages are drawn as seldon_compare.py draws them. Answers must be the same, numbers within 1e-12, but for these
differences, and no others:

    Where the wrapper ends a call with UNKNOWN or INTERNAL because a message is wrong, Portend ends it with
    INVALID_ARGUMENT; and with UNIMPLEMENTED where a unit of another kind would have been needed.
    The text of an error is Portend's own.
    A tftensor is compared with the same rows as a tensor: the wrapper reads it with TensorFlow only, which is not
    installed.
"""

import argparse
import json
import math
import struct
import sys
import time

import grpc
import numpy as np
from google.protobuf import json_format, wrappers_pb2
from seldon_compare import COMPARED, MODELS, Draw, read_rows, same, strip, wrapped
from seldon_core.proto import prediction_pb2
from seldon_core.proto.tensorflow.core.framework import tensor_pb2, types_pb2
from server import expect, serving

SERVICES = "/seldon.protos."
PREDICT = ["Seldon/Predict", "Model/Predict"]
TRANSFORM = [
    "Generic/TransformInput",
    "Generic/TransformOutput",
    "Transformer/TransformInput",
    "OutputTransformer/TransformOutput",
]
FEEDBACK = ["Seldon/SendFeedback", "Model/SendFeedback", "Generic/SendFeedback", "Router/SendFeedback"]
NOT_DEFINED = ["Generic/Route", "Router/Route", "Generic/Aggregate", "Combiner/Aggregate"]


class GrpcDraw(Draw):
    """Calls drawn at random: the path, the message to the wrapper, and the message to Portend."""

    def call(self):
        kind = self.random.choice(["predict"] * 6 + ["transform"] * 2 + ["feedback", "bad", "bad", "tftensor", "other"])
        return getattr(self, kind)()

    def predict(self):
        return self.both(self.random.choice(PREDICT), self.parsed(self.message()[1]))

    def transform(self):
        message = self.message()[1]
        strip(message)
        if isinstance(message.get("jsonData"), list):
            del message["jsonData"]
            message["strData"] = "text"
        return self.both(self.random.choice(TRANSFORM), self.parsed(message))

    def feedback(self):
        feedback = json_format.ParseDict(super().feedback(), prediction_pb2.Feedback())
        return self.both(self.random.choice(FEEDBACK), feedback.SerializeToString())

    def other(self):
        path = self.random.choice([*NOT_DEFINED, "Model/Nothing", "Nothing/Predict"])
        return self.both(path, b"" if path.endswith("Aggregate") else self.parsed(self.message()[1]))

    def bad(self):
        path = self.random.choice(PREDICT)
        if self.chance(0.3):
            good = self.parsed(self.message()[1])
            cut = good[: self.random.randrange(1, 4)]
            custom = prediction_pb2.SeldonMessage()
            custom.customData.Pack(wrappers_pb2.BoolValue(value=True))
            return self.both(path, self.random.choice([b"", b"\xff", cut + b"\xff", custom.SerializeToString()]))
        while True:
            bad = super().bad()
            if isinstance(bad, dict):
                try:
                    return self.both(path, self.parsed(bad))
                except json_format.ParseError:
                    pass  # nothing that the protocol could say over gRPC

    def tftensor(self):
        """Rows in each of the forms that TensorFlow knows; the wrapper gets them as a tensor."""
        rows = np.array(self.rows(missing=False), dtype=np.float64)
        if self.chance(0.5):
            rows = np.round(rows)
        whole = bool(((rows == np.round(rows)) & (abs(rows) < 2**31)).all())
        kinds = ["double", "double content", "float content"] + ["int", "int64", "int64 content"] * whole
        kind = self.random.choice(kinds)
        tensor = tensor_pb2.TensorProto()
        for size in rows.shape:
            tensor.tensor_shape.dim.add(size=size)
        match kind:
            case "double":
                tensor.dtype = types_pb2.DT_DOUBLE
                tensor.double_val.extend(rows.ravel())
            case "double content":
                tensor.dtype = types_pb2.DT_DOUBLE
                tensor.tensor_content = rows.astype("<f8").tobytes()
            case "float content":
                tensor.dtype = types_pb2.DT_FLOAT
                tensor.tensor_content = rows.astype("<f4").tobytes()
                rows = rows.astype("<f4").astype(np.float64)
            case "int":
                tensor.dtype = types_pb2.DT_INT32
                tensor.int_val.extend(int(value) for value in rows.ravel())
            case "int64":
                tensor.dtype = types_pb2.DT_INT64
                tensor.int64_val.extend(int(value) for value in rows.ravel())
            case "int64 content":
                tensor.dtype = types_pb2.DT_INT64
                tensor.tensor_content = rows.astype("<i8").tobytes()
        to_wrapper, to_portend = prediction_pb2.SeldonMessage(), prediction_pb2.SeldonMessage()
        to_wrapper.data.tensor.shape.extend(rows.shape)
        to_wrapper.data.tensor.values.extend(rows.ravel())
        to_portend.data.tftensor.CopyFrom(tensor)
        path = self.random.choice(PREDICT)
        return path, to_wrapper.SerializeToString(), to_portend.SerializeToString()

    def both(self, path, message):
        return path, message, message

    def parsed(self, message):
        """A message as its bytes."""
        message = {key: value for key, value in message.items() if key != "unknown"}
        if not isinstance(message.get("data"), dict) or "tensor" not in message["data"]:
            return json_format.ParseDict(message, prediction_pb2.SeldonMessage()).SerializeToString()
        tensor = message["data"]["tensor"]
        message["data"] = {key: value for key, value in message["data"].items() if key != "tensor"}
        parsed = json_format.ParseDict(message, prediction_pb2.SeldonMessage())
        # not by ParseDict, which takes no NaN
        parsed.data.tensor.shape.extend(tensor.get("shape", []))
        parsed.data.tensor.values.extend(math.nan if value is None else value for value in tensor.get("values", []))
        return parsed.SerializeToString()


def ask(channel, path, message):
    """The code of an answer, and the answer or the text of the error."""
    try:
        answer = channel.unary_unary(SERVICES + path)(message, timeout=60)
        return "OK", prediction_pb2.SeldonMessage.FromString(answer)
    except grpc.RpcError as error:
        return error.code().name, error.details()


def as_tensor(message):
    """A message whose tftensor, if it has one, became a tensor."""
    if message.data.WhichOneof("data_oneof") != "tftensor":
        return message
    tensor, twin = message.data.tftensor, prediction_pb2.SeldonMessage()
    twin.CopyFrom(message)
    expect("dtype", tensor.dtype, types_pb2.DT_DOUBLE)
    twin.data.tensor.shape.extend(dim.size for dim in tensor.tensor_shape.dim)
    count = len(tensor.tensor_content) // 8
    twin.data.tensor.values.extend(struct.unpack(f"<{count}d", tensor.tensor_content))
    return twin


def agree(path, found, wanted):
    """Whether an answer is the wrapper's, but for the differences above."""
    (found_code, found), (code, wanted) = found, wanted
    if code != "OK":
        not_defined = code == "UNIMPLEMENTED" or path in NOT_DEFINED
        expected = "UNIMPLEMENTED" if not_defined else "INVALID_ARGUMENT"
        return found_code == expected and bool(found)
    if found_code != "OK":
        return False
    as_dict = json_format.MessageToDict
    return same(as_dict(as_tensor(found)), as_dict(wanted))


def compare(name, binary, seed, messages):
    manifest = json.loads((MODELS / name / "package" / "portend.json").read_text())
    features = [feature["name"] for feature in manifest["features"]]
    draw, seen, failed = GrpcDraw(f"{seed} {name}", features, read_rows(name)), {}, 0
    with wrapped(name, manifest) as (_, reference), serving(binary, str(MODELS / name / "package")) as port:
        channels = [grpc.insecure_channel(f"127.0.0.1:{each}") for each in (reference, port)]
        for channel in channels:
            grpc.channel_ready_future(channel).result(timeout=30)
        for number in range(messages):
            path, to_wrapper, to_portend = draw.call()
            wanted, found = ask(channels[0], path, to_wrapper), ask(channels[1], path, to_portend)
            seen[wanted[0]] = seen.get(wanted[0], 0) + 1
            if not agree(path, found, wanted):
                failed += 1
                print(f"{name} {number}: {path} {to_portend[:200]!r}")
                print(f"  wrapper: {str(wanted)[:800]}\n  Portend: {str(found)[:800]}")
        for channel in channels:
            channel.close()
    codes = ", ".join(f"{count} of {code}" for code, count in sorted(seen.items()))
    print(f"{name}: {messages} calls, of which the wrapper answered {codes}; {failed} differ", flush=True)
    expect(f"{name}: enough that is answered", seen.get("OK", 0) > messages / 3, True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    failed = sum(compare(name, options.binary, options.seed, options.messages) for name in COMPARED)
    if failed:
        sys.exit(f"FAILED: again with seldon_compare_grpc.py {options.binary} --seed {options.seed}")


if __name__ == "__main__":
    main()
