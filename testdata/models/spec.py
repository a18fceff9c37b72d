"""What a golden case is made of, and the register of all cases."""

from dataclasses import dataclass, field

import numpy as np

CASES = {}  # name -> (library, version prefix, function)


@dataclass
class Spec:
    """Everything that one case needs to be trained and written."""

    title: str
    about: str
    table: dict
    target: str
    y: np.ndarray  # rows, or rows x outputs
    task: str
    params: dict
    rounds: int
    file: str  # model file name
    dtypes: dict = field(default_factory=dict)  # column -> dtype or list of levels
    dtype: str = "float64"  # of the columns not named in dtypes
    classes: list = None
    positive: object = None
    threshold: float = 0.5
    outputs: list = None  # names of several outputs that are not classes
    codes: tuple = ()  # integer columns the model splits as categories
    frame: bool = False  # train on a pandas frame with Categorical columns
    named: bool = True  # False: no feature names in the model
    most_rows: int = 340  # of the table in rows.csv; hard rows come on top
    extra: dict = field(default_factory=dict)  # for the library's training matrix
    stop: int = 0  # early stopping: train on even rows, stop by odd ones after so many rounds
    wrapper: str = None  # train with this scikit-learn class of the library

    def kind(self, name):
        return self.dtypes.get(name, self.dtype)


def case(library, version):
    """A decorator for functions that return the Spec of one release's case."""

    def register(function):
        CASES[function.__name__] = (library, version, function)
        return function

    return register


def cases(library, version, prefix, variants, make):
    """Cases that differ by their parameters: variants is name -> arguments of make."""
    for name, arguments in variants.items():
        CASES[prefix + name] = (library, version, lambda arguments=arguments: make(*arguments))


XGB3 = case("xgboost", "3.2.")
XGB30 = case("xgboost", "3.0.")
XGB2 = case("xgboost", "2.1.")
XGB1 = case("xgboost", "1.7.")
LGB4 = case("lightgbm", "4.")
LGB3 = case("lightgbm", "3.3.")
