"""Rows scored per second of CPU by each library on one thread, without any server around it.

    kernel.py FOLDER [--repeats N] [--out FILE]

FOLDER is what make.py wrote. Each library gets float32 rows that are already in memory, 10,000 in a
call and one in a call. CPU time is counted and the best repeat kept: on a shared machine both are
steadier than the clock on the wall.
"""

import argparse
import json
import os
import pathlib
import time

# Before the libraries load OpenMP.
os.environ["OMP_NUM_THREADS"] = "1"

import lightgbm
import numpy as np
import onnxruntime
import xgboost
from onnxmltools.convert import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

# One-row calls in a repeat: enough to outlast the clock's grain.
CALLS = 1000


def libraries(folder, rows):
    """Each library's name and a function from rows to the probability of class 1."""
    booster = xgboost.Booster({"nthread": 1}, model_file=folder / "model.json")
    yield "xgboost", lambda x: booster.inplace_predict(x, validate_features=False)

    graph = convert_xgboost(
        booster, initial_types=[("rows", FloatTensorType([None, rows.shape[1]]))]
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    yield "onnxruntime", lambda x: session.run(["probabilities"], {"rows": x})[0][:, 1]

    forest = lightgbm.Booster(model_file=folder / "lgb.txt")
    yield "lightgbm", lambda x: forest.predict(x, num_threads=1)


def rows_per_second(score, batches, repeats):
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for batch in batches:
            score(batch)
        best = min(best, time.process_time() - start)
    return sum(len(batch) for batch in batches) / best


def main():
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--out", type=pathlib.Path)
    given = options.parse_args()

    rows = np.load(given.folder / "10k.npy")
    singles = [rows[i : i + 1] for i in range(CALLS)]
    found, answers = {}, {}
    for name, score in libraries(given.folder, rows):
        answers[name] = score(rows)  # warms up as well
        found[name] = {
            "rows_per_cpu_s_10k": rows_per_second(score, [rows], given.repeats),
            "rows_per_cpu_s_1": rows_per_second(score, singles, given.repeats),
        }
    # Speed counts only for the right answer. LightGBM's model is another one, with its own answers.
    apart = float(np.abs(answers["xgboost"] - answers["onnxruntime"]).max())
    if apart > 1e-5:
        raise SystemExit(f"onnxruntime's answers are off by {apart}: the conversion is wrong")

    print(f"{'rows per CPU second':<24}{'10,000 a call':>16}{'1 a call':>12}")
    for name, figures in found.items():
        many, one = figures.values()
        print(f"{name:<24}{many:>16,.0f}{one:>12,.0f}")
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


main()
