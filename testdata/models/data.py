"""Tables of the golden cases, from packages that ship data.

A table is a dict of column name -> list of cells, every cell a string and ""
for a missing one, just as it would stand in a CSV file.
"""

import csv
import importlib.util
import io
import math
import sqlite3
import tarfile
from pathlib import Path

import numpy as np

def package_file(package, path):
    """The path of a file inside an installed package, without importing it."""
    return Path(importlib.util.find_spec(package).origin).parent / path


def text(value):
    """A number as a CSV cell that parses back to the same float64."""
    value = float(value)
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def read_table(lines, missing=""):
    header, *rows = csv.reader(lines)
    return {
        name: ["" if cell == missing else cell for cell in column]
        for name, column in zip(header, zip(*rows))
        if name  # R writes its row names under an empty header
    }


def r_table(path):
    """A data set of an R package, as pydataset ships it."""
    with tarfile.open(package_file("pydataset", "resources.tar.gz")) as archive:
        member = archive.extractfile(f"resources/rdata/csv/{path}.csv")
        return read_table(io.TextIOWrapper(member, encoding="utf-8"), missing="NA")


def package_table(package, path):
    with open(package_file(package, path), encoding="utf-8", newline="") as file:
        return read_table(file, missing="NA")


def sklearn_table(name):
    """A bundled scikit-learn data set: (table, target, class names)."""
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    table = {
        str(column): [text(v) for v in data.data[:, i]]
        for i, column in enumerate(data.feature_names)
    }
    classes = [c.item() for c in data.target_names] if "target_names" in data else None
    return table, data.target, classes


def films():
    """Films with a known box office (Wikidata, CC0): (table, IMDb ids, USD)."""
    columns = {
        "Year": "o.Year",
        "Länge_Minuten": "o.Runtime",
        "Rating": "o.Rating",
        "Genre": "o.Genre",
        "Director": "o.Director",
        "Country": "o.Country",
        "Metacritic": "o.Metacritic",
        "Reviews": "t.Reviews",
        "Tomatometer": "t.Meter",
    }
    query = (
        f"select o.imdbID, t.BoxOffice, {', '.join(columns.values())}"
        " from omdb o join tomatoes t using (ID) where t.BoxOffice > 0 order by ID"
    )
    with sqlite3.connect(package_file("bokeh_sampledata", "_data/movies.db")) as db:
        ids, revenue, *cells = zip(*db.execute(query))
    as_text = lambda v: "" if v is None else v if isinstance(v, str) else text(v)
    table = {name: [as_text(v) for v in column] for name, column in zip(columns, cells)}
    for name in ("Genre", "Country"):  # the first of a list such as "Drama, Crime"
        table[name] = [cell.split(", ")[0] for cell in table[name]]
    return table, list(ids), np.array(revenue)


def levels(column, at_least=1):
    """The sorted distinct levels of a column that occur often enough."""
    return sorted({c for c in column if c and column.count(c) >= at_least})


def numbers(column):
    return np.array([float(c) for c in column])


def class_index(column, classes):
    return np.array([classes.index(c) for c in column])


def blank(table, share, seed):
    """Empty a share of all cells, for data that comes without missing ones."""
    rng = np.random.default_rng(seed)
    return {
        name: ["" if hit else cell for cell, hit in zip(column, rng.random(len(column)) < share)]
        for name, column in table.items()
    }


def take(table, *names):
    return {name: table[name] for name in names}


# --- tables that several cases share, as arguments of Spec ------------------


def penguins():
    table = package_table("palmerpenguins", "data/penguins.csv")
    species = table.pop("species")
    classes = levels(species)
    return dict(
        table=table, target="species", y=class_index(species, classes),
        task="multiclass", classes=classes, frame=True,
        dtypes={"island": levels(table["island"]), "sex": levels(table["sex"]), "year": "int64"},
    )  # fmt: skip


def film_dtypes(table):
    return {
        "Year": "int64",
        "Rating": levels(table["Rating"], 6),
        "Genre": levels(table["Genre"], 3),
        "Director": levels(table["Director"], 4),
        "Country": levels(table["Country"], 4),
    }


def hedonic():
    table = r_table("plm/Hedonic")
    table["chas"] = [{"no": "0", "yes": "1"}[c] for c in table["chas"]]
    # `rad` is the log of an index of 1 to 24; give it back as that integer.
    table["rad"] = [str(round(math.exp(float(c)))) for c in table["rad"]]
    y = numbers(table.pop("mv"))
    return dict(
        table=table, target="log_value", y=y, task="regression",
        dtypes={"rad": "int64", "townid": "int64", "chas": "int64", "tax": "int64"},
        codes=("rad", "townid"),
    )  # fmt: skip


def randhie():
    table = package_table("statsmodels", "datasets/randhie/randhie.csv")
    visits = numbers(table.pop("mdvis"))
    dtypes = {name: "int64" for name in ("idp", "hlthg", "hlthf", "hlthp")}
    return dict(table=table, target="visits", y=visits, task="regression", dtypes=dtypes)


# Shorter ones, 150 rows in rows.csv, for the many cases that differ by an objective only.


def progression(share=0.1):
    """Diabetes progression in its own units, with some cells emptied."""
    from sklearn import datasets

    found = datasets.load_diabetes(scaled=False)
    table = {n: [text(v) for v in found.data[:, i]] for i, n in enumerate(found.feature_names)}
    return dict(
        table=blank(table, share, 5) if share else table, target="progression", y=found.target,
        task="regression", most_rows=150,
    )  # fmt: skip


def pima():
    """Pima diabetes: a hundred of 300 rows have missing cells."""
    table = r_table("MASS/Pima.tr2")
    kind = table.pop("type")
    return dict(
        table=table, target="type", y=class_index(kind, ["No", "Yes"]), task="binary",
        classes=["No", "Yes"], positive="Yes", most_rows=150,
    )  # fmt: skip


def cultivars():
    table, y, classes = sklearn_table("wine")
    return dict(
        table=blank(table, 0.06, 4), target="cultivar", y=y, task="multiclass", classes=classes,
        most_rows=120,
    )  # fmt: skip


def visits():
    return randhie() | {"most_rows": 150}


def computer_prices():
    table = r_table("Ecdat/Computers")
    price = numbers(table.pop("price"))
    words = {name: levels(table[name]) for name in ("cd", "multi", "premium")}
    table = take(table, "speed", "hd", "ram", "screen", "cd", "multi", "premium", "ads")
    return dict(
        table=blank(table, 0.05, 6), target="price", y=price, task="regression", dtypes=words,
        most_rows=150,
    )  # fmt: skip


def penguin_bodies():
    """Three measures of one penguin: several outputs."""
    table = package_table("palmerpenguins", "data/penguins.csv")
    whole = [i for i, cell in enumerate(table["body_mass_g"]) if cell]
    table = {name: [column[i] for i in whole] for name, column in table.items()}
    names = ["bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    y = np.column_stack([numbers(table.pop(name)) for name in names])
    for name in ("species", "island", "sex"):
        known = levels(table[name])
        table[name] = [str(known.index(c)) if c else "" for c in table[name]]
    return dict(
        table=blank(table, 0.05, 2), target="body", y=y, task="regression", outputs=names, most_rows=150
    )


def employment():
    """Three yes-or-no answers on one person: several labels."""
    table = r_table("Ecdat/Treatment")
    names = ["married", "u74", "u75"]
    y = np.column_stack([class_index(table.pop(name), ["FALSE", "TRUE"]) for name in names])
    table = take(table, "age", "educ", "re74", "re75", "re78")
    return dict(
        table=blank(table, 0.1, 8), target="status", y=y, task="multilabel", classes=names, most_rows=150
    )


def lung():
    """Days of survival with lung cancer, and whether the end was seen (status 2)."""
    table = r_table("survival/lung")
    days, dead = numbers(table.pop("time")), np.array(table.pop("status")) == "2"
    return dict(table=table, target="days", task="regression", most_rows=150), days, dead


def films_by_year():
    """Films ranked within their year: relevance 0 to 4 by box office."""
    table, _, revenue = films()
    order = np.argsort(numbers(table["Year"]), kind="stable")
    table = take(table, "Länge_Minuten", "Genre", "Metacritic", "Reviews", "Tomatometer")
    table = {name: [column[i] for i in order] for name, column in table.items()}
    year = numbers(films()[0]["Year"])[order]
    steps = np.quantile(revenue, [0.2, 0.4, 0.6, 0.8])
    sizes = np.unique(year, return_counts=True)[1]
    known = levels(table["Genre"], 20)
    table["Genre"] = [str(known.index(c)) if c in known else "" for c in table["Genre"]]
    return dict(
        table=table, target="rank", y=np.searchsorted(steps, revenue[order]), task="ranking",
        extra={"group": sizes}, most_rows=150,
    )  # fmt: skip


def tomatometer():
    """The share of good reviews of a film: a target from 0 to 1."""
    table, _, _ = films()
    table = take(table, "Year", "Länge_Minuten", "Metacritic", "Reviews", "Tomatometer")
    whole = [i for i, cell in enumerate(table["Tomatometer"]) if cell]
    table = {name: [column[i] for i in whole] for name, column in table.items()}
    share = numbers(table.pop("Tomatometer")) / 100
    return dict(table=table, target="share", y=share, task="regression", most_rows=150)
