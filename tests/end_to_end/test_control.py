"""What clients can do with a job, and what becomes of it: paused, limited, kept, ended, and continued as another."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.end_to_end import networks
from tests.end_to_end.chaos import Besieged
from tests.end_to_end.conftest import Result, Service, assert_same, result_of, wait_for

Undisturbed = Callable[[dict[str, Any]], Result]
FOREVER = {"epochs": 100_000, "batch_size": 8}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that runs one job at a time."""
    running = Service(tmp_path_factory.mktemp("narrow") / "data", slots="1", job_threads="1")
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        running.kill()


@pytest.fixture
def blocker(narrow: Service) -> Iterator[str]:
    """A job that keeps all others waiting until it is cancelled, at the latest at the end."""
    job = narrow.submit(**networks.conv(model="blocker", fit=FOREVER))
    narrow.wait(job["id"], {"running"})
    yield job["id"]
    narrow.post(f"/v1/jobs/{job['id']}/cancel")
    narrow.wait(job["id"])


def told(service: Service, job_id: str) -> None:
    """Wait until a running job has told how far it is."""
    wait_for(lambda: service.job(job_id)["progress"], 60, service.log)


def ask(service: Service, job: dict[str, Any], what: str, json: Any = None) -> dict[str, Any]:
    """Pause, resume or cancel a job that allows it."""
    answer = service.post(f"/v1/jobs/{job['id']}/{what}", json)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_running_job_is_paused_and_resumed(service: Service, undisturbed: Undisturbed) -> None:
    """Paused, it has a checkpoint and does nothing; resumed, it comes to the bits of an undisturbed run."""
    expected = undisturbed(networks.lstm())
    job = service.submit(**networks.lstm())
    told(service, job["id"])
    ask(service, job, "pause")
    paused = service.wait(job["id"], {"paused"})
    assert paused["checkpoint"] is not None
    assert (paused["finished_at"], paused["version"], paused["failure"]) == (None, None, None)
    assert ask(service, job, "pause")["status"] == "paused"
    ask(service, job, "resume")
    ended = service.wait(job["id"])
    assert (ended["status"], ended["attempt"], ended["retries"]) == ("succeeded", 2, 0)
    assert_same(result_of(service, ended), expected)


def test_a_paused_job_outlives_the_service(own_service: Callable[..., Service], undisturbed: Undisturbed) -> None:
    """After a stop and a start it is still paused, lets others go by, and goes on when it is told to."""
    expected = undisturbed(networks.lstm())
    service = own_service()
    job = service.submit(**networks.lstm())
    told(service, job["id"])
    ask(service, job, "pause")
    paused = service.wait(job["id"], {"paused"})
    assert service.stop() == 0
    service.start()
    service.train(**networks.conv(fit={"epochs": 1}))
    assert service.job(job["id"]) == paused
    ask(service, job, "resume")
    ended = service.wait(job["id"])
    assert ended["status"] == "succeeded"
    assert_same(result_of(service, ended), expected)


def test_a_queued_job_is_paused_and_resumed(narrow: Service, blocker: str) -> None:
    """It is paused at once, stays so when there is room for it, and runs for the first time when it is resumed."""
    job = narrow.submit(**networks.conv(fit={"epochs": 1}))
    assert ask(narrow, job, "pause")["status"] == "paused"
    narrow.post(f"/v1/jobs/{blocker}/cancel")
    narrow.train(**networks.conv(fit={"epochs": 1}))
    assert narrow.job(job["id"])["status"] == "paused"
    ask(narrow, job, "resume")
    ended = narrow.wait(job["id"])
    assert (ended["status"], ended["attempt"]) == ("succeeded", 1)


def test_jobs_run_by_priority(narrow: Service, blocker: str) -> None:
    """Of the jobs that wait, the one of the highest priority is first, and of equal ones the older."""
    priorities = {"low": -5, "older": 0, "younger": 0, "high": 7}
    jobs = {
        model: narrow.submit(**networks.conv(model=model, fit={"epochs": 1}, priority=priority))["id"]
        for model, priority in priorities.items()
    }
    narrow.post(f"/v1/jobs/{blocker}/cancel")
    started = {model: narrow.wait(job_id)["started_at"] for model, job_id in jobs.items()}
    assert sorted(started, key=lambda model: started[model]) == ["high", "older", "younger", "low"]


def test_a_job_that_ran_out_of_time_goes_on_with_more(service: Service, undisturbed: Undisturbed) -> None:
    """It fails with its checkpoint; resumed with a higher limit, it comes to the bits of an undisturbed run."""
    body = networks.lstm()
    expected = undisturbed(body)
    job = service.submit(**body, time_limit_seconds=1)
    failed = service.wait(job["id"])
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "time_limit")
    assert failed["failure"]["retryable"] is True
    assert "time_limit_seconds" in failed["failure"]["advice"]
    reached = {"epoch": failed["checkpoint"]["epoch"], "step": failed["checkpoint"]["step"]}
    assert failed["failure"]["checkpoint"] == reached
    assert 1 <= failed["elapsed_seconds"] < 11
    assert service.post(f"/v1/jobs/{job['id']}/resume").status_code == 409
    resumed = ask(service, job, "resume", {"time_limit_seconds": 3600})
    assert (resumed["failure"], resumed["time_limit_seconds"]) == (None, 3600)
    ended = service.wait(job["id"])
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)
    assert_same(result_of(service, ended), expected)


def best_epoch(rows: list[dict[str, Any]]) -> int:
    return int(min(rows, key=lambda row: float(row["val_loss"]))["epoch"])


def assert_best_was_kept(service: Service, ended: dict[str, Any], undisturbed: Undisturbed) -> None:
    """The job is cancelled, and has a version of its best epoch that predicts as a training of so many epochs does."""
    assert ended["status"] == "cancelled"
    assert ended["failure"] is None
    kept = result_of(service, ended)
    assert kept.rows == undisturbed(networks.dense()).rows[: len(kept.rows)]
    best = best_epoch(kept.rows)
    assert kept.version["weights_epoch"] == best
    assert kept.version["metrics"] == {name: value for name, value in kept.rows[best - 1].items() if name != "epoch"}
    shorter = undisturbed(networks.dense(fit=networks.dense()["fit"] | {"epochs": best}))
    assert kept.sha256 == shorter.sha256
    instances = {"instances": networks.dense()["data"]["x"][:5]}
    answers = [
        service.post(f"/v1/models/dense/versions/{version['version']}/predict", instances).json()["predictions"]
        for version in (kept.version, shorter.version)
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 5


def test_a_cancelled_job_keeps_its_best_weights(service: Service, undisturbed: Undisturbed) -> None:
    """Cancelled with keep=best, a running job leaves a version of its best epoch; a second cancel changes nothing."""
    undisturbed(networks.dense())
    job = service.submit(**networks.dense())
    wait_for(lambda: (service.job(job["id"])["progress"] or {"epoch": 0})["epoch"] > 10, 60, service.log)
    ask(service, job, "cancel?keep=best")
    ended = service.wait(job["id"])
    assert_best_was_kept(service, ended, undisturbed)
    assert ask(service, job, "cancel") == ended


def test_a_paused_job_keeps_its_best_weights(service: Service, undisturbed: Undisturbed) -> None:
    """Cancelled with keep=best, a paused job runs once more, only to make its version."""
    undisturbed(networks.dense())
    job = service.submit(**networks.dense())
    wait_for(lambda: (service.job(job["id"])["progress"] or {"epoch": 0})["epoch"] > 10, 60, service.log)
    ask(service, job, "pause")
    paused = service.wait(job["id"], {"paused"})
    ask(service, job, "cancel?keep=best")
    ended = service.wait(job["id"])
    assert ended["progress"]["epoch"] == paused["progress"]["epoch"]
    assert_best_was_kept(service, ended, undisturbed)


def test_the_best_epoch_becomes_the_version(service: Service) -> None:
    """With ModelCheckpoint the version has the weights of the best epoch, also where a pause lies between."""
    fit = {"epochs": 300, "batch_size": 8, "validation_split": 0.25}
    compile_ = networks.dense()["compile"] | {"optimizer": {"type": "Adam", "learning_rate": 0.02}}
    body = networks.dense(model="best", compile=compile_)
    keeping = [{"type": "ModelCheckpoint", "monitor": "val_loss", "save_best_only": True}]
    job = service.submit(**body | {"fit": fit | {"callbacks": keeping}})
    told(service, job["id"])
    ask(service, job, "pause")
    service.wait(job["id"], {"paused"})
    ask(service, job, "resume")
    ended = service.wait(job["id"])
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)
    kept = result_of(service, ended)
    best = best_epoch(kept.rows)
    assert (len(kept.rows), kept.version["weights_epoch"]) == (300, best)
    assert best < 300
    shorter = result_of(service, service.train(**body | {"fit": fit | {"epochs": best}}))
    assert kept.sha256 == shorter.sha256


def test_a_paused_job_that_is_cancelled_keeps_nothing(service: Service) -> None:
    """Without keep it ends at once, with no version and no checkpoint."""
    job = service.submit(**networks.dense(model="dropped"))
    told(service, job["id"])
    ask(service, job, "pause")
    service.wait(job["id"], {"paused"})
    assert (service.data / "checkpoints" / job["id"]).is_dir()
    ended = ask(service, job, "cancel")
    assert (ended["status"], ended["version"]) == ("cancelled", None)
    assert not (service.data / "checkpoints" / job["id"]).exists()
    assert service.get("/v1/models/dropped").status_code == 404


def test_a_diverging_job_is_not_worth_another_try(service: Service) -> None:
    """It fails as nan_loss, with advice, and a resume is refused with the reason."""
    compile_ = networks.conv()["compile"] | {"optimizer": {"type": "SGD", "learning_rate": 10_000.0}}
    job = service.wait(service.submit(**networks.conv(compile=compile_, fit={"epochs": 5}))["id"])
    assert (job["status"], job["failure"]["code"], job["failure"]["retryable"]) == ("failed", "nan_loss", False)
    assert "learning_rate" in job["failure"]["advice"]
    refused = service.post(f"/v1/jobs/{job['id']}/resume")
    assert refused.status_code == 409
    assert "nan_loss" in refused.json()["detail"]


def upload(service: Service, rows: int, columns: int, seed: int | None) -> str:
    """Store a data set of so many rows, of zeros or of random numbers, and return its id."""
    random = np.random.default_rng(seed)
    x = np.zeros((rows, columns), "float32") if seed is None else random.random((rows, columns), "float32")
    body = io.BytesIO()
    np.savez_compressed(body, x=x, y=x[:, :2].sum(axis=1))
    headers = {"Content-Type": "application/x-npz"}
    answer = service.http.post(f"{service.url}/v1/datasets", data=body.getvalue(), headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def without_data(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "data"}


def test_a_job_that_takes_more_memory_than_allowed_ends(own_service: Callable[..., Service]) -> None:
    """Data of 200 MB pass a limit of 192 MiB, for only the network is estimated; held in memory, they break it.

    The job fails as out_of_memory, a new attempt is not offered, and the service trains on.
    """
    service = own_service(max_memory_bytes="192 MiB")
    body = without_data(networks.dense(fit={"epochs": 1_000})) | {"dataset": upload(service, 20_000, 2_500, None)}
    job = service.wait(service.submit(**body)["id"])
    assert (job["status"], job["failure"]["code"], job["failure"]["retryable"]) == ("failed", "out_of_memory", False)
    assert "KERASD_MAX_MEMORY_BYTES" in job["failure"]["message"]
    assert "batch_size" in job["failure"]["advice"]
    service.train(**networks.conv(fit={"epochs": 1}))


def test_a_job_is_lost_after_so_many_deaths(own_service: Callable[..., Service], undisturbed: Undisturbed) -> None:
    """A child that dies again and again without a new checkpoint ends the job; resumed, it is as good as new."""
    expected = undisturbed(networks.lstm())
    besieged = Besieged(own_service(max_retries="2", checkpoint_seconds="3600"))
    service = besieged.service
    job = service.submit(**networks.lstm())
    for _ in range(3):
        besieged.kill_child(job["id"])
    failed = service.wait(job["id"])
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "worker_lost")
    assert (failed["failure"]["retryable"], failed["attempt"], failed["checkpoint"]) == (True, 3, None)
    assert "signal 9" in failed["failure"]["message"]
    ask(service, job, "resume")
    ended = service.wait(job["id"])
    assert (ended["status"], ended["attempt"]) == ("succeeded", 4)
    assert_same(result_of(service, ended), expected)


def named(head: str = "head", **changes: Any) -> dict[str, Any]:
    """A network whose layers have names, trained in order, so that two halves of a training are the whole."""
    layers = [
        {"type": "Dense", "units": 16, "activation": "relu", "name": "body"},
        {"type": "Dense", "units": 1, "name": head},
    ]
    compile_ = networks.dense()["compile"] | {"optimizer": {"type": "Adam", "learning_rate": 0.01}}
    fit = {"epochs": 20, "batch_size": 16, "shuffle": False}
    return networks.dense(
        **{"model": "named", "architecture": {"layers": layers}, "compile": compile_, "fit": fit} | changes
    )


#: Where Keras's file has the weights of the two layers: by their types, whatever their names.
BODY, HEAD = "dense", "dense_1"


def weights(result: Result, layer: str) -> list[np.ndarray[Any, Any]]:
    """A layer's stored weights, its kernel and its bias."""
    return [result.arrays[f"layers/{layer}/vars/{number}"] for number in range(2)]


def differ(one: Result, other: Result, layer: str) -> bool:
    pairs = zip(weights(one, layer), weights(other, layer), strict=True)
    return not all(np.array_equal(array, twin) for array, twin in pairs)


@pytest.fixture(scope="module")
def trained(service: Service) -> Result:
    """The version that the warm starts begin with."""
    return result_of(service, service.train(**named()))


def start_from(service: Service, result: Result, *, optimizer_state: bool = False, **body: Any) -> Result:
    """Train a body that begins with the weights of a result."""
    initial = {"model": result.version["model"], "version": result.version["version"]}
    return result_of(service, service.train(**body, initial=initial | {"optimizer_state": optimizer_state}))


def test_a_training_goes_on_from_a_version(service: Service, trained: Result) -> None:
    """The loss goes on where it was, and with the optimizer's state two halves come to the bits of the whole."""
    whole = result_of(service, service.train(**named(fit=named()["fit"] | {"epochs": 40})))
    halves = start_from(service, trained, optimizer_state=True, **named())
    assert halves.sha256 == whole.sha256
    assert [row["loss"] for row in halves.rows] == [row["loss"] for row in whole.rows[20:]]
    assert halves.version["initial"] == {
        "model": "named",
        "version": trained.version["version"],
        "optimizer_state": True,
    }
    without = start_from(service, trained, **named())
    assert without.sha256 != whole.sha256
    assert without.rows[0]["loss"] < trained.rows[0]["loss"] / 2
    assert without.rows[0]["loss"] == pytest.approx(trained.rows[-1]["loss"], rel=0.2)


def test_the_newest_version_is_meant_without_a_number(service: Service) -> None:
    """The version records which one it was, and an architecture that is left out is the version's own."""
    body = named(model="newest", fit={"epochs": 1})
    service.train(**body)
    service.train(**body)
    del body["architecture"]
    job = service.train(**body, initial={"model": "newest"})
    assert (job["version"], job["initial"]["version"]) == (3, 2)


def test_frozen_layers_keep_their_weights(service: Service, trained: Result) -> None:
    """A layer with trainable false has the stored weights to the bit after the training; the others have moved."""
    body = named(model="frozen")
    body["architecture"]["layers"][0]["trainable"] = False
    tuned = start_from(service, trained, **body)
    assert not differ(trained, tuned, BODY)
    assert differ(trained, tuned, HEAD)


def test_a_new_head_starts_fresh(service: Service, trained: Result) -> None:
    """A layer without a namesake has the weights that it would have without a version to start from."""
    compile_ = named()["compile"] | {"optimizer": {"type": "SGD", "learning_rate": 0.0}}
    body = named(head="other", model="headed", compile=compile_, fit={"epochs": 1})
    fresh = result_of(service, service.train(**body))
    warm = start_from(service, trained, **body)
    assert not differ(trained, warm, BODY)
    assert differ(fresh, warm, BODY)
    assert not differ(fresh, warm, HEAD)
    assert differ(trained, warm, HEAD)


def wider(body: dict[str, Any]) -> None:
    body["architecture"]["layers"][0]["units"] = 17


def otherwise_named(body: dict[str, Any]) -> None:
    for number, layer in enumerate(body["architecture"]["layers"]):
        layer["name"] = f"layer{number}"


def with_another_optimizer(body: dict[str, Any]) -> None:
    body["compile"]["optimizer"] = "sgd"
    body["initial"]["optimizer_state"] = True


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        (lambda body: body["initial"].update(model="nobody"), ["/initial/model"]),
        (lambda body: body["initial"].update(version=999), ["/initial/version"]),
        (wider, ["/architecture/layers/0", "/architecture/layers/1"]),
        (otherwise_named, ["/initial"]),
        (with_another_optimizer, ["/initial/optimizer_state"]),
    ],
)
def test_what_cannot_be_started_from_is_refused(
    service: Service, trained: Result, change: Callable[[dict[str, Any]], None], pointers: list[str]
) -> None:
    """Every fault is named with its place in the request, and nothing is queued."""
    body = named()
    body["initial"] = {"model": "named", "version": trained.version["version"]}
    change(body)
    answer = service.post("/v1/jobs", body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers


def test_the_same_request_gives_the_same_bits(service: Service, undisturbed: Undisturbed) -> None:
    """Whether its graph is traced or kept from the first time; and the version says all that the bits depend on."""
    first = undisturbed(networks.conv())
    second = result_of(service, service.train(**networks.conv()))
    assert_same(second, first)
    told_by = ("weights_sha256", "request_sha256", "dataset_sha256", "machine", "libraries", "seed", "threads")
    for fact in (*told_by, "jit_compile", "weights_epoch"):
        assert second.version[fact] == first.version[fact]
        assert second.version[fact] is not None
    assert (second.version["seed"], second.version["threads"], second.version["jit_compile"]) == (11, 1, False)
    assert {"keras", "tensorflow", "numpy"} <= second.version["libraries"].keys()
    other = result_of(service, service.train(**networks.conv(seed=12)))
    assert other.sha256 != first.sha256
    assert other.version["request_sha256"] != first.version["request_sha256"]
    assert other.version["dataset_sha256"] == first.version["dataset_sha256"]


def test_two_small_jobs_run_side_by_side(service: Service) -> None:
    """With a slot for each, both tell of their progress while neither has ended."""
    jobs = [service.submit(**networks.conv(model="beside", fit=FOREVER)) for _ in range(2)]

    def both_run() -> bool:
        seen = [service.job(job["id"]) for job in jobs]
        return all(job["status"] == "running" and job["progress"] for job in seen)

    wait_for(both_run, 60, service.log)
    for job in jobs:
        ask(service, job, "cancel")
        service.wait(job["id"])


@pytest.fixture(scope="module")
def frugal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that holds no data in memory, and checkpoints without end."""
    data = tmp_path_factory.mktemp("frugal") / "data"
    running = Service(data, data_memory_bytes="1 KiB", checkpoint_seconds="0.05", job_threads="1")
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        running.kill()


@pytest.mark.parametrize("body", [networks.dense, networks.lstm, networks.conv])
def test_data_from_the_disk_give_the_same_bits(
    frugal: Service, undisturbed: Undisturbed, body: Callable[[], dict[str, Any]]
) -> None:
    """Rows that are read from the disk again and again come to what rows in memory come to."""
    assert_same(result_of(frugal, frugal.train(**body())), undisturbed(body()))


def test_data_in_several_blocks_give_the_same_bits(service: Service, frugal: Service) -> None:
    """Data of 80 MB are read in blocks of 32 MB; also a pause between two of them leaves no trace."""
    body = without_data(networks.dense(model="blocks", fit={"epochs": 4, "batch_size": 256}))
    expected = result_of(service, service.train(**body, dataset=upload(service, 40_000, 500, 5)))
    job = frugal.submit(**body, dataset=upload(frugal, 40_000, 500, 5))
    told(frugal, job["id"])
    ask(frugal, job, "pause")
    frugal.wait(job["id"], {"paused"})
    ask(frugal, job, "resume")
    ended = frugal.wait(job["id"])
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)
    assert_same(result_of(frugal, ended), expected)
