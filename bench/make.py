"""Trains the benchmark models and writes the benchmark inputs into a folder: make.py FOLDER

Everything comes from one seed, so two runs on one machine give the same bytes; made.json, which is
written last, holds every file's SHA-256 and marks the folder as complete.

    model.json  XGBoost, binary:logistic, 500 trees of depth 6
    lgb.txt     LightGBM, binary, 500 trees of 63 leaves, from the same rows
    1.csv 100.csv 10k.csv 50mb.csv   a header and rows
    1.json 100.json 10k.json         the same rows as a list of records
    10k.npy                          the same 10,000 rows as float32
"""

import hashlib
import json
import pathlib
import sys

import lightgbm
import numpy as np
import xgboost

SEED = 20250101
COLUMNS = 30
NAMES = [f"f{i}" for i in range(COLUMNS)]
TREES = 500
DEPTH = 6
LEAVES = 63
TRAIN_ROWS = 100_000
LARGE_BYTES = 52_428_800
# A fixed count, not the machine's: the order in which threads add up decides the last bits.
THREADS = 2


def draw(rng, rows):
    """Rows of three kinds of column in turn: around zero, a wide even range, a long tail."""
    x = rng.standard_normal((rows, COLUMNS))
    x[:, 1::3] = rng.uniform(0, 1000, x[:, 1::3].shape)
    x[:, 2::3] = np.exp(x[:, 2::3])
    return x


def label(rng, x):
    """0 or 1 from all columns with interactions, and noise enough that no tree runs out of splits."""
    z = x.copy()
    z[:, 1::3] = z[:, 1::3] / 250 - 2
    z[:, 2::3] = np.log(z[:, 2::3])
    score = z @ rng.normal(0, 0.4, COLUMNS)
    for _ in range(40):
        a, b = rng.choice(COLUMNS, 2, replace=False)
        score += rng.normal(0, 0.5) * np.where(z[:, a] > rng.normal(), z[:, b], -z[:, b])
    noise = rng.logistic(0, 0.5, len(x))
    return (score - np.median(score) + noise > 0).astype(np.float32)


def train(folder):
    rng = np.random.default_rng(SEED)
    x = draw(rng, TRAIN_ROWS).astype(np.float32)
    y = label(rng, x)

    # A split is never refused for want of weight or gain, so that trees are full: a half-empty
    # tree would flatter every server.
    booster = xgboost.train(
        {
            "objective": "binary:logistic",
            "max_depth": DEPTH,
            "eta": 0.05,
            "min_child_weight": 0,
            "lambda": 5,
            "tree_method": "hist",
            "seed": SEED,
            "nthread": THREADS,
        },
        xgboost.DMatrix(x, y, feature_names=NAMES),
        TREES,
    )
    booster.save_model(folder / "model.json")
    trees = [len(tree.splitlines()) for tree in booster.get_dump()]
    print(f"model.json: {len(trees)} trees, nodes mean {np.mean(trees):.1f} least {min(trees)}")

    forest = lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": LEAVES,
            "learning_rate": 0.05,
            "deterministic": True,
            "force_row_wise": True,
            "seed": SEED,
            "num_threads": THREADS,
            "verbose": -1,
        },
        lightgbm.Dataset(x, y, feature_name=NAMES),
        TREES,
    )
    forest.save_model(folder / "lgb.txt")
    leaves = [tree["num_leaves"] for tree in forest.dump_model()["tree_info"]]
    print(f"lgb.txt: {len(leaves)} trees, leaves mean {np.mean(leaves):.1f} least {min(leaves)}")


def write_inputs(folder):
    # Rows that no model was trained on. The printed text is the value: JSON and .npy are read back
    # from it, so that every form of a file asks for the same predictions.
    rng = np.random.default_rng(SEED + 1)
    header = ",".join(NAMES) + "\n"
    line = ",".join(["%.6g"] * COLUMNS) + "\n"

    lines = [line % tuple(row) for row in draw(rng, 10_000).tolist()]
    for name, rows in (("1", 1), ("100", 100), ("10k", 10_000)):
        (folder / f"{name}.csv").write_text(header + "".join(lines[:rows]))
        records = [dict(zip(NAMES, map(float, text.split(",")))) for text in lines[:rows]]
        (folder / f"{name}.json").write_text(json.dumps(records, separators=(",", ":")))
    values = np.array([text.split(",") for text in lines], dtype=np.float64)
    np.save(folder / "10k.npy", values.astype(np.float32))

    size, rows = len(header), 0
    with open(folder / "50mb.csv", "w") as out:
        out.write(header)
        while size < LARGE_BYTES:
            for row in draw(rng, 10_000).tolist():
                text = line % tuple(row)
                size += len(text)
                if size >= LARGE_BYTES:
                    break
                out.write(text)
                rows += 1
    print(f"50mb.csv: {rows} rows, {(folder / '50mb.csv').stat().st_size} bytes")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make.py FOLDER")
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "made.json"
    stamp.unlink(missing_ok=True)
    train(folder)
    write_inputs(folder)
    sums = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.suffix in (".json", ".txt", ".csv", ".npy")
    }
    stamp.write_text(json.dumps(sums, indent=1) + "\n")


main()
