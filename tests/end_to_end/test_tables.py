"""Data as people have them: each form is uploaded as a client would, trained on, and predicted from by raw records."""

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image
from sklearn import datasets as sklearn_datasets

from tests.end_to_end.conftest import Service
from tests.passengers import passengers, write

PEOPLE = passengers(300)
TARGET = "rescued"


def as_csv(people: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    file = io.StringIO()
    write(people, file)
    if delimiter == ",":
        return file.getvalue().encode()
    rows = [[("" if value is None else str(value)) for value in person.values()] for person in people]
    return "\n".join(delimiter.join(row) for row in [list(people[0]), *rows]).encode()


def as_lines(people: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(person).encode() for person in people)


def as_arrow(people: list[dict[str, Any]], new: Callable[[Any, pa.Schema], Any]) -> bytes:
    table = pa.Table.from_pylist(people)
    sink = io.BytesIO()
    with new(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def as_parquet(people: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pylist(people), sink)
    return sink.getvalue()


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


#: Form -> (media type, body, the format that the data set names).
FORMS: dict[str, tuple[str, bytes]] = {
    "csv": ("text/csv", as_csv(PEOPLE)),
    "csv in gzip": ("text/csv", gzip.compress(as_csv(PEOPLE))),
    "csv in zstd": ("text/csv", zstd(as_csv(PEOPLE))),
    "tsv": ("text/tab-separated-values", as_csv(PEOPLE, "\t")),
    "json lines": ("application/x-ndjson", as_lines(PEOPLE)),
    "json records": ("application/json", json.dumps({"records": PEOPLE}).encode()),
    "parquet": ("application/vnd.apache.parquet", as_parquet(PEOPLE)),
    "arrow file": ("application/vnd.apache.arrow.file", as_arrow(PEOPLE, pa.ipc.new_file)),
    "arrow stream": ("application/vnd.apache.arrow.stream", as_arrow(PEOPLE, pa.ipc.new_stream)),
}


def upload(service: Service, media_type: str, body: bytes | BinaryIO, **query: Any) -> dict[str, Any]:
    answer = service.post("/v1/datasets", data=body, headers={"Content-Type": media_type}, params=query)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def without(person: dict[str, Any], *columns: str) -> dict[str, Any]:
    return {name: value for name, value in person.items() if name not in columns}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_mixed_table_is_trained_on_and_predicted_from(service: Service, form: str) -> None:
    """Whatever form the records came in, a client sends raw records and has labels with probabilities."""
    dataset = upload(service, *FORMS[form])
    kinds = {column["name"]: column["kind"] for column in dataset["columns"]}
    assert dataset["rows"] == len(PEOPLE)
    assert (kinds["age"], kinds["port"], kinds["booked_on"]) == ("numeric", "category", "date")
    name = form.replace(" ", "_")
    job = service.train(
        model=name,
        dataset=dataset["id"],
        target=TARGET,
        architecture="auto",
        split={"validation": 0.2, "test": 0.2},
        fit={"epochs": 3},
        seed=1,
    )
    version = service.get(f"/v1/models/{name}/versions/{job['version']}").json()
    assert version["evaluation"]["rows"] == 60
    (report,) = version["evaluation"]["reports"].values()
    assert report["labels"] == ["no", "yes"]
    people = [without(person, TARGET) for person in PEOPLE[:5]]
    answers = service.predict(name, people)
    assert {answer["label"] for answer in answers} <= {"no", "yes"}
    for answer in answers:
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert answer["probability"] == max(answer["probabilities"].values())


def test_the_same_records_in_any_form_are_the_same_table(service: Service) -> None:
    """Equal content has one hash, however it came, and its seed gives the same weights."""
    found = [upload(service, *FORMS[form])["sha256"] for form in ("csv", "csv in gzip", "csv in zstd")]
    assert len(set(found)) == 1


def test_records_in_the_request_itself(service: Service) -> None:
    """A small table can stand in the submission."""
    job = service.train(
        model="inline",
        data={"records": PEOPLE[:60]},
        target={"column": TARGET, "as": "binary"},
        features={"age": {"as": "standardize", "missing": "mean"}, "sex": "one_hot", "fare": "log"},
        architecture={"layers": [{"type": "Dense", "units": 4, "activation": "relu"}, {"type": "Dense", "units": 1,
                                  "activation": "sigmoid"}]},
        compile={"loss": "binary_crossentropy", "metrics": ["accuracy"]},
        fit={"epochs": 2, "validation_split": 0.25},
    )  # fmt: skip
    assert "val_accuracy" in job["metrics"]
    (answer,) = service.predict("inline", [{"age": 22, "sex": "female", "fare": 7.5}])
    assert set(answer["probabilities"]) == {"no", "yes"}


def test_images_in_folders_become_labels(service: Service) -> None:
    """A zip of PNG files in folders trains a convolutional network that is asked with the files themselves."""
    digits = sklearn_datasets.load_digits()
    files = [(str(label), png(image)) for image, label in zip(digits.images[:300], digits.target[:300], strict=True)]
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for number, (label, content) in enumerate(files):
            archive.writestr(f"digits/{label}/{number}.png", content)
    dataset = upload(service, "application/zip", sink.getvalue())
    assert {column["name"]: column["kind"] for column in dataset["columns"]}["image"] == "image"
    service.train(
        model="digits",
        dataset=dataset["id"],
        target={"column": "label", "as": "classes"},
        features={"image": {"as": "rescale", "height": 8, "width": 8, "channels": 1}},
        architecture={"layers": [
            {"type": "Conv2D", "filters": 16, "kernel_size": 3, "activation": "relu"},
            {"type": "Flatten"},
            {"type": "Dense", "units": 10, "activation": "softmax"},
        ]},
        compile={"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "optimizer": "adam"},
        fit={"epochs": 40},
        seed=3,
    )  # fmt: skip
    asked = [{"image": base64.b64encode(content).decode()} for _, content in files[:50]]
    answers = service.predict("digits", asked)
    right = sum(answer["label"] == label for answer, (label, _) in zip(answers, files, strict=False))
    assert right >= 45


def png(image: np.ndarray[Any, Any]) -> bytes:
    sink = io.BytesIO()
    Image.fromarray((image * 15.9).astype(np.uint8)).save(sink, format="PNG")
    return sink.getvalue()


def test_a_long_table_of_steps_becomes_sequences(service: Service) -> None:
    """Steps that name their sequence are put together, whatever their order in the file."""
    draw = np.random.default_rng(5)
    steps = []
    for number in range(60):
        rising = bool(number % 2)
        values = np.linspace(0, 1 if rising else -1, 12) + draw.normal(scale=0.1, size=12)
        steps += [
            f"s{number},{minute},{value:.3f},{'up' if rising else 'down'}\n" for minute, value in enumerate(values)
        ]
    shuffled = [steps[place] for place in draw.permutation(len(steps))]
    file = io.StringIO("".join(["series,minute,height,trend\n", *shuffled]))
    dataset = upload(service, "text/csv", file.getvalue().encode(), sequence="series", time="minute")
    assert dataset["rows"] == 60
    service.train(
        model="trend",
        dataset=dataset["id"],
        target="trend",
        features={"sequence": "standardize"},
        architecture={"layers": [{"type": "LSTM", "units": 8}, {"type": "Dense", "units": 1, "activation": "sigmoid"}]},
        compile={"loss": "binary_crossentropy", "optimizer": {"type": "Adam", "learning_rate": 0.02}},
        fit={"epochs": 30},
        seed=2,
    )  # fmt: skip
    rising = [minute / 11 for minute in range(12)]
    asked = [{"sequence": [[value] for value in rising]}, {"sequence": [-value for value in rising]}]
    up, down = service.predict("trend", asked)
    assert (up["label"], down["label"]) == ("up", "down")


def test_a_zip_file_of_sequences_in_folders(service: Service) -> None:
    """One CSV file a sequence, of different lengths, the folders as labels."""
    sink, draw = io.BytesIO(), np.random.default_rng(6)
    with zipfile.ZipFile(sink, "w") as archive:
        for number in range(60):
            label, sign = ("up", 1) if number % 2 else ("down", -1)
            values = sign * np.linspace(0, 1, 8 + number % 5) + draw.normal(scale=0.1, size=8 + number % 5)
            archive.writestr(f"{label}/{number}.csv", "height\n" + "".join(f"{value:.3f}\n" for value in values))
    dataset = upload(service, "application/zip", sink.getvalue())
    assert (dataset["rows"], dataset["format"]) == (60, "sequences")
    body = {"model": "zipped", "dataset": dataset["id"], "target": "label", "features": {"sequence": "standardize"}}
    service.train(**body, architecture="auto", fit={"epochs": 40}, seed=2)
    rising = [[minute / 9] for minute in range(10)]
    up, down = service.predict("zipped", [{"sequence": rising}, {"sequence": [[-value] for [value] in rising]}])
    assert (up["label"], down["label"]) == ("up", "down")


def test_what_is_wrong_with_records_is_said_where_it_is(service: Service) -> None:
    """A new category, a missing column, a text for a number and an unknown column: all at once, with places."""
    service.train(
        model="strict",
        data={"records": PEOPLE[:100]},
        target=TARGET,
        features={"fare": "standardize", "sex": "one_hot"},
        architecture="auto",
        fit={"epochs": 1},
    )
    answer = service.post(
        "/v1/models/strict/predict",
        {
            "instances": [
                {"fare": 7, "sex": "femlae"},
                {"sex": "male"},
                {"fare": "cheap", "sex": "male", "colour": "red"},
            ]
        },
    )
    assert answer.status_code == 422
    pointers = {fault["pointer"] for fault in answer.json()["errors"]}
    assert pointers == {"/instances/0/sex", "/instances/1/fare", "/instances/2/fare", "/instances/2/colour"}


def test_kinds_can_be_corrected(service: Service) -> None:
    """A number that is a name is told to be one, and the profile follows."""
    dataset = upload(service, *FORMS["csv"])
    path = f"/v1/datasets/{dataset['id']}/schema"
    changed = service.http.put(service.url + path, json={"columns": {"cabin_class": "category"}}, timeout=60)
    assert changed.status_code == 200, changed.text
    assert service.get(path).json()["columns"]["cabin_class"] == "category"
    profile = service.get(f"/v1/datasets/{dataset['id']}/profile").json()
    (column,) = [column for column in profile["columns"] if column["name"] == "cabin_class"]
    assert column["kind"] == "category"
    refused = service.http.put(service.url + path, json={"columns": {"age": "image", "nose": "text"}}, timeout=60)
    assert refused.status_code == 422
    assert {fault["pointer"] for fault in refused.json()["errors"]} == {"/columns/age", "/columns/nose"}


def test_auto_is_returned_in_full_and_can_be_sent_again(service: Service) -> None:
    """What kerasd chose is a submission that trains to the same weights."""
    dataset = upload(service, *FORMS["csv"])
    asked = {"dataset": dataset["id"], "target": TARGET, "architecture": "auto", "seed": 5, "fit": {"epochs": 2}}
    dry = service.post("/v1/jobs?dry_run=true", {"model": "auto", **asked})
    assert dry.status_code == 200, dry.text
    written = dry.json()["submission"]
    assert written["architecture"]["layers"]
    assert written["compile"]["loss"]
    assert dry.json()["notes"]
    first = service.train(model="auto", **asked)
    second = service.train(**written | {"model": "again"})
    hashes = [
        service.get(f"/v1/models/{job['model']}/versions/{job['version']}").json()["weights_sha256"]
        for job in (first, second)
    ]
    assert hashes[0] == hashes[1]


def test_a_table_larger_than_memory_trains(own_service: Callable[..., Service], tmp_path: Path) -> None:
    """200 MB of CSV become a data set and train a network, and no process takes 150 MB more than it began with."""
    service = own_service(max_memory_bytes="150 MiB", data_memory_bytes="32 MiB", standby="false")
    path = tmp_path / "large.csv"
    rows = write_large(path, 200 * 10**6)
    with path.open("rb") as file:
        dataset = upload(service, "text/csv", file)
    assert dataset["rows"] == rows
    job = service.train(
        model="large",
        dataset=dataset["id"],
        target="label",
        split={"validation": 0.1},
        architecture={
            "layers": [{"type": "Dense", "units": 8}, {"type": "Dense", "units": 1, "activation": "sigmoid"}]
        },
        compile={"loss": "binary_crossentropy", "metrics": ["accuracy"], "jit_compile": False},
        fit={"batch_size": 2048},
        threads=1,
    )
    assert job["metrics"]["val_accuracy"] > 0.9
    (answer,) = service.predict("large", [dict.fromkeys(LARGE_COLUMNS, 1)])
    assert answer["label"] == "yes"


LARGE_COLUMNS = [f"c{number}" for number in range(20)]


def write_large(path: Path, size: int) -> int:
    """Write a CSV file of at least so many bytes, and return its number of rows; the sum of a row says its label."""
    draw, rows = np.random.default_rng(0), 0
    with path.open("wb") as file:
        while file.tell() < size:
            numbers = draw.normal(size=(50_000, len(LARGE_COLUMNS))).round(6)
            columns = dict(zip(LARGE_COLUMNS, numbers.T, strict=True))
            table = pa.table({**columns, "label": np.where(numbers.sum(axis=1) > 0, "yes", "no")})
            pa.csv.write_csv(table, file, pa.csv.WriteOptions(include_header=rows == 0))
            rows += len(numbers)
    return rows


def test_a_version_is_evaluated_on_raw_records(service: Service) -> None:
    """On a table of the same columns, with the labels' names; a label that training never saw is told with its row."""
    trained = upload(service, *FORMS["csv"])
    body = {"model": "judged", "dataset": trained["id"], "target": TARGET, "architecture": "auto", "seed": 2}
    service.train(**body, fit={"epochs": 2})
    fresh = upload(service, "text/csv", as_csv(passengers(120, seed=7)))
    answer = service.post("/v1/models/judged/evaluate", {"dataset": fresh["id"]})
    assert answer.status_code == 200, answer.text
    (report,) = answer.json()["reports"].values()
    assert (answer.json()["rows"], report["labels"]) == (120, ["no", "yes"])
    odd = [person | {TARGET: "perhaps"} if number == 3 else person for number, person in enumerate(PEOPLE[:10])]
    refused = service.post("/v1/models/judged/evaluate", {"data": {"records": odd}})
    assert refused.status_code == 422, refused.text
    assert "perhaps" in refused.text
    assert "/3/" in refused.json()["errors"][0]["pointer"] or "row 4" in refused.text
    lacking = service.post("/v1/models/judged/evaluate", {"data": {"records": [{"sex": "male", TARGET: "no"}]}})
    assert lacking.status_code == 422, lacking.text


def test_a_profile_counts_the_classes_of_a_target(service: Service) -> None:
    """And says where they are far from even."""
    dataset = upload(service, *FORMS["csv"])
    target = service.get(f"/v1/datasets/{dataset['id']}/profile", params={"target": TARGET}).json()["target"]
    counts = {one["value"]: one["count"] for one in target["classes"]}
    assert counts == {label: sum(person[TARGET] == label for person in PEOPLE) for label in ("no", "yes")}
    assert service.get(f"/v1/datasets/{dataset['id']}/profile", params={"target": "nose"}).status_code == 422
