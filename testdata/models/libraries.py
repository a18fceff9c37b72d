"""Train with the real libraries, and ask them about a saved model.

The reference is deliberately plain: rows.csv is read back with float(), turned
into a matrix (categories become the index of their level, unknown levels and
empty cells become NaN) and given to Booster.predict.
"""

import json
import math

import numpy as np

WORDS = {"": math.nan, "false": 0.0, "true": 1.0}


def number(cell):
    return WORDS[cell] if cell in WORDS else float(cell)


def column_values(cells, kind):
    """The float64 values that the reference gives the library for a column."""
    if not isinstance(kind, list):
        return [number(cell) for cell in cells]
    codes = {level: float(code) for code, level in enumerate(kind)}
    if isinstance(kind[0], str):
        return [codes.get(cell, math.nan) for cell in cells]

    def code(cell):  # levels that are numbers or truth values are found by value
        try:
            return codes.get(number(cell), math.nan)
        except ValueError:
            return math.nan

    return [code(cell) for cell in cells]


def matrix(spec, table):
    return np.column_stack([column_values(table[name], spec.kind(name)) for name in spec.table])


def frame(spec, table):
    import pandas as pd

    def series(name):
        kind = spec.kind(name)
        values = np.array(column_values(table[name], kind))
        if isinstance(kind, list):
            codes = np.where(np.isnan(values), -1, values).astype(int)
            return pd.Categorical.from_codes(codes, categories=kind)
        return values

    return pd.DataFrame({name: series(name) for name in spec.table})


def part(values, rows):
    """Some rows of a matrix, a frame or labels."""
    return values.iloc[rows] if hasattr(values, "iloc") else values[rows]


def halves(spec):
    """The rows to train on and those that stop the training."""
    everything = np.arange(len(next(iter(spec.table.values()))))
    return (everything[::2], everything[1::2]) if spec.stop else (everything, None)


class XGBoost:
    """A model file, asked by xgboost."""

    kind = "xgboost"
    prediction_tolerance = 1e-6
    infinities = False  # DMatrix refuses them

    def __init__(self, spec, path):
        import xgboost

        self.lib, self.spec = xgboost, spec
        self.booster = xgboost.Booster(model_file=path)
        learner = json.loads(self.booster.save_raw("json"))["learner"]
        self.model, self.objective = learner["gradient_booster"], learner["objective"]["name"]
        # Booster.predict takes all rounds; scikit-learn's classes stop at the best one.
        best = self.booster.attr("best_iteration") if self.booster.attr("scikit_learn") else None
        self.rounds = (0, int(best) + 1) if best else (0, 0)

    @classmethod
    def train(cls, spec, path):
        import xgboost

        params = {"nthread": 1, "seed": 7, "tree_method": "hist", **spec.params}
        if params.get("booster") == "gblinear":
            del params["tree_method"]
        train, holdout = halves(spec)
        data = cls.training_matrix(spec)
        if spec.wrapper:
            del params["nthread"]
            params["random_state"] = params.pop("seed")
            model = getattr(xgboost, spec.wrapper)(
                n_jobs=1, n_estimators=spec.rounds, early_stopping_rounds=spec.stop or None, **params
            )
            rows = matrix(spec, spec.table).astype(np.float32)
            seen = [(part(rows, holdout), spec.y[holdout])] if spec.stop else None
            model.fit(part(rows, train), spec.y[train], eval_set=seen, verbose=False)
            model.save_model(path)
            return
        stop = {}
        if spec.stop:
            stop = {
                "evals": [(data.slice(holdout), "holdout")],
                "early_stopping_rounds": spec.stop,
                "verbose_eval": False,
            }
            data = data.slice(train)
        xgboost.train(params, data, spec.rounds, **stop).save_model(path)

    @staticmethod
    def feature_types(spec):
        # The exact method and linear models know no categories: there the codes are numbers.
        numeric = spec.params.get("tree_method") == "exact" or spec.params.get("booster") == "gblinear"
        is_category = lambda n: isinstance(spec.kind(n), list) or n in spec.codes
        return ["c" if is_category(n) and not numeric else "float" for n in spec.table]

    @classmethod
    def training_matrix(cls, spec):
        import xgboost

        if spec.frame:
            return xgboost.DMatrix(frame(spec, spec.table), spec.y, enable_categorical=True, **spec.extra)
        return cls.matrix_of(spec, spec.table, label=spec.y, **spec.extra)

    @classmethod
    def matrix_of(cls, spec, table, **extra):
        import xgboost

        return xgboost.DMatrix(
            matrix(spec, table).astype(np.float32),
            feature_names=list(spec.table) if spec.named else None,
            feature_types=cls.feature_types(spec) if spec.named else None,
            enable_categorical=True,
            **extra,
        )

    def predict(self, table):
        """Margins, predictions and leaves of rows."""
        rows = self.matrix_of(self.spec, table) if not self.spec.wrapper else self.unnamed(table)
        limit = {"iteration_range": self.rounds}
        margins = self.booster.predict(rows, output_margin=True, **limit)
        predictions = self.booster.predict(rows, **limit)
        if self.objective == "multi:softmax":
            predictions = self.probabilities(rows, predictions)
        if self.model["name"] == "gblinear":
            leaves = np.empty((len(margins), 0))
        else:
            leaves = self.booster.predict(rows, pred_leaf=True, **limit)
        assert margins.dtype == predictions.dtype == np.float32
        return margins, predictions, leaves

    def unnamed(self, table):
        return self.lib.DMatrix(matrix(self.spec, table).astype(np.float32))

    def probabilities(self, rows, labels):
        """What the trees of a multi:softmax model give under multi:softprob."""
        booster = self.booster.copy()
        booster.set_param({"objective": "multi:softprob"})
        probabilities = booster.predict(rows, iteration_range=self.rounds)
        assert (probabilities.argmax(axis=1) == labels).all()
        return probabilities

    def splits(self):
        """(feature, threshold) of every numeric split, in file order."""
        if self.model["name"] == "gblinear":
            return
        for tree in self.model.get("gbtree", self.model)["model"]["trees"]:
            for left, feature, kind, value in zip(
                tree["left_children"], tree["split_indices"],
                tree["split_type"], tree["split_conditions"],
            ):  # fmt: skip
                if left != -1 and kind == 0 and feature < len(self.spec.table):
                    yield feature, np.float32(value)


class LightGBM:
    """A model file, asked by lightgbm."""

    kind = "lightgbm"
    prediction_tolerance = 1e-12
    infinities = True

    def __init__(self, spec, path):
        import lightgbm

        self.lib, self.spec = lightgbm, spec
        self.booster = lightgbm.Booster(model_file=path)

    @classmethod
    def train(cls, spec, path):
        import lightgbm

        params = {"num_threads": 1, "seed": 7, "deterministic": True, "force_row_wise": True,
                  "verbosity": -1, **spec.params}  # fmt: skip
        rows = frame(spec, spec.table) if spec.frame else matrix(spec, spec.table)
        train, holdout = halves(spec)
        data = lightgbm.Dataset(
            part(rows, train),
            spec.y[train],
            feature_name="auto" if spec.frame else list(spec.table),
            categorical_feature=list(spec.codes) or "auto",
            **spec.extra,
        )
        stop = {}
        if spec.stop:
            held = data.create_valid(part(rows, holdout), spec.y[holdout])
            early = lightgbm.early_stopping(spec.stop, verbose=False)
            stop = {"valid_sets": [held], "callbacks": [early]}
        lightgbm.train(params, data, spec.rounds, **stop).save_model(path)

    def predict(self, table):
        """Margins, predictions and leaves of rows."""
        rows = matrix(self.spec, table)
        margins = self.booster.predict(rows, raw_score=True)
        predictions = self.booster.predict(rows)
        leaves = self.booster.predict(rows, pred_leaf=True)
        assert margins.dtype == predictions.dtype == np.float64
        return margins, predictions, leaves

    def splits(self):
        """(feature, threshold) of every numeric split, in file order."""
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
