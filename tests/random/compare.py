#!/usr/bin/env python3
"""Compare Portend with the real libraries on models drawn at random.

    python compare.py BINARY [--models N] [--seed N] [--only NUMBER ...] [--allow-refused]

N models of XGBoost and LightGBM are drawn, trained and saved as bare files, and
served by one `portend serve`. Rows are posted to each as CSV and as JSON, and
every number of the answers is compared with the library's:

    exact   predictions that are margins: equal to the last bit
    close   other predictions: within 1e-6 (XGBoost), 1e-12 (LightGBM), relative
    share   probabilities: the same, and one rounding at 1 more, for 1 - p

A LightGBM file that does not tell the columns of its levels is refused as a bare
file, and compared as a package that tells them.

Any other answer, and any refusal without --allow-refused, is a failure: the
model, the seed, the row and both numbers are printed, the model file is kept,
and the exit code is 1. --only draws just these numbers of a seed again.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))

from models import draw  # noqa: E402
from rows import csv_text, draw_rows, json_text, matrix  # noqa: E402
from server import Connection, serving  # noqa: E402

LOAD_SECONDS = 60
TOLERANCE = {"xgboost": (1e-6, 2.0**-23), "lightgbm": (1e-12, 2.0**-52)}  # relative; one rounding at 1
UNSURE = "does not tell their columns"  # what a package can say is said by one
TASKS = {"numbers": "regression", "binary": "binary", "classes": "multiclass"}
TINY = {"xgboost": 2.0**-149, "lightgbm": 5e-324}  # where numbers have no more digits


class Disagreement(Exception):
    """An answer that is not the library's."""


def wanted(model, told):
    """The library's predictions as Portend orders its answer: of two classes the positive one first."""
    if model.form == "binary":
        kind = np.float32 if model.library == "xgboost" else np.float64
        p = told[:, 0].astype(kind)
        return np.column_stack([p, kind(1) - p]).astype(np.float64)
    return told


def differs(model, found, expected):
    """Whether a number is not the library's. Numbers that are not finite are null on the wire."""
    if found is None or not math.isfinite(expected):
        return not (found is None and not math.isfinite(expected))
    if model.link == "exact":
        return found != expected and np.float32(found) != expected if model.library == "xgboost" else found != expected
    relative, rounding = TOLERANCE[model.library]
    room = relative * abs(expected) + 4 * TINY[model.library] + (rounding if model.link == "share" else 0)
    return not abs(found - expected) <= room


def check_label(model, row, record, expected):
    """The label or number that stands for the whole row."""
    label, values = record["prediction"], [v["value"] for v in record["predictionValues"]]
    if model.form == "binary" and abs(expected[0] - 0.5) > 1e-6 and float(label) != (expected[0] > 0.5):
        raise Disagreement(f"row {row}: label {label!r} for probability {expected[0]!r}")
    if model.form == "classes":
        first, second = np.sort(expected)[-2:][::-1]
        if first - second > 1e-6 and float(label) != expected.argmax():
            raise Disagreement(f"row {row}: label {label!r} for probabilities {expected.tolist()}")
    if model.form == "numbers" and len(expected) == 1 and label != values[0]:
        raise Disagreement(f"row {row}: prediction {label!r}, predictionValues {values}")


def check_answer(model, form, answer, expected):
    records = json.loads(answer)["data"]
    if len(records) != len(expected):
        raise Disagreement(f"{form}: {len(expected)} rows sent, {len(records)} answered")
    for row, (record, numbers) in enumerate(zip(records, expected)):
        values = [v["value"] for v in record["predictionValues"]]
        if len(values) != len(numbers):
            raise Disagreement(f"{form}, row {row}: {len(values)} values, the library has {len(numbers)}")
        for output, (found, number) in enumerate(zip(values, numbers)):
            if differs(model, found, number):
                raise Disagreement(
                    f"{form}, row {row}, output {output}: Portend {found!r}, {model.library} {float(number)!r}"
                )
        check_label(model, row, record, numbers)


def post(connection, name, form, body):
    kind = {"CSV": "text/csv; charset=utf-8", "JSON": "application/json"}[form]
    status, _, answer = connection.post(f"/deployments/{name}/predictions", body, Content_Type=kind)
    if status != 200:
        raise Disagreement(f"{form}: status {status}: {answer.strip()}")
    return answer


def compare(connection, seed, model, folder):
    """Post rows to a model in both forms."""
    rng = np.random.default_rng([seed, model.number, 1])
    rows = draw_rows(rng, model)
    with np.errstate(all="ignore"):
        expected = wanted(model, model.answer(matrix(model, rows)))
    bodies = {"CSV": csv_text(rng, model, rows), "JSON": json_text(rng, model, rows)}
    try:
        for form, body in bodies.items():
            check_answer(model, form, post(connection, folder.name, form, body), expected)
    except Disagreement:
        (folder / "rows.csv").write_text(bodies["CSV"], encoding="utf-8", newline="")
        (folder / "rows.json").write_text(bodies["JSON"], encoding="utf-8")
        raise


def get(connection, path):
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def refusals(connection):
    """The models that could not be loaded, with the reason, when none is loading any more."""
    end = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < end:
        deployments = get(connection, "/deployments")["deployments"]
        if all(d["loaded"] or d.get("error") for d in deployments):
            return {d["id"]: d["error"]["message"] for d in deployments if not d["loaded"]}
        time.sleep(0.1)
    sys.exit(f"FAILED: models are still loading after {LOAD_SECONDS} s")


def draw_all(seed, numbers, folder):
    models, untrained = {}, {}
    for number in numbers:
        name = f"model-{number}"
        try:
            models[name] = draw(seed, number, folder / name)
        except Exception as error:  # a combination that the library itself refuses
            shutil.rmtree(folder / name, ignore_errors=True)
            untrained[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return models, untrained


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of single models to draw again")
    parser.add_argument("--allow-refused", action="store_true", help="a refused model is no failure")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    print(f"seed {options.seed}", flush=True)
    warnings.simplefilter("ignore")
    numbers = options.only or range(options.models)
    with tempfile.TemporaryDirectory(prefix="portend-random-") as work:
        failed = run(options, Path(work), numbers)
        if failed:
            kept = Path(tempfile.mkdtemp(prefix=f"portend-random-{options.seed}-"))
            for name in failed:
                shutil.copytree(Path(work) / name, kept / name)
            print(f"FAILED: {len(failed)} of {len(numbers)} models; their files are kept in {kept}")
            again = " ".join(name.removeprefix("model-") for name in failed)
            sys.exit(f"again: compare.py {options.binary} --seed {options.seed} --only {again}")


def describe(model, folder):
    """Makes the directory a package whose manifest says what the refusal of the bare file asks for."""
    features = [
        {"name": c.name, "dtype": "category" if c.kind == "levels" else "float64", "categories": c.levels, "order": i}
        for i, c in enumerate(model.columns)
    ]
    manifest = {"format": "portend.mlpkg", "format_version": 1, "model": {"kind": model.library, "path": model.file},
                "task": TASKS[model.form], "target": {"name": "target"}, "features": features}  # fmt: skip
    (folder / "portend.json").write_text(json.dumps(manifest), encoding="utf-8")


def run(options, work, numbers):
    """Draw, serve and compare; gives the names of models that failed."""
    start = time.monotonic()
    models, untrained = draw_all(options.seed, numbers, work)
    print(f"{len(models)} models trained in {time.monotonic() - start:.0f} s", flush=True)
    for name, reason in untrained.items():
        print(f"{name}: not trained: {reason}")
    if len(models) < len(numbers) * 0.9:
        sys.exit("FAILED: the libraries refuse too many of the drawn combinations")
    told = compare_all(options, work, models)
    unsure = {name: models[name] for name, (refused, _) in told.items() if refused and UNSURE in refused}
    for name, model in unsure.items():
        describe(model, work / name)
    if unsure:
        told |= compare_all(options, work, unsure)
    failed = []
    for name, (refused, differs) in told.items():
        if refused or differs:
            print(f"{name}: {f'refused: {refused}' if refused else f'DISAGREES: {differs}'}")
            print(f"    {models[name].describe()}")
        if differs or (refused and not options.allow_refused):
            failed.append(name)
    refused = sum(bool(refused) for refused, _ in told.values())
    agreed = sum(not refused and not differs for refused, differs in told.values())
    print(
        f"{agreed} models agree in both forms, {len(unsure)} of them as packages, {refused} refused,"
        f" {len(untrained)} not trained; {time.monotonic() - start:.0f} s"
    )
    return failed


def compare_all(options, work, models):
    """For each model why it was refused, and how it differs."""
    told = {}
    with serving(options.binary, work, PREDICTION_API_PRELOAD_MODELS_ENABLED="true") as port:
        connection = Connection(port)
        refused = refusals(connection)
        for name, model in models.items():
            told[name] = (refused.get(name), None)
            if name in refused:
                continue
            try:
                compare(connection, options.seed, model, work / name)
            except Disagreement as difference:
                told[name] = (None, difference)
    return told


if __name__ == "__main__":
    main()
