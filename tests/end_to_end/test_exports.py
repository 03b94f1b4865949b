"""Versions as files for other programs, each of which answers as the version does."""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.end_to_end.conftest import Service

Arrays = dict[str, np.ndarray[Any, Any]]

FORMATS = ("keras", "saved_model", "onnx", "litert")
RANDOM = np.random.default_rng(5)


def _layer(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": kind, **arguments}


def _graph() -> dict[str, Any]:
    """Two inputs and two outputs, with names that Python's arguments cannot have."""
    return {
        "inputs": ["left-In", "right"],
        "layers": [
            _layer("Input", name="left-In", shape=[3]),
            _layer("Input", name="right", shape=[2]),
            _layer("Concatenate", name="both", inputs=["left-In", "right"]),
            _layer("Dense", name="Sum-1", inputs=["both"], units=1),
            _layer("Dense", name="kind", inputs=["both"], units=3, activation="softmax"),
        ],
        "outputs": ["Sum-1", "kind"],
    }


def _padded() -> list[Any]:
    """Sequences that end in zeros."""
    x = RANDOM.normal(size=(40, 5, 3)).round(3)
    for row in range(len(x)):
        x[row, 1 + row % 5 :] = 0
    return list(x.tolist())


def _numbers(*shape: int) -> list[Any]:
    return list(RANDOM.normal(size=shape).round(3).tolist())


def _targets(rows: int, units: int = 1) -> list[Any]:
    return list(RANDOM.normal(size=(rows, units)).round(3).tolist())


#: Name -> architecture, x, y, and why a format cannot hold it.
FAMILIES: dict[str, tuple[Any, Any, Any, dict[str, str]]] = {
    "dense": ([_layer("Dense", units=6, activation="relu"), _layer("Dense", units=2)], _numbers(40, 4), None, {}),
    "conv": (
        [_layer("Conv2D", filters=4, kernel_size=3), _layer("Flatten"), _layer("Dense", units=1)],
        _numbers(40, 8, 8, 1),
        None,
        {},
    ),
    "lstm": ([_layer("LSTM", units=5), _layer("Dense", units=1)], _numbers(40, 6, 3), None, {}),
    "masked-gru": ([_layer("Masking"), _layer("GRU", units=5), _layer("Dense", units=1)], _padded(), None, {}),
    "embedding": (
        [
            _layer("Embedding", input_dim=20, output_dim=4, mask_zero=True),
            _layer("GlobalAveragePooling1D"),
            _layer("Dense", units=1),
        ],
        RANDOM.integers(0, 20, size=(40, 7)).tolist(),
        None,
        {},
    ),
    "normalized": (
        [_layer("Normalization"), _layer("Dropout", rate=0.5), _layer("Dense", units=1)],
        _numbers(40, 4),
        None,
        {},
    ),
    "several": (
        _graph(),
        {"left-In": _numbers(40, 3), "right": _numbers(40, 2)},
        {"Sum-1": _targets(40), "kind": RANDOM.integers(0, 3, size=40).tolist()},
        {},
    ),
}


def train(service: Service, name: str) -> dict[str, Any]:
    """The version of a family, trained once."""
    answer = service.get(f"/v1/models/export-{name}/versions/1")
    if answer.status_code == 404:
        layers, x, y, _ = FAMILIES[name]
        architecture = {"layers": layers} if isinstance(layers, list) else layers
        units = layers[-1]["units"] if isinstance(layers, list) else 0
        loss: Any = "mse" if y is None else {"Sum-1": "mse", "kind": "sparse_categorical_crossentropy"}
        service.train(
            model=f"export-{name}",
            architecture=architecture,
            compile={"loss": loss},
            fit={"epochs": 1},
            seed=1,
            data={"x": x, "y": _targets(40, units) if y is None else y},
        )
        answer = service.get(f"/v1/models/export-{name}/versions/1")
    return dict(answer.json())


def export(service: Service, name: str, form: str) -> requests.Response:
    return service.get(f"/v1/models/export-{name}/versions/1/export", params={"format": form})


def read_keras(content: bytes, folder: Path) -> Callable[[Arrays], Arrays]:
    import keras

    path = folder / "m.keras"
    path.write_bytes(content)
    model = keras.saving.load_model(path)

    def answer(rows: Arrays) -> Arrays:
        given = [rows[tensor.name] for tensor in model.inputs]
        answers = keras.tree.flatten(model(given if len(given) > 1 else given[0], training=False))
        return dict(zip(model.output_names, map(np.asarray, answers), strict=True))

    return answer


def read_onnx(content: bytes, folder: Path) -> Callable[[Arrays], Arrays]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda rows: dict(zip(names, session.run(names, rows), strict=True))


def read_saved_model(content: bytes, folder: Path) -> Callable[[Arrays], Arrays]:
    """As TensorFlow Serving reads it: by the names in the file's signature."""
    import tensorflow as tf

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder / "saved")
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder / "saved"))
    served = loaded.signature_def["serving_default"]

    def answer(rows: Arrays) -> Arrays:
        feed = {served.inputs[name].name: array for name, array in rows.items()}
        answers = session.run({name: tensor.name for name, tensor in served.outputs.items()}, feed)
        return dict(answers)

    return answer


@pytest.mark.filterwarnings("ignore:    Warning. tf.lite.Interpreter is deprecated:UserWarning")
def read_litert(content: bytes, folder: Path) -> Callable[[Arrays], Arrays]:
    import tensorflow as tf

    runner = tf.lite.Interpreter(model_content=content).get_signature_runner("serving_default")

    def answer(rows: Arrays) -> Arrays:
        count = len(next(iter(rows.values())))
        each = [
            {
                name: array.copy()
                for name, array in runner(**{name: array[row : row + 1] for name, array in rows.items()}).items()
            }
            for row in range(count)
        ]
        return {name: np.concatenate([one[name] for one in each]) for name in each[0]}

    return answer


READERS = {"keras": read_keras, "onnx": read_onnx, "saved_model": read_saved_model, "litert": read_litert}


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("form", FORMATS)
def test_an_export_answers_as_the_version(service: Service, name: str, form: str, tmp_path: Path) -> None:
    """Under its own inputs' and outputs' names, with the same numbers as the service's predictions."""
    version = train(service, name)
    answer = export(service, name, form)
    assert answer.status_code == 200, answer.text
    x = FAMILIES[name][1]
    rows = {
        spec["name"]: np.array(x[spec["name"]] if isinstance(x, dict) else x, spec["dtype"])[:7]
        for spec in version["inputs"]
    }
    got = READERS[form](answer.content, tmp_path)(rows)
    instances = [
        {key: array[row].tolist() for key, array in rows.items()}
        if len(rows) > 1
        else next(iter(rows.values()))[row].tolist()
        for row in range(7)
    ]
    due = service.predict(f"export-{name}", instances)
    for spec in version["outputs"]:
        expected = [row[spec["name"]] for row in due] if len(version["outputs"]) > 1 else due
        np.testing.assert_allclose(got[spec["name"]], np.array(expected), atol=1e-5, rtol=1e-5)
    assert float(answer.headers["X-Max-Difference"]) <= 1e-4
    assert answer.headers["X-Compared-On"] == "training rows"
    assert answer.headers["X-Weights-Sha256"] == version["weights_sha256"]


def test_an_export_is_made_once(service: Service) -> None:
    """The second answer is the same file, without a process; who has it already is not sent it again."""
    train(service, "dense")
    first = export(service, "dense", "saved_model")
    started = service.log().count("errand_started")
    second = export(service, "dense", "saved_model")
    assert second.content == first.content
    assert service.log().count("errand_started") == started
    assert second.headers["Content-Type"] == "application/zip"
    assert second.headers["Content-Disposition"] == 'attachment; filename="export-dense-1.zip"'
    assert second.headers["ETag"] == f'"{hashlib.sha256(second.content).hexdigest()}"'
    path = "/v1/models/export-dense/versions/1/export?format=saved_model"
    again = service.get(path, headers={"If-None-Match": second.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = service.http.head(service.url + path, timeout=60)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(second.content))


def test_those_who_ask_at_once_get_the_same_file(service: Service) -> None:
    """Two that make it do not clash, and nothing is left lying."""
    version = train(service, "dense")
    shutil.rmtree(service.data / "versions" / version["id"] / "exports", ignore_errors=True)
    address = f"{service.url}/v1/models/export-dense/versions/1/export?format=litert"
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: requests.get(address, timeout=60), range(3)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert list((service.data / "incoming").iterdir()) == []
    assert [path.name for path in (service.data / "versions" / version["id"] / "exports").iterdir()] == ["litert"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("export-dense/versions/1/export", 422, "one of keras, saved_model, onnx, litert was expected"),
        ("export-dense/versions/1/export?format=h5", 422, "h5 came; one of keras, saved_model, onnx, litert"),
        ("export-dense/versions/7/export?format=onnx", 404, "has no version 7"),
        ("no-such/versions/1/export?format=onnx", 404, "has no version 1"),
    ],
)
def test_what_is_not_there_is_said(service: Service, path: str, status: int, words: str) -> None:
    """The formats are named to those who do not know them."""
    train(service, "dense")
    answer = service.get(f"/v1/models/{path}")
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_a_version_that_tensorflow_serves_has_no_onnx_file(service: Service) -> None:
    """409 says why; Keras's and TensorFlow's own formats hold it."""
    service.train(
        model="export-fallback",
        architecture={
            "layers": [
                _layer("Conv2DTranspose", filters=2, kernel_size=2, strides=3, padding="same"),
                _layer("Flatten"),
                _layer("Dense", units=1),
            ]
        },
        compile={"loss": "mse"},
        fit={"epochs": 1},
        seed=1,
        data={"x": _numbers(40, 4, 4, 2), "y": _targets(40)},
    )
    version = service.get("/v1/models/export-fallback/versions/1").json()
    assert version["engine"] == "tensorflow"
    refused = export(service, "fallback", "onnx")
    assert refused.status_code == 409
    assert version["engine_reason"] in refused.json()["detail"]
    for form in ("keras", "saved_model"):
        assert export(service, "fallback", form).status_code == 200


def test_what_litert_cannot_hold_is_refused(service: Service) -> None:
    """409 names the operation, and nothing is kept."""
    service.train(
        model="export-refused",
        architecture={
            "layers": [
                _layer("UpSampling2D", size=2, interpolation="lanczos3"),
                _layer("Flatten"),
                _layer("Dense", units=1),
            ]
        },
        compile={"loss": "mse"},
        fit={"epochs": 1},
        seed=1,
        data={"x": _numbers(40, 4, 4, 2), "y": _targets(40)},
    )
    refused = export(service, "refused", "litert")
    assert refused.status_code == 409
    assert "has no conversion to LiteRT" in refused.json()["detail"]
    assert list((service.data / "incoming").iterdir()) == []


def test_a_version_without_stored_rows_is_compared_on_made_up_ones(service: Service) -> None:
    """And says so; older releases stored none."""
    service.train(
        model="export-older",
        architecture={"layers": FAMILIES["embedding"][0]},
        compile={"loss": "mse"},
        fit={"epochs": 1},
        seed=1,
        data={"x": FAMILIES["embedding"][1], "y": _targets(40)},
    )
    version = service.get("/v1/models/export-older/versions/1").json()
    (service.data / "versions" / version["id"] / "sample.npz").unlink()
    answer = export(service, "older", "onnx")
    assert (answer.status_code, answer.headers["X-Compared-On"]) == (200, "made-up rows")


def test_a_version_that_is_deleted_meanwhile_is_not_found(service: Service) -> None:
    """Whether its files go before they are read or before they are sent; nothing is left of the work."""
    for before in (None, "keras"):
        service.train(
            model="export-gone",
            architecture={"layers": FAMILIES["dense"][0]},
            compile={"loss": "mse"},
            fit={"epochs": 1},
            seed=1,
            data={"x": FAMILIES["dense"][1], "y": _targets(40, 2)},
        )
        number = service.get("/v1/models/export-gone").json()["latest"]
        path = f"/v1/models/export-gone/versions/{number}"
        version = service.get(path).json()
        if before is not None:
            assert service.get(f"{path}/export", params={"format": before}).status_code == 200
        shutil.rmtree(service.data / "versions" / version["id"])
        assert service.get(f"{path}/export", params={"format": "keras"}).status_code == 404
        assert list((service.data / "incoming").iterdir()) == []
        assert service.delete("/v1/models/export-gone").status_code == 204
