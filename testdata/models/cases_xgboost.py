"""Golden cases of XGBoost 3.2."""

import numpy as np
from data import (
    blank, class_index, computer_prices, cultivars, employment, film_dtypes, films, films_by_year,
    hedonic, levels, lung, penguin_bodies, penguins, pima, progression, r_table, sklearn_table, take,
    visits,
)  # fmt: skip
from spec import XGB3, Spec, cases

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

SMALL = {"max_depth": 4, "eta": 0.3, "min_child_weight": 5}


def by_objective(title, about, data, params, more={}):
    return Spec(
        title=title, about=about,
        **({"rounds": 12, "file": "model.json"} | data() | more),
        params=SMALL | params,
    )  # fmt: skip


def hundreds():
    data = progression()
    return data | {"y": data["y"] / 100}


cases("xgboost", "3.2.", "xgb_", {
    "gamma": ("Computer prices", "Ecdat Computers; reg:gamma; one-hot categories.", computer_prices,
              {"objective": "reg:gamma"}),
    "tweedie": ("Doctor visits", "statsmodels randhie; reg:tweedie.", visits,
                {"objective": "reg:tweedie", "tweedie_variance_power": 1.3}),
    "poisson": ("Doctor visits", "statsmodels randhie; count:poisson.", visits,
                {"objective": "count:poisson"}),
    "absolute_error": ("Diabetes progression", "scikit-learn diabetes; reg:absoluteerror.", progression,
                       {"objective": "reg:absoluteerror"}),
    "pseudo_huber": ("Diabetes progression", "scikit-learn diabetes in hundreds; reg:pseudohubererror.", hundreds,
                     {"objective": "reg:pseudohubererror", "huber_slope": 0.8, "base_score": 1}),
    "squared_log": ("Diabetes progression", "scikit-learn diabetes in hundreds; reg:squaredlogerror.", hundreds,
                    {"objective": "reg:squaredlogerror", "min_child_weight": 1, "base_score": 1}),
    "reg_logistic": ("Pima diabetes as a number", "MASS Pima.tr2; reg:logistic: the number is a probability.",
                     pima, {"objective": "reg:logistic", "min_child_weight": 1},
                     {"task": "regression", "classes": None, "positive": None}),
    "quantiles": ("Diabetes progression, quantiles",
                  "scikit-learn diabetes; reg:quantileerror with three levels: three outputs, a base_score each.",
                  progression, {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
                  {"outputs": ["q10", "q50", "q90"]}),
    "one_quantile": ("Diabetes progression, a quantile", "scikit-learn diabetes; reg:quantileerror, one level.",
                     progression, {"objective": "reg:quantileerror", "quantile_alpha": 0.8}),
    "hinge": ("Pima diabetes", "MASS Pima.tr2; binary:hinge: the positive class has 0 or 1.", pima,
              {"objective": "binary:hinge", "min_child_weight": 0}),
    "logitraw": ("Pima diabetes, log odds",
                 "MASS Pima.tr2; binary:logitraw: the prediction is the margin, no probability. base_score\n"
                 "is a margin here.", pima,
                 {"objective": "binary:logitraw", "base_score": 0.3, "min_child_weight": 1},
                 {"task": "regression", "classes": None, "positive": None}),
    "softmax": ("Wine cultivars",
                "scikit-learn wine; multi:softmax. Booster.predict gives the class; here are the\n"
                "probabilities that the same trees give under multi:softprob.", cultivars,
                {"objective": "multi:softmax", "num_class": 3, "min_child_weight": 1}),
    "rank_ndcg": ("Films of a year, ranked", "Films from Wikidata (CC0); rank:ndcg.", films_by_year,
                  {"objective": "rank:ndcg", "min_child_weight": 0.1}),
    "rank_pairwise": ("Films of a year, ranked", "Films from Wikidata (CC0); rank:pairwise.", films_by_year,
                      {"objective": "rank:pairwise", "min_child_weight": 0.1}),
    "forest": ("Pima diabetes, random forest",
               "MASS Pima.tr2; num_parallel_tree=8 and one round: a random forest.", pima,
               {"objective": "binary:logistic", "num_parallel_tree": 8, "subsample": 0.7, "eta": 1,
                "colsample_bynode": 0.6, "min_child_weight": 1}, {"rounds": 1}),
    "dart_softprob": ("Wine cultivars, DART", "scikit-learn wine; booster=dart with multi:softprob.", cultivars,
                      {"booster": "dart", "objective": "multi:softprob", "num_class": 3, "rate_drop": 0.4,
                       "normalize_type": "forest", "min_child_weight": 1}),
    "linear": ("Diabetes progression, linear",
               "scikit-learn diabetes; gblinear: no trees. A missing cell adds nothing.", progression,
               {"booster": "gblinear", "updater": "coord_descent", "objective": "reg:squarederror"}),
    "linear_binary": ("Pima diabetes, linear", "MASS Pima.tr2; gblinear, binary:logistic, missing cells.", pima,
                      {"booster": "gblinear", "updater": "coord_descent", "objective": "binary:logistic"}),
    "linear_softprob": ("Wine cultivars, linear",
                        "scikit-learn wine; gblinear, multi:softprob, UBJSON, missing cells.", cultivars,
                        {"booster": "gblinear", "updater": "coord_descent", "objective": "multi:softprob",
                         "num_class": 3}, {"file": "model.ubj"}),
    "linear_outputs": ("Penguin bodies, linear", "palmerpenguins; gblinear with three outputs.",
                       penguin_bodies, {"booster": "gblinear", "updater": "coord_descent"}),
    "outputs": ("Penguin bodies", "palmerpenguins; three outputs, one_output_per_tree; vector base_score.",
                penguin_bodies, {"multi_strategy": "one_output_per_tree"}),
    "vector_leaf": ("Penguin bodies, vector leaves",
                    "palmerpenguins; three outputs, multi_strategy=multi_output_tree: one tree a round whose\n"
                    "leaves hold a number for each output; vector base_score.",
                    penguin_bodies, {"multi_strategy": "multi_output_tree"}),
    "vector_leaf_ubj": ("Penguin bodies, vector leaves", "palmerpenguins; as xgb_vector_leaf, as UBJSON, two\n"
                        "trees a round.", penguin_bodies,
                        {"multi_strategy": "multi_output_tree", "num_parallel_tree": 2, "subsample": 0.7},
                        {"file": "model.ubj", "rounds": 6}),
    "vector_leaf_softprob": ("Wine cultivars, vector leaves",
                             "scikit-learn wine; multi:softprob with multi_strategy=multi_output_tree.", cultivars,
                             {"objective": "multi:softprob", "num_class": 3, "min_child_weight": 1,
                              "multi_strategy": "multi_output_tree"}),
    "vector_leaf_labels": ("Employment", "Ecdat Treatment; binary:logistic with three labels, multi_output_tree.",
                           employment, {"objective": "binary:logistic", "multi_strategy": "multi_output_tree"}),
    "labels": ("Employment", "Ecdat Treatment; binary:logistic with three labels, a tree for each.",
               employment, {"objective": "binary:logistic", "multi_strategy": "one_output_per_tree"}),
    "stopped": ("Diabetes progression, stopped early",
                "scikit-learn diabetes; early stopping by xgboost.train: the file says best_iteration and has\n"
                "more rounds; Booster.predict uses all of them.", progression,
                {"eta": 0.5, "max_depth": 3}, {"stop": 6, "rounds": 60}),
    "stopped_wrapper": ("Wine cultivars, stopped early",
                        "scikit-learn wine; early stopping by XGBClassifier, whose predict_proba stops at\n"
                        "best_iteration: so do these answers.", cultivars,
                        {"eta": 0.9, "max_depth": 3, "min_child_weight": 1, "objective": "multi:softprob",
                         "num_class": 3, "num_parallel_tree": 2, "subsample": 0.6},
                        {"stop": 2, "rounds": 60, "wrapper": "XGBClassifier"}),
    "wrapper": ("Pima diabetes", "MASS Pima.tr2; XGBClassifier without early stopping.", pima,
                {"objective": "binary:logistic", "min_child_weight": 1}, {"wrapper": "XGBClassifier"}),
}, by_objective)  # fmt: skip


def survival(about, params, labels):
    data, days, dead = lung()
    label, extra = labels(days, dead)
    return Spec(
        title="Survival with lung cancer", about=about, y=label, extra=extra, rounds=12,
        file="model.json", params=SMALL | params, **data,
    )  # fmt: skip


def signed(days, dead):
    """survival:cox takes a negative time for an end that was not seen."""
    return np.where(dead, days, -days), {}


def bounds(days, dead):
    return None, {"label_lower_bound": days, "label_upper_bound": np.where(dead, days, np.inf)}


cases("xgboost", "3.2.", "xgb_", {
    "cox": ("survival lung (R, by pydataset); survival:cox.",
            {"objective": "survival:cox", "min_child_weight": 0.5}, signed),
    "aft": ("survival lung (R, by pydataset); survival:aft.",
            {"objective": "survival:aft", "aft_loss_distribution": "normal", "min_child_weight": 0.5}, bounds),
}, survival)  # fmt: skip
