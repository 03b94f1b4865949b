"""What becomes of jobs: the supervisor on a real registry, with real processes that stand in for children."""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from service.architecture.plan import Limits
from service.config import Settings
from service.data.store import FileStore
from service.errors import Unavailable
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.datasets import Datasets
from service.registry.job import Failure, Job, TimeLimit
from service.registry.jobs import Jobs
from service.registry.migrate import upgrade
from service.registry.models import Models
from service.registry.stores import DatasetStore
from service.registry.supervisors import Supervisors
from service.registry.tables import Status
from service.training import run as run_module
from service.training import supervisor as supervisor_module
from service.training.doorbell import ring
from service.training.errands import Errands
from service.training.given_data import GivenData
from service.training.initial import Initial
from service.training.preparations import Preparations
from service.training.submission import Submission, Submissions
from service.training.supervisor import Supervisor
from service.training.uploads import Uploads
from tests.training import children
from tests.training.children import Play, StagedZygote
from tests.training.errands_here import ErrandsHere

GOOD = Submission(
    model="m",
    architecture={"layers": [{"type": "Dense", "units": 1}]},
    compile={"loss": "mse"},
    fit={"epochs": 3},
    seed=1,
    dataset=None,
    data={"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0.5, 1.5]},
)


@dataclass
class Stage:
    """A supervisor that a test drives by hand, and what it works on."""

    supervisor: Supervisor
    zygote: StagedZygote
    settings: Settings
    database: Database
    files: FileStore

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.database)

    def submit(self, **change: Any) -> Job:
        datasets = Datasets(self.database)
        store, errands = DatasetStore(self.files, datasets), ErrandsHere()
        given = GivenData(self.files, datasets, store, Uploads(self.files, datasets, store, errands))
        submissions = Submissions(
            self.jobs, Models(self.database), store, given, Preparations(errands), Limits(), cores=4
        )
        job = submissions.submit(replace(GOOD, **change), now())
        ring(self.settings.doorbell)
        return job

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Let the supervisor work until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.jobs.page(None, None, None, 9)
            self.supervisor.turn()

    def until_status(self, job: Job, *statuses: Status) -> Job:
        self.until(lambda: self.jobs.get(job.id).status in statuses)
        return self.jobs.get(job.id)

    def until_checkpoint(self, job: Job) -> None:
        self.until(lambda: self.jobs.get(job.id).checkpoint)

    def checkpoints(self, job: Job) -> list[str]:
        """The files of a job from which it could go on."""
        return sorted(path.name for path in self.settings.data.glob(f"checkpoints/{job.id}/*"))


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Sets the stage for children that play the given parts."""
    made: list[Stage] = []

    def make(*plays: Play, ready: bool = True, **options: Any) -> Stage:
        settings = Settings(**{"data": tmp_path, "slots": 1, "job_threads": 1, "shutdown_seconds": 5.0} | options)
        upgrade(settings.database)
        database, files, zygote = Database(settings.database), FileStore(tmp_path), StagedZygote(*plays)
        supervisor = Supervisor(settings, database, files, zygote)  # type: ignore[arg-type]
        made.append(Stage(supervisor, zygote, settings, database, files))
        if ready:
            supervisor.take_over()
        return made[-1]

    yield make
    for one in made:
        one.supervisor.shut_down()
        one.database.close()
        assert not any(child.process.is_alive() for child in one.zygote.children)


def test_a_finished_job_has_its_version(stage: Callable[..., Stage]) -> None:
    """The version says how it was made, the job how it was run, and nothing is left of its working files."""
    room = stage(children.finish)
    job = room.until_status(room.submit(), Status.SUCCEEDED)
    version = Models(room.database).latest("m")
    assert (version.threads, version.jit_compile, version.weights_epoch) == (1, True, 3)
    assert (version.machine, version.initial, version.validation_dataset_sha256) == ("a machine", None, None)
    assert version.request_sha256 is not None
    assert job.execution is not None
    assert (job.execution.chosen_by, job.execution.measurements[0]["step_seconds"]) == ("measurement", 0.5)
    assert (job.version, job.metrics, len(room.jobs.epochs(job.id))) == (1, {"loss": 1 / 3}, 3)
    assert job.elapsed_seconds > 0
    assert (room.settings.data / "versions" / version.id / "model.keras").read_bytes() == b"weights"
    assert room.checkpoints(job) == []
    assert list(room.settings.data.glob("attempts/*")) == []


def test_an_empty_queue_is_looked_at_again_only_after_a_change(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor without work leaves the processors to predictions, and misses no job."""
    monkeypatch.setattr(supervisor_module, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(Supervisor, "_wait", lambda *_: None)
    looks: list[str] = []
    claim = Claims.claim
    monkeypatch.setattr(Claims, "claim", lambda self, owner, *rest: looks.append(owner) or claim(self, owner, *rest))
    room = stage(children.finish)
    for _ in range(20):
        room.supervisor.turn()
    # The sign of life in the first turn may be the change that is seen in the second.
    assert 1 <= len(looks) <= 2
    monkeypatch.undo()
    room.until_status(room.submit(), Status.SUCCEEDED)


def test_without_work_it_waits_for_the_next_sign_of_life_or_a_ring(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes for nothing else, and for a job at once."""
    monkeypatch.setattr(supervisor_module, "BEAT_SECONDS", 3600.0)
    room, waits = stage(children.finish), list[float]()
    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_wait", lambda _, seconds: waits.append(seconds))
        room.until(lambda: waits and waits[-1] > 3000)
    with ThreadPoolExecutor(1) as pool:
        turn = pool.submit(room.supervisor.turn)
        job = room.submit()
        turn.result(60)
    room.until_status(job, Status.SUCCEEDED)


def test_an_idle_supervisor_gives_back_what_another_machine_has_lost(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job of a supervisor that is silent for longer than its lease runs here, although nothing ran here before."""
    monkeypatch.setattr(supervisor_module, "BEAT_SECONDS", 0.1)
    room = stage(children.finish)
    job = room.submit()
    assert Claims(room.database).claim("elsewhere:sup_1", now() + timedelta(seconds=1), now()) is not None
    assert room.until_status(job, Status.SUCCEEDED).attempt == 2


def test_a_job_begins_with_all_that_it_needs(stage: Callable[..., Stage]) -> None:
    """The settings, the folders, and nothing to go on from."""
    room = stage(children.finish, checkpoint_seconds=2.5, data_memory_bytes=99, slots=3, job_threads=2)
    room.until_status(room.submit(time_limit_seconds=60), Status.SUCCEEDED)
    (told,) = room.zygote.assignments
    assert (told.threads, told.spare_threads, told.execution, told.measurements) == (2, 4, None, ())
    assert (told.checkpoint, told.checkpoint_epochs, told.checkpoint_seconds) == (None, None, 2.5)
    assert (told.seconds_left, told.keep_best_after, told.initial, told.data_memory_bytes) == (60.0, None, None, 99)
    assert told.checkpoint_folder.is_relative_to(room.settings.data / "checkpoints")
    assert told.cache_folder == room.settings.data / "cache"


def test_a_job_starts_from_a_versions_weights(stage: Callable[..., Stage]) -> None:
    """The child gets the version's folder; the new version says where it came from."""
    room = stage(children.finish)
    room.until_status(room.submit(), Status.SUCCEEDED)
    first = Models(room.database).latest("m")
    initial = Initial(model="m", version=first.number, optimizer_state=True)
    room.until_status(room.submit(initial=initial), Status.SUCCEEDED)
    told = room.zygote.assignments[-1].initial
    assert told is not None
    assert (told.folder, told.optimizer_state) == (room.settings.data / "versions" / first.id, True)
    assert Models(room.database).latest("m").initial == {"model": "m", "version": 1, "optimizer_state": True}


def test_a_running_job_is_paused_and_goes_on(stage: Callable[..., Stage]) -> None:
    """It ends with a checkpoint, the only one that is kept, and the next attempt begins with it."""
    room = stage(children.train_until_stopped, children.finish)
    job = room.submit()
    room.until_checkpoint(job)
    room.jobs.pause(job.id)
    paused = room.until_status(job, Status.PAUSED)
    assert paused.checkpoint is not None
    assert (paused.checkpoint.epoch, room.checkpoints(job)) == (2, [paused.checkpoint.name])
    room.jobs.resume(job.id)
    ended = room.until_status(job, Status.SUCCEEDED)
    assert room.zygote.assignments[1].checkpoint == paused.checkpoint.name
    assert (ended.attempt, ended.retries) == (2, 0)
    assert ended.elapsed_seconds > paused.elapsed_seconds > 0


def test_a_ring_makes_a_stop_prompt(stage: Callable[..., Stage]) -> None:
    """A pause does not wait for the next renewal of the leases."""
    room = stage(children.train_until_stopped)
    job = room.submit()
    room.until_checkpoint(job)
    room.supervisor.turn()
    begun = time.monotonic()
    room.jobs.pause(job.id)
    ring(room.settings.doorbell)
    room.until_status(job, Status.PAUSED)
    assert time.monotonic() - begun < supervisor_module.RENEW_SECONDS


def test_a_cancelled_job_is_killed(stage: Callable[..., Stage]) -> None:
    """Its child is not asked, and its checkpoints go."""
    room = stage(children.ignore_everything)
    job = room.submit()
    room.until_checkpoint(job)
    room.jobs.cancel(job.id, now())
    ended = room.until_status(job, Status.CANCELLED)
    assert (ended.version, room.checkpoints(job)) == (None, [])


def test_a_cancelled_job_can_keep_its_best(stage: Callable[..., Stage]) -> None:
    """The child makes a version, and the job is cancelled with it."""
    room = stage(children.train_until_stopped)
    job = room.submit()
    room.until_checkpoint(job)
    room.jobs.cancel(job.id, now(), "best")
    ended = room.until_status(job, Status.CANCELLED)
    assert (ended.version, room.checkpoints(job)) == (1, [])


def test_without_a_whole_epoch_there_is_nothing_to_keep(stage: Callable[..., Stage]) -> None:
    """The job is cancelled without a version."""
    room = stage(children.have_nothing_to_keep)
    job = room.submit()
    room.until(lambda: room.jobs.get(job.id).progress)
    room.jobs.cancel(job.id, now(), "best")
    assert room.until_status(job, Status.CANCELLED).version is None


def test_a_paused_job_can_keep_its_best_too(stage: Callable[..., Stage]) -> None:
    """Another child begins with nothing but this to do, with no limit of time."""
    room = stage(children.train_until_stopped)
    job = room.submit(time_limit_seconds=60)
    room.until_checkpoint(job)
    room.jobs.pause(job.id)
    room.until_status(job, Status.PAUSED)
    room.jobs.cancel(job.id, now(), "best")
    assert room.until_status(job, Status.CANCELLED).version == 1
    told = room.zygote.assignments[-1]
    assert (told.keep_best_after, told.seconds_left) == (1, None)


def test_a_lost_child_is_tried_again_from_its_checkpoint(stage: Callable[..., Stage]) -> None:
    """A kill says nothing about the job: it goes on by itself, and what was half-written is cleared."""
    room = stage(children.be_killed_after_a_checkpoint, children.be_killed_after_a_checkpoint, children.finish)
    job = room.until_status(room.submit(), Status.SUCCEEDED)
    assert (job.attempt, job.failure) == (3, None)
    assert [told.checkpoint for told in room.zygote.assignments] == [None, "1-1-1", "2-1-2"]


def test_a_child_that_is_lost_too_often_is_the_end(stage: Callable[..., Stage]) -> None:
    """The failure says how often and how, and the job can be resumed once the cause is mended."""
    room = stage(children.exit_badly, children.exit_badly, children.exit_badly, children.finish, max_retries=2)
    job = room.until_status(room.submit(), Status.FAILED)
    assert job.failure is not None
    assert (job.failure.code, job.failure.retryable, job.attempt) == ("worker_lost", True, 3)
    assert "3 times" in job.failure.message
    assert "exit code 3" in job.failure.message
    room.jobs.resume(job.id)
    assert room.until_status(job, Status.SUCCEEDED).failure is None


def test_the_kernels_kill_for_memory_is_told_as_such(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's counter rose while the child ran, and the child was killed: it is not tried again by itself."""
    counts = iter([5, 6])
    monkeypatch.setattr(run_module, "oom_kills", lambda: next(counts))
    room = stage(children.be_killed)
    job = room.until_status(room.submit(), Status.FAILED)
    assert job.failure is not None
    assert (job.failure.code, job.failure.retryable) == ("out_of_memory", True)


def test_a_child_that_takes_too_much_memory_is_killed(stage: Callable[..., Stage]) -> None:
    """The failure has the figures; the same job would come to the same end."""
    room = stage(children.take_memory, max_memory_bytes=32 * 2**20)
    job = room.until_status(room.submit(), Status.FAILED)
    assert job.failure is not None
    assert (job.failure.code, job.failure.retryable) == ("out_of_memory", False)
    assert "0.03 GiB" in job.failure.message
    assert "KERASD_MAX_MEMORY_BYTES" in job.failure.message


def test_a_job_whose_time_is_over_can_have_more(stage: Callable[..., Stage]) -> None:
    """Its checkpoint stays, and a resume with a higher limit goes on from there."""
    room = stage(children.run_out_of_time, children.finish)
    job = room.until_status(room.submit(time_limit_seconds=1), Status.FAILED)
    assert job.failure is not None
    assert (job.failure.code, job.failure.retryable) == ("time_limit", True)
    assert room.checkpoints(job) == ["1-1-1"]
    room.jobs.resume(job.id, TimeLimit(seconds=100))
    room.until_status(job, Status.SUCCEEDED)
    left = room.zygote.assignments[1].seconds_left
    assert left is not None
    assert 99 < left < 100


def test_a_child_that_overruns_its_time_is_killed(stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seconds of grace after the end, of which this test leaves none."""
    monkeypatch.setattr(run_module, "GRACE_SECONDS", -0.5)
    room = stage(children.ignore_everything)
    job = room.until_status(room.submit(time_limit_seconds=1), Status.FAILED)
    assert job.failure is not None
    assert job.failure.code == "time_limit"


def test_a_failure_of_the_training_is_final(stage: Callable[..., Stage]) -> None:
    """What the child says is what the client reads, and nobody goes on from its checkpoints."""
    room = stage(children.fail)
    job = room.until_status(room.submit(), Status.FAILED)
    assert job.failure == Failure(code="nan_loss", message="It diverged.", advice="Lower it.", retryable=False)
    assert room.checkpoints(job) == []


def test_a_child_that_wants_more_threads_gets_what_is_free(stage: Callable[..., Stage]) -> None:
    """It is no new attempt; the measurements go along, and what is chosen then is recorded."""
    room = stage(children.ask_for_more_threads, children.decide_on_two_threads, children.finish, slots=4)
    job = room.until_status(room.submit(), Status.SUCCEEDED)
    told = room.zygote.assignments
    assert [(one.threads, one.spare_threads) for one in told] == [(1, 3), (4, 0), (2, 0)]
    assert [one.measurements for one in told] == [(), children.MEASUREMENTS, children.MEASUREMENTS]
    assert told[2].execution is not None
    assert (told[2].execution.threads, told[2].execution.jit_compile) == (2, False)
    assert (job.attempt, job.retries) == (1, 0)
    assert job.execution is not None
    assert (job.execution.threads, job.execution.jit_compile) == (2, False)
    assert Models(room.database).latest("m").threads == 2


def test_who_reads_for_long_holds_up_no_job(stage: Callable[..., Stage]) -> None:
    """The log is folded into the database as far as readers let it; the supervisor does not wait for them."""
    room = stage(children.finish)
    with room.database.read() as reader:
        reader.execute(text("SELECT count(*) FROM jobs"))
        begun = time.monotonic()
        room.until_status(room.submit(), Status.SUCCEEDED)
        assert time.monotonic() - begun < 5


def test_a_model_whose_files_are_gone_is_made_again(stage: Callable[..., Stage]) -> None:
    """A supervisor that was stopped meanwhile finds no files: it lives on, and its job runs again."""
    room = stage(children.lose_the_files, children.finish)
    job = room.until_status(room.submit(), Status.SUCCEEDED)
    assert (job.attempt, job.retries, job.version) == (2, 1, 1)


def test_what_was_chosen_is_given_to_later_attempts(stage: Callable[..., Stage]) -> None:
    """Even where it is more than the machine has free: the bits depend on it."""
    room = stage(children.decide_on_two_threads, children.be_killed, children.finish, slots=1)
    room.until_status(room.submit(), Status.SUCCEEDED)
    assert [one.threads for one in room.zygote.assignments] == [1, 2, 2]
    assert room.zygote.assignments[2].execution == room.zygote.assignments[1].execution


def test_what_the_client_forces_is_not_chosen_again(stage: Callable[..., Stage]) -> None:
    """With both words given the child is told; with threads alone it has no others to choose from."""
    room = stage(children.finish, slots=4)
    both = room.submit(threads=2, compile={"loss": "mse", "jit_compile": False})
    room.until_status(both, Status.SUCCEEDED)
    room.until_status(room.submit(threads=3), Status.SUCCEEDED)
    first, second = room.zygote.assignments
    assert first.execution is not None
    assert (first.execution.chosen_by, first.execution.threads, first.threads) == ("request", 2, 2)
    assert (second.execution, second.threads, second.spare_threads) == (None, 3, 0)
    ended = room.jobs.get(both.id).execution
    assert ended is not None
    assert (ended.chosen_by, ended.jit_compile) == ("request", False)


def test_jobs_share_the_threads(stage: Callable[..., Stage]) -> None:
    """As many run as there are shares; each may choose among what nobody uses."""
    room = stage(children.ignore_everything, slots=2)
    for _ in range(3):
        room.submit()
    room.until(lambda: len(room.zygote.assignments) == 2)
    room.supervisor.turn()
    assert [(one.threads, one.spare_threads) for one in room.zygote.assignments] == [(1, 1), (1, 0)]
    assert room.jobs.count_by_status()[Status.QUEUED] == 1


def test_a_shutdown_lets_children_write_their_checkpoints(stage: Callable[..., Stage]) -> None:
    """The job waits in the queue with the newest checkpoint, and that was no loss."""
    room = stage(children.train_until_stopped)
    job = room.submit()
    room.until_checkpoint(job)
    room.supervisor.stop()
    room.supervisor.shut_down()
    waiting = room.jobs.get(job.id)
    assert waiting.checkpoint is not None
    assert (waiting.status, waiting.checkpoint.epoch, waiting.retries) == (Status.QUEUED, 2, 0)
    assert not room.settings.doorbell.exists()


def test_a_shutdown_does_not_wait_for_ever(stage: Callable[..., Stage]) -> None:
    """A child that does not listen is killed in time, and its job goes on from the checkpoint before."""
    room = stage(children.ignore_everything, shutdown_seconds=1.0)
    job = room.submit()
    room.until_checkpoint(job)
    begun = time.monotonic()
    room.supervisor.stop()
    room.supervisor.shut_down()
    assert time.monotonic() - begun < 1.0
    assert room.jobs.get(job.id).status is Status.QUEUED
    assert room.checkpoints(job) == ["1-1-1"]


def test_a_replaced_child_is_ended_and_writes_nothing(stage: Callable[..., Stage]) -> None:
    """Another supervisor has the job: nothing of its row or of its checkpoints changes."""
    room = stage(children.train_until_stopped)
    job = room.submit()
    room.until_checkpoint(job)
    claims = Claims(room.database)
    claims.release(job.id, 1, now())
    theirs = claims.claim("there:sup_1", now() + timedelta(minutes=1), now())
    room.until(lambda: not room.zygote.children[0].process.is_alive())
    assert room.jobs.get(job.id) == theirs
    assert room.checkpoints(job) == ["1-1-1"]


def test_what_an_earlier_supervisor_left_is_taken_over(stage: Callable[..., Stage]) -> None:
    """Its jobs count one more loss and go on; what no row names any more, and old supervisors' rows, go."""
    room = stage(children.finish, ready=False)
    job = room.submit()
    claims, supervisors = Claims(room.database), Supervisors(room.database)
    claims.claim(f"{socket.gethostname()}:sup_old", now() + timedelta(minutes=5), now())
    supervisors.heartbeat("old", "here", 1, now() - timedelta(days=2))
    orphan = room.files.checkpoints("job_" + "0" * 26)
    old = room.settings.data / "versions" / ("ver_" + "0" * 26)
    old.mkdir()
    os.utime(old, (1, 1))
    room.supervisor.take_over()
    assert (room.jobs.get(job.id).status, room.jobs.get(job.id).retries) == (Status.QUEUED, 1)
    assert not orphan.exists()
    assert not old.exists()
    with room.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM supervisors WHERE id = 'old'").scalar_one() == 0
    room.until_status(job, Status.SUCCEEDED)


def test_an_end_between_the_files_and_the_row_costs_nothing_but_time(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next supervisor trains again what has no row, and the folder without one is cleared once it is old."""
    room = stage(children.finish)
    job = room.submit()

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Claims, "succeed", die)
        with pytest.raises(SystemExit):
            room.until(lambda: False)
    (orphan,) = (room.settings.data / "versions").iterdir()
    for path in (*orphan.iterdir(), orphan):
        os.utime(path, (1, 1))
    assert room.jobs.get(job.id).status is Status.RUNNING
    after = stage(children.finish)
    assert not orphan.exists()
    assert after.until_status(job, Status.SUCCEEDED).attempt == 2
    assert len(list((room.settings.data / "versions").iterdir())) == 1


def test_a_checkpoint_whose_file_is_gone_is_not_begun_with(stage: Callable[..., Stage]) -> None:
    """The job starts anew."""
    room = stage(children.train_until_stopped, children.finish)
    job = room.submit()
    room.until_checkpoint(job)
    room.jobs.pause(job.id)
    paused = room.until_status(job, Status.PAUSED)
    for path in room.settings.data.glob(f"checkpoints/{job.id}/*"):
        path.unlink()
    assert paused.checkpoint is not None
    room.jobs.resume(job.id)
    room.until_status(job, Status.SUCCEEDED)
    assert room.zygote.assignments[1].checkpoint is None


def test_a_child_that_lingers_holds_nothing_up(stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job has ended with its last word, and in time the process is ended too."""
    monkeypatch.setattr(supervisor_module, "LEAVING_SECONDS", 0.2)
    room = stage(children.linger)
    begun = time.monotonic()
    room.until_status(room.submit(), Status.SUCCEEDED)
    assert time.monotonic() - begun < 10
    room.until(lambda: not room.zygote.children[0].process.is_alive())


def test_a_lost_prediction_child_is_replaced(stage: Callable[..., Stage]) -> None:
    """There is always one."""
    room = stage(children.finish)
    room.supervisor.turn()
    (first,) = room.zygote.children
    os.kill(first.process.pid or 0, signal.SIGKILL)
    room.until(lambda: len(room.zygote.children) == 2)


def test_an_errand_is_given_to_a_child_and_ends_with_the_service(stage: Callable[..., Stage]) -> None:
    """Beside the jobs; at a shutdown its client is told to come again."""
    with tempfile.TemporaryDirectory() as run_folder, ThreadPoolExecutor(1) as pool:
        room = stage(children.finish, run_folder=run_folder, shutdown_seconds=1.0)
        room.supervisor.turn()
        before = len(room.zygote.children)
        asked = pool.submit(Errands(room.settings.errand_socket).run, "export", {})
        room.until(lambda: len(room.zygote.children) > before)
        room.until_status(room.submit(), Status.SUCCEEDED)
        assert not asked.done()
        room.supervisor.stop()
        room.supervisor.shut_down()
        with pytest.raises(Unavailable, match="shutting down"):
            asked.result(20)
        assert not room.settings.errand_socket.exists()
