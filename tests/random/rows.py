"""Rows that try a model where it may break, and their texts as CSV and JSON.

A cell is None (missing), a float, or for a category its level or code.
"""

import csv
import io
import json
import math

import numpy as np

MOST_ROWS = 160
SINGLE = np.float32
EDGES = [0.0, -0.0, 1e-35, float(SINGLE(1e-35)), -1e-35, 1e-40, -1e-40, 5e-324, 1e30, -1e30,
         float(np.finfo(SINGLE).max), 3.5e38, -1e300]  # fmt: skip
INFINITE = [math.inf, -math.inf]
BAD_CODES = [-1.0, -0.5, 0.7, 1.7, 1000.0, 16777216.0, 20000000.0, 3e9]
BAD_LEVELS = ["no such level", "A ", "2", "TRUE", "é"]


def neighbours(threshold):
    """A threshold, what lies beside it in 32 and 64 bits, and halfway between two 32-bit numbers."""
    value, single = float(threshold), SINGLE(threshold)
    below, above = (np.nextafter(single, SINGLE(way)) for way in INFINITE[::-1])
    near = [np.nextafter(value, way) for way in INFINITE]
    halves = [(float(single) + float(side)) / 2 for side in (below, above)]
    return [value, float(below), float(above), *map(float, near), *halves]


def draw_rows(rng, model):
    """Rows for a model: some of its training rows, and hard variants of them."""
    columns, count = model.columns, len(model.columns[0].values)
    known = [[cell(column, column.values[i]) for column in columns] for i in rng.integers(0, count, 40)]
    rows = list(known)

    def vary(column, value):
        row = list(known[rng.integers(len(known))])
        row[column] = value
        rows.append(row)

    picked = rng.permutation(len(model.splits))[:10]
    for feature, threshold in (model.splits[i] for i in picked):
        for value in neighbours(threshold):
            if np.isfinite(value):
                vary(feature, value)
    edges = EDGES + INFINITE * model.infinities
    for position, column in enumerate(columns):
        hard = {"number": edges, "codes": BAD_CODES + INFINITE * model.infinities,
                "levels": BAD_LEVELS}[column.kind]  # fmt: skip
        for choice in rng.choice(len(hard), 4, replace=False):
            if not isinstance(hard[choice], str) or hard[choice] not in column.levels:
                vary(position, hard[choice])
        vary(position, None)
    rows.append([None] * len(columns))
    for value in edges[:2] + INFINITE * model.infinities:
        rows.append([value if c.kind == "number" else None for c in columns])
    rows = rows[:40] + [rows[i] for i in 40 + rng.permutation(len(rows) - 40)]
    return [keep_in_range(model, row) for row in rows[:MOST_ROWS]]


def keep_in_range(model, row):
    """Without numbers that are infinite in 32 bits, where the library cannot be asked about them."""
    if model.infinities:
        return row
    most = float(np.finfo(SINGLE).max)
    return [None if isinstance(v, float) and abs(v) > most else v for v in row]


def cell(column, value):
    if math.isnan(value):
        return None
    return column.levels[int(value)] if column.kind == "levels" else float(value)


def matrix(model, rows):
    """What the library reads: unknown levels and empty cells are missing."""

    def number(column, value):
        if value is None:
            return math.nan
        if column.kind != "levels":
            return value
        value = value if isinstance(column.levels[0], str) else as_number(value)
        return float(column.levels.index(value)) if value in column.levels else math.nan

    return np.array([[number(c, v) for c, v in zip(model.columns, row)] for row in rows])


def as_number(text):
    """A level that is a number or a truth value is found by its value; True equals 1, as for Portend."""
    words = {"true": 1.0, "false": 0.0}
    try:
        return words[str(text).lower()] if str(text).lower() in words else float(text)
    except ValueError:
        return math.nan


# --- texts ----------------------------------------------------------------


def csv_cell(rng, column, value):
    if value is None:
        words = ["", "", "NA", "NaN", "null", "None"] if column.kind != "levels" else [""]
        return str(rng.choice(words))
    if isinstance(value, (str, bool, int)):
        return str(value)
    forms = [repr, "{:.17e}".format, "{:.17g}".format, "{:.25g}".format, " {!r} ".format]
    return forms[rng.choice(5, p=[0.6, 0.1, 0.1, 0.1, 0.1])](value)


def json_cell(rng, value):
    if isinstance(value, float):
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return repr(value) if rng.random() < 0.1 else value
    return value


def names(model):
    """Column names of a request; of a model without names only their order counts."""
    return [c.name if model.named else f"any {i}" for i, c in enumerate(model.columns)]


def csv_text(rng, model, rows):
    header = names(model)
    order = rng.permutation(len(header)) if model.named else range(len(header))
    extra = ["not read"] if model.named and rng.random() < 0.5 else []
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=str(rng.choice(["\n", "\r\n"])))
    writer.writerow([header[i] for i in order] + extra)
    for row in rows:
        writer.writerow([csv_cell(rng, model.columns[i], row[i]) for i in order] + extra)
    return out.getvalue()


def json_text(rng, model, rows):
    header = names(model)
    order = rng.permutation(len(header)) if model.named else range(len(header))
    records = []
    for number, row in enumerate(rows):
        # the first record has every key: it gives the positions, and no column may be missing in all
        keep = [i for i in order if number == 0 or row[i] is not None or not model.named or rng.random() < 0.5]
        records.append({header[i]: json_cell(rng, row[i]) for i in keep})
    return json.dumps(records, ensure_ascii=False)
