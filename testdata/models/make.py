#!/usr/bin/env python3
"""Write the golden model cases under testdata/models/.

    python make.py [case ...]            write cases
    python make.py --check [case ...]    ask the libraries again about the committed models

Each case is a folder with a Portend package (package/), raw input rows
(rows.csv) and what the library that wrote the model says about those rows
(expected.json).  Without arguments every case is written that the installed
libraries can write; the rest is skipped with a line that says so.  The same
command writes the same bytes every time on one kind of processor.

One virtual environment per pin file, because a case belongs to one release:

    requirements.txt                xgboost 3.2, lightgbm 4.7   (most cases)
    requirements-xgboost-2.1.txt    xgboost 2.1                 (xgb21_*)
    requirements-xgboost-1.7.txt    xgboost 1.7                 (xgb17_*)

The reference is deliberately plain: rows.csv is written, read back with
float(), turned into a matrix (categories become the index of their level,
unknown levels and empty cells become NaN) and given to Booster.predict.
"""

import csv
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import math
import shutil
import sqlite3
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CREATED = "2026-11-21T00:00:00Z"
MAX_ROWS = 340
CASES = {}  # name -> (library, version prefix, function)


# --- data -----------------------------------------------------------------
# A table is a dict of column name -> list of cells, every cell a string and
# "" for a missing one, just as it would stand in a CSV file.


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


# --- cases ----------------------------------------------------------------


@dataclass
class Spec:
    """Everything that one case needs to be trained and written."""

    title: str
    about: str
    table: dict
    target: str
    y: np.ndarray
    task: str
    params: dict
    rounds: int
    file: str  # model file name
    dtypes: dict = field(default_factory=dict)  # column -> dtype or list of levels
    dtype: str = "float64"  # of the columns not named in dtypes
    classes: list = None
    positive: object = None
    threshold: float = 0.5
    codes: tuple = ()  # integer columns the model splits as categories
    frame: bool = False  # train on a pandas frame with Categorical columns
    named: bool = True  # False: no feature names in the model

    def kind(self, name):
        return self.dtypes.get(name, self.dtype)


def case(library, version):
    def register(function):
        CASES[function.__name__] = (library, version, function)
        return function

    return register


XGB3 = case("xgboost", "3.2.")
XGB2 = case("xgboost", "2.1.")
XGB1 = case("xgboost", "1.7.")
LGB4 = case("lightgbm", "4.")


@XGB3
def xgb_diabetes():
    table, y, _ = sklearn_table("diabetes")
    return Spec(
        title="Diabetes progression",
        about="scikit-learn diabetes; reg:squarederror, JSON; the plainest case.",
        table=table, target="progression", y=y, task="regression",
        params={"objective": "reg:squarederror", "max_depth": 4, "eta": 0.2},
        rounds=30, file="model.json",
    )  # fmt: skip


@XGB3
def xgb_breast_cancer():
    table, y, classes = sklearn_table("breast_cancer")
    return Spec(
        title="Breast cancer diagnosis",
        about="scikit-learn breast cancer; binary:logistic, UBJSON; feature names with spaces.",
        table=table, target="diagnosis", y=y, task="binary",
        classes=classes, positive="benign",
        params={"objective": "binary:logistic", "max_depth": 4, "eta": 0.3},
        rounds=25, file="model.ubj",
    )  # fmt: skip


def penguins():
    table = package_table("palmerpenguins", "data/penguins.csv")
    species = table.pop("species")
    classes = levels(species)
    return dict(
        table=table, target="species", y=class_index(species, classes),
        task="multiclass", classes=classes, frame=True,
        dtypes={"island": levels(table["island"]), "sex": levels(table["sex"]), "year": "int64"},
    )  # fmt: skip


@XGB3
def xgb_penguins():
    return Spec(
        title="Penguin species",
        about="palmerpenguins; multi:softprob, JSON; string categories, missing cells,\n"
        "max_cat_to_onehot=1 so that every categorical split is a partition.",
        params={"objective": "multi:softprob", "num_class": 3, "max_depth": 4, "eta": 0.3,
                "max_cat_to_onehot": 1, "colsample_bynode": 0.4, "subsample": 0.8},
        rounds=12, file="model.json", **penguins(),
    )  # fmt: skip


def film_dtypes(table):
    return {
        "Year": "int64",
        "Rating": levels(table["Rating"], 6),
        "Genre": levels(table["Genre"], 3),
        "Director": levels(table["Director"], 4),
        "Country": levels(table["Country"], 4),
    }


@XGB3
def xgb_movies():
    table, _, revenue = films()
    return Spec(
        title="Film revenue, log10 USD",
        about="Films from Wikidata (CC0) as bokeh_sampledata ships them; reg:squarederror, JSON.\n"
        "Many string levels, missing cells, a non-ASCII feature name and non-ASCII levels;\n"
        "max_cat_to_onehot=8 gives one-hot and partition splits. Rare directors have no level.",
        table=table, target="log_revenue", y=np.log10(revenue), task="regression",
        dtypes=film_dtypes(table), frame=True,
        params={"objective": "reg:squarederror", "max_depth": 5, "eta": 0.2,
                "max_cat_to_onehot": 8, "colsample_bynode": 0.5},
        rounds=30, file="model.json",
    )  # fmt: skip


@XGB3
def xgb_digits():
    table, y, classes = sklearn_table("digits")
    return Spec(
        title="Handwritten digits",
        about="scikit-learn digits; ten classes, multi:softprob, UBJSON; no feature names in the model.",
        table=table, target="digit", y=y, task="multiclass", classes=classes, dtype="float32",
        params={"objective": "multi:softprob", "num_class": 10, "max_depth": 4, "eta": 0.4},
        rounds=6, file="model.ubj", named=False,
    )  # fmt: skip


@XGB3
def xgb_pruned():
    table = r_table("Ecdat/Treatment")
    for name in ("treat", "married", "u74", "u75"):
        table[name] = [cell.lower() for cell in table[name]]
    treat = table.pop("treat")
    return Spec(
        title="Job training participants",
        about="Ecdat Treatment (R, by pydataset); binary:logistic, JSON; boolean features and classes.\n"
        "The exact method with gamma prunes afterwards, so deleted nodes stay in the file;\n"
        "monotone constraints, scale_pos_weight.",
        table=table, target="treat", y=class_index(treat, ["false", "true"]), task="binary",
        classes=[False, True], positive=True, threshold=0.4,
        dtypes={"ethn": levels(table["ethn"]), "age": "int64", "educ": "int64",
                "married": "bool", "u74": "bool", "u75": "bool"},
        params={"objective": "binary:logistic", "tree_method": "exact", "gamma": 3.0,
                "max_depth": 6, "eta": 0.3, "scale_pos_weight": 4,
                "monotone_constraints": "(-1,0,0,0,-1,-1,0,0,0)"},
        rounds=25, file="model.json",
    )  # fmt: skip


@XGB3
def xgb_lossguide():
    table = r_table("plm/Males")
    union = table.pop("union")
    table = take(table, "year", "school", "exper", "ethn", "married", "health",
                 "wage", "industry", "occupation", "residence")  # fmt: skip
    words = ("ethn", "married", "health", "industry", "occupation", "residence")
    return Spec(
        title="Union membership",
        about="plm Males (R, by pydataset); binary:logistic, UBJSON; lopsided trees by\n"
        "grow_policy=lossguide with max_leaves and no depth limit; categories, missing residence.",
        table=table, target="union", y=class_index(union, ["no", "yes"]), task="binary",
        classes=["no", "yes"], positive="yes", frame=True,
        dtypes={"year": "int64", "school": "int64", "exper": "int64"}
        | {name: levels(table[name]) for name in words},
        params={"objective": "binary:logistic", "grow_policy": "lossguide", "max_leaves": 24,
                "max_depth": 0, "min_child_weight": 0.5, "eta": 0.3},
        rounds=20, file="model.ubj",
    )  # fmt: skip


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


@XGB3
def xgb_codes():
    return Spec(
        title="House values with integer codes",
        about="plm Hedonic (R, by pydataset): Boston housing; reg:squarederror, JSON.\n"
        "rad and townid are integers that the model splits as categories.",
        params={"objective": "reg:squarederror", "max_depth": 5, "eta": 0.2,
                "max_cat_to_onehot": 12, "colsample_bynode": 0.4},
        rounds=30, file="model.json", **hedonic(),
    )  # fmt: skip


@XGB3
def xgb_dart():
    table, y, _ = sklearn_table("diabetes")
    return Spec(
        title="Diabetes progression, DART",
        about="scikit-learn diabetes; booster=dart, so every tree has a weight of its own; UBJSON.",
        table=table, target="progression", y=y, task="regression",
        params={"booster": "dart", "objective": "reg:squarederror", "rate_drop": 0.3,
                "max_depth": 3, "eta": 0.3},
        rounds=20, file="model.ubj",
    )  # fmt: skip


@XGB1
def xgb17_flchain():
    table = r_table("survival/flchain")
    death = table["death"]
    table = take(table, "age", "sex", "sample.yr", "kappa", "lambda", "flc.grp", "creatinine", "mgus")
    return Spec(
        title="Free light chain mortality",
        about="survival flchain (R, by pydataset); written by xgboost 1.7; binary:logistic, JSON;\n"
        "missing creatinine; sex is a string category, flc.grp an integer split as a category.",
        table=table, target="death", y=class_index(death, ["0", "1"]), task="binary",
        classes=[0, 1], positive=1,
        dtypes={"sex": levels(table["sex"]), "flc.grp": "int64", "sample.yr": "int64", "mgus": "int64"},
        codes=("flc.grp",),
        params={"objective": "binary:logistic", "tree_method": "hist", "max_depth": 5, "eta": 0.3,
                "max_cat_to_onehot": 4, "colsample_bynode": 0.6},
        rounds=20, file="model.json",
    )  # fmt: skip


@XGB1
def xgb17_pima():
    table = r_table("MASS/Pima.tr2")
    kind = table.pop("type")
    return Spec(
        title="Pima diabetes",
        about="MASS Pima.tr2 (R, by pydataset); written by xgboost 1.7; binary:logistic, JSON;\n"
        "many missing cells; base_score=0.3.",
        table=table, target="type", y=class_index(kind, ["No", "Yes"]), task="binary",
        classes=["No", "Yes"], positive="Yes",
        params={"objective": "binary:logistic", "max_depth": 4, "eta": 0.3, "base_score": 0.3},
        rounds=20, file="model.json",
    )  # fmt: skip


def randhie():
    table = package_table("statsmodels", "datasets/randhie/randhie.csv")
    visits = numbers(table.pop("mdvis"))
    dtypes = {name: "int64" for name in ("idp", "hlthg", "hlthf", "hlthp")}
    return dict(table=table, target="visits", y=visits, task="regression", dtypes=dtypes)


@XGB2
def xgb21_randhie():
    return Spec(
        title="Doctor visits",
        about="statsmodels randhie; written by xgboost 2.1; count:poisson, UBJSON;\n"
        "num_parallel_tree=3: three trees a round.",
        params={"objective": "count:poisson", "max_depth": 4, "eta": 0.4, "num_parallel_tree": 3,
                "subsample": 0.6, "colsample_bynode": 0.6},
        rounds=12, file="model.ubj", **randhie(),
    )  # fmt: skip


@XGB2
def xgb21_computers():
    table = r_table("Ecdat/Computers")
    price = numbers(table.pop("price"))
    words = {name: levels(table[name]) for name in ("cd", "multi", "premium")}
    return Spec(
        title="Computer prices",
        about="Ecdat Computers (R, by pydataset); written by xgboost 2.1; reg:gamma, JSON; one-hot categories.",
        table=table, target="price", y=price, task="regression", dtypes=words,
        params={"objective": "reg:gamma", "max_depth": 5, "eta": 0.3},
        rounds=25, file="model.json",
    )  # fmt: skip


@LGB4
def lgb_diabetes():
    table, y, _ = sklearn_table("diabetes")
    return Spec(
        title="Diabetes progression",
        about="scikit-learn diabetes; regression; the plainest LightGBM case.",
        table=table, target="progression", y=y, task="regression",
        params={"objective": "regression", "num_leaves": 12}, rounds=30, file="model.txt",
    )  # fmt: skip


@LGB4
def lgb_breast_cancer():
    table, y, classes = sklearn_table("breast_cancer")
    return Spec(
        title="Breast cancer diagnosis",
        about="scikit-learn breast cancer with one cell in eight emptied; binary, missing cells\n"
        "by NaN. LightGBM writes the feature names with underscores for spaces.",
        table=blank(table, 0.125, 9), target="diagnosis", y=y, task="binary",
        classes=classes, positive="benign",
        params={"objective": "binary", "num_leaves": 12}, rounds=30, file="model.txt",
    )  # fmt: skip


@LGB4
def lgb_wine():
    table, y, classes = sklearn_table("wine")
    return Spec(
        title="Wine cultivars",
        about="scikit-learn wine (178 rows is all there is); multiclass.",
        table=table, target="cultivar", y=y, task="multiclass", classes=classes,
        params={"objective": "multiclass", "num_class": 3, "num_leaves": 8}, rounds=15, file="model.txt",
    )  # fmt: skip


@LGB4
def lgb_ova():
    return Spec(
        title="Penguin species, one against all",
        about="palmerpenguins; multiclassova; pandas categories and missing cells.",
        params={"objective": "multiclassova", "num_class": 3, "num_leaves": 8, "min_data_in_leaf": 5,
                "min_data_per_group": 5, "cat_smooth": 1, "feature_fraction_bynode": 0.5},
        rounds=10, file="model.txt", **penguins(),
    )  # fmt: skip


@LGB4
def lgb_penguins():
    return Spec(
        title="Penguin species",
        about="palmerpenguins; multiclass on a pandas frame, so pandas_categorical is in the file;\n"
        "max_cat_to_onehot=1 so that categorical splits are sets.",
        params={"objective": "multiclass", "num_class": 3, "num_leaves": 8, "min_data_in_leaf": 5,
                "min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 1,
                "feature_fraction_bynode": 0.4},
        rounds=15, file="model.txt", **penguins(),
    )  # fmt: skip


@LGB4
def lgb_movies():
    table, _, revenue = films()
    return Spec(
        title="Film revenue, log10 USD",
        about="Films from Wikidata (CC0) as bokeh_sampledata ships them; regression on a pandas frame.\n"
        "Non-ASCII feature name and levels in pandas_categorical; bitsets longer than 32 bits.",
        table=table, target="log_revenue", y=np.log10(revenue), task="regression",
        dtypes=film_dtypes(table), frame=True,
        params={"objective": "regression", "num_leaves": 16, "min_data_per_group": 5,
                "cat_smooth": 2, "cat_l2": 1, "feature_fraction_bynode": 0.6},
        rounds=40, file="model.txt",
    )  # fmt: skip


@LGB4
def lgb_codes():
    return Spec(
        title="House values with integer codes",
        about="plm Hedonic (R, by pydataset): Boston housing; regression on a plain matrix.\n"
        "rad and townid are integers that the model splits as categories.",
        params={"objective": "regression", "num_leaves": 12, "min_data_per_group": 5,
                "cat_smooth": 1, "feature_fraction_bynode": 0.4},
        rounds=30, file="model.txt", **hedonic(),
    )  # fmt: skip


@LGB4
def lgb_zero_missing():
    return Spec(
        title="Doctor visits, zero as missing",
        about="statsmodels randhie; poisson with zero_as_missing=true on columns full of zeros.",
        params={"objective": "poisson", "num_leaves": 12, "zero_as_missing": True},
        rounds=25, file="model.txt", **randhie(),
    )  # fmt: skip


@LGB4
def lgb_no_missing():
    table = r_table("survival/flchain")
    death = table["death"]
    table = take(table, "age", "sample.yr", "kappa", "lambda", "flc.grp", "creatinine", "mgus")
    return Spec(
        title="Free light chain mortality, missing not used",
        about="survival flchain (R, by pydataset); binary with use_missing=false while creatinine is\n"
        "often missing: a missing cell counts as zero.",
        table=table, target="death", y=class_index(death, ["0", "1"]), task="binary",
        classes=[0, 1], positive=1,
        params={"objective": "binary", "num_leaves": 12, "use_missing": False},
        rounds=25, file="model.txt",
    )  # fmt: skip


@LGB4
def lgb_deep():
    data = hedonic()
    return Spec(
        title="House values, deep trees",
        about="plm Hedonic (R, by pydataset): Boston housing; lopsided trees: 63 leaves, no depth\n"
        "limit, one row a leaf.",
        params={"objective": "regression", "num_leaves": 63, "max_depth": -1, "min_data_in_leaf": 1,
                "min_sum_hessian_in_leaf": 0, "learning_rate": 0.3},
        rounds=12, file="model.txt", **(data | {"codes": ()}),
    )  # fmt: skip


@LGB4
def lgb_forest():
    table = r_table("MASS/Pima.tr2")
    kind = table.pop("type")
    return Spec(
        title="Pima diabetes, random forest",
        about="MASS Pima.tr2 (R, by pydataset); boosting=rf: many missing cells. The trees are averaged\n"
        "(average_output): a margin here is their sum, as raw_score gives it, a prediction\n"
        "the sigmoid of their mean.",
        table=table, target="type", y=class_index(kind, ["No", "Yes"]), task="binary",
        classes=["No", "Yes"], positive="Yes",
        params={"objective": "binary", "boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1,
                "num_leaves": 12, "min_data_in_leaf": 5},
        rounds=15, file="model.txt",
    )  # fmt: skip


# --- rows to matrix -------------------------------------------------------


def column_values(cells, kind):
    """The float64 values that the reference gives the library for a column."""
    if isinstance(kind, list):
        codes = {level: float(code) for code, level in enumerate(kind)}
        return [codes.get(cell, math.nan) for cell in cells]
    words = {"": math.nan, "false": 0.0, "true": 1.0}
    return [words[cell] if cell in words else float(cell) for cell in cells]


def matrix(spec, table):
    return np.column_stack([column_values(table[name], spec.kind(name)) for name in spec.table])


def frame(spec, table):
    import pandas as pd

    def series(name):
        kind = spec.kind(name)
        if isinstance(kind, list):
            return pd.Categorical([c if c in kind else None for c in table[name]], categories=kind)
        return np.array(column_values(table[name], kind))

    return pd.DataFrame({name: series(name) for name in spec.table})


# --- libraries ------------------------------------------------------------


class XGBoost:
    """Train with xgboost and ask it for the reference answers."""

    kind = "xgboost"

    def __init__(self, spec, saved=None):
        import xgboost

        self.lib, self.spec = xgboost, spec
        if saved:
            self.booster = xgboost.Booster(model_file=saved)
            return
        params = {"nthread": 1, "seed": 7, "tree_method": "hist", **spec.params}
        self.booster = xgboost.train(params, self.dmatrix(spec.table, spec.y), spec.rounds)

    def is_category(self, name):
        return isinstance(self.spec.kind(name), list) or name in self.spec.codes

    def dmatrix(self, table, label=None):
        if label is not None and self.spec.frame:
            return self.lib.DMatrix(frame(self.spec, table), label, enable_categorical=True)
        names = list(self.spec.table)
        # The exact method knows no categories: there the codes are numbers.
        exact = self.spec.params.get("tree_method") == "exact"
        types = ["c" if self.is_category(n) and not exact else "float" for n in names]
        return self.lib.DMatrix(
            matrix(self.spec, table).astype(np.float32),
            label,
            feature_names=names if self.spec.named else None,
            feature_types=types if self.spec.named else None,
            enable_categorical=True,
        )

    def save(self, path):
        self.booster.save_model(path)

    def predict(self, table):
        rows = self.dmatrix(table)
        margins = self.booster.predict(rows, output_margin=True)
        predictions = self.booster.predict(rows)
        leaves = self.booster.predict(rows, pred_leaf=True)
        assert margins.dtype == predictions.dtype == np.float32
        return margins, predictions, leaves

    def splits(self):
        """(feature, threshold) of every numeric split, in file order."""
        learner = json.loads(self.booster.save_raw("json"))["learner"]
        booster = learner["gradient_booster"]
        for tree in booster.get("gbtree", booster)["model"]["trees"]:
            for left, feature, kind, value in zip(
                tree["left_children"], tree["split_indices"],
                tree["split_type"], tree["split_conditions"],
            ):  # fmt: skip
                if left != -1 and kind == 0 and feature < len(self.spec.table):
                    yield feature, np.float32(value)


class LightGBM:
    """Train with lightgbm and ask it for the reference answers."""

    kind = "lightgbm"

    def __init__(self, spec, saved=None):
        import lightgbm

        self.lib, self.spec = lightgbm, spec
        if saved:
            self.booster = lightgbm.Booster(model_file=saved)
            return
        params = {"num_threads": 1, "seed": 7, "deterministic": True, "force_row_wise": True,
                  "verbosity": -1, **spec.params}  # fmt: skip
        names = list(spec.table)
        rows = frame(spec, spec.table) if spec.frame else matrix(spec, spec.table)
        data = lightgbm.Dataset(
            rows,
            spec.y,
            feature_name="auto" if spec.frame else names,
            categorical_feature=list(spec.codes) or "auto",
        )
        self.booster = lightgbm.train(params, data, spec.rounds)

    def save(self, path):
        self.booster.save_model(path)

    def predict(self, table):
        rows = matrix(self.spec, table)
        margins = self.booster.predict(rows, raw_score=True)
        predictions = self.booster.predict(rows)
        leaves = self.booster.predict(rows, pred_leaf=True)
        assert margins.dtype == predictions.dtype == np.float64
        return margins, predictions, leaves

    def splits(self):
        fields = {"split_feature": int, "threshold": np.float64, "decision_type": int}
        tree = {}
        for line in self.booster.model_to_string().splitlines():
            key, _, value = line.partition("=")
            if key in fields:
                tree[key] = [fields[key](v) for v in value.split()]
            if key == "decision_type":  # the last of the three; bit 0 marks a category
                for feature, value, kind in zip(*(tree[f] for f in fields)):
                    if not kind & 1:
                        yield feature, value


LIBRARIES = {"xgboost": XGBoost, "lightgbm": LightGBM}


# --- rows -----------------------------------------------------------------


def hard_rows(spec, base, splits):
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
        below, above = (np.nextafter(threshold, threshold.dtype.type(v)) for v in (-np.inf, np.inf))
        for value in (threshold, below, above, np.nextafter(float(threshold), -np.inf)):
            yield base | {name: repr(float(value))}
        if len(seen) == 4:
            break

    edges = ["0", "-0.0", "1e+30", "-1e+30", "1e-40", "-1e-40", "1e-35", repr(float(np.float32(1e-35)))]
    for edge in edges:
        yield base | dict.fromkeys(floats, edge)
        yield base | dict.fromkeys(sorted(seen)[:1], edge)

    for name in categories:
        for level in ["Ünseen level", *(k for k in spec.kind(name) if not k.isascii())]:
            yield base | {name: level}
    for name in spec.codes:
        for code in ("-1", "1000", "20000000"):
            yield base | {name: code}


def sample_rows(spec, splits):
    count = len(spec.y)
    picked = sorted(np.random.default_rng(3).permutation(count)[:MAX_ROWS])
    rows = [{name: column[i] for name, column in spec.table.items()} for i in picked]
    rows += hard_rows(spec, rows[0], splits)
    return {name: [row[name] for row in rows] for name in spec.table}


# --- files ----------------------------------------------------------------


def csv_text(table):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values()))
    return out.getvalue()


def nested(values):
    """An array of rows as lists of Python numbers that print without loss."""
    values = values.reshape(len(values), -1)
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
        "features": [feature(i, column) for i, column in enumerate(spec.table)],
        "metadata": {},
    }


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8"))


def write_checksums(package):
    files = sorted(p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file())
    lines = [f"{hashlib.sha256((package / f).read_bytes()).hexdigest()}  {f}\n" for f in files]
    write(package / "checksums.txt", "".join(lines))


def write_package(package, name, spec, model, rows):
    """Write a package folder whose samples are the first rows of a table."""
    (package / "model").mkdir(parents=True)
    model.save(package / "model" / spec.file)
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
    model = LIBRARIES[library](spec)
    write(folder / "rows.csv", csv_text(sample_rows(spec, model.splits())))
    rows = read_rows(folder)
    write_package(folder / "package", name, spec, model, rows)

    answers, shape = expected(library, spec, model, rows)
    write(folder / "expected.json", answers)
    write(
        folder / "README.md",
        f"# {name}: {spec.title}\n\n{spec.about}\n\n"
        f"Written by {library} {model.lib.__version__}: {shape[1]} trees, {shape[0]} rows.\n",
    )
    return f"{shape[0]} rows, {shape[1]} trees"


def read_rows(folder):
    with open(folder / "rows.csv", encoding="utf-8", newline="") as file:
        return read_table(file)


def expected(library, spec, model, rows):
    """What the library answers, as text, and its numbers of rows and trees."""
    margins, predictions, leaves = model.predict(rows)
    leaves = leaves.reshape(len(margins), -1).astype(int)
    parts = [
        f'{{"library": {json.dumps(f"{library} {model.lib.__version__}")}',
        f'"task": {json.dumps(spec.task)}',
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
    if "--check" in wanted:
        work, wanted = check_case, [name for name in wanted if name != "--check"]
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
