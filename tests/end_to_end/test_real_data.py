"""Sets of real data, as Python packages ship them: uploaded, trained on and asked over HTTP, as a client would."""

import base64
import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets as sklearn_datasets

from tests import real_series
from tests.end_to_end.conftest import Service
from tests.end_to_end.test_tables import upload

Array = np.ndarray[Any, Any]

#: How a job is run is then not tried out, which takes longer than these jobs.
AS_A_GRAPH = {"jit_compile": False}


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    return "\n".join(",".join(map(str, row)) for row in [header, *rows]).encode()


def as_zip(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


def version_of(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    return dict(service.get(f"/v1/models/{job['model']}/versions/{job['version']}").json())


def report_of(version: dict[str, Any]) -> dict[str, Any]:
    """The only report of a version's evaluation."""
    (report,) = version["evaluation"]["reports"].values()
    return dict(report)


def right_answers(answers: list[dict[str, Any]], expected: Sequence[str], labels: set[str]) -> float:
    """The part of the answers that are right; each must be the most probable of all labels."""
    assert len(answers) == len(expected)
    for answer in answers:
        probabilities = answer["probabilities"]
        assert probabilities.keys() == labels
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert answer["probability"] == probabilities[answer["label"]] == max(probabilities.values())
    return float(np.mean([answer["label"] == label for answer, label in zip(answers, expected, strict=True)]))


# Time series --------------------------------------------------------------------------------------------------------

SENSORS = ("ax", "ay", "az", "gx", "gy", "gz")


def motion_steps() -> Iterator[list[Any]]:
    """All steps of the training series, those of one time together: the series are mixed."""
    motions = real_series.labelled("BasicMotions", "TRAIN")
    for step in range(100):
        for number, (values, label) in enumerate(motions):
            yield [f"m{number:02}", step, *values[step], label]


def test_motions_in_one_long_table(service: Service) -> None:
    """Steps of six sensors in one CSV file become series by their id; "auto" tells four motions apart."""
    body = as_csv(["id", "step", *SENSORS, "motion"], motion_steps())
    dataset = upload(service, "text/csv", body, sequence="id", time="step")
    assert dataset["rows"] == 40
    assert {one["name"]: (one["kind"], one["origin"]) for one in dataset["columns"]} == {
        "id": ("category", "sequence"),
        "motion": ("category", None),
        "sequence": ("sequence", None),
    }
    job = service.train(
        model="motions",
        dataset=dataset["id"],
        target="motion",
        architecture="auto",
        split={"validation": 0.2},
        compile=AS_A_GRAPH,
        fit={"epochs": 40},
        threads=1,
        seed=1,
    )
    preparation = version_of(service, job)["preparation"]
    assert [one["column"] for one in preparation["features"]] == ["sequence"]
    asked = real_series.labelled("BasicMotions", "TEST")
    answers = service.predict("motions", [{"sequence": values.tolist()} for values, _ in asked])
    labels = {"Badminton", "Running", "Standing", "Walking"}
    assert right_answers(answers, [label for _, label in asked], labels) >= 0.9


def test_speakers_in_a_zip_file(service: Service) -> None:
    """One CSV file an utterance, of 7 to 29 steps, in a folder for each speaker; a GRU that skips what is padded."""
    header = [f"coefficient{number}" for number in range(1, 13)]
    files = {
        f"speakers/{label}/{number:03}.csv": as_csv(header, values.tolist())
        for number, (values, label) in enumerate(real_series.labelled("JapaneseVowels", "TRAIN"))
    }
    dataset = upload(service, "application/zip", as_zip(files))
    assert (dataset["rows"], dataset["format"]) == (270, "sequences")
    profile = service.get(f"/v1/datasets/{dataset['id']}/profile", params={"target": "label"}).json()
    assert {one["value"]: one["count"] for one in profile["target"]["classes"]} == dict.fromkeys(SPEAKERS, 30)
    job = service.train(
        model="speakers",
        dataset=dataset["id"],
        target="label",
        features={"sequence": {"as": "standardize", "length": 29, "pad": "post"}},
        architecture={
            "layers": [
                {"type": "Masking"},
                {"type": "GRU", "units": 32},
                {"type": "Dense", "units": 9, "activation": "softmax"},
            ]
        },
        compile={
            "loss": "sparse_categorical_crossentropy",
            "optimizer": {"type": "Adam", "learning_rate": 0.01},
            "metrics": ["accuracy"],
            **AS_A_GRAPH,
        },
        fit={"epochs": 20},
        threads=1,
        seed=1,
    )
    (feature,) = version_of(service, job)["preparation"]["features"]
    assert (feature["length"], feature["channels"]) == (29, 12)
    asked = real_series.labelled("JapaneseVowels", "TEST")
    assert max(len(values) for values, _ in asked) == 29
    answers = service.predict("speakers", [{"sequence": values.tolist()} for values, _ in asked])
    assert right_answers(answers, [label for _, label in asked], set(SPEAKERS)) >= 0.92


SPEAKERS = tuple(map(str, range(1, 10)))


def test_a_forecast_of_solar_power(service: Service) -> None:
    """One long series, a value each half hour, becomes windows; "auto" is nearer than the naive forecast.

    That is the last value: nothing changes within half an hour.
    """
    power = real_series.long_series("solar")
    # A file of one series needs a column that says so.
    body = as_csv(["country", "time", "power"], [["gb", *step] for step in power])
    window = 8
    dataset = upload(service, "text/csv", body, sequence="country", time="time", window=window, horizon=1)
    assert dataset["rows"] == len(power) - window
    asked = {
        "model": "solar",
        "dataset": dataset["id"],
        "target": "target",
        "split": {"validation": 0.15, "test": 0.25, "by": "time", "column": "start"},
        "seed": 1,
    }
    dry = service.post("/v1/jobs?dry_run=true", {**asked, "architecture": "auto"}).json()
    assert [*dry["submission"]["features"]] == ["sequence"]
    assert [note.split(" is left out")[0] for note in dry["notes"][:3]] == ["'country'", "'start'", "'end'"]
    named = {**asked, "architecture": "auto", "features": {"*": "auto", "start": "auto"}}
    dry = service.post("/v1/jobs?dry_run=true", named).json()
    assert dry["submission"]["features"]["start"]["parts"] == ["day", "weekday", "hour", "minute"]
    job = service.train(**asked, architecture="auto", compile=AS_A_GRAPH, fit={"epochs": 150}, threads=1)
    version = version_of(service, job)
    rows = version["evaluation"]["rows"]
    assert rows == round(0.25 * dataset["rows"])
    values = np.array([float(value) for _, value in power])
    expected = values[-rows:]
    naive = float(np.abs(expected - values[-rows - 1 : -1]).mean())
    report = report_of(version)
    (learned,) = version["preparation"]["targets"]
    assert (learned["as"], learned["mean"]) == ("sequence", pytest.approx(values.mean(), rel=0.2))
    assert (report["task"], report["mae"]) == ("regression", pytest.approx(version["evaluation"]["metrics"]["mae"]))
    assert report["mae"] < 0.85 * naive
    windows = [values[end - window : end, np.newaxis].tolist() for end in range(len(values) - rows, len(values))]
    answers = np.array(service.predict("solar", [{"sequence": steps} for steps in windows]))
    assert answers.shape == (rows, 1, 1)
    assert float(np.abs(answers[:, 0, 0] - expected).mean()) == pytest.approx(report["mae"], rel=1e-3)


# Tables -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wine", "iris"])
def test_classes_of_a_table(service: Service, name: str) -> None:
    """A CSV file with the names of the classes: "auto" tells classes apart in rows that never trained."""
    table = getattr(sklearn_datasets, f"load_{name}")()
    labels = [str(table.target_names[target]) for target in table.target]
    rows = [[*map(float, row), label] for row, label in zip(table.data, labels, strict=True)]
    dataset = upload(service, "text/csv", as_csv([*table.feature_names, "kind"], rows))
    assert {one["name"]: one["kind"] for one in dataset["columns"]} == {
        **dict.fromkeys(table.feature_names, "numeric"),
        "kind": "category",
    }
    job = service.train(
        model=name,
        dataset=dataset["id"],
        target="kind",
        architecture="auto",
        split={"validation": 0.2, "test": 0.3, "by": "stratified"},
        compile=AS_A_GRAPH,
        fit={"epochs": 150},
        threads=1,
        seed=1,
    )
    version = version_of(service, job)
    assert {one["as"] for one in version["preparation"]["features"]} <= {"standardize", "log"}
    report, matrix = report_of(version), np.array(report_of(version)["confusion_matrix"])
    assert report["labels"] == sorted(map(str, table.target_names))
    counts = Counter(labels)
    assert matrix.sum(axis=1).tolist() == pytest.approx([0.3 * counts[label] for label in report["labels"]], abs=1)
    assert matrix.trace() / matrix.sum() == pytest.approx(report["accuracy"])
    assert report["accuracy"] >= 0.85
    records = [dict(zip(table.feature_names, map(float, row), strict=True)) for row in table.data]
    assert right_answers(service.predict(name, records), labels, set(labels)) >= 0.9


def test_a_quantity_of_a_table(service: Service) -> None:
    """How a disease goes on, from ten measures of 442 patients: "auto" explains a good third of what varies."""
    table = sklearn_datasets.load_diabetes(scaled=False)
    rows = [[*map(float, row), float(target)] for row, target in zip(table.data, table.target, strict=True)]
    dataset = upload(service, "text/csv", as_csv([*table.feature_names, "progression"], rows))
    job = service.train(
        model="diabetes",
        dataset=dataset["id"],
        target="progression",
        architecture="auto",
        split={"validation": 0.2, "test": 0.25},
        compile=AS_A_GRAPH,
        fit={"epochs": 60},
        threads=1,
        seed=1,
    )
    version = version_of(service, job)
    (target,) = version["preparation"]["targets"]
    assert (target["as"], target["mean"]) == ("number", pytest.approx(table.target.mean(), rel=0.1))
    report = report_of(version)
    assert (version["evaluation"]["rows"], report["task"]) == (110, "regression")
    assert report["r2"] > 0.35
    assert report["mae"] <= report["rmse"] < table.target.std()
    records = [dict(zip(table.feature_names, map(float, row), strict=True)) for row in table.data]
    answers = np.array(service.predict("diabetes", records)).reshape(-1)
    assert np.corrcoef(answers, table.target)[0, 1] > 0.6


# Photographs --------------------------------------------------------------------------------------------------------

TILE = 40


def tiles(photograph: Array) -> tuple[list[Array], list[Array]]:
    """Squares of a photograph; of each row of them, the last four are for the test."""
    height, width = (size // TILE for size in photograph.shape[:2])
    rows = [[photograph[y * TILE :, x * TILE :][:TILE, :TILE] for x in range(width)] for y in range(height)]
    return [tile for row in rows for tile in row[:-4]], [tile for row in rows for tile in row[-4:]]


def as_file(tile: Array, form: str) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(tile).save(sink, form)
    return sink.getvalue()


def test_tiles_of_two_photographs(service: Service) -> None:
    """JPEG and PNG files in folders: a small Conv2D tells of which photograph a tile is that it has never seen."""
    shipped = sklearn_datasets.load_sample_images()
    files: dict[str, bytes] = {}
    asked: list[tuple[bytes, str]] = []
    for path, photograph in zip(shipped.filenames, shipped.images, strict=True):
        label = Path(path).stem
        training, test = tiles(photograph)
        for number, tile in enumerate(training):
            form = "JPEG" if number % 2 else "PNG"
            files[f"photographs/{label}/{number:03}.{'jpg' if number % 2 else 'png'}"] = as_file(tile, form)
        asked += [(as_file(tile, "JPEG" if number % 2 else "PNG"), label) for number, tile in enumerate(test)]
    dataset = upload(service, "application/zip", as_zip(files))
    assert {one["name"]: (one["kind"], one["origin"]) for one in dataset["columns"]} == {
        "filename": ("category", "filename"),
        "label": ("category", None),
        "image": ("image", None),
    }
    job = service.train(
        model="photographs",
        dataset=dataset["id"],
        target="label",
        split={"test": 0.2},
        architecture={
            "layers": [
                {"type": "Conv2D", "filters": 16, "kernel_size": 5, "strides": 2, "activation": "relu"},
                {"type": "Conv2D", "filters": 16, "kernel_size": 3, "strides": 2, "activation": "relu"},
                {"type": "GlobalAveragePooling2D"},
                {"type": "Dense", "units": 1, "activation": "sigmoid"},
            ]
        },
        compile={
            "loss": "binary_crossentropy",
            "optimizer": {"type": "Adam", "learning_rate": 0.005},
            "metrics": ["accuracy"],
            **AS_A_GRAPH,
        },
        fit={"epochs": 25},
        threads=1,
        seed=1,
    )
    version = version_of(service, job)
    (feature,) = version["preparation"]["features"]
    assert (feature["column"], feature["height"], feature["width"], feature["channels"]) == ("image", TILE, TILE, 3)
    report = report_of(version)
    assert report["labels"] == ["china", "flower"]
    assert (report["accuracy"] >= 0.9, report["roc_auc"] >= 0.95) == (True, True), report
    instances = [{"image": base64.b64encode(content).decode()} for content, _ in asked]
    answers = service.predict("photographs", instances)
    assert right_answers(answers, [label for _, label in asked], {"china", "flower"}) >= 0.9
