"""Golden cases of XGBoost 3.0, 2.1 and 1.7."""

from data import (
    class_index, computer_prices, levels, numbers, penguin_bodies, penguins, pima, progression, r_table,
    randhie, take, visits,
)  # fmt: skip
from spec import XGB1, XGB2, Spec, cases

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

SMALL = {"max_depth": 4, "eta": 0.3}


def by_objective(title, about, data, params, more={}):
    return Spec(
        title=title, about=about, **({"rounds": 12, "file": "model.json"} | data() | more), params=SMALL | params
    )


def penguins_again():
    return penguins() | {"most_rows": 150}


CATEGORIES = {"objective": "multi:softprob", "num_class": 3, "max_cat_to_onehot": 1,
              "colsample_bynode": 0.4, "subsample": 0.8}  # fmt: skip
VECTOR_LEAF = {"multi_strategy": "multi_output_tree", "min_child_weight": 5}
LOGITRAW = {"task": "regression", "classes": None, "positive": None}

cases("xgboost", "3.0.", "xgb30_", {
    "pima": ("Pima diabetes", "MASS Pima.tr2; written by xgboost 3.0; binary:logistic, UBJSON.", pima,
             {"objective": "binary:logistic"}, {"file": "model.ubj"}),
    "penguins": ("Penguin species",
                 "palmerpenguins; written by xgboost 3.0; string categories, all splits partitions; the file\n"
                 "holds no levels.", penguins_again, CATEGORIES),
    "vector_leaf": ("Penguin bodies, vector leaves",
                    "palmerpenguins; written by xgboost 3.0; multi_output_tree before leaf_weights: the leaves\n"
                    "are in base_weights.", penguin_bodies, VECTOR_LEAF),
}, by_objective)  # fmt: skip

cases("xgboost", "2.1.", "xgb21_", {
    "vector_leaf": ("Penguin bodies, vector leaves",
                    "palmerpenguins; written by xgboost 2.1; multi_output_tree, UBJSON.", penguin_bodies,
                    VECTOR_LEAF, {"file": "model.ubj"}),
    "quantiles": ("Diabetes progression, quantiles",
                  "scikit-learn diabetes; written by xgboost 2.1; reg:quantileerror with three levels.",
                  progression, {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
                  {"outputs": ["q10", "q50", "q90"]}),
}, by_objective)  # fmt: skip

cases("xgboost", "1.7.", "xgb17_", {
    "linear": ("Diabetes progression, linear", "scikit-learn diabetes; written by xgboost 1.7; gblinear.",
               progression, {"booster": "gblinear", "updater": "coord_descent"}),
    "poisson": ("Doctor visits", "statsmodels randhie; written by xgboost 1.7; count:poisson.", visits,
                {"objective": "count:poisson"}),
    "penguins": ("Penguin species",
                 "palmerpenguins; written by xgboost 1.7; string categories, all splits partitions.",
                 penguins_again, CATEGORIES | {"tree_method": "hist"}),
    "logitraw": ("Pima diabetes, log odds",
                 "MASS Pima.tr2; written by xgboost 1.7; binary:logitraw with base_score=0.3,\n"
                 "which is a margin.", pima,
                 {"objective": "binary:logitraw", "base_score": 0.3}, LOGITRAW),
}, by_objective)  # fmt: skip
