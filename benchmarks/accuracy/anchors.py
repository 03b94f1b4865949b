"""scikit-learn as a person would use it: gaps filled, numbers standardized, categories one-hot, words in a bag."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.accuracy.cases import Case, Record, Role, Rows

Array = np.ndarray[Any, Any]
Answers = list[Any]
Part = Sequence[int]


def boosting(case: Case, rows: Rows, train: Part, test: Part, seed: int) -> Answers:
    """HistGradientBoosting with its defaults, which takes gaps as they are."""
    made = (HistGradientBoostingClassifier if case.classes else HistGradientBoostingRegressor)(random_state=seed)
    return _answers(make_pipeline(columns_to_numbers(rows, scaled=False), made), rows, train, test)


def perceptron(case: Case, rows: Rows, train: Part, test: Part, seed: int) -> Answers:
    """An MLP with its defaults, behind a StandardScaler."""
    made = (MLPClassifier if case.classes else MLPRegressor)(random_state=seed)
    return _answers(make_pipeline(columns_to_numbers(rows, scaled=True), made), rows, train, test)


def columns_to_numbers(rows: Rows, *, scaled: bool) -> ColumnTransformer:
    """What makes a matrix of `matrix(rows)`, fitted on training rows alone; `scaled` fills gaps and standardizes."""
    numbers, texts = places(rows, "number", "date"), places(rows, "text")
    filled = make_pipeline(SimpleImputer(), StandardScaler()) if scaled else "passthrough"
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    bags = [(f"words {place}", CountVectorizer(binary=True), place) for place in texts]
    steps = [("numbers", filled, numbers), ("categories", one_hot, places(rows, "category")), *bags]
    return ColumnTransformer(steps, sparse_threshold=0)


def matrix(rows: Rows) -> Array:
    """Every column of every row, in an array of objects; a date is its month, its day, and its weekday."""
    return np.array(
        [[cell for name in rows.roles for cell in _cells(record, name, rows.roles[name])] for record in rows.columns],
        dtype=object,
    )


def places(rows: Rows, *roles: Role) -> list[int]:
    """The places of the columns with these roles in `matrix`."""
    named = [role for role in rows.roles.values() for _ in range(3 if role == "date" else 1)]
    return [place for place, role in enumerate(named) if role in roles]


def _cells(record: Record, name: str, role: Role) -> list[Any]:
    value = record[name]
    if role == "date":
        return [np.nan] * 3 if value is None else [value.month, value.day, value.weekday()]
    missing: Any = np.nan if role == "number" else ""
    return [missing if value is None else value]


def _answers(pipeline: Any, rows: Rows, train: Part, test: Part) -> Answers:
    values, labels = matrix(rows), np.array(rows.labels)
    pipeline.fit(values[list(train)], labels[list(train)])
    return list(pipeline.predict(values[list(test)]).tolist())
