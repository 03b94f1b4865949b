"""Models that Keras has saved become versions of a real service, over HTTP."""

import random
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import psutil
import pytest
import requests
from keras import layers

from tests.end_to_end.conftest import Service, wait_for
from tests.training import keras_files
from tests.training.keras_files import answers, randomize, saved, small, with_config, with_weights

KERAS = {"Content-Type": "application/octet-stream"}
KERNEL = "layers/dense/vars/0"


def post(service: Service, model: str, path: Path, **headers: str) -> requests.Response:
    """Send a file, streamed as a client does it."""
    with path.open("rb") as file:
        return service.post(f"/v1/models/{model}/versions", data=file, headers=KERAS | headers)


def imported(service: Service, model: str, original: keras.Model, folder: Path) -> dict[str, Any]:
    """The version that a model has become."""
    answer = post(service, model, saved(original, folder))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def assert_predicts(service: Service, model: str, original: keras.Model) -> None:
    """The service answers as Keras does."""
    given = keras_files.rows(original, 5)[0]
    (expected,) = answers(original, [given])
    np.testing.assert_allclose(service.predict(model, given.tolist()), expected, rtol=1e-5, atol=1e-5)


def test_an_imported_model_answers_as_it_did(service: Service, tmp_path: Path) -> None:
    """By every protocol; its description says where it comes from, and what concerns a training is null."""
    original = small()
    answer = post(service, "brought", saved(original, tmp_path), **{"Content-Type": "application/x-keras"})
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert answer.headers["Location"] == f"/v1/models/brought/versions/{version['version']}"
    assert service.get(answer.headers["Location"]).json() == version
    assert version["imported"]["keras_version"] == keras.__version__
    assert version["compile"]["loss"] == {"out": "MeanSquaredError"}
    untrained = ("job", "fit", "seed", "threads", "dataset_sha256", "jit_compile", "machine", "weights_epoch")
    assert {name: version[name] for name in untrained} == dict.fromkeys(untrained)
    assert_predicts(service, "brought", original)
    given = keras_files.rows(original, 2)[0]
    (expected,) = answers(original, [given])
    serving = service.post("/v1/models/brought:predict", {"instances": given.tolist()}).json()["predictions"]
    tensor = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": given.tolist()}
    inferred = service.post("/v2/models/brought/infer", {"inputs": [tensor]}).json()["outputs"][0]["data"]
    np.testing.assert_allclose(serving, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.reshape(inferred, (2, 2)), expected, rtol=1e-5, atol=1e-5)


def test_an_import_is_exported_and_evaluated(service: Service, tmp_path: Path) -> None:
    """What is done to a version that a job has made can be done to it, on rows that are made up or sent."""
    original = small()
    version = imported(service, "exported", original, tmp_path)["version"]
    exported = service.get(f"/v1/models/exported/versions/{version}/export?format=keras")
    assert (exported.status_code, exported.headers["X-Compared-On"]) == (200, "made-up rows")
    (tmp_path / "back.keras").write_bytes(exported.content)
    given = keras_files.rows(original, 5)[0]
    (expected,) = answers(original, [given])
    (got,) = answers(keras.saving.load_model(tmp_path / "back.keras"), [given])
    np.testing.assert_array_equal(got, expected)
    data = {"x": given.tolist(), "y": np.zeros((5, 2)).tolist()}
    evaluated = service.post("/v1/models/exported/evaluate", {"data": data})
    assert evaluated.status_code == 200, evaluated.text
    assert evaluated.json()["metrics"]["loss"] == pytest.approx(float(np.mean(expected**2)), rel=1e-5)


def test_an_import_stands_among_trained_versions(service: Service, tmp_path: Path) -> None:
    """It has the next number, can have an alias, and can be deleted."""
    body = {
        "model": "mixed",
        "architecture": {"layers": [{"type": "Dense", "units": 2}]},
        "compile": {"loss": "mse"},
        "data": {"x": [[1.0] * 4] * 4, "y": [[0.0] * 2] * 4},
    }
    assert service.train(**body)["version"] == 1
    assert imported(service, "mixed", small(), tmp_path)["version"] == 2
    assert service.train(**body)["version"] == 3
    listed = service.get("/v1/models/mixed/versions").json()["items"]
    assert [one["job"] is None for one in listed] == [False, True, False]
    alias = service.http.put(f"{service.url}/v1/models/mixed/aliases/prod", json={"version": 2}, timeout=60)
    assert alias.status_code in (200, 201), alias.text
    assert service.delete("/v1/models/mixed/versions/2").status_code == 409
    revision = alias.headers["ETag"]
    gone = service.http.delete(
        f"{service.url}/v1/models/mixed/aliases/prod", headers={"If-Match": revision}, timeout=60
    )
    assert gone.status_code == 204, gone.text
    assert service.delete("/v1/models/mixed/versions/2").status_code == 204
    assert [one["version"] for one in service.get("/v1/models/mixed/versions").json()["items"]] == [3, 1]


def test_training_goes_on_from_an_import(service: Service, tmp_path: Path) -> None:
    """A job takes its weights and its architecture; an optimizer's state is not there to be taken."""
    original = small()
    version = imported(service, "before", original, tmp_path)
    body: dict[str, Any] = {
        "model": "after",
        "compile": {"loss": "mse", "optimizer": {"type": "SGD", "learning_rate": 0.0}},
        "fit": {"epochs": 1},
        "data": {"x": [[1.0] * 4] * 4, "y": [[0.0] * 2] * 4},
    }
    initial = {"model": "before", "version": version["version"]}
    refused = service.post("/v1/jobs", {**body, "initial": {**initial, "optimizer_state": True}})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/initial/optimizer_state"]
    assert "was imported" in refused.json()["errors"][0]["detail"]
    job = service.train(**body, initial=initial)
    trained = service.get(f"/v1/models/after/versions/{job['version']}").json()
    assert trained["weights_sha256"] == version["weights_sha256"]
    assert_predicts(service, "after", original)


def test_what_onnx_cannot_hold_is_served_by_tensorflow(service: Service, tmp_path: Path) -> None:
    """The version says why, and answers."""
    original = keras.Sequential([keras.Input((8, 8, 1)), layers.Resizing(5, 5, interpolation="lanczos3")])
    version = imported(service, "resized", original, tmp_path)
    assert (version["engine"], version["compile"]) == ("tensorflow", None)
    assert version["imported"]["compile_reason"] == "The file has no compilation."
    assert_predicts(service, "resized", original)


def test_what_the_catalog_has_not_is_refused_with_all_faults(service: Service, tmp_path: Path) -> None:
    """Code and dtypes of the client's are told together, by pointers into the file's configuration."""
    stack = [layers.Lambda(lambda x: x), layers.Dense(3, dtype="mixed_bfloat16"), layers.Dense(2)]
    original = keras.Sequential([keras.Input((4,)), *stack])
    answer = post(service, "refused", saved(original, tmp_path))
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "/config.json/config/layers/1/class_name",
        "/config.json/config/layers/2/config/dtype",
    ]
    assert service.get("/v1/models/refused").status_code == 404


def name_a_path(config: Any) -> None:
    config["config"]["layers"][1] |= {
        "class_name": "TFSMLayer",
        "config": {"name": "hidden", "filepath": "/etc/passwd", "call_endpoint": "serve"},
    }


def link_outside(file: Any) -> None:
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink("/etc/passwd", "x")


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        (lambda path: with_config(path, name_a_path), 422, "/config.json/config/layers/1/class_name"),
        (lambda path: with_weights(path, link_outside), 422, f"/model.weights.h5/{KERNEL}"),
        (lambda path: keras_files.zipped(path, {"a": b""}), 422, "/a"),
        (lambda path: path.write_bytes(b"no zip file") and path, 400, ""),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]) and path, 400, ""),
        (lambda path: path.write_bytes(b"") or path, 400, ""),
    ],
)
def test_what_is_no_model_of_keras_is_refused(
    service: Service, tmp_path: Path, change: Callable[[Path], Path], status: int, pointer: str
) -> None:
    """Each kind of file is told what is wrong with it, and nothing of it stays."""
    answer = post(service, "refused", change(saved(small(), tmp_path)))
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert service.get("/v1/models/refused").status_code == 404
    assert list((service.data / "incoming").iterdir()) == []


def test_names_and_media_types_are_checked(service: Service, tmp_path: Path) -> None:
    """A model is called as a job may call it, and the body says what it is."""
    path = saved(small(), tmp_path)
    assert post(service, "1st", path).status_code == 422
    assert post(service, "a%20b", path).status_code == 422
    answer = post(service, "named", path, **{"Content-Type": "application/json"})
    assert (answer.status_code, "application/vnd.keras" in answer.json()["detail"]) == (415, True)


def test_a_small_service_takes_small_files(own_service: Callable[..., Service], tmp_path: Path) -> None:
    """Uploads, what they unpack to, and parameters have the limits of the settings."""
    limited = own_service(max_upload_bytes="64 KiB", max_parameters="1000")
    path = saved(small(), tmp_path)
    packed = keras_files.zipped(tmp_path / "bomb", keras_files.members(path) | {"model.weights.h5": bytes(2**24)}, 8)
    assert packed.stat().st_size < 2**16
    assert post(limited, "m", packed).status_code == 413
    large = tmp_path / "large"
    large.write_bytes(bytes(2**16 + 1))
    assert post(limited, "m", large).status_code == 413

    def enlarge(config: Any) -> None:
        config["config"]["layers"][1]["config"]["units"] = 1000

    refused = post(limited, "m", with_config(saved(small(), tmp_path), enlarge))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/config.json")
    assert post(limited, "m", saved(small(), tmp_path)).status_code == 201


def slow() -> keras.Model:
    """A network whose export takes some seconds."""
    stack = [layers.Bidirectional(layers.GRU(8, return_sequences=True)) for _ in range(3)]
    original = keras.Sequential([keras.Input((10, 3)), *stack, layers.GRU(2)])
    randomize(original)
    return original


def test_an_import_whose_process_is_killed_leaves_nothing(own_service: Callable[..., Service], tmp_path: Path) -> None:
    """The client hears what happened, and may try again; no half of a version is ever there."""
    running = own_service(standby="false")
    original = slow()
    path = saved(original, tmp_path)
    heard: list[requests.Response] = []
    client = threading.Thread(target=lambda: heard.append(post(running, "slow", path)))
    client.start()
    child = wait_for_errand(running)
    wait_for(lambda: list((running.data / "incoming").glob("*/model.keras")), 60, running.log)
    child.kill()
    client.join(60)
    assert heard[0].status_code == 503, heard[0].text
    assert "ended by signal 9" in heard[0].json()["detail"]
    assert "Retry-After" in heard[0].headers
    assert running.get("/v1/models/slow").status_code == 404
    assert list((running.data / "incoming").iterdir()) == []
    assert list((running.data / "versions").iterdir()) == []
    assert post(running, "slow", path).status_code == 201
    assert_predicts(running, "slow", original)


def wait_for_errand(service: Service) -> psutil.Process:
    """The process of the errand that has just begun."""
    wait_for(lambda: "errand_started" in service.log(), 60, service.log)
    line = next(line for line in service.log().splitlines() if "errand_started" in line)
    found = re.search(r'"pid": ?(\d+)', line)
    assert found is not None, line
    return psutil.Process(int(found[1]))


def test_damaged_files_never_fail_the_server(service: Service, tmp_path: Path) -> None:
    """Whatever bytes are flipped or cut off, the answer is a version or says what is wrong, and the service goes on."""
    whole, draw = saved(small(), tmp_path).read_bytes(), random.Random(11)
    statuses = set()
    for number in range(24):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 4))):
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        path = tmp_path / "damaged.keras"
        path.write_bytes(damaged if number % 3 else damaged[: draw.randrange(len(damaged))])
        statuses.add(post(service, "damaged", path).status_code)
    assert statuses <= {201, 400, 413, 422}
    original = small()
    imported(service, "whole", original, tmp_path)
    assert_predicts(service, "whole", original)
