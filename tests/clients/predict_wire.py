#!/usr/bin/env python3
"""Replay the requests of the datarobot-predict client, without the client.

    python predict_wire.py PORTEND

The client always asks for CSV, posts CSV as pandas writes it, always sends
maxExplanations and builds passthroughColumns from a set, so in any order.
"""

import csv
import io
import itertools
import json
import sys
import zipfile
from urllib.parse import quote, quote_plus, urlencode

from server import DEMO, Connection, expect, expect_close, serving

HEADERS = {"Authorization": "Bearer any", "Accept": "text/csv", "Content_Type": "text/csv"}
FRAUD = ["deny_yes_PREDICTION", "deny_no_PREDICTION", "deny_PREDICTION"]
FRAUD += ["THRESHOLD", "POSITIVE_CLASS"]
# Columns beside the model's own, each with a cell for each of the five sample rows.
EXTRA = {
    "id": ["A-3", "A-1", "A-5", "A-2", "A-4"],
    "Länge & Größe +1": ["007", "1e3", "", "-0.0", "9007199254740993"],
    '顧客, "名前"': ["山田", 'say "hi", twice', "two\nlines", "a+b=100%", " padded "],
    "approved": ["True", "False", "", "True", "False"],
}


def read_table(text):
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    return {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}


def csv_text(table):
    """As pandas writes it: LF, quotes where they are needed, empty for a missing cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values()))
    return text.getvalue()


def as_pandas(table):
    """A whole column turns to floats when pandas meets an empty cell among integers."""
    floats = lambda cells: [f"{cell}.0" if cell.isdecimal() else cell for cell in cells]
    return {name: floats(cells) if "" in cells else cells for name, cells in table.items()}


def samples(package):
    """The rows that a package carries, with what its library predicts for them."""
    with zipfile.ZipFile(package) as archive:
        table = read_table(archive.read("samples/input.csv").decode("utf-8"))
        return table, json.loads(archive.read("samples/output.json"))["predictions"]


def query(*more, quote_via=quote_plus):
    return urlencode([("maxExplanations", "0"), *more], quote_via=quote_via)


def score(connection, target, table):
    status, headers, text = connection.post(target, csv_text(table), **HEADERS)
    expect(f"status of {target} ({text[:300]})", status, 200)
    expect(f"type of {target}", headers.get_content_type(), "text/csv")
    return read_table(text)


def refused(connection, target, table, status, part):
    """An answer that is JSON although CSV was asked for, with a part of its message."""
    found, headers, text = connection.post(target, csv_text(table), **HEADERS)
    expect(f"status of {target} ({text[:300]})", found, status)
    expect(f"type of {target}", headers.get_content_type(), "application/json")
    message = json.loads(text)["message"]
    expect(f"{part!r} in {message!r}", part in message, True)


def check_fraud(where, answer, wanted, passthrough):
    expect(f"columns of {where}", list(answer)[: len(FRAUD)], FRAUD)
    expect(
        f"passthrough of {where}", {c: answer[c] for c in list(answer)[len(FRAUD) :]}, passthrough
    )
    expect(f"rows of {where}", len(answer["THRESHOLD"]), len(wanted))
    expect(f"thresholds of {where}", {float(cell) for cell in answer["THRESHOLD"]}, {0.5})
    expect(f"positive class of {where}", set(answer["POSITIVE_CLASS"]), {"yes"})
    for row, (no, yes) in enumerate(wanted):
        # XGBoost computes in single precision.
        expect_close(f"row {row} of {where}", float(answer["deny_yes_PREDICTION"][row]), yes, 1e-6)
        expect_close(f"row {row} of {where}", float(answer["deny_no_PREDICTION"][row]), no, 1e-6)
        expect(
            f"row {row} of {where}", answer["deny_PREDICTION"][row], "yes" if yes > 0.5 else "no"
        )


def single_model(connection):
    rows, wanted = samples(DEMO / "fraud" / "model_x.mlpkg")
    table = {**EXTRA, **rows}

    by_id = {"id": EXTRA["id"]}
    deployment = "/deployments/5fc92906ad764dde6c3264fa/predictions"
    paths = [f"/predApi/v1.0{deployment}", f"/api/v2{deployment}", "/predictions"]
    # An endpoint written with a slash at its end gives two of them.
    for path in [*paths, "//predictions"]:
        target = f"{path}?{query(('passthroughColumns', 'id'))}"
        check_fraud(target, score(connection, target, table), wanted, by_id)

    for names in itertools.permutations(EXTRA):
        for quote_via in (quote_plus, quote):  # a space goes out as + or as %20
            columns = [("passthroughColumns", name) for name in names]
            target = f"//predictions?{query(*columns, quote_via=quote_via)}"
            check_fraud(target, score(connection, target, table), wanted, EXTRA)

    target = f"/predictions?{query(('passthroughColumns', 'lvr'))}"
    check_fraud(target, score(connection, target, rows), wanted, {"lvr": rows["lvr"]})

    for value in ("True", "False"):
        target = f"/predictions?{query(('excludeAdjustedPredictions', value))}"
        check_fraud(target, score(connection, target, rows), wanted, {})

    # Not last: the connection must outlive a refusal, or say that it ends.
    refused(connection, "/predictions?maxExplanations=3", rows, 422, "not available for this model")

    plain = read_table((DEMO / "fraud-scoring.csv").read_text(encoding="utf-8"))
    expect("the demo rows have empty cells among integers", as_pandas(plain) == plain, False)
    target = f"/predictions?{query(('passthroughColumns', 'id'))}"
    expect(
        "integers written as floats",
        score(connection, target, as_pandas(plain)),
        score(connection, target, plain),
    )


def many_models(connection):
    rows, wanted = samples(DEMO / "fraud" / "model_x.mlpkg")
    films, dollars = samples(DEMO / "revenue" / "revenue-estimate.mlpkg")
    films = {"id": EXTRA["id"], **films}
    for prefix in ("", "/", "/predApi/v1.0", "/api/v2"):
        target = f"{prefix}/deployments/fraud/predictions?{query()}"
        check_fraud(target, score(connection, target, rows), wanted, {})

        target = f"{prefix}/deployments/revenue/predictions?{query(('passthroughColumns', 'id'))}"
        answer = score(connection, target, films)
        expect(f"columns of {target}", list(answer), ["revenue_PREDICTION", "id"])
        expect(f"ids of {target}", answer["id"], EXTRA["id"])
        expect(f"rows of {target}", len(answer["id"]), len(dollars))
        for row, (found, [value]) in enumerate(zip(answer["revenue_PREDICTION"], dollars)):
            expect_close(f"row {row} of {target}", float(found), value, 1e-12)

        target = f"{prefix}/deployments/fraud/predictions?maxExplanations=3"
        refused(connection, target, rows, 422, "not available for this model")
        target = f"{prefix}/deployments/none/predictions?{query()}"
        refused(connection, target, rows, 404, "deployment")


def main(binary):
    with serving(binary, DEMO / "fraud") as port:
        single_model(Connection(port))
    with serving(binary, DEMO) as port:
        many_models(Connection(port))
    print("datarobot-predict wire form: one model and many, all answers as expected")


if __name__ == "__main__":
    main(*sys.argv[1:])
