#!/usr/bin/env python3
"""Write the golden model cases under testdata/models/.

    python make.py [case ...]            write cases
    python make.py --check [case ...]    ask the libraries again about the committed models
    python make.py --answers [case ...]  write rows and answers anew, of the committed models

Each case is a folder with a Portend package (package/), raw input rows
(rows.csv) and what the library that wrote the model says about those rows
(expected.json).  Without names every case is taken that the installed
libraries can write; the rest is skipped with a line that says so.  The same
command writes the same bytes every time on one kind of processor.

One virtual environment per pin file, because a case belongs to one release:

    requirements.txt                xgboost 3.2, lightgbm 4.7   (most cases)
    requirements-xgboost-3.0.txt    xgboost 3.0                 (xgb30_*)
    requirements-xgboost-2.1.txt    xgboost 2.1                 (xgb21_*)
    requirements-xgboost-1.7.txt    xgboost 1.7                 (xgb17_*)
    requirements-lightgbm-3.3.txt   lightgbm 3.3                (lgb33_*)

Beside this file: spec.py says what a case is, cases_*.py are the cases, data.py
has their tables, libraries.py asks the libraries, rows.py chooses the rows.
"""

import csv
import hashlib
import importlib.metadata
import io
import json
import shutil
import sys
from pathlib import Path

import cases_lightgbm  # noqa: F401 (fills CASES, as do the others)
import cases_xgboost  # noqa: F401
import cases_xgboost_older  # noqa: F401
import numpy as np
from data import read_table
from libraries import LIBRARIES
from rows import sample_rows
from spec import CASES

HERE = Path(__file__).resolve().parent
CREATED = "2026-11-21T00:00:00Z"


def csv_text(table):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values()))
    return out.getvalue()


def nested(values):
    """An array of rows as lists of Python numbers that print without loss."""
    values = values.reshape(len(values), values.size // max(len(values), 1))
    return values.tolist()  # a float32 widens to the float64 of the same value


def outputs(spec, predictions):
    """Predictions as the server gives them: one probability per class."""
    if spec.task == "binary":
        predictions = np.column_stack([predictions.dtype.type(1) - predictions, predictions])
    return nested(predictions)


def json_rows(rows):
    lines = ",\n".join(json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows)
    return f"[\n{lines}]"


def manifest(name, spec, kind, version):
    target = {"name": spec.target}
    if spec.classes:
        target["classes"] = spec.classes
    if spec.task == "binary":
        target |= {"positive_class": spec.positive, "threshold": spec.threshold}
    several = {"outputs": [{"name": name} for name in spec.outputs]} if spec.outputs else {}

    def feature(order, column):
        dtype = spec.kind(column)
        entry = {"name": column, "dtype": "category" if isinstance(dtype, list) else dtype}
        entry |= {"required": True, "nullable": True}
        if isinstance(dtype, list):
            entry["categories"] = dtype
        return entry | {"order": order}

    return {
        "format": "portend.mlpkg",
        "format_version": 1,
        "id": name,
        "name": spec.title,
        "version": "1",
        "created": CREATED,
        "description": " ".join(spec.about.split()),
        "model": {
            "kind": kind,
            "path": f"model/{spec.file}",
            "framework_version": version,
            "options": {},
        },
        "task": spec.task,
        "target": target,
        **several,
        "features": [feature(i, column) for i, column in enumerate(spec.table)],
        "metadata": {},
    }


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8"))


def write_checksums(package):
    (package / "checksums.txt").unlink(missing_ok=True)  # it does not list itself
    files = sorted(p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file())
    lines = [f"{hashlib.sha256((package / f).read_bytes()).hexdigest()}  {f}\n" for f in files]
    write(package / "checksums.txt", "".join(lines))


def write_package(package, name, spec, model, rows):
    """Write a package around a saved model; its samples are the first rows of a table."""
    version = model.lib.__version__
    head = {column: cells[:5] for column, cells in rows.items()}
    predictions = outputs(spec, model.predict(head)[1])
    described = json.dumps(manifest(name, spec, model.kind, version), indent=2, ensure_ascii=False)
    write(package / "portend.json", described + "\n")
    write(package / "samples" / "input.csv", csv_text(head))
    write(package / "samples" / "output.json", '{"predictions": ' + json_rows(predictions) + "}\n")
    write_checksums(package)


def write_case(name, library, function):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    spec = function()
    path = folder / "package" / "model" / spec.file
    path.parent.mkdir(parents=True)
    LIBRARIES[library].train(spec, str(path))
    return write_answers(name, library, function)


def write_answers(name, library, function):
    folder = HERE / name
    spec = function()
    model = LIBRARIES[library](spec, str(folder / "package" / "model" / spec.file))
    write(folder / "rows.csv", csv_text(finite(model, sample_rows(spec, model.splits(), model.infinities))))
    rows = read_rows(folder)
    write_package(folder / "package", name, spec, model, rows)
    answers, shape = expected(library, spec, model, rows)
    write(folder / "expected.json", answers)
    write(
        folder / "README.md",
        f"# {name}: {spec.title}\n\n{spec.about}\n\n"
        f"Written by {library} {model.lib.__version__}: {shape[1]} trees, {shape[0]} rows.\n"
        f"Margins: equal bit for bit; predictions: {model.prediction_tolerance:g} relative.\n",
    )
    return f"{shape[0]} rows, {shape[1]} trees"


def finite(model, rows):
    """Without the rows whose answer is no finite number, which JSON cannot hold."""
    answers = [a.reshape(len(a), -1) for a in model.predict(rows)[:2]]
    keep = np.isfinite(np.hstack(answers)).all(axis=1)
    return {name: [cell for cell, kept in zip(cells, keep) if kept] for name, cells in rows.items()}


def read_rows(folder):
    with open(folder / "rows.csv", encoding="utf-8", newline="") as file:
        return read_table(file)


def expected(library, spec, model, rows):
    """What the library answers, as text, and its numbers of rows and trees."""
    margins, predictions, leaves = model.predict(rows)
    leaves = leaves.reshape(len(margins), leaves.size // len(margins)).astype(int)
    tolerance = {"margins": 0.0, "predictions": model.prediction_tolerance}
    parts = [
        f'{{"library": {json.dumps(f"{library} {model.lib.__version__}")}',
        f'"task": {json.dumps(spec.task)}',
        f'"tolerance": {json.dumps(tolerance)}',
        f'"margins": {json_rows(nested(margins))}',
        f'"predictions": {json_rows(outputs(spec, predictions))}',
        f'"leaves": {json_rows(nested(leaves))}}}\n',
    ]
    return ",\n".join(parts), leaves.shape


def check_case(name, library, function):
    """Ask the library again about the committed model; training anew could differ between processors."""
    folder = HERE / name
    spec = function()
    saved = next((folder / "package" / "model").iterdir())
    answers, shape = expected(library, spec, LIBRARIES[library](spec, str(saved)), read_rows(folder))
    if answers != (folder / "expected.json").read_text(encoding="utf-8"):
        sys.exit(f"{name}: expected.json is not what {library} answers")
    return f"{shape[0]} rows, {shape[1]} trees, as the library answers"


def installed(library):
    for distribution in (library, f"{library}-cpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            pass
    return ""


def main(wanted):
    work = write_case
    for option, instead in {"--check": check_case, "--answers": write_answers}.items():
        if option in wanted:
            work, wanted = instead, [name for name in wanted if name != option]
    if unknown := set(wanted) - set(CASES):
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    for name, (library, version, function) in CASES.items():
        if wanted and name not in wanted:
            continue
        if installed(library).startswith(version):
            print(f"{name}: {work(name, library, function)}", flush=True)
        elif wanted:
            sys.exit(f"{name} needs {library} {version}x, found {installed(library) or 'none'}")
        else:
            print(f"{name}: skipped, needs {library} {version}x")


if __name__ == "__main__":
    main(sys.argv[1:])
