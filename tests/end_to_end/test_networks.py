"""The networks of an introductory course, and real data, from POST to predictions."""

import io
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from tests.end_to_end.conftest import Service


def binary(rng: np.random.Generator, *shape: int) -> dict[str, Any]:
    """Rows whose answer is whether their sum is positive."""
    x = rng.normal(size=shape)
    return {"x": x.round(4).tolist(), "y": (x.reshape(len(x), -1).sum(axis=1) > 0).astype(int).tolist()}


COMPILE = {"loss": "binary_crossentropy", "optimizer": "adam", "metrics": ["accuracy"]}
NETWORKS = {
    "perceptron": ([200, 4], [{"type": "Dense", "units": 1, "activation": "sigmoid"}]),
    "dense-4-6-1": (
        [200, 4],
        [
            {"type": "Dense", "units": 6, "activation": "sigmoid"},
            {"type": "Dense", "units": 1, "activation": "sigmoid"},
        ],
    ),
    "dense-64": (
        [1000, 20],
        [{"type": "Dense", "units": 64, "activation": "relu"}, {"type": "Dense", "units": 1, "activation": "sigmoid"}],
    ),
    "simple-rnn": (
        [1000, 10, 20],
        [{"type": "SimpleRNN", "units": 64}, {"type": "Dense", "units": 1, "activation": "sigmoid"}],
    ),
    "lstm": (
        [300, 10, 20],
        [{"type": "LSTM", "units": 16}, {"type": "Dense", "units": 1, "activation": "sigmoid"}],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_a_course_learn(service: Service, name: str) -> None:
    """Each network trains over HTTP, its loss falls, and it predicts probabilities."""
    shape, layers = NETWORKS[name]
    data = binary(np.random.default_rng(1), *shape)
    job = service.train(
        model=name, architecture={"layers": layers}, compile=COMPILE, fit={"epochs": 8}, seed=1, data=data
    )
    rows = service.get(f"/v1/jobs/{job['id']}/metrics").json()["rows"]
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert rows[-1]["loss"] < rows[0]["loss"]
    predictions = service.predict(name, data["x"][:5])
    assert np.shape(predictions) == (5, 1)
    assert all(0 <= value <= 1 for (value,) in predictions)


def as_csv(x: np.ndarray, y: np.ndarray, names: list[str]) -> bytes:
    """A CSV file with a header; the last column is the target."""
    file = io.BytesIO()
    np.savetxt(
        file, np.column_stack([x, y]), delimiter=",", header=",".join([*names, "malignant"]), comments="", fmt="%.8g"
    )
    return file.getvalue()


def upload(service: Service, body: bytes, media_type: str, **query: str) -> str:
    answer = service.post("/v1/datasets", data=body, headers={"Content-Type": media_type}, params=query)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_breast_cancer_from_csv_reaches_95_percent(service: Service) -> None:
    """A real table, uploaded as CSV and standardised inside the network, is told apart on rows never seen."""
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    names = [f"feature_{number}" for number in range(x.shape[1])]
    dataset = upload(service, as_csv(x_train, y_train, names), "text/csv", target="malignant")
    service.train(
        model="breast-cancer",
        architecture={
            "layers": [
                {"type": "Normalization"},
                {"type": "Dense", "units": 16, "activation": "relu"},
                {"type": "Dense", "units": 1, "activation": "sigmoid"},
            ]
        },
        compile=COMPILE,
        fit={"epochs": 40, "batch_size": 32},
        seed=3,
        dataset=dataset,
    )
    predictions = np.array(service.predict("breast-cancer", x_test.tolist()))[:, 0] > 0.5
    assert np.mean(predictions == y_test) >= 0.95


def test_digits_as_images_reach_97_percent(service: Service) -> None:
    """scikit-learn's digits, uploaded as .npz, are read by a convolutional network."""
    x, y = load_digits(return_X_y=True)
    images = (x / 16).reshape(-1, 8, 8, 1).astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(images, y, test_size=0.2, random_state=0, stratify=y)
    file = io.BytesIO()
    np.savez(file, x=x_train, y=y_train)
    dataset = upload(service, file.getvalue(), "application/x-npz")
    service.train(
        model="digits",
        architecture={
            "layers": [
                {"type": "Conv2D", "filters": 32, "kernel_size": 3, "activation": "relu", "padding": "same"},
                {"type": "MaxPooling2D"},
                {"type": "Conv2D", "filters": 64, "kernel_size": 3, "activation": "relu", "padding": "same"},
                {"type": "Flatten"},
                {"type": "Dropout", "rate": 0.3},
                {"type": "Dense", "units": 10, "activation": "softmax"},
            ]
        },
        compile={"loss": "sparse_categorical_crossentropy", "optimizer": "adam", "metrics": ["accuracy"]},
        fit={"epochs": 20, "batch_size": 32, "validation_split": 0.1},
        seed=5,
        dataset=dataset,
    )
    predictions = np.argmax(service.predict("digits", x_test.tolist()), axis=1)
    assert np.mean(predictions == y_test) >= 0.97
