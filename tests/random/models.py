"""Random models of the real libraries, and what the library says about rows.

A model is drawn from (seed, number) alone, so that one can be drawn again.
XGBoost's DMatrix refuses infinite cells. Rows that have one (also after the
cast to float32) are asked of Booster.inplace_predict, which takes them; but it
adds the trees of dart in another order, so there the largest finite number
stands in for the library, which no threshold tells from infinity. gblinear has
no such way, so it gets none. LightGBM takes them everywhere.
"""

import json
from dataclasses import dataclass, field

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from data import draw_columns, target

# How predictions follow from margins. exact: they are the margins, equal to the last bit.
# close: another function, within the library's tolerance. share: the same, from 0 to 1.
XGBOOST = [  # objective, target, link, form of the answer
    ("reg:squarederror", "real", "exact", "numbers"),
    ("reg:squaredlogerror", "small", "exact", "numbers"),
    ("reg:pseudohubererror", "small", "exact", "numbers"),
    ("reg:absoluteerror", "real", "exact", "numbers"),
    ("reg:quantileerror", "real", "exact", "numbers"),
    ("reg:logistic", "share", "share", "numbers"),
    ("binary:logistic", "truth", "share", "binary"),
    ("binary:logitraw", "truth", "exact", "numbers"),
    ("binary:hinge", "truth", "share", "binary"),
    ("count:poisson", "count", "close", "numbers"),
    ("reg:gamma", "positive", "close", "numbers"),
    ("reg:tweedie", "positive", "close", "numbers"),
    ("multi:softprob", "class", "share", "classes"),
    ("multi:softmax", "class", "share", "classes"),
    ("rank:ndcg", "rank", "exact", "numbers"),
    ("rank:pairwise", "rank", "exact", "numbers"),
    ("rank:map", "relevance", "exact", "numbers"),
    ("survival:cox", "signed days", "close", "numbers"),
    ("survival:aft", "days", "close", "numbers"),
]
LIGHTGBM = [
    ("regression", "real", "exact", "numbers"),
    ("regression_l1", "real", "exact", "numbers"),
    ("huber", "real", "exact", "numbers"),
    ("fair", "real", "exact", "numbers"),
    ("quantile", "real", "exact", "numbers"),
    ("mape", "positive", "exact", "numbers"),
    ("custom", "real", "exact", "numbers"),
    ("custom", "class", "exact", "numbers"),
    ("poisson", "count", "close", "numbers"),
    ("gamma", "positive", "close", "numbers"),
    ("tweedie", "positive", "close", "numbers"),
    ("cross_entropy", "share", "share", "numbers"),
    ("cross_entropy_lambda", "share", "close", "numbers"),
    ("binary", "truth", "share", "binary"),
    ("multiclass", "class", "share", "classes"),
    ("multiclassova", "class", "share", "classes"),
    ("lambdarank", "rank", "exact", "numbers"),
    ("rank_xendcg", "rank", "exact", "numbers"),
]
LARGEST = np.finfo(np.float32).max
# Objectives that can be asked for several outputs at once.
SEVERAL = {"reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror", "reg:logistic",
           "binary:logistic", "binary:hinge"}  # fmt: skip
RANKING = ("rank", "relevance")


@dataclass
class Drawn:
    """A trained model in a file, with all that is needed to ask it."""

    number: int
    library: str
    link: str
    form: str  # of the answer: numbers, binary, classes
    columns: list
    params: dict
    rounds: int
    outputs: int = 1
    named: bool = True
    wrapper: str = ""
    stop: int = 0
    weighted: bool = False
    file: str = ""
    infinities: bool = True
    later: str = ""  # what became of the model after its training
    splits: list = field(default_factory=list)  # (feature, threshold) of numeric splits
    answer: object = None  # matrix of float64 -> predictions, rows x outputs

    def describe(self):
        kinds = {}
        for column in self.columns:
            kinds[column.kind] = kinds.get(column.kind, 0) + 1
        params = {k: v for k, v in self.params.items() if k not in ("nthread", "num_threads", "verbosity")}
        params = {k: getattr(v, "__name__", v) for k, v in params.items()}
        more = {"rounds": self.rounds, "stop": self.stop, "wrapper": self.wrapper, "later": self.later,
                "weighted": self.weighted, "file": self.file}  # fmt: skip
        return f"{self.library} {params | {k: v for k, v in more.items() if v}} columns {kinds}"

    def frame(self):
        return pd.DataFrame({c.name: series(c) for c in self.columns})

    def matrix(self):
        return np.column_stack([c.values for c in self.columns])


def series(column):
    if column.kind != "levels":
        # integers and truth values keep their type in a frame, and the file says so
        known = np.unique(column.values)
        if np.array_equal(known, [0, 1]):
            return column.values.astype(bool)
        whole = np.array_equal(known, known.round()) and np.abs(known).max() < 2**53
        return column.values.astype(np.int64) if whole else column.values
    codes = np.where(np.isnan(column.values), -1, column.values).astype(int)
    return pd.Categorical.from_codes(codes, categories=column.levels, ordered=column.ordered)


def parts(model):
    """The rows of the training, and those held out for early stopping. Groups of ranked rows stay together."""
    rows = np.arange(len(model.columns[0].values))
    if not model.stop:
        return rows, None
    if model.groups is not None:
        return rows[model.groups % 2 == 0], rows[model.groups % 2 == 1]
    return rows[::3], rows[1::3]


def group_sizes(model, part):
    return None if model.groups is None else np.unique(model.groups[part], return_counts=True)[1]


def maybe(rng, share, **params):
    return params if rng.random() < share else {}


def draw(seed, number, folder):
    """Model `number` of a run, trained and saved into a folder. None: the library would not train it."""
    rng = np.random.default_rng([seed, number])
    library, train = [("xgboost", train_xgboost), ("lightgbm", train_lightgbm)][number % 2]
    model = {"xgboost": draw_xgboost, "lightgbm": draw_lightgbm}[library](rng, number)
    folder.mkdir()
    train(rng, model, folder)
    return model


def common(rng, library, number, objective, kind, link, form, params, categories=True, outputs=1, named=True):
    rows = int(rng.integers(40, 400))
    style = "frame" if named and rng.random() < 0.5 else "matrix"
    columns = draw_columns(rng, library, rows, style, categories)
    model = Drawn(number, library, link, form, columns, params, int(rng.integers(1, 26)), outputs, named)
    model.target = target(rng, kind, columns, outputs)
    model.groups = model.target[1].pop("groups", None)
    model.style, model.weighted = style, rng.random() < 0.25
    model.weight = rng.uniform(0.1, 3, rows) if model.weighted else None
    if rows > 80 and rng.random() < 0.25:
        model.stop = int(rng.integers(1, 5))
    return model


# --- XGBoost --------------------------------------------------------------


def draw_xgboost(rng, number):
    objective, kind, link, form = XGBOOST[rng.integers(len(XGBOOST))]
    booster = rng.choice(["gbtree", "dart", "gblinear"], p=[0.7, 0.15, 0.15])
    outputs = int(rng.integers(2, 6)) if kind == "class" else 1
    params = {"objective": objective, "booster": str(booster), "nthread": 1, "seed": number,
              "eta": float(rng.choice([0.03, 0.3, 1.0]))}  # fmt: skip
    if objective in SEVERAL and rng.random() < 0.4:
        outputs, form = int(rng.integers(2, 4)), "numbers"
    if objective == "reg:quantileerror":
        outputs = int(rng.integers(1, 4))
        params["quantile_alpha"] = np.sort(rng.choice([0.05, 0.1, 0.5, 0.75, 0.9], outputs, False)).tolist()
    if kind == "class":
        params["num_class"] = outputs
    if kind in ("share", "truth") and outputs == 1:
        params |= maybe(rng, 0.2, base_score=float(rng.choice([0.1, 0.5, 0.7])))
    method = "hist"
    if booster != "gblinear":
        method = str(rng.choice(["hist", "approx", "exact"], p=[0.7, 0.15, 0.15]))
        params |= tree_params(rng, method)
        if outputs > 1 and booster == "gbtree" and method == "hist" and rng.random() < 0.5:
            params["multi_strategy"] = "multi_output_tree"
    else:
        params |= {"updater": "coord_descent"} | maybe(rng, 0.5, alpha=0.1) | maybe(rng, 0.5, reg_lambda=1.0)
    if booster == "dart":
        params |= {"rate_drop": 0.4} | maybe(rng, 0.5, normalize_type="forest")
        params |= maybe(rng, 0.3, sample_type="weighted")
    vector = "multi_strategy" in params  # knows no categories yet, like the exact method and gblinear
    categories = booster != "gblinear" and method != "exact" and not vector and rng.random() < 0.6
    named = bool(rng.random() < 0.85)
    drawn_outputs = 1 if objective == "reg:quantileerror" else outputs
    model = common(rng, "xgboost", number, objective, kind, link, form, params, categories, drawn_outputs, named)
    model.outputs = outputs
    model.infinities = booster != "gblinear"
    if kind in ("real", "truth", "class", "share", "count") and not params.get("quantile_alpha"):
        if outputs == 1 or (kind == "class" and outputs > 2):
            if rng.random() < 0.3:
                forest = "RF" if booster == "gbtree" and not model.stop and rng.random() < 0.3 else ""
                model.wrapper = f"XGB{forest}{'Classifier' if kind in ('truth', 'class') else 'Regressor'}"
    elif kind in RANKING and rng.random() < 0.3:
        model.wrapper, model.stop, model.weight = "XGBRanker", 0, None
    if booster != "gblinear" and not model.wrapper and not vector and rng.random() < 0.3:
        kinds = {c.kind for c in model.columns}
        refreshed = booster == "gbtree" and kinds == {"number"}  # an update knows no categories
        sliced = "levels" not in kinds  # the library forgets them
        model.later = str(rng.choice(["continued"] + ["sliced"] * sliced + ["refreshed"] * refreshed))
    return model


def tree_params(rng, method):
    params = {"tree_method": method, "max_depth": int(rng.integers(1, 7)),
              "min_child_weight": float(rng.choice([0, 0.1, 1, 5]))}  # fmt: skip
    params |= maybe(rng, 0.3, subsample=0.6)
    params |= maybe(rng, 0.2, num_parallel_tree=int(rng.integers(2, 5)))
    params |= maybe(rng, 0.2, gamma=0.5)
    params |= maybe(rng, 0.5, max_cat_to_onehot=int(rng.choice([1, 4, 100])))
    params |= maybe(rng, 0.2, max_cat_threshold=int(rng.choice([1, 3])))
    if method != "exact":
        params |= maybe(rng, 0.3, colsample_bynode=0.5)
        params |= maybe(rng, 0.2, grow_policy="lossguide", max_leaves=int(rng.integers(2, 30)))
        params |= maybe(rng, 0.3, max_bin=int(rng.choice([4, 16])))
    return params


def train_xgboost(rng, model, folder):
    file = folder / str(rng.choice(["model.json", "model.ubj"]))
    model.file = file.name
    y, extra = model.target
    train, held = parts(model)
    types = ["c" if c.kind == "codes" else "float" for c in model.columns] if model.named else None
    if not model.named and any(c.kind == "codes" for c in model.columns):
        types = ["c" if c.kind == "codes" else "q" for c in model.columns]
    names = [c.name for c in model.columns] if model.named else None

    def matrix(part):
        cut = {k: v[part] for k, v in extra.items()}
        if model.groups is not None:
            cut["group"] = group_sizes(model, part)
        if model.weight is not None:  # of ranked rows a weight a group
            cut["weight"] = model.weight[: len(cut["group"])] if "group" in cut else model.weight[part]
        label = None if y is None else y[part]
        if model.style == "frame":
            return xgboost.DMatrix(model.frame().iloc[part], label, enable_categorical=True, **cut)
        return xgboost.DMatrix(
            model.matrix()[part].astype(np.float32), label,
            feature_names=names, feature_types=types, enable_categorical=True, **cut,
        )  # fmt: skip

    if model.wrapper:
        params = {k: v for k, v in model.params.items() if k not in ("nthread", "seed", "num_class")}
        kinds = None if model.style == "frame" else types
        estimator = getattr(xgboost, model.wrapper)(
            n_jobs=1, n_estimators=model.rounds, random_state=model.number, feature_types=kinds,
            enable_categorical=any(c.kind != "number" for c in model.columns), early_stopping_rounds=model.stop or None, **params,
        )  # fmt: skip
        table = model.frame() if model.style == "frame" else pd.DataFrame(model.matrix().astype(np.float32))
        if model.style != "frame":
            model.named = False
            table = table.to_numpy()
        take = (lambda part: table.iloc[part]) if model.style == "frame" else (lambda part: table[part])
        seen = [(take(held), y[held])] if model.stop else None
        weight = None if model.weight is None else model.weight[train]
        more = {"group": group_sizes(model, train)} if model.groups is not None else {"sample_weight": weight}
        estimator.fit(take(train), y[train], eval_set=seen, verbose=False, **more)
        estimator.save_model(file)
    else:
        stop = {}
        if model.stop:
            stop = {"evals": [(matrix(held), "held")], "early_stopping_rounds": model.stop,
                    "verbose_eval": False}  # fmt: skip
        booster = xgboost.train(model.params, matrix(train), model.rounds, **stop)
        changed(rng, model, booster, matrix(train)).save_model(file)
    model.answer = ask_xgboost(model, file)


def changed(rng, model, booster, rows):
    """The booster as it is after what is done to models later."""
    rounds = booster.num_boosted_rounds()
    if model.later == "continued":
        return xgboost.train(model.params, rows, 2, xgb_model=booster)
    if model.later == "refreshed":
        update = {"process_type": "update", "updater": "refresh", "refresh_leaf": True, "num_parallel_tree": 1}
        return xgboost.train(model.params | update, rows, rounds, xgb_model=booster)
    if model.later == "sliced":
        first = int(rng.integers(rounds))
        return booster[first : int(rng.integers(first, rounds)) + 1]
    return booster


def ask_xgboost(model, file):
    booster = xgboost.Booster(model_file=file)
    best = booster.attr("best_iteration") if booster.attr("scikit_learn") else None
    limit = {"iteration_range": (0, int(best) + 1)} if best else {}
    learner = json.loads(booster.save_raw("json"))["learner"]
    if not np.isfinite(learner["gradient_booster"].get("model", {}).get("weights", 0)).all():
        raise ValueError("the training diverged: no linear weight is a number any more")
    names, types = learner["feature_names"] or None, learner["feature_types"] or None
    if model.params["objective"] == "multi:softmax":  # Portend answers with the probabilities
        booster.set_param({"objective": "multi:softprob"})
    model.splits = list(splits_xgboost(learner))
    types = types and ["c" if t == "c" or c.kind != "number" else "float" for t, c in zip(types, model.columns)]

    def answer(matrix):
        with np.errstate(over="ignore"):
            rows = matrix.astype(np.float32)
        infinite = np.isinf(rows).any(axis=1)
        finite = np.clip(rows, -LARGEST, LARGEST)
        told = booster.predict(
            xgboost.DMatrix(finite, feature_names=names, feature_types=types, enable_categorical=True),
            **limit,
        )
        if infinite.any() and learner["gradient_booster"]["name"] == "gbtree":
            told[infinite] = booster.inplace_predict(rows[infinite], validate_features=False, **limit)
        return told.reshape(len(rows), -1).astype(np.float64)

    return answer


def splits_xgboost(learner):
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        return
    for tree in booster.get("gbtree", booster)["model"]["trees"]:
        for left, feature, kind, value in zip(
            tree["left_children"], tree["split_indices"], tree["split_type"], tree["split_conditions"]
        ):
            if left != -1 and kind == 0:
                yield feature, np.float32(value)


# --- LightGBM -------------------------------------------------------------


def squared_error(predictions, data):
    """Of one number, or of one for each class."""
    label = data.get_label()
    if predictions.ndim == 2:
        label = label[:, None] == np.arange(predictions.shape[1])
    return predictions - label, np.ones_like(predictions)


def draw_lightgbm(rng, number):
    objective, kind, link, form = LIGHTGBM[rng.integers(len(LIGHTGBM))]
    outputs = int(rng.integers(2, 6)) if kind == "class" else 1
    boosting = str(rng.choice(["gbdt", "dart", "rf"], p=[0.7, 0.15, 0.15]))
    if objective in ("custom", "cross_entropy_lambda") or (kind == "rank" and boosting == "rf"):
        boosting = "gbdt"
    params = {"objective": squared_error if objective == "custom" else objective, "boosting": boosting,
              "num_threads": 1, "seed": number, "verbosity": -1, "deterministic": True, "force_row_wise": True,
              "num_leaves": int(rng.integers(2, 40)), "min_data_in_leaf": int(rng.choice([1, 5, 20])),
              "learning_rate": float(rng.choice([0.03, 0.3, 1.0])),
              "min_data_per_group": int(rng.choice([1, 5, 50])), "cat_smooth": 1}  # fmt: skip
    if kind == "class":
        params["num_class"] = outputs
    if objective in ("binary", "multiclassova"):
        params |= maybe(rng, 0.3, sigmoid=float(rng.choice([0.5, 2.0])))
    if boosting == "rf":
        params |= {"bagging_fraction": 0.6, "bagging_freq": 1}
        link = "close" if link == "exact" else link
    params |= maybe(rng, 0.2, zero_as_missing=True) or maybe(rng, 0.15, use_missing=False)
    params |= maybe(rng, 0.3, max_cat_to_onehot=int(rng.choice([1, 20])))
    params |= maybe(rng, 0.2, extra_trees=True)
    params |= maybe(rng, 0.3, feature_fraction_bynode=0.5)
    params |= maybe(rng, 0.2, min_sum_hessian_in_leaf=0.0)
    params |= maybe(rng, 0.15, boost_from_average=False)
    params |= maybe(rng, 0.1, path_smooth=1.0) | maybe(rng, 0.1, max_bin=int(rng.choice([4, 16])))
    if objective in ("regression", "regression_l1", "fair", "quantile", "mape") and rng.random() < 0.3:
        params["reg_sqrt"], link = True, "close"
    if boosting == "gbdt" and objective not in ("regression_l1", "quantile", "mape"):
        if "zero_as_missing" not in params:
            params |= maybe(rng, 0.25, linear_tree=True, linear_lambda=float(rng.choice([0.0, 0.5])))
        params |= maybe(rng, 0.15, data_sample_strategy="goss")
    named = bool(rng.random() < 0.85)
    categories = rng.random() < 0.6
    model = common(rng, "lightgbm", number, objective, kind, link, form, params, categories, outputs, named)
    if objective == "custom" or boosting == "dart":
        model.stop = 0
    for column in model.columns:
        column.ordered = column.kind == "levels" and bool(rng.random() < 0.1)
    if objective != "custom" and rng.random() < 0.15:
        model.wrapper, model.stop = {"truth": "LGBMClassifier", "class": "LGBMClassifier", "rank": "LGBMRanker"}.get(
            kind, "LGBMRegressor"), 0  # fmt: skip
    elif boosting == "gbdt" and rng.random() < 0.3:
        model.later = str(rng.choice(["part"] + ["continued", "rolled back"] * (objective != "custom" and not model.stop)))
        # not refitted: LightGBM 4.7 crashes on some of these
    elif boosting == "rf":
        model.later = str(rng.choice(["", "part"]))
    return model


def train_lightgbm(rng, model, folder):
    file = folder / "model.txt"
    model.file = file.name
    y, _ = model.target
    train, held = parts(model)
    table = model.frame() if model.style == "frame" else model.matrix()
    take = (lambda part: table.iloc[part]) if model.style == "frame" else (lambda part: table[part])
    weight = (lambda part: None) if model.weight is None else (lambda part: model.weight[part])
    names = "auto" if model.style == "frame" or not model.named else [c.name for c in model.columns]
    codes = [i for i, c in enumerate(model.columns) if c.kind == "codes"]
    if model.wrapper:
        params = {k: v for k, v in model.params.items() if k != "num_class"}
        estimator = getattr(lightgbm, model.wrapper)(n_estimators=model.rounds, **params)
        more = {"group": group_sizes(model, train)} if model.groups is not None else {}
        estimator.fit(
            take(train), y[train], sample_weight=weight(train), feature_name=names,
            categorical_feature=codes or "auto", **more,
        )  # fmt: skip
        estimator.booster_.save_model(file)
    else:
        data = lightgbm.Dataset(
            take(train), y[train], weight=weight(train), feature_name=names, group=group_sizes(model, train),
            categorical_feature=codes or "auto", free_raw_data=False,
        )  # fmt: skip
        stop = {}
        if model.stop:
            seen = data.create_valid(take(held), y[held], weight=weight(held), group=group_sizes(model, held))
            stop = {"valid_sets": [seen], "callbacks": [lightgbm.early_stopping(model.stop, verbose=False)]}
        save_lightgbm(rng, model, lightgbm.train(model.params, data, model.rounds, **stop), data, file)
    booster = lightgbm.Booster(model_file=file)
    model.splits = list(splits_lightgbm(file.read_text(encoding="utf-8")))
    model.answer = lambda matrix: booster.predict(matrix, num_threads=1).reshape(len(matrix), -1)


def save_lightgbm(rng, model, booster, data, file):
    """Saves the booster as it is after what is done to models later."""
    part, rounds = {}, booster.num_trees() // booster.num_model_per_iteration()
    if model.later == "continued":
        booster = lightgbm.train(model.params, data, 2, init_model=booster)
    if model.later == "rolled back" and rounds > 1:
        booster.rollback_one_iter()
    if model.later == "part" and rounds:
        first = int(rng.integers(rounds))
        part = {"start_iteration": first, "num_iteration": int(rng.integers(1, rounds - first + 1))}
    booster.save_model(file, **part)


def splits_lightgbm(text):
    tree = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key in ("split_feature", "threshold", "decision_type"):
            tree[key] = value.split()
        if key == "decision_type":  # the last of the three; bit 0 marks a category
            for feature, value, kind in zip(tree["split_feature"], tree["threshold"], tree["decision_type"]):
                if not int(kind) & 1:
                    yield int(feature), np.float64(value)
