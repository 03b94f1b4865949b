"""A network of Keras with every kind of feature in front of it: raw records by HTTP get what Keras says of them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from PIL import Image
from pyarrow import ipc

from service.api.media import ARROW_STREAM
from service.app import create_app
from service.architecture.build import build
from service.architecture.graph import read_architecture
from service.architecture.network import Network
from service.architecture.plan import make_plan
from service.data.fault_list import FaultList
from service.errors import Fault
from service.features.columns import of_records
from service.features.encode import encode_inputs
from service.features.network import with_features
from service.features.preparation import Preparation, Task
from service.inference.conversion import signature_of
from service.inference.export import export
from tests.api.served import Published
from tests.features.features import category, date, hashed, image, number, preparation, sequence, target, text

LABELS = ("cat", "dog", "eel")
PREPARED = preparation(
    number(indicator=True, fill=3.0),
    category(),
    date(),
    category("job", enters="embedding", output_dim=3),
    hashed(),
    text(),
    text("title", enters="tokens"),
    image(channels=3),
    sequence(),
    targets=(target("animal", task=Task.CLASSES, labels=LABELS),),
)
GRAPH = {
    "layers": [
        {"type": "Embedding", "name": "words", "input_dim": 4, "output_dim": 2, "inputs": "title"},
        {"type": "Flatten", "name": "flat_words", "inputs": "words"},
        {"type": "Flatten", "name": "flat_photo", "inputs": "photo"},
        {"type": "GRU", "name": "rhythm", "units": 2, "inputs": "pulse"},
        {"type": "Concatenate", "name": "all", "inputs": ["features", "flat_words", "flat_photo", "rhythm"]},
        {"type": "Dense", "name": "out", "units": 3, "activation": "softmax", "inputs": "all"},
    ]
}


def photo(seed: int, form: str) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


PHOTOS = [photo(1, "PNG"), photo(2, "JPEG")]
RECORDS: list[dict[str, Any]] = [
    {
        "age": 5.5,
        "town": "Oslo",
        "born": "2010-03-01T10:30:00Z",
        "job": "Bergen",
        "street": "Main",
        "note": "No, yes.",
        "title": "yes?",
        "photo": base64.b64encode(PHOTOS[0]).decode(),
        "pulse": [[7, 0.5], [8, 0.25]],
    },
    {
        "age": None,
        "town": "Bergen",
        "born": "1999-12-31",
        "job": "Oslo",
        "street": None,
        "note": "",
        "title": None,
        "photo": {"b64": base64.b64encode(PHOTOS[1]).decode()},
        "pulse": [],
    },
]


@pytest.fixture(scope="module")
def network() -> tuple[keras.Model, Network]:
    faults: list[Fault] = []
    architecture = with_features(GRAPH, PREPARED, "/architecture", faults)
    read = read_architecture(architecture, "/architecture", faults)
    assert read is not None, faults
    plan = make_plan(read, [], faults)
    assert plan is not None, faults
    keras.utils.set_random_seed(3)
    return build(plan.network, plan.input_shapes), plan.network


@pytest.fixture(scope="module")
def due(network: tuple[keras.Model, Network]) -> np.ndarray[Any, Any]:
    """What Keras answers to the records."""
    model, _ = network
    faults = FaultList()
    arrays = encode_inputs(of_records(RECORDS, PREPARED, "", faults), PREPARED, faults)
    faults.raise_if_any()
    return np.asarray(model(list(arrays.values()), training=False))


@pytest.fixture(scope="module")
def client(network: tuple[keras.Model, Network], tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    model, read = network
    signature = signature_of(model, read)
    faults = FaultList()
    arrays = encode_inputs(of_records(RECORDS, PREPARED, "", faults), PREPARED, faults)

    def write(path: Path) -> None:
        assert export(model, signature, arrays, path).engine == "onnxruntime"

    published = Published(tmp_path_factory.mktemp("keras"))
    specs = signature.to_json()
    published.publish_file("animals", write, specs["inputs"], specs["outputs"], preparation=stored(PREPARED))
    return create_app(published.settings).test_client()


def stored(of: Preparation) -> Any:
    """As the database keeps it."""
    return json.loads(json.dumps(of.to_json()))


def check(predictions: list[dict[str, Any]], due: np.ndarray[Any, Any]) -> None:
    found = [list(one["probabilities"].values()) for one in predictions]
    np.testing.assert_allclose(found, due, rtol=1e-4, atol=1e-6)
    assert [one["label"] for one in predictions] == [LABELS[place] for place in due.argmax(axis=1)]


def test_records_are_answered_as_keras_answers(client: FlaskClient, due: np.ndarray[Any, Any]) -> None:
    """By rows and by columns, whatever kind a feature has."""
    check(client.post("/v1/models/animals/predict", json={"instances": RECORDS}).get_json()["predictions"], due)
    columns = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
    found = client.post("/v1/models/animals/predict", json={"inputs": columns}).get_json()["outputs"]
    np.testing.assert_allclose(np.stack(list(found["probabilities"].values()), axis=1), due, rtol=1e-4, atol=1e-6)
    assert found["label"] == [LABELS[place] for place in due.argmax(axis=1)]


def test_arrow_has_images_dates_and_sequences(client: FlaskClient, due: np.ndarray[Any, Any]) -> None:
    """As bytes, as moments of any unit and zone, and as lists."""
    moments = [1267439400000000000, 946598400000000000]
    table = pa.table(
        {name: [record[name] for record in RECORDS] for name in ("age", "town", "job", "street", "note", "title")}
        | {
            "born": pa.array(moments, pa.timestamp("ns", "Europe/Oslo")),
            "photo": pa.array(PHOTOS, pa.large_binary()),
            "pulse": pa.array([record["pulse"] for record in RECORDS], pa.list_(pa.list_(pa.float32(), 2))),
        }
    )
    for each in (table, table.set_column(6, "born", table["born"].cast(pa.timestamp("s", "UTC")))):
        sink = io.BytesIO()
        with ipc.new_stream(sink, each.schema) as writer:
            writer.write_table(each)
        answer = client.post("/v1/models/animals/predict", data=sink.getvalue(), headers={"Content-Type": ARROW_STREAM})
        check(answer.get_json()["predictions"], due)


def test_csv_has_what_text_can_have(client: FlaskClient, due: np.ndarray[Any, Any]) -> None:
    """Sequences as JSON, images as Base64."""
    row = RECORDS[0] | {"pulse": json.dumps(RECORDS[0]["pulse"])}
    cells = ['"{}"'.format(str(value).replace('"', '""')) for value in row.values()]
    text = ",".join(row) + "\n" + ",".join(cells) + "\n"
    answer = client.post("/v1/models/animals/predict", data=text.encode(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 200, answer.text
    check(answer.get_json()["predictions"], due[:1])


def test_the_example_of_the_version_is_answered(client: FlaskClient) -> None:
    """It is a whole record, with a picture and all."""
    example = client.get("/v1/models/animals/versions/1").get_json()["example"]
    assert client.post("/v1/models/animals/predict", json={"instances": [example]}).status_code == 200


def test_each_wrong_value_is_told(client: FlaskClient) -> None:
    """With where it is, all at once."""
    wrong = {
        "age": "old",
        "town": "Paris",
        "born": "yesterday",
        "job": 7,
        "street": {},
        "note": {},
        "title": [1],
        "photo": "no picture",
        "pulse": [[1, 2, 3]],
    }
    answer = client.post("/v1/models/animals/predict", json={"instances": [RECORDS[0], wrong]})
    assert answer.status_code == 422
    assert sorted(error["pointer"] for error in answer.get_json()["errors"]) == sorted(
        f"/instances/1/{name}" for name in wrong
    )
