#!/usr/bin/env python3
"""Serve the same models with MLflow's own server and with Portend, and talk to both with MLflow's client.

    python mlflow_serve.py PORTEND [SEED]

Random bodies, good and bad, go to both. Each is of a kind, and a kind says how the answers compare: as a rule predictions
are the same numbers, and refusals have the same status and the same error_code. Where Portend differs on purpose, the kind
has the two statuses and the reason; they are checked as well.
"""

import contextlib
import http.client
import io
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}  # before it is imported

import mlflow.xgboost
import numpy as np
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from server import expect, serving

BODIES = 200
COLUMNS = ["age", "income", "debt ratio", "visits"]
START_SECONDS = 120
JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"
SAME = None


def train(folder, classes, seed):
    """A booster, logged as MLflow's users log it; gives it with the place of its file."""
    numbers = np.random.default_rng(seed)
    table = pd.DataFrame(numbers.normal(size=(400, len(COLUMNS))), columns=COLUMNS)
    table = table.mask(numbers.random(table.shape) < 0.1)
    score = np.nan_to_num(table["age"]) + np.nan_to_num(table["debt ratio"])
    parameters = {"max_depth": 3, "nthread": 1, "seed": seed}
    if classes == 2:
        parameters |= {"objective": "binary:logistic"}
        labels = (score > 0).astype(int)
    else:
        parameters |= {"objective": "multi:softprob", "num_class": classes}
        labels = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))
    matrix = xgboost.DMatrix(table, label=labels)
    booster = xgboost.train(parameters, matrix, num_boost_round=10)
    signature = infer_signature(table.dropna(), booster.predict(matrix))
    mlflow.xgboost.save_model(booster, folder, signature=signature, model_format="json")
    return booster


@contextlib.contextmanager
def mlflow_serving(folder):
    """`mlflow models serve` on a free port; gives the port."""
    command = [Path(sys.executable).with_name("mlflow"), "models", "serve", "-m", folder]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
    # it looks for its own programs by name
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield wait_for_port(server, log)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def wait_for_port(server, log):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        log.seek(0)
        text = log.read()
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", text):
            return int(found[1])
        time.sleep(0.2)
    log.seek(0)
    sys.exit("FAILED: mlflow models serve did not start\n" + log.read()[-2000:])


def invoke(port, content_type, body):
    """Status and body of an answer; JSON is read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/invocations", body, {"Content-Type": content_type})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.getheader("Content-Type", "").startswith(JSON):
        return answer.status, json.loads(text)
    return answer.status, text.decode()


# Kinds of bodies. Each gives a content type, a body, and None or the two statuses, MLflow's first, with the reason.


def cells(draw, missing=0.2):
    row = [draw.choice([round(draw.gauss(0, 1), 3), draw.randint(-2, 2)]) for _ in COLUMNS]
    return [None if draw.random() < missing else value for value in row]


def rows(draw, missing=0.2):
    # in one column, not all values missing: pandas makes objects of such a column
    table = [cells(draw, missing) for _ in range(draw.randint(1, 5))]
    return [cells(draw, 0)] + table


def shuffled(draw, table):
    order = draw.sample(range(len(COLUMNS)), len(COLUMNS))
    return [COLUMNS[i] for i in order], [[row[i] for i in order] for row in table]


def split(draw):
    names, table = shuffled(draw, rows(draw))
    body = {"columns": names, "data": table}
    if draw.random() < 0.5:
        body["index"] = list(range(7, 7 + len(table)))
    if draw.random() < 0.3:
        body = {"columns": [*names, "more"], "data": [[*row, "x"] for row in table]}
    return {"dataframe_split": body}


def records(draw):
    names, table = shuffled(draw, rows(draw))
    return {"dataframe_records": [dict(zip(names, row)) for row in table]}


def instances(draw):
    # without a missing value: a list with one becomes objects there
    names, table = shuffled(draw, rows(draw, 0))
    return {"instances": [dict(zip(names, row)) for row in table]}


def inputs(draw):
    names, table = shuffled(draw, rows(draw, 0))
    return {"inputs": {name: [row[i] for row in table] for i, name in enumerate(names)}}


def one_row_of_inputs(draw):
    return {"inputs": dict(zip(COLUMNS, cells(draw, 0)))}


def in_json(make):
    def kind(draw):
        body = make(draw)
        if draw.random() < 0.2:
            body["more"] = 1
        if draw.random() < 0.2:
            body["params"] = None
        content_type = draw.choice([JSON, JSON, "application/json; charset=utf-8", "application/json;charset=UTF-8"])
        return content_type, json.dumps(body), SAME

    kind.__name__ = make.__name__
    return kind


def python_words(draw):
    _, table = shuffled(draw, rows(draw))
    table = [[math.nan if value is None else value for value in row] for row in table]
    return JSON, json.dumps({"dataframe_split": {"columns": COLUMNS, "data": table}}), SAME


def quoted_numbers(draw):
    table = [[str(value) for value in row] for row in rows(draw, 0)]
    return JSON, json.dumps({"dataframe_split": {"columns": COLUMNS, "data": table}}), SAME


def csv(draw):
    names, table = shuffled(draw, rows(draw))
    lines = [",".join("" if value is None else str(value) for value in row) for row in table]
    return "text/csv", "\n".join([",".join(names), *lines]) + draw.choice(["", "\n"]), SAME


def parquet(draw, names=None, table=None, **options):
    if table is None:
        names, table = shuffled(draw, rows(draw))
    # in numbers as the model was trained with: the signature asks for them
    frame = pd.DataFrame(table, columns=names, dtype="float64")
    if draw.random() < 0.3:
        frame["more"] = draw.choice(["x", pd.Timestamp("2026-11-21"), None])
    if draw.random() < 0.3:
        frame.index = [f"row {number}" for number in range(len(frame))]
    options |= {"compression": draw.choice(["snappy", "gzip", "zstd", None])}
    options |= {"data_page_version": draw.choice(["1.0", "2.0"]), "row_group_size": draw.choice([1, 2, 100])}
    options |= {"use_dictionary": draw.choice([True, False])}
    file = io.BytesIO()
    frame.to_parquet(file, engine="pyarrow", **options)
    return PARQUET, file.getvalue(), SAME


def default_parquet(draw):
    names, table = shuffled(draw, rows(draw))
    file = io.BytesIO()
    pd.DataFrame(table, columns=names, dtype="float64").to_parquet(file)
    return PARQUET, file.getvalue(), SAME


def broken_parquet(draw):
    file = parquet(draw)[1]
    return PARQUET, draw.choice([file[: draw.randrange(1, len(file))], file[1:], file + b"x", b"a,b\n1,2\n"]), SAME


def parquet_without_column(draw):
    at = draw.randrange(len(COLUMNS))
    return parquet(draw, COLUMNS[:at] + COLUMNS[at + 1 :], [[1.0, 2.0, 3.0]])


def parquet_of_another_compression(draw):
    file = io.BytesIO()
    pd.DataFrame(rows(draw, 0), columns=COLUMNS, dtype="float64").to_parquet(file, compression="lz4")
    return PARQUET, file.getvalue(), (200, 400, "LZ4 is not read")


def no_rows(draw):
    if draw.random() < 0.5:
        return "text/csv", ",".join(COLUMNS) + "\n", SAME
    return JSON, json.dumps({"dataframe_split": {"columns": COLUMNS, "data": []}}), SAME


def broken_json(draw):
    text = json.dumps(draw.choice([split, records, inputs])(draw))
    broken = [text[: draw.randrange(len(text))], text + "x", text.replace(":", ";", 1), "", "{", "x"]
    return JSON, draw.choice(broken), SAME


def no_object(draw):
    return JSON, draw.choice(["[]", "[1,2]", "null", "5", '"x"', "true", json.dumps([{"age": 1}])]), SAME


def fields(draw):
    good = draw.choice([split, records, inputs])(draw)
    wrong = [{}, {"data": [[1]]}, good | {"instances": [[1]]}, {"Inputs": [[1]]}]
    return JSON, json.dumps(draw.choice(wrong)), SAME


def missing_column(draw):
    at = draw.randrange(len(COLUMNS))
    names = COLUMNS[:at] + COLUMNS[at + 1 :]
    table = [row[:at] + row[at + 1 :] for row in rows(draw)]
    as_records = {"dataframe_records": [dict(zip(names, row)) for row in table]}
    as_columns = {"inputs": {name: [1.0, 2.0] for name in names}}
    as_csv = "\n".join([",".join(names), ",".join("1" for _ in names)])
    bodies = [(JSON, json.dumps({"dataframe_split": {"columns": names, "data": table}}))]
    bodies += [(JSON, json.dumps(as_records)), (JSON, json.dumps(as_columns)), ("text/csv", as_csv)]
    return *draw.choice(bodies), SAME


def no_number(draw):
    table = rows(draw, 0)
    draw.choice(table)[draw.randrange(len(COLUMNS))] = draw.choice(["abc", "1,5", [1], {"a": 1}])
    return JSON, json.dumps({"dataframe_split": {"columns": COLUMNS, "data": table}}), SAME


def no_number_in_csv(draw):
    return "text/csv", ",".join(COLUMNS) + "\n1,2,3,4\n1,abc,3,4\n", SAME


def wrong_width(draw):
    table = [row[:3] if draw.random() < 0.5 else [*row, 1] for row in rows(draw)[:1]]
    return JSON, json.dumps({"dataframe_split": {"columns": COLUMNS, "data": table}}), SAME


def wrong_split(draw):
    wrong = [{"columns": COLUMNS}, {"columns": COLUMNS, "data": [], "more": 1}, [[1]], None, 5, "x"]
    return JSON, json.dumps({"dataframe_split": draw.choice(wrong)}), SAME


def wrong_records(draw):
    return JSON, json.dumps({"dataframe_records": dict(zip(COLUMNS, cells(draw, 0)))}), SAME


def unequal_columns(draw):
    return JSON, json.dumps({"inputs": {name: [1.0] * (1 + (i == 2)) for i, name in enumerate(COLUMNS)}}), SAME


def long_row_of_csv(draw):
    return "text/csv", ",".join(COLUMNS) + "\n1,2,3,4\n1,2,3,4,5\n", SAME


def empty_csv(draw):
    return "text/csv", draw.choice(["", "\n", "\n\n"]), SAME


def not_utf8(draw):
    if draw.random() < 0.5:
        return "text/csv", ",".join(COLUMNS).encode() + b"\n\xff,1,1,1\n", SAME
    return JSON, b'{"instances": ["\xff\xfe"]}', SAME


def media_type(draw):
    types = ["text/plain", "application/xml", "application/json; charset=latin1", "text/csv;charset=utf-16"]
    types += ["application/json; format=pandas-split", "application/json; version=1", ""]
    return draw.choice(types), json.dumps(split(draw)), SAME


def language_model(draw):
    body = draw.choice([{"messages": [{"role": "user", "content": "hi"}]}, {"prompt": "hi"}])
    return JSON, json.dumps(body), (400, 400, "a form for language models is told as such")


def csv_without_header(draw):
    return "text/csv", "0.5,-0.25,,1\n", (400, 200, "SageMaker's clients send CSV without a header")


def rows_without_names(draw):
    field = draw.choice(["instances", "inputs"])
    body = {field: [cells(draw, 0), cells(draw, 0)]}
    return JSON, json.dumps(body), (400, 200, "rows without names are in the model's order")


def no_records(draw):
    body = draw.choice([{"dataframe_records": []}, {"instances": []}])
    return JSON, json.dumps(body), (400, 200, "no rows are no error in any form")


def ragged_records(draw):
    body = {"instances": [dict(zip(COLUMNS, cells(draw, 0))), {"age": 1}]}
    return JSON, json.dumps(body), (400, 200, "a key that a record does not have is missing in it, as in dataframe_records")


def infinity(draw):
    body = {"dataframe_split": {"columns": COLUMNS, "data": [[math.inf, 1, 1, 1]]}}
    return JSON, json.dumps(body), (400, 200, "an infinite number is a number")


def short_row(draw):
    if draw.random() < 0.5:
        return "text/csv", ",".join(COLUMNS) + "\n1,2,3\n", (200, 400, "a row that is too short is not filled up")
    body = {"dataframe_split": {"columns": COLUMNS, "data": [[1, 2, 3, 4], [1, 2, 3]]}}
    return JSON, json.dumps(body), (200, 400, "a row that is too short is not filled up")


def column_twice(draw):
    return "text/csv", "age," + ",".join(COLUMNS) + "\n9,1,2,3,4\n", (200, 400, "which column is meant is not guessed")


def parameters(draw):
    body = split(draw) | {"params": draw.choice([{"iteration_range": [0, 1]}, {"x": 1}, 5])}
    return JSON, json.dumps(body), (200, 400, "a parameter that is not obeyed is not ignored")


GOOD = [in_json(make) for make in (split, records, instances, inputs, one_row_of_inputs)]
GOOD += [python_words, quoted_numbers, csv, csv, no_rows, default_parquet, parquet]
BAD = [broken_json, no_object, fields, missing_column, no_number, no_number_in_csv, wrong_width, wrong_split]
BAD += [wrong_records, unequal_columns, long_row_of_csv, empty_csv, not_utf8, media_type]
BAD += [broken_parquet, parquet_without_column]
DIFFERENT = [language_model, csv_without_header, rows_without_names, no_records, ragged_records, infinity]
DIFFERENT += [short_row, column_twice, parameters, parquet_of_another_compression]


def same_numbers(a, b):
    """The same tree of numbers, as numbers of single precision."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_numbers, a, b))
    return isinstance(a, float) and isinstance(b, float) and np.float32(a) == np.float32(b)


def difference(theirs, ours, relation):
    """What is wrong with a pair of answers, or None."""
    (their_status, their_body), (our_status, our_body) = theirs, ours
    if relation is not SAME:
        *statuses, reason = relation
        wrong = [their_status, our_status] != statuses
        return f"statuses {statuses} are expected: {reason}" if wrong else None
    if their_status != our_status:
        return "another status"
    if their_status == 200:
        equal = same_numbers(their_body["predictions"], our_body["predictions"])
        return None if equal else "other predictions"
    if their_status == 415:
        return None if isinstance(our_body, str) else "not plain text"
    if their_body["error_code"] != our_body["error_code"] or not our_body["message"]:
        return "another error_code"
    return None


def compare(their_port, our_port, draw):
    counts, failures = {}, []
    for number in range(BODIES):
        # half of them good
        kind = draw.choice(GOOD if number % 2 == 0 else BAD + DIFFERENT)
        content_type, body, relation = kind(draw)
        body = body if isinstance(body, bytes) else body.encode()
        theirs, ours = invoke(their_port, content_type, body), invoke(our_port, content_type, body)
        if wrong := difference(theirs, ours, relation):
            failures.append(f"{kind.__name__}: {wrong}\n  {content_type} {body[:300]}\n  {theirs}\n  {ours}")
        key = ("good" if number % 2 == 0 else "bad", "same" if relation is SAME else "different on purpose")
        counts[key] = counts.get(key, 0) + 1
    if failures:
        sys.exit("FAILED: " + "\n".join(text[:1500] for text in failures[:10]) + f"\n{len(failures)} in all")
    print(", ".join(f"{count} {kind} ({how})" for (kind, how), count in sorted(counts.items())))


def client(port, booster):
    """MLflow's own client, as its users use it."""
    client = ScoringServerClient("127.0.0.1", port)
    client.wait_server_ready(timeout=10)
    expect("version", client.get_version(), mlflow.__version__)
    table = pd.DataFrame([[0.5, -0.25, math.nan, 1.0], [1.5, 0.25, 2.0, 0.0]], columns=COLUMNS)
    wanted = booster.predict(xgboost.DMatrix(table))
    for what, data in {
        "a DataFrame": table,
        "its columns in another order": table[COLUMNS[::-1]],
        "an array": table.to_numpy(),
    }.items():
        found = client.invoke(data).get_predictions(predictions_format="ndarray")
        expect(what, found.astype(np.float32).tolist(), wanted.tolist())
    frame = client.invoke(table).get_predictions()
    expect("predictions as a DataFrame", len(frame), len(table))
    margins = client.invoke(table, params={"output_margin": True}).get_predictions(predictions_format="ndarray")
    wanted = booster.predict(xgboost.DMatrix(table), output_margin=True)
    expect("margins", margins.astype(np.float32).tolist(), wanted.tolist())
    try:
        client.invoke(table.drop(columns="age"))
        sys.exit("FAILED: a missing column is no error")
    except Exception as error:
        expect("the error", "column 'age' is missing: the model needs it" in str(error), True)


def main():
    portend = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        for classes in (2, 3):
            folder = Path(scratch, f"model-{classes}")
            booster = train(folder, classes, draw.randrange(1 << 31))
            with mlflow_serving(folder) as their_port, serving(portend, folder / "model.json") as our_port:
                client(our_port, booster)
                compare(their_port, our_port, draw)
    print("mlflow: ok")


main()
