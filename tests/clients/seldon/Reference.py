"""A LightGBM model behind Seldon's own wrapper, written as its users write one. Started by seldon_compare.py."""

import csv
import io
import json

import lightgbm
import numpy as np


class Reference:
    def __init__(self, model_file, features, classes):
        self.booster = lightgbm.Booster(model_file=model_file)
        self.features = json.loads(features)
        self.classes = json.loads(classes)

    def predict(self, data, names, meta=None):
        predictions = self.booster.predict(self.rows(data, names))
        return predictions.reshape(len(predictions), -1)

    def class_names(self):
        return self.classes

    def rows(self, data, names):
        """The rows as numbers in the model's order."""
        if isinstance(data, bytes):
            data = data.decode()
        if isinstance(data, str):
            if not data.lstrip().startswith(("[", "{")):
                table = list(csv.reader(io.StringIO(data)))
                return self.rows([[cell or None for cell in row] for row in table[1:]], table[0])
            data = json.loads(data)
        if isinstance(data, dict):
            data = [data]
        if isinstance(data, list) and data and isinstance(data[0], dict):
            data = [[record.get(name) for name in self.features] for record in data]
            names = self.features
        data = np.array(data, dtype=float)  # None becomes NaN
        names = list(names or [])
        if any(name in self.features for name in names):
            data = data[:, [names.index(name) for name in self.features]]
        return data
