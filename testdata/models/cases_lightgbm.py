"""Golden cases of LightGBM 4.7 and 3.3."""

import numpy as np
from data import (
    blank, class_index, computer_prices, cultivars, film_dtypes, films, films_by_year, hedonic, levels,
    penguins, pima, progression, r_table, randhie, sklearn_table, take, text, tomatometer, visits,
)  # fmt: skip
from spec import LGB3, LGB4, Spec, cases

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

SMALL = {"num_leaves": 10, "learning_rate": 0.2}


def by_objective(title, about, data, params, more={}):
    return Spec(
        title=title, about=about, file="model.txt", **({"rounds": 15} | data() | more), params=SMALL | params
    )


def squared_error(predictions, data):
    """Half the squared error, as a user would write an objective."""
    return predictions - data.get_label(), np.ones_like(predictions)


def training():
    """Job training: categories that are texts, whole numbers and truth values."""
    table = r_table("Ecdat/Treatment")
    treat = table.pop("treat")
    for name in ("married", "u74", "u75"):
        table[name] = [cell.lower() for cell in table[name]]
    years = sorted({int(cell) for cell in table["educ"]})
    return dict(
        table=blank(table, 0.04, 12), target="treat", y=class_index(treat, ["FALSE", "TRUE"]), task="binary",
        classes=["no", "yes"], positive="yes", frame=True, most_rows=150,
        dtypes={"ethn": levels(table["ethn"]), "educ": years, "age": "int64",
                **dict.fromkeys(("married", "u74", "u75"), [False, True])},
    )  # fmt: skip


def flchain():
    """Mortality by light chains: missing creatinine, a coded category."""
    table = r_table("survival/flchain")
    death = table["death"]
    table = take(table, "age", "sex", "sample.yr", "kappa", "lambda", "flc.grp", "creatinine", "mgus")
    table["sex"] = [{"F": "0", "M": "1"}[c] for c in table["sex"]]
    return dict(
        table=table, target="death", y=class_index(death, ["0", "1"]), task="binary", classes=[0, 1],
        positive=1, dtypes={"flc.grp": "int64", "sample.yr": "int64", "mgus": "int64", "sex": "int64"},
        codes=("flc.grp", "sex"), most_rows=150,
    )  # fmt: skip


def centred():
    """Cells around zero, and a target that asks which cells are missing."""
    data = progression(0.25)
    middle = {name: round(float(np.median([float(c) for c in column if c]))) for name, column in data["table"].items()}
    table = {n: [text(round(float(c) - middle[n])) if c else "" for c in column] for n, column in data["table"].items()}
    missing = np.array([cell == "" for cell in table["s1"]])
    above = np.array([cell != "" and float(cell) >= 0 for cell in table["s5"]])
    return data | {"table": table, "y": data["y"] + 300 * missing + 60 * above}


PROGRESSION = "Diabetes progression"
AGAINST_ALL = {"objective": "multiclassova", "num_class": 3, "min_data_in_leaf": 5}
FOREST = {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1, "min_data_in_leaf": 5}

cases("lightgbm", "4.", "lgb_", {
    "poisson": ("Doctor visits", "statsmodels randhie; poisson.", visits, {"objective": "poisson"}),
    "tweedie": ("Doctor visits", "statsmodels randhie; tweedie.", visits,
                {"objective": "tweedie", "tweedie_variance_power": 1.3}),
    "gamma": ("Computer prices", "Ecdat Computers; gamma.", computer_prices, {"objective": "gamma"},
              {"frame": True}),
    "cross_entropy": ("Share of good reviews", "Films from Wikidata (CC0); cross_entropy.", tomatometer,
                      {"objective": "cross_entropy"}),
    "cross_entropy_lambda": ("Share of good reviews", "Films from Wikidata (CC0); cross_entropy_lambda.",
                             tomatometer, {"objective": "cross_entropy_lambda"}),
    "edges": (PROGRESSION + ", edges",
              "scikit-learn diabetes, centred; splits of missing from present cells, whose threshold is inf in\n"
              "the file, and splits beside zero at -1e-35, inside which LightGBM reads every cell as zero.",
              centred, {"objective": "regression", "min_data_in_leaf": 5}),
    "huber": (PROGRESSION, "scikit-learn diabetes; huber.", progression, {"objective": "huber", "alpha": 30}),
    "fair": (PROGRESSION, "scikit-learn diabetes; fair.", progression, {"objective": "fair", "fair_c": 9}),
    "quantile": (PROGRESSION, "scikit-learn diabetes; quantile.", progression,
                 {"objective": "quantile", "alpha": 0.8}),
    "mape": (PROGRESSION, "scikit-learn diabetes; mape.", progression, {"objective": "mape"}),
    "absolute_error": (PROGRESSION, "scikit-learn diabetes; regression_l1.", progression,
                       {"objective": "regression_l1"}),
    "sqrt": (PROGRESSION, "scikit-learn diabetes; regression with reg_sqrt=true: the prediction is the margin\n"
             "times its own size. A target of both signs.",
             lambda: (p := progression()) | {"y": p["y"] - 150}, {"objective": "regression", "reg_sqrt": True}),
    "custom": (PROGRESSION, "scikit-learn diabetes; an objective of the user's own: the file names none.",
               progression, {"objective": squared_error}),
    "lambdarank": ("Films of a year, ranked", "Films from Wikidata (CC0); lambdarank.", films_by_year,
                   {"objective": "lambdarank"}),
    "rank_xendcg": ("Films of a year, ranked", "Films from Wikidata (CC0); rank_xendcg.", films_by_year,
                    {"objective": "rank_xendcg"}),
    "ova_sigmoid": ("Wine cultivars, one against all", "scikit-learn wine; multiclassova with sigmoid=0.7.",
                    cultivars, AGAINST_ALL | {"sigmoid": 0.7}),
    "sigmoid": ("Pima diabetes", "MASS Pima.tr2; binary with sigmoid=2.5.", pima,
                {"objective": "binary", "sigmoid": 2.5}),
    "forest_regression": (PROGRESSION + ", random forest",
                          "scikit-learn diabetes; boosting=rf: a margin is the sum of the trees, as raw_score\n"
                          "gives it, a prediction their mean.", progression, FOREST | {"objective": "regression"}),
    "forest_classes": ("Wine cultivars, random forest", "scikit-learn wine; boosting=rf, multiclass.", cultivars,
                       FOREST | {"objective": "multiclass", "num_class": 3}, {"rounds": 6}),
    "dart": ("Pima diabetes, DART", "MASS Pima.tr2; boosting=dart, binary.", pima,
             {"objective": "binary", "boosting": "dart", "drop_rate": 0.4}),
    "goss": ("Doctor visits, GOSS", "statsmodels randhie; data_sample_strategy=goss.", visits,
             {"objective": "regression", "data_sample_strategy": "goss"}),
    "linear_tree": (PROGRESSION + ", linear trees",
                    "scikit-learn diabetes; linear_tree=true; a leaf with a missing cell among its linear\n"
                    "features falls back to its constant.", progression,
                    {"objective": "regression", "linear_tree": True, "num_leaves": 6}),
    "linear_tree_binary": ("Pima diabetes, linear trees", "MASS Pima.tr2; linear_tree=true, binary.", pima,
                           {"objective": "binary", "linear_tree": True, "num_leaves": 5, "linear_lambda": 0.1}),
    "linear_tree_classes": ("Wine cultivars, linear trees", "scikit-learn wine; linear_tree=true, multiclass.",
                            cultivars, {"objective": "multiclass", "num_class": 3, "linear_tree": True,
                                        "num_leaves": 4, "linear_lambda": 1}, {"rounds": 6}),
    "typed_categories": ("Job training participants",
                         "Ecdat Treatment; pandas categories of texts, whole numbers and truth values.",
                         training, {"objective": "binary", "min_data_per_group": 20, "max_cat_to_onehot": 1,
                                    "feature_fraction_bynode": 0.5}),
    "stopped": (PROGRESSION + ", stopped early", "scikit-learn diabetes; early stopping: the file holds the trees\n"
                "up to the best iteration and does not say so.", progression,
                {"objective": "regression", "learning_rate": 0.4}, {"stop": 5, "rounds": 60}),
}, by_objective)  # fmt: skip

cases("lightgbm", "3.3.", "lgb33_", {
    "flchain": ("Free light chain mortality",
                "survival flchain (R, by pydataset); written by lightgbm 3.3; binary, missing creatinine, codes\n"
                "split as categories.", flchain,
                {"objective": "binary", "max_cat_to_onehot": 1, "min_data_per_group": 20,
                 "feature_fraction_bynode": 0.5}),
    "linear_tree": (PROGRESSION + ", linear trees",
                    "scikit-learn diabetes; written by lightgbm 3.3; linear_tree=true, missing cells.",
                    progression, {"objective": "regression", "linear_tree": True, "num_leaves": 6}),
    "wine": ("Wine cultivars", "scikit-learn wine; written by lightgbm 3.3; multiclass, missing cells.", cultivars,
             {"objective": "multiclass", "num_class": 3}, {"rounds": 8}),
}, by_objective)  # fmt: skip
