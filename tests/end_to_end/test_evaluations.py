"""How good a version is on data: Keras's own metrics to the bit, and what scikit-learn says."""

import shutil
from typing import Any

import keras
import numpy as np
import pytest
from sklearn import metrics

from tests.end_to_end.conftest import Service

RANDOM = np.random.default_rng(9)


def _layer(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": kind, **arguments}


def _numbers(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.normal(size=shape).round(3)


X = _numbers(70, 4)
#: Targets that can be learnt, but not wholly.
SCORE = X[:, 0] + 0.5 * _numbers(70)
CLASSES = np.digitize(SCORE, [-0.5, 0.5])

#: Name -> (layers, compile, x, y).
TASKS: dict[str, tuple[Any, dict[str, Any], Any, Any]] = {
    "binary": (
        [_layer("Dense", units=1, activation="sigmoid", name="out")],
        {"loss": "binary_crossentropy", "metrics": ["accuracy", {"type": "AUC", "name": "area"}]},
        X,
        (SCORE > 0).astype(int),
    ),
    "logits": (
        [_layer("Dense", units=1, name="out")],
        {"loss": {"type": "BinaryCrossentropy", "from_logits": True}},
        X,
        (SCORE > 0).astype(int),
    ),
    "sparse": (
        [_layer("Dense", units=3, activation="softmax", name="out")],
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        X,
        CLASSES,
    ),
    "one-hot": (
        [_layer("Dense", units=3, activation="softmax", name="out")],
        {"loss": "categorical_crossentropy", "metrics": ["accuracy", "mae"]},
        X,
        np.eye(3, dtype=int)[CLASSES],
    ),
    "labels": (
        [_layer("Dense", units=2, activation="sigmoid", name="out")],
        {"loss": "binary_crossentropy", "metrics": ["binary_accuracy"]},
        X,
        np.stack([SCORE > 0, SCORE < 0.5], axis=1).astype(int),
    ),
    "regression": (
        [_layer("Dense", units=2, name="out")],
        {"loss": "huber", "metrics": ["mae", "mse"]},
        X,
        np.stack([SCORE, -2 * SCORE], axis=1),
    ),
    "steps": (
        [_layer("GRU", units=3, return_sequences=True), _layer("Dense", units=2, activation="softmax", name="out")],
        {"loss": "sparse_categorical_crossentropy"},
        _numbers(70, 5, 2),
        RANDOM.integers(0, 2, size=(70, 5)),
    ),
}


def several() -> dict[str, Any]:
    """A network with two outputs, one of each kind."""
    return {
        "inputs": ["a", "b"],
        "layers": [
            _layer("Input", name="a", shape=[4]),
            _layer("Input", name="b", shape=[2]),
            _layer("Concatenate", name="both", inputs=["a", "b"]),
            _layer("Dense", name="size", inputs=["both"], units=1),
            _layer("Dense", name="kind", inputs=["both"], units=3, activation="softmax"),
        ],
        "outputs": ["size", "kind"],
    }


def as_lists(arrays: Any) -> Any:
    return {name: array.tolist() for name, array in arrays.items()} if isinstance(arrays, dict) else arrays.tolist()


def train(service: Service, model: str, architecture: Any, compile: dict[str, Any], x: Any, y: Any) -> keras.Model:  # noqa: A002
    """Train a version, and read what Keras has of it."""
    job = service.train(
        model=model,
        architecture={"layers": architecture} if isinstance(architecture, list) else architecture,
        compile=compile,
        fit={"epochs": 3},
        seed=1,
        data={"x": as_lists(x), "y": as_lists(y)},
    )
    version = service.get(f"/v1/models/{model}/versions/{job['version']}").json()
    return keras.saving.load_model(service.data / "versions" / version["id"] / "model.keras")


def evaluate(service: Service, model: str, **body: Any) -> dict[str, Any]:
    answer = service.post(f"/v1/models/{model}/evaluate", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def as_floats(x: Any) -> Any:
    return {name: array.astype("float32") for name, array in x.items()} if isinstance(x, dict) else x.astype("float32")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", TASKS)
def test_metrics_are_keras_to_the_bit(service: Service, name: str, weighted: bool) -> None:
    """The loss and the metrics are what `model.evaluate` gives in another process, under the same names."""
    layers, compile_, x, y = TASKS[name]
    model = train(service, f"evaluate-{name}", layers, compile_, x, y)
    weight = np.linspace(0.1, 2, len(y)).round(3) if weighted else None
    if weighted and name == "steps":
        # Keras does not weigh rows whose losses are one a step.
        weight = None
    data = {"x": x.tolist(), "y": y.tolist()} | ({} if weight is None else {"sample_weight": weight.tolist()})
    answer = evaluate(service, f"evaluate-{name}", data=data)
    target = y.astype("float32") if y.dtype.kind == "f" else y.astype("int32")
    due = model.evaluate(
        x.astype("float32"),
        target,
        batch_size=32,
        sample_weight=None if weight is None else weight.astype("float32"),
        return_dict=True,
        verbose=0,
    )
    assert answer["metrics"] == due
    assert answer["rows"] == 70


def test_a_binary_report(service: Service) -> None:
    """scikit-learn's numbers for the predictions that the version gives."""
    layers, compile_, x, y = TASKS["binary"]
    model = train(service, "evaluate-binary", layers, compile_, x, y)
    scores = np.asarray(model(x.astype("float32")))[:, 0].astype(float)
    report = evaluate(service, "evaluate-binary", data={"x": x.tolist(), "y": y.tolist()}, threshold=0.4)["reports"][
        "out"
    ]
    said = scores > 0.4
    assert (report["task"], report["threshold"], report["reasons"]) == ("binary", 0.4, {})
    assert report["confusion_matrix"] == metrics.confusion_matrix(y, said).tolist()
    assert report["accuracy"] == pytest.approx(metrics.accuracy_score(y, said))
    assert report["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, scores))
    assert report["pr_auc"] == pytest.approx(metrics.average_precision_score(y, scores))
    due = metrics.classification_report(y, said, output_dict=True)
    for number in (0, 1):
        assert report["per_class"][number]["f1"] == pytest.approx(due[str(number)]["f1-score"])
        assert report["per_class"][number]["support"] == due[str(number)]["support"]


def test_several_outputs_have_a_report_each(service: Service) -> None:
    """By name, each of its own kind; losses have Keras's names; a stored data set does as well as inline data."""
    x = {"a": X, "b": _numbers(70, 2)}
    y = {"size": SCORE[:, None], "kind": CLASSES}
    compile_ = {"loss": {"size": "mse", "kind": "sparse_categorical_crossentropy"}, "metrics": {"kind": ["accuracy"]}}
    model = train(service, "evaluate-several", several(), compile_, x, y)
    dataset = service.post("/v1/datasets", {"x": as_lists(x), "y": as_lists(y)}).json()["id"]
    answer = evaluate(service, "evaluate-several", dataset=dataset, batch_size=7)
    floats = as_floats(x)
    due = model.evaluate(
        [floats["a"], floats["b"]],
        [y["size"].astype("float32"), y["kind"].astype("int32")],
        batch_size=7,
        return_dict=True,
        verbose=0,
    )
    assert answer["metrics"] == due
    assert {name: report["task"] for name, report in answer["reports"].items()} == {
        "size": "regression",
        "kind": "multiclass",
    }
    size, kind = (np.asarray(one) for one in model([floats["a"], floats["b"]]))
    reports = answer["reports"]
    assert reports["size"]["rmse"] == pytest.approx(metrics.root_mean_squared_error(y["size"], size), rel=1e-5)
    assert reports["kind"]["roc_auc"] == pytest.approx(
        metrics.roc_auc_score(CLASSES, kind, multi_class="ovr"), rel=1e-5
    )


FAULTS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "no data": ({}, ["/dataset"], "There are no data to evaluate on"),
    "two": ({"dataset": "ds_1", "data": {}}, ["/data"], "Both dataset and data came"),
    "unknown": ({"dataset": "ds_" + "0" * 26}, ["/dataset"], "There is no data set"),
    "no y": ({"data": {"x": [[0.1, 2, 3, 4]]}}, ["/data/y"], "y is missing"),
    "shape": ({"data": {"x": [[0.1, 2, 3]], "y": [0]}}, ["/data/x"], "Rows of shape [3] came for the input"),
    "class": (
        {"data": {"x": [[0.1, 2, 3, 4]] * 2, "y": [0, 3]}},
        ["/data/y"],
        "y has the class 3, but the output 'out' has 3 units",
    ),
    "both": (
        {"data": {"x": [[1, 2, 3]] * 2, "y": [0.5, 1]}},
        ["/data/x", "/data/y"],
        "2 things are wrong with the evaluation",
    ),
    "name": ({"data": {"x": {"no": [[1, 2, 3, 4]]}, "y": [1]}}, ["/data/x/no", "/data/x"], "2 things are wrong"),
    "batch": ({"data": {}, "batch_size": 0}, ["/batch_size"], "not valid"),
    "threshold": ({"data": {}, "threshold": "x"}, ["/threshold"], "not valid"),
    "field": ({"data": {}, "rows": 3}, ["/rows"], "not valid"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_said_with_its_place(service: Service, name: str) -> None:
    """All faults at once, each with a pointer; nothing is left behind."""
    layers, compile_, x, y = TASKS["sparse"]
    if service.get("/v1/models/evaluate-faults").status_code == 404:
        train(service, "evaluate-faults", layers, compile_, x, y)
    body, pointers, words = FAULTS[name]
    answer = service.post("/v1/models/evaluate-faults/evaluate", body)
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers
    assert words in answer.json()["detail"]
    assert list((service.data / "incoming").iterdir()) == []


def test_stored_data_that_do_not_fit_are_blamed_where_they_are_named(service: Service) -> None:
    """The pointer is that of the data set's id."""
    layers, compile_, x, y = TASKS["sparse"]
    train(service, "evaluate-misfit", layers, compile_, x, y)
    dataset = service.post("/v1/datasets", {"x": [[1, 2]], "y": [7]}).json()["id"]
    answer = service.post("/v1/models/evaluate-misfit/evaluate", {"dataset": dataset})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/dataset", "/dataset"]


def test_what_only_the_model_finds_wrong_is_said_too(service: Service) -> None:
    """Keras does not weigh rows whose losses are one a step: its own words, without a trace."""
    layers, compile_, x, y = TASKS["steps"]
    train(service, "evaluate-weighted", layers, compile_, x, y)
    data = {"x": x.tolist(), "y": y.tolist(), "sample_weight": [1.0] * 70}
    answer = service.post("/v1/models/evaluate-weighted/evaluate", {"data": data})
    assert answer.status_code == 422
    assert "cannot work on these data: Incompatible shapes: [32] vs. [32,5]" in answer.json()["detail"]


def test_data_that_are_deleted_meanwhile_are_a_conflict(service: Service) -> None:
    """The rows are gone between the check and the reading."""
    layers, compile_, x, y = TASKS["binary"]
    train(service, "evaluate-gone", layers, compile_, x, y)
    dataset = service.post("/v1/datasets", {"x": x.tolist(), "y": y.tolist()}).json()["id"]
    shutil.rmtree(service.data / "datasets" / dataset)
    answer = service.post("/v1/models/evaluate-gone/evaluate", {"dataset": dataset})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["pointer"] == "/dataset"
    (version,) = service.get("/v1/models/evaluate-gone/versions").json()["items"]
    shutil.rmtree(service.data / "versions" / version["id"])
    answer = service.post("/v1/models/evaluate-gone/evaluate", {"data": {"x": x.tolist(), "y": y.tolist()}})
    assert answer.status_code == 404
    assert service.delete("/v1/models/evaluate-gone").status_code == 204


def test_the_version_is_the_one_that_is_asked_for(service: Service) -> None:
    """By number, or the newest; one that is not there is a 404."""
    layers, compile_, x, y = TASKS["binary"]
    for _ in range(2):
        train(service, "evaluate-two", layers, compile_, x, y)
    data = {"x": x.tolist(), "y": y.tolist()}
    for asked, number in (("latest", 2), ("1", 1)):
        answer = service.post("/v1/models/evaluate-two/evaluate", {"data": data}, params={"version": asked})
        assert answer.json()["version"] == number
    assert service.post("/v1/models/evaluate-two/evaluate", {"data": data}, params={"version": "9"}).status_code == 404
    assert service.post("/v1/models/no-such/evaluate", {"data": data}).status_code == 404
