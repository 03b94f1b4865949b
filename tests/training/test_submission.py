"""A submission is wholly right and queued, or wrong and leaves nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.architecture.plan import Limits
from service.data.store import FileStore
from service.errors import Invalid
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.datasets import Datasets
from service.registry.job import Execution, Job
from service.registry.jobs import Jobs
from service.registry.migrate import upgrade
from service.registry.models import Models, NewVersion, Version
from service.registry.stores import DatasetStore
from service.registry.tables import Status
from service.training.given_data import GivenData
from service.training.initial import Initial
from service.training.preparations import Preparations
from service.training.request import request_sha256
from service.training.submission import Submission, Submissions
from service.training.uploads import Uploads
from tests.registry.conftest import a_version
from tests.training.errands_here import ErrandsHere

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOOD = Submission(
    model="m",
    architecture={"layers": [{"type": "Dense", "units": 3}, {"type": "Dense", "units": 1}]},
    compile={"loss": "mse"},
    fit={},
    seed=None,
    dataset=None,
    data={"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0.5, 1.5]},
)


@dataclass(frozen=True)
class Room:
    """The submissions, and what they write to."""

    submissions: Submissions
    jobs: Jobs
    datasets: Datasets
    store: DatasetStore
    folder: Path
    claims: Claims
    uploads: Uploads

    def trained(self, submission: Submission) -> Version:
        """The version that a submission's training would make."""
        self.submissions.submit(submission, NOON)
        job = self.claims.claim("here:sup_1", NOON, NOON)
        assert job is not None
        version = self.claims.succeed(job.id, job.attempt, _version(job), NOON)
        assert version is not None
        return version

    def is_empty(self) -> bool:
        """Whether nothing was stored, finished or half."""
        rows = self.jobs.page(None, None, None, 1).items or self.datasets.page(None, 1).items
        return not rows and not any(self.folder.glob("incoming/*")) and not any(self.folder.glob("datasets/*"))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """An empty registry and store, with small limits."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    upgrade(url)
    database = Database(url)
    jobs, datasets = Jobs(database), Datasets(database)
    files, errands = FileStore(tmp_path), ErrandsHere()
    store = DatasetStore(files, datasets)
    uploads = Uploads(files, datasets, store, errands)
    given = GivenData(files, datasets, store, uploads)
    limits = Limits(max_parameters=10_000, max_memory_bytes=2**20)
    submissions = Submissions(jobs, Models(database), store, given, Preparations(errands), limits, cores=2)
    yield Room(submissions, jobs, datasets, store, tmp_path, Claims(database), uploads)
    database.close()


def _version(job: Job) -> NewVersion:
    request = job.request
    made = {"architecture": request["architecture"], "compile": request["compilation"], "summary": request["summary"]}
    return replace(a_version(job), **made)


def faults(error: Invalid) -> set[str]:
    return {fault.pointer for fault in error.faults}


def test_inline_data_become_a_data_set(room: Room) -> None:
    """The job names it, and keeps the architecture as it came and in canonical form."""
    job = room.submissions.submit(GOOD, NOON)
    assert (job.status, job.model) == (Status.QUEUED, "m")
    assert room.datasets.get(job.dataset).rows == 2
    assert job.request["architecture"] == GOOD.architecture
    assert job.request["input_shapes"] == {"x": [2]}
    assert sum(layer["parameters"] for layer in job.request["summary"]) == 13


def test_a_seed_is_drawn_and_recorded(room: Room) -> None:
    """A given seed is kept; without one, each job has its own."""
    assert room.submissions.submit(replace(GOOD, seed=5), NOON).request["seed"] == 5
    seeds = {room.submissions.submit(GOOD, NOON).request["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_a_dry_run_leaves_nothing(room: Room) -> None:
    """It answers with the plan."""
    checked = room.submissions.dry_run(GOOD)
    assert checked.memory_bytes > 0
    assert [layer["name"] for layer in checked.layers] == ["x", "dense", "dense_1"]
    assert room.is_empty()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"data": None}, "/dataset"),
        ({"data": None, "dataset": "ds_00000000000000000000000000"}, "/dataset"),
        ({"dataset": "ds_00000000000000000000000000"}, "/data"),
        ({"data": {"x": [[1.0], ["a"]], "y": [1, 2]}}, "/data/x/1/0"),
        ({"architecture": {"layers": []}}, "/architecture/layers"),
        ({"compile": {}}, "/compile/loss"),
        ({"fit": {"epochs": -1}}, "/fit/epochs"),
        ({"fit": {"validation_data": "ds_00000000000000000000000000"}}, "/fit/validation_data"),
        ({"architecture": {"layers": [{"type": "Dense", "units": 9000}, {"type": "Dense", "units": 1}]}}, ""),
        ({"fit": {"batch_size": 100_000}}, "/fit/batch_size"),
    ],
)
def test_what_is_wrong_is_pointed_at_and_leaves_nothing(room: Room, change: dict[str, Any], pointer: str) -> None:
    """The fault has its pointer, and neither a row nor a file stays."""
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(GOOD, **change), NOON)
    assert any(found.startswith(pointer) for found in faults(caught.value)), caught.value.faults
    assert room.is_empty()


def test_validation_data_must_have_the_same_shape(room: Room) -> None:
    """A validation set of other columns is refused."""
    with room.store.draft({"x": [[1.0, 2.0, 3.0]], "y": [1.0]}, "") as draft:
        other = room.store.keep(draft, NOON)
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(GOOD, fit={"validation_data": other.id}), NOON)
    assert faults(caught.value) == {"/fit/validation_data"}


def test_the_queue_hears_of_priority_and_limit(room: Room) -> None:
    """They are columns of the job."""
    job = room.submissions.submit(replace(GOOD, priority=7, time_limit_seconds=60.0), NOON)
    assert (job.priority, job.time_limit_seconds) == (7, 60.0)


@pytest.mark.parametrize(
    ("jit_compile", "threads", "execution"),
    [
        ("auto", None, None),
        (True, None, None),
        ("auto", 2, None),
        (False, 2, Execution(jit_compile=False, threads=2, chosen_by="request")),
    ],
)
def test_how_steps_are_run_is_decided_where_nothing_is_left_to_choose(
    room: Room, jit_compile: object, threads: int | None, execution: Execution | None
) -> None:
    """With both words given the job has its execution from the start; the child chooses what is not given."""
    compile_ = {"loss": "mse", "jit_compile": jit_compile}
    job = room.submissions.submit(replace(GOOD, compile=compile_, threads=threads), NOON)
    assert job.execution == execution
    assert job.request["threads"] == threads
    assert job.request["compilation"]["jit_compile"] == jit_compile


def test_more_threads_than_cores_are_refused(room: Room) -> None:
    """The fault says how many there are."""
    with pytest.raises(Invalid, match=r"2 core\(s\)") as caught:
        room.submissions.submit(replace(GOOD, threads=3), NOON)
    assert faults(caught.value) == {"/threads"}


def test_the_fingerprint_is_of_what_decides_the_result(room: Room) -> None:
    """The same request has the same one; another seed, network or starting point has another, a priority has not."""
    version = room.trained(replace(GOOD, seed=1))
    initial = Initial(model="m", version=version.number, optimizer_state=False)
    same = [replace(GOOD, seed=1), replace(GOOD, seed=1, priority=3, threads=1)]
    others = [replace(GOOD, seed=2), replace(GOOD, seed=1, fit={"epochs": 2}), replace(GOOD, seed=1, initial=initial)]
    prints = [request_sha256(room.submissions.submit(one, NOON).request) for one in (*same, *others)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def test_an_older_request_has_a_fingerprint(room: Room) -> None:
    """Requests of the first release have no `initial`, which is as having none."""
    request = dict(room.submissions.submit(replace(GOOD, seed=1), NOON).request)
    expected = request_sha256(request)
    del request["initial"], request["threads"]
    assert request_sha256(request) == expected


def test_a_job_starts_from_the_newest_version_unless_told_which(room: Room) -> None:
    """The job keeps the number that was the newest then, and the version's id."""
    first, second = room.trained(GOOD), room.trained(GOOD)
    for number, version in ((None, second), (1, first)):
        initial = Initial(model="m", version=number, optimizer_state=True)
        job = room.submissions.submit(replace(GOOD, initial=initial), NOON)
        assert job.initial_version == version.id
        assert job.request["initial"] == {"model": "m", "version": version.number, "optimizer_state": True}


def test_the_architecture_may_be_that_of_the_version(room: Room) -> None:
    """It is taken as the client of that time wrote it."""
    room.trained(GOOD)
    initial = Initial(model="m", version=None, optimizer_state=False)
    job = room.submissions.submit(replace(GOOD, model="tuned", architecture=None, initial=initial), NOON)
    assert job.request["architecture"] == GOOD.architecture


def layers(*given: dict[str, Any]) -> dict[str, Any]:
    return {"layers": list(given)}


BODY = {"type": "Dense", "units": 3, "name": "body"}
HEAD = {"type": "Dense", "units": 1, "name": "head"}
BASE = replace(GOOD, architecture=layers(BODY, HEAD), seed=1)
START = Initial(model="m", version=1, optimizer_state=False)


@pytest.mark.parametrize(
    "architecture",
    [
        layers(BODY | {"trainable": False}, HEAD | {"name": "new_head"}),
        layers(BODY, {"type": "Dense", "units": 9}, HEAD | {"name": "fresh"}),
        layers(BODY | {"activation": "relu"}, {"type": "Dropout", "rate": 0.5}, HEAD),
    ],
)
def test_layers_take_the_weights_of_their_namesakes(room: Room, architecture: dict[str, Any]) -> None:
    """A layer may be frozen, renamed to start fresh, or changed where that does not touch its weights."""
    room.trained(BASE)
    assert room.submissions.submit(replace(BASE, architecture=architecture, initial=START), NOON).initial_version


@pytest.mark.parametrize(
    ("change", "pointers", "words"),
    [
        ({"initial": replace(START, model="none")}, {"/initial/model"}, "no model 'none'"),
        ({"initial": replace(START, version=9)}, {"/initial/version"}, "no version 9"),
        ({"architecture": None, "initial": replace(START, version=9)}, {"/initial/version"}, "no version 9"),
        (
            {"architecture": layers(BODY | {"units": 4}, HEAD)},
            {"/architecture/layers/0", "/architecture/layers/1"},
            "its units is 4, there 3",
        ),
        (
            {"architecture": layers(BODY, {"type": "BatchNormalization", "name": "head"}, HEAD | {"name": "other"})},
            {"/architecture/layers/1"},
            "it is of type BatchNormalization, there Dense",
        ),
        ({"architecture": layers(BODY | {"name": "a"}, HEAD | {"name": "b"})}, {"/initial"}, "has 'body', 'head'"),
        (
            {"compile": {"loss": "mse", "optimizer": "adam"}, "initial": replace(START, optimizer_state=True)},
            {"/initial/optimizer_state"},
            "trained with RMSprop",
        ),
        (
            {
                "compile": {"loss": "mse", "optimizer": {"type": "RMSprop", "momentum": 0.9}},
                "initial": replace(START, optimizer_state=True),
            },
            {"/initial/optimizer_state"},
            "RMSprop with momentum",
        ),
        (
            {
                "architecture": layers(BODY | {"trainable": False}, HEAD),
                "initial": replace(START, optimizer_state=True),
            },
            {"/initial/optimizer_state"},
            "the very same layers",
        ),
    ],
)
def test_what_does_not_fit_the_version_is_pointed_at(
    room: Room, change: dict[str, Any], pointers: set[str], words: str
) -> None:
    """Each layer that differs says how, and how to start it fresh; all faults come at once."""
    room.trained(BASE)
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(BASE, **{"initial": START} | change), NOON)
    assert faults(caught.value) == pointers
    assert words in " ".join(fault.detail for fault in caught.value.faults)


def test_kernels_of_the_same_size_but_another_shape_differ(room: Room) -> None:
    """As many parameters are not enough; one number for both axes is the same as a list."""
    data = {"x": [[[[0.0]] * 9] * 9] * 2, "y": [[[[0.0]] * 9] * 9] * 2}

    def convolution(size: object) -> dict[str, Any]:
        return layers({"type": "Conv2D", "filters": 1, "kernel_size": size, "padding": "same", "name": "c"})

    base = replace(GOOD, data=data, architecture=convolution(3))
    room.trained(base)
    room.submissions.submit(replace(base, architecture=convolution([3, 3]), initial=START), NOON)
    with pytest.raises(Invalid, match=r"its kernel_size is \[1, 9\], there 3"):
        room.submissions.submit(replace(base, architecture=convolution([1, 9]), initial=START), NOON)


def test_a_wrapped_layer_is_compared_too(room: Room) -> None:
    """A wrapper has the weights of the layer in it."""
    data = {"x": [[[0.0, 1.0]] * 4] * 2, "y": [[[0.0] * 4] * 4] * 2}

    def wrapped(bias: bool) -> dict[str, Any]:
        inner = {"type": "LSTM", "units": 2, "return_sequences": True, "use_bias": bias}
        return layers({"type": "Bidirectional", "layer": inner, "name": "b"})

    base = replace(GOOD, data=data, architecture=wrapped(True))
    room.trained(base)
    with pytest.raises(Invalid, match="its use_bias is False, there True"):
        room.submissions.submit(replace(base, architecture=wrapped(False), initial=START), NOON)


RECORDS = [
    {"age": 20 + 7 * n % 31, "town": "Cork" if n % 3 else "Bergen", "rescued": "yes" if n % 2 else "no"}
    for n in range(40)
]
TABLE = replace(GOOD, data={"records": RECORDS}, target="rescued", compile={"loss": "binary_crossentropy"})


def test_a_table_is_prepared(room: Room) -> None:
    """Its features are fitted on the training rows, and their layers stand in front of the client's."""
    job = room.submissions.submit(replace(TABLE, split={"validation": 0.25, "test": 0.25}), NOON)
    preparation = job.request["preparation"]
    assert preparation["rows"] == [20, 10, 10]
    assert [feature["column"] for feature in preparation["features"]] == ["age", "town"]
    assert job.request["architecture"] == GOOD.architecture
    assert {layer["type"] for layer in job.request["network"]["layers"]} > {"Normalization", "CategoryEncoding"}
    assert job.request["fitting"]["held_out"]
    assert room.datasets.get(job.dataset).is_table


def test_the_same_table_and_seed_are_the_same_request(room: Room) -> None:
    """Whoever is to know whether two versions were made alike compares hashes."""
    jobs = [room.submissions.submit(replace(TABLE, seed=seed), NOON) for seed in (1, 1, 2)]
    hashes = [request_sha256(job.request) for job in jobs]
    assert hashes[0] == hashes[1] != hashes[2]


def test_auto_is_written_out(room: Room) -> None:
    """What was chosen is a request that makes the same job."""
    checked = room.submissions.dry_run(replace(TABLE, architecture="auto", compile=None, fit={"epochs": 3}, seed=4))
    body = checked.body
    assert body["fit"]["epochs"] == 3
    assert body["compile"]["loss"] == "binary_crossentropy"
    assert body["split"] == {"validation": 0.2, "test": 0.0, "by": "stratified"}
    assert checked.wording.notes
    again = room.submissions.dry_run(replace(TABLE, **body))
    assert again.architecture == checked.architecture
    assert again.compilation == checked.compilation
    assert again.prepared is not None
    assert checked.prepared is not None
    assert again.prepared.preparation == checked.prepared.preparation
    assert again.fitting == checked.fitting


def test_auto_for_arrays(room: Room) -> None:
    """The kind of each array is told by its shape and values."""
    checked = room.submissions.dry_run(replace(GOOD, architecture="auto", compile=None))
    assert checked.compilation.to_json()["loss"]
    with pytest.raises(Invalid) as caught:
        room.submissions.dry_run(replace(GOOD, architecture="auto", compile=None, data=None))
    assert faults(caught.value) == {"/architecture"}


def test_a_validation_split_of_a_table_takes_its_last_rows(room: Room) -> None:
    """As Keras does; with a split it contradicts."""
    job = room.submissions.submit(replace(TABLE, fit={"validation_split": 0.25}), NOON)
    assert job.request["preparation"]["split"]["by"] == "order"
    assert job.request["preparation"]["rows"] == [30, 10, 0]
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(TABLE, fit={"validation_split": 0.25}, split={"test": 0.1}), NOON)
    assert faults(caught.value) == {"/fit/validation_split"}


def test_class_weights_by_labels(room: Room) -> None:
    """They become those of the labels' numbers."""
    job = room.submissions.submit(replace(TABLE, fit={"class_weight": {"yes": 3}}), NOON)
    assert job.request["fitting"]["class_weight"] == {"1": 3.0}


def test_faults_of_a_table_come_with_all_others(room: Room) -> None:
    """Those of the request for features, and those of compile and fit; nothing is stored."""
    wrong = replace(
        TABLE, target="rescue", features={"aeg": "log", "town": "log"}, split={"test": 2}, fit={"epochs": 0}, compile={}
    )
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(wrong, NOON)
    assert {"/target", "/features/aeg", "/features/town", "/split/test"} <= faults(caught.value)
    assert room.is_empty()


def test_a_network_that_does_not_fit_its_table_is_refused_where_the_client_wrote_it(room: Room) -> None:
    """Pointers go by the client's own layers, whatever stands in front of them."""
    layers = [{"type": "Dense", "units": 3}, {"type": "Conv2D", "filters": 2, "kernel_size": 3}]
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(TABLE, architecture={"layers": layers}), NOON)
    assert "/architecture/layers/1" in faults(caught.value)
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(TABLE, architecture={"layers": [{"type": "Dense", "unit": 3}]}), NOON)
    assert all(pointer.startswith("/architecture/layers/0") for pointer in faults(caught.value))


def test_arrays_have_no_features(room: Room) -> None:
    """Who speaks of columns is told how to have some."""
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(GOOD, target="y", split={"test": 0.1}), NOON)
    assert faults(caught.value) == {"/target", "/split"}


def test_another_table_validates(room: Room) -> None:
    """It has the same columns, or is refused."""
    with room.uploads.records(RECORDS[:10], "/data") as draft:
        other = room.store.keep(draft, NOON)
    job = room.submissions.submit(replace(TABLE, fit={"validation_data": other.id}), NOON)
    assert job.validation_dataset == other.id
    with room.uploads.records([{"age": 3, "rescued": "yes"}], "/data") as draft:
        other = room.store.keep(draft, NOON)
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(TABLE, fit={"validation_data": other.id}), NOON)
    assert all(pointer.startswith("/fit/validation_data") for pointer in faults(caught.value))
