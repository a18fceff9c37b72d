#!/usr/bin/env python3
"""Write the demo packages and scoring files in this folder.

    python make.py

Needs the environment of testdata/models/requirements.txt and shares the code
of testdata/models/make.py.  The same command writes the same bytes every time.

fraud/model_x.mlpkg             mortgage applications (Ecdat Hdma, by pydataset):
                                will one be denied?  XGBoost, classes no and yes
revenue/revenue-estimate.mlpkg  films (Wikidata, CC0, by bokeh_sampledata): box
                                office in US dollars, LightGBM
*-scoring.csv                   ten rows each that the models have not seen
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "testdata" / "models"))

import make as golden  # noqa: E402, the one in testdata/models

CONFIG = """\
deployment_id: 5fc92906ad764dde6c3264fa
association_id_settings:
  column_name: id
  allow_missing_values: false
"""


def fraud():
    table = golden.r_table("Ecdat/Hdma")
    denied = golden.class_index(table["deny"], ["no", "yes"])
    numbers = ["dir", "hir", "lvr", "ccs", "mcs", "uria", "comdominiom"]
    words = ["pbcr", "dmi", "self", "single"]
    # The data have two empty cells; empty a few more, as forms come in.
    table = golden.blank(golden.take(table, *numbers, *words), 0.04, 5)
    ids = [f"A-{number:05}" for number in range(1, len(denied) + 1)]
    spec = golden.Spec(
        title="Model X",
        about="Mortgage applications of 1990 (Ecdat Hdma, by pydataset) stand in for suspicious ones: "
        "yes is an application that was denied.",
        table=table, target="deny", y=denied, task="binary",
        classes=["no", "yes"], positive="yes", threshold=0.5,
        dtypes={name: golden.levels(table[name]) for name in words} | {"comdominiom": "int64"},
        params={"objective": "binary:logistic", "max_depth": 4, "eta": 0.15, "scale_pos_weight": 3},
        rounds=40, file="model.json", frame=True,
    )  # fmt: skip
    return spec, ids


def revenue():
    table, ids, dollars = golden.films()
    table = {name.replace("Länge_Minuten", "Runtime"): cells for name, cells in table.items()}
    spec = golden.Spec(
        title="Revenue estimate",
        about="Box office of films in US dollars (Wikidata, CC0, by bokeh_sampledata).",
        table=table, target="revenue", y=dollars, task="regression",
        dtypes=golden.film_dtypes(table),
        params={"objective": "poisson", "num_leaves": 16, "min_data_per_group": 10},
        rounds=60, file="model.txt", frame=True,
    )  # fmt: skip
    return spec, ids


def pick(table, rows):
    return {name: [cells[i] for i in rows] for name, cells in table.items()}


def hold_out(spec, ids, seed):
    """Take ten rows out of a spec's table: the scoring file's."""
    order = np.random.default_rng(seed).permutation(len(ids))
    scoring, training = order[:10], np.sort(order[10:])
    rows = {"id": [ids[i] for i in scoring]} | pick(spec.table, scoring)
    spec.table, spec.y = pick(spec.table, training), spec.y[training]
    return rows


def zip_folder(folder, path):
    """Zip a folder so that the same files give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())


def write(spec, ids, library, seed, package, scoring):
    rows = hold_out(spec, ids, seed)
    golden.write(HERE / scoring, golden.csv_text(rows))
    model = golden.LIBRARIES[library](spec)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder) / "package"
        golden.write_package(folder, Path(package).stem, spec, model, spec.table)
        zip_folder(folder, HERE / package)
    predictions = model.predict({name: rows[name] for name in spec.table})[1]
    print(package, *(f"{p:.4g}" for p in predictions))


def main():
    write(*fraud(), "xgboost", 12, "fraud/model_x.mlpkg", "fraud-scoring.csv")
    write(*revenue(), "lightgbm", 1, "revenue/revenue-estimate.mlpkg", "revenue-scoring.csv")
    golden.write(HERE / "revenue" / "config.yml", CONFIG)


if __name__ == "__main__":
    main()
