"""Rows that probe a model: a sample of the table, and hard variants of its first row."""

import numpy as np


def neighbours(threshold):
    """A threshold, the numbers beside it at its own width, and the float64 just below it."""
    kind = threshold.dtype.type
    below, above = (np.nextafter(threshold, kind(v)) for v in (-np.inf, np.inf))
    return threshold, below, above, np.nextafter(float(threshold), -np.inf)


def hard_rows(spec, base, splits, infinities):
    """Variants of one row that probe the edges of the model's decisions."""
    names = list(spec.table)
    floats = [n for n in names if spec.kind(n) in ("float64", "float32")]
    categories = [n for n in names if isinstance(spec.kind(n), list)]

    yield dict.fromkeys(names, "")
    for name in names[:8]:
        yield base | {name: ""}

    seen = set()
    for feature, threshold in splits:
        name = names[feature]
        if name in seen or name not in floats:
            continue
        seen.add(name)
        for value in neighbours(threshold):
            yield base | {name: repr(float(value))}
        if len(seen) == 4:
            break

    near_zero = repr(float(np.float32(1e-35)))  # below it all is zero to LightGBM
    edges = ["0", "-0.0", "1e+30", "-1e+30", "1e-40", "-1e-40", "1e-35", near_zero, f"-{near_zero}"]
    for edge in edges:
        yield base | dict.fromkeys(floats, edge)
        yield base | dict.fromkeys(sorted(seen)[:1], edge)

    if infinities:
        for edge in ("inf", "-inf"):
            yield base | dict.fromkeys(floats, edge)
            for name in floats[:4]:
                yield base | {name: edge}

    for name in categories:
        for level in ["Ünseen level", *(k for k in spec.kind(name) if not str(k).isascii())]:
            yield base | {name: level}
    for name in spec.codes:
        for code in ("-1", "1000", "20000000"):
            yield base | {name: code}


def sample_rows(spec, splits, infinities):
    count = len(next(iter(spec.table.values())))
    picked = sorted(np.random.default_rng(3).permutation(count)[:spec.most_rows])
    rows = [{name: column[i] for name, column in spec.table.items()} for i in picked]
    rows += hard_rows(spec, rows[0], splits, infinities)
    return {name: [row[name] for row in rows] for name in spec.table}
