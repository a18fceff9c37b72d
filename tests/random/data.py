"""Random training data: columns of many kinds and scales, and a target that depends on them."""

from dataclasses import dataclass, field

import numpy as np

# Levels that a careless reader would take for something else. XGBoost 3.1 and 3.2 write those
# beyond ASCII cut off, so it gets the first list only.
WORDS = ["a", "b", "A", "1", "1.0", "NA", "nan", "true", "null", "x,y", 'say "x"', "a b", " a", "a\\b", "[0]"]
MORE_WORDS = ["Müller", "東京", "é", "naïve 🙂"]
NAMES = ["x", "rate", "Größe_", "a.b-", "col/"]


@dataclass
class Column:
    """One feature: numbers, codes that are split as categories, or named levels."""

    name: str
    kind: str  # number, codes, levels
    levels: list = field(default_factory=list)
    ordered: bool = False
    values: np.ndarray = None  # float64; of levels their codes
    plain: np.ndarray = None  # the same before scaling, what the target is made of


def levels(rng, library):
    kind = rng.choice(["words", "whole", "truth", "fractions"], p=[0.6, 0.2, 0.1, 0.1])
    if kind == "whole":
        return [int(v) for v in np.sort(rng.choice(40, rng.integers(2, 20), replace=False)) - 5]
    if kind == "truth" and library == "lightgbm":
        return [False, True]
    if kind == "fractions" and library == "lightgbm":
        return sorted({float(v) for v in np.round(rng.normal(size=rng.integers(2, 9)), 2)})
    words = WORDS + MORE_WORDS * (library == "lightgbm") + [f"level {i}" for i in range(60)]
    return sorted(rng.choice(words, rng.integers(2, rng.choice([6, 60])), replace=False).tolist())


def numbers(rng, rows, widest):
    """Values of one scale: normal, counts, 0 and 1, mostly zero, few distinct, or far from zero."""
    plain = rng.normal(size=rows)
    shape = rng.choice(["normal", "counts", "truth", "sparse", "few", "far"], p=[0.45, 0.15, 0.1, 0.1, 0.1, 0.1])
    if shape == "truth":
        return (plain > 0).astype(float), plain
    if shape == "counts":
        return np.floor(np.abs(plain) * 5), plain
    if shape == "few":
        return np.round(plain), plain
    if shape == "sparse":
        plain = np.where(rng.random(rows) < 0.7, 0.0, plain)
    scale = 10.0 ** (rng.uniform(-widest, widest) if rng.random() < 0.3 else rng.uniform(-2, 3))
    return plain * scale + (scale * 1e4 if shape == "far" else 0.0), plain


def draw_columns(rng, library, rows, style, categories):
    """style: matrix (numbers and codes) or frame (numbers and levels)."""
    missing = rng.choice([0.0, 0.05, 0.3, 0.8], p=[0.3, 0.4, 0.2, 0.1])
    widest = 30 if library == "xgboost" else 200  # of float32, of float64
    columns = []
    for position in range(rng.integers(1, 13)):
        name = f"{rng.choice(NAMES)}{position}"
        if categories and rng.random() < 0.35:
            column = Column(name, "levels" if style == "frame" else "codes")
            if style == "frame":
                column.levels = levels(rng, library)
            count = len(column.levels) or rng.integers(2, 70)
            column.values = np.floor(rng.random(rows) ** 2 * count)
            column.plain = rng.normal(size=count)[column.values.astype(int)]
        else:
            column = Column(name, "number")
            column.values, column.plain = numbers(rng, rows, widest)
        column.values = np.where(rng.random(rows) < missing, np.nan, column.values)
        columns.append(column)
    return columns


def draw_signal(rng, columns):
    """A number of about unit size for each row."""
    signal = rng.normal(scale=0.3, size=len(columns[0].plain))
    for column in columns:
        effect = rng.normal() * column.plain
        signal += effect if rng.random() < 0.7 else np.abs(effect) * np.sign(signal)
    return signal / (signal.std() or 1.0)


def target(rng, kind, columns, outputs):
    """Labels of a kind that an objective asks for, and further arguments of the training matrix."""
    if outputs > 1 and kind in ("real", "truth", "small", "share"):
        several = [target(rng, kind, columns, 1)[0] for _ in range(outputs)]
        return np.column_stack(several), {}
    signal = draw_signal(rng, columns)
    rows = len(signal)
    if kind == "real":
        return signal * 10.0 ** rng.integers(-3, 6) + rng.choice([0.0, 100.0]), {}
    if kind == "small":
        return np.exp(signal / 3), {}
    if kind == "positive":
        return np.exp(signal) * 10.0 ** rng.integers(-1, 3), {}
    if kind == "count":
        return rng.poisson(np.exp(np.clip(signal, -3, 3))).astype(float), {}
    if kind == "share":
        return 1 / (1 + np.exp(-signal)), {}
    if kind == "truth":
        return (signal > rng.normal(scale=0.5)).astype(float), {}
    if kind == "class":
        steps = np.quantile(signal, np.linspace(0, 1, outputs + 1)[1:-1])
        return np.searchsorted(steps, signal).astype(float), {}
    if kind in ("rank", "relevance"):
        graded = np.clip(np.round(signal + 2), 0, 4) if kind == "rank" else (signal > 0.5).astype(float)
        return graded, {"groups": np.arange(rows) // 10}
    days, seen = np.exp(signal) * 100, rng.random(rows) < 0.7
    if kind == "signed days":
        return np.where(seen, days, -days), {}
    return None, {"label_lower_bound": days, "label_upper_bound": np.where(seen, days, np.inf)}
