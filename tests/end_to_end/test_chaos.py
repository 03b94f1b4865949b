"""Whatever is killed, and whenever: each job ends by itself with the bits that it would have had undisturbed."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end import networks
from tests.end_to_end.chaos import (
    RECOVERY_SECONDS,
    Besieged,
    Witness,
    assert_nothing_is_left,
    kill,
    kill_everything,
    names,
    progresses,
    reaches,
    saved_files,
    stop,
    stop_at_sight,
    stop_between_writes,
    submit_and_stop,
    succeeds_as,
)
from tests.end_to_end.conftest import Result, Service, result_of, wait_for
from tests.end_to_end.siege import NETWORKS, Siege, targets

#: How many random moments there are; `make torture` sets more, and any seed.
MOMENTS = int(os.environ.get("CHAOS_MOMENTS", "50"))
SEED = int(os.environ.get("CHAOS_SEED", "3"))
#: Checkpoints all the time, room for three jobs, and no end of patience.
SETTINGS = {"slots": "3", "job_threads": "1", "checkpoint_seconds": "0.05", "max_retries": "1000000"}
#: After so many deaths of its supervisor in a row, the runner takes its time before it starts another.
MOST_DEATHS = 2

Undisturbed = Callable[[dict[str, Any]], Result]


@pytest.fixture(scope="module")
def one_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    # A child that warms up after each start would only make the others wait.
    service = Service(tmp_path_factory.mktemp("chaos") / "data", **SETTINGS, standby="false")
    try:
        service.start()
        yield Besieged(service)
        assert service.stop() == 0
    finally:
        service.kill()


@pytest.fixture
def besieged(one_service: Besieged) -> Iterator[Besieged]:
    """A service to be killed at will, which must be whole again at the end, with nothing left lying."""
    if one_service.deaths >= MOST_DEATHS:
        kill_everything(one_service.service)
        one_service.service.start()
        one_service.deaths = 0
    yield one_service
    assert_nothing_is_left(one_service.service)


def test_before_the_claim(besieged: Besieged, undisturbed: Undisturbed) -> None:
    """A job that was accepted while the supervisor was stopped runs although that supervisor never claims it."""
    expected = undisturbed(networks.conv())
    service, first = besieged.service, besieged.supervisor()
    stop_between_writes(service, first)
    job = service.submit(**networks.conv())
    assert service.job(job["id"])["status"] == "queued"
    besieged.kill_supervisor()
    succeeds_as(besieged, job["id"], expected, attempts=1)


def test_right_after_the_claim(besieged: Besieged, undisturbed: Undisturbed) -> None:
    """A job whose children die as soon as they are there, several times, comes to its end all the same."""
    expected = undisturbed(networks.conv())
    service = besieged.service
    job = service.submit(**networks.conv())
    reaches(service, job["id"], {"running"})
    for _ in range(3):
        besieged.kill_child(job["id"])
    succeeds_as(besieged, job["id"], expected, attempts=4)


def test_a_supervisor_that_has_just_claimed(besieged: Besieged, undisturbed: Undisturbed) -> None:
    """A job whose supervisor dies as soon as it runs is claimed by the next one."""
    expected = undisturbed(networks.conv())
    service = besieged.service
    job = service.submit(**networks.conv())
    reaches(service, job["id"], {"running"})
    besieged.kill_supervisor()
    succeeds_as(besieged, job["id"], expected, attempts=2)


def unfinished(folder: Path) -> list[str]:
    """The checkpoints in a folder that are being written."""
    return [name for name in names(folder) if name.endswith(".tmp")]


def test_inside_the_writing_of_a_checkpoint(besieged: Besieged, undisturbed: Undisturbed) -> None:
    """A child that dies with half a checkpoint written leaves nothing that its successor could take for a whole one."""
    expected = undisturbed(networks.large())
    service = besieged.service
    job = service.submit(**networks.large())
    folder = service.data / "checkpoints" / job["id"]

    def writer() -> psutil.Process | None:
        # The name of the unfinished file ends with the process that writes it.
        return next((psutil.Process(int(name.split(".")[-2])) for name in unfinished(folder)), None)

    child = stop_at_sight(writer, lambda: bool(unfinished(folder)))
    assert child is not None
    assert kill(child)
    succeeds_as(besieged, job["id"], expected, attempts=2)


def test_between_rename_and_commit_of_a_checkpoint(besieged: Besieged, undisturbed: Undisturbed) -> None:
    """A whole checkpoint that no row names yet is not gone on from, and is cleared away."""
    expected = undisturbed(networks.lstm())
    service, first = besieged.service, besieged.supervisor()
    job = service.submit(**networks.lstm())
    folder = service.data / "checkpoints" / job["id"]

    def whole() -> set[tuple[int, int]]:
        parts = [name.removesuffix(".npz").split("-") for name in names(folder) if name.endswith(".npz")]
        return {(int(epoch), int(step)) for _, epoch, step in parts}

    seen: set[tuple[int, int]] = set()

    def sight() -> psutil.Process | None:
        found = whole()
        new = found - seen
        seen.update(found)
        return first if new else None

    def not_recorded() -> bool:
        recorded = service.job(job["id"])["checkpoint"]
        return any(recorded is None or moment > (recorded["epoch"], recorded["step"]) for moment in whole())

    assert stop_at_sight(sight, not_recorded)
    assert service.job(job["id"])["status"] == "running"
    child = besieged.child(job["id"])
    besieged.kill_supervisor()
    kill(child)
    succeeds_as(besieged, job["id"], expected, attempts=2)


def test_between_rename_and_commit_of_a_version(besieged: Besieged, undisturbed: Undisturbed) -> None:
    """A version whose files lie in their place, but which has no row yet, is made again and never seen twice."""
    expected = undisturbed(networks.dense())
    service = besieged.service
    known: dict[str, set[str]] = {}

    def new_version(job_id: str) -> set[str]:
        there = set(names(service.data / "versions"))
        return there - known.setdefault(job_id, there)

    job_id = submit_and_stop(service, networks.dense(), besieged.supervisor(), new_version)
    besieged.kill_supervisor()
    succeeds_as(besieged, job_id, expected, attempts=2)


def test_before_the_finishing_commit(besieged: Besieged, undisturbed: Undisturbed) -> None:
    """A child's last word that the supervisor does not live to hear is said again by another child."""
    expected = undisturbed(networks.dense())
    service = besieged.service
    sight = partial(saved_files, service)
    job_id = submit_and_stop(service, networks.dense(), besieged.supervisor(), sight)
    # The child ends although nobody has listened: its last word lies in the pipe.
    wait_for(lambda: besieged.children.of(job_id) is None, 30)
    assert service.job(job_id)["status"] == "running"
    besieged.kill_supervisor()
    succeeds_as(besieged, job_id, expected, attempts=2)


@pytest.mark.parametrize("victim", ["child", "supervisor"])
def test_while_pausing(besieged: Besieged, undisturbed: Undisturbed, victim: str) -> None:
    """A job whose process dies after a pause was asked for, and before it was heard, is paused; resumed, it goes on."""
    expected = undisturbed(networks.lstm())
    service = besieged.service
    job = service.submit(**networks.lstm())
    progresses(service, job["id"])
    if victim == "child":
        deaf = besieged.child(job["id"])
        stop(deaf)
    else:
        deaf = besieged.supervisor()
        stop_between_writes(service, deaf)
    assert service.post(f"/v1/jobs/{job['id']}/pause").status_code == 200
    seen = service.job(job["id"])
    assert (seen["status"], seen["pause_requested"]) == ("running", True)
    if victim == "child":
        assert kill(deaf)
    else:
        besieged.kill_supervisor()
    paused = reaches(service, job["id"], {"paused"})
    assert paused["pause_requested"] is False
    assert_nothing_is_left(service, active=[job["id"]])
    assert service.post(f"/v1/jobs/{job['id']}/resume").status_code == 200
    succeeds_as(besieged, job["id"], expected, attempts=2)


def test_inside_the_writing_of_a_pause(besieged: Besieged, undisturbed: Undisturbed) -> None:
    """A child that dies while it writes the checkpoint of a pause is not started again: the job is paused."""
    expected = undisturbed(networks.large())
    service = besieged.service
    job = service.submit(**networks.large())
    progresses(service, job["id"])
    folder = service.data / "checkpoints" / job["id"]
    child = besieged.child(job["id"])
    service.post(f"/v1/jobs/{job['id']}/pause")
    assert stop_at_sight(lambda: child if unfinished(folder) else None, lambda: bool(unfinished(folder)))
    assert kill(child)
    reaches(service, job["id"], {"paused"})
    service.post(f"/v1/jobs/{job['id']}/resume")
    succeeds_as(besieged, job["id"], expected, attempts=2)


@pytest.mark.parametrize("victim", ["child", "supervisor"])
def test_while_the_best_weights_are_kept(besieged: Besieged, undisturbed: Undisturbed, victim: str) -> None:
    """A cancelled job whose version dies in the making gets it all the same, of the best epoch that was told."""
    service = besieged.service
    everything = undisturbed(networks.dense())
    job = service.submit(**networks.dense())
    wait_for(lambda: (service.job(job["id"])["progress"] or {"epoch": 0})["epoch"] > 20, RECOVERY_SECONDS)
    child, first = besieged.child(job["id"]), besieged.supervisor()
    service.post(f"/v1/jobs/{job['id']}/cancel?keep=best")
    stopped = child if victim == "child" else first
    assert stop_at_sight(lambda: stopped if saved_files(service, job["id"]) else None, lambda: True)
    assert service.job(job["id"])["status"] == "running"
    if victim == "child":
        kill(child)
    else:
        besieged.kill_supervisor()
    ended = reaches(service, job["id"], {"cancelled"})
    assert ended["attempt"] == 2
    kept = result_of(service, ended)
    assert kept.rows == everything.rows[: len(kept.rows)]
    best = min(kept.rows, key=lambda row: row["val_loss"])
    assert kept.version["weights_epoch"] == best["epoch"]
    fit = networks.dense()["fit"] | {"epochs": best["epoch"]}
    assert kept.sha256 == undisturbed(networks.dense(fit=fit)).sha256


@pytest.fixture
def second_supervisor(tmp_path: Path) -> Iterator[Callable[[Service], psutil.Process]]:
    """Starts another supervisor on a service's data, as another machine with the same store would.

    It takes the jobs over at once, because it goes by the name of its host and that is the same here.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(service: Service) -> psutil.Process:
        # The lock is a machine's own, and so are the sockets.
        (service.data / "supervisor.lock").unlink()
        sockets = tmp_path / "second"
        sockets.mkdir()
        with service.log_file.open("ab") as log:
            command = [sys.executable, "-m", "service.cli", "supervisor"]
            environment = service.environment | {"KERASD_RUN_FOLDER": str(sockets)}
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True))
        return psutil.Process(started[0].pid)

    yield start
    for process in started:
        process.terminate()
        assert process.wait(30) == 0


def test_a_supervisor_that_was_stopped_does_no_harm_to_its_successor(
    own_service: Callable[..., Service],
    second_supervisor: Callable[[Service], psutil.Process],
    undisturbed: Undisturbed,
) -> None:
    """Continued while another runs its job, it finds itself replaced: its child ends, and the other's does not."""
    expected = undisturbed(networks.large())
    besieged = Besieged(own_service(**SETTINGS))
    service, first = besieged.service, besieged.supervisor()
    job = service.submit(**networks.large())
    wait_for(lambda: service.job(job["id"])["checkpoint"], RECOVERY_SECONDS)
    orphan = besieged.child(job["id"])
    stop_between_writes(service, first)
    second_supervisor(service)
    wait_for(lambda: service.job(job["id"])["attempt"] == 2, RECOVERY_SECONDS, service.log)
    checkpoint = service.job(job["id"])["checkpoint"]
    # The successor has written one of its own, in the same folder, before the first comes back.
    wait_for(lambda: service.job(job["id"])["checkpoint"] != checkpoint, RECOVERY_SECONDS, service.log)
    successor = besieged.child(job["id"])
    first.send_signal(signal.SIGCONT)
    wait_for(lambda: not orphan.is_running(), 30)
    assert successor.is_running()
    assert service.job(job["id"])["status"] == "running"
    succeeds_as(besieged, job["id"], expected, attempts=2)
    assert first.is_running()
    assert_nothing_is_left(service)


def test_the_late_word_of_a_child_is_refused(
    own_service: Callable[..., Service],
    second_supervisor: Callable[[Service], psutil.Process],
    undisturbed: Undisturbed,
) -> None:
    """A supervisor that hears of a training's end after another has made the version adds none, and lives on."""
    expected = undisturbed(networks.dense())
    besieged = Besieged(own_service(**SETTINGS))
    service, first = besieged.service, besieged.supervisor()
    job_id = submit_and_stop(service, networks.dense(), first, partial(saved_files, service))
    second = second_supervisor(service)
    wait_for(lambda: service.job(job_id)["attempt"] == 2, RECOVERY_SECONDS, service.log)
    succeeds_as(besieged, job_id, expected, attempts=2)
    ended = service.job(job_id)
    first.send_signal(signal.SIGCONT)
    # It learns of it from the child's word, or, if that comes first, from its own look at what it still holds.
    learns = [f'"job_id": "{job_id}", "attempt": 1, {rest}' for rest in ('"event": "run_rep', '"reason": "it was rep')]
    wait_for(lambda: any(line in service.log() for line in learns), 30, service.log)
    # Both supervisors are at work, and a job is still given to one of them.
    again = service.submit(**networks.dense())
    succeeds_as(besieged, again["id"], expected, attempts=1)
    assert service.job(job_id) == ended
    assert (first.is_running(), second.is_running()) == (True, True)
    assert_nothing_is_left(service)


@pytest.mark.timeout(200 + 8 * MOMENTS)
def test_random_moments(own_service: Callable[..., Service], undisturbed: Undisturbed) -> None:
    """Killed at any moment, any part, any number of times: three networks train on to the bits of an undisturbed run.

    Meanwhile no client sees a step back, and in the end nothing is left: no process, no folder that belongs to nobody.
    """
    expected = {name: undisturbed(body()) for name, body in NETWORKS.items()}
    service, source = own_service(**SETTINGS), random.Random(SEED)
    with Witness(service) as witness:
        siege = Siege(besieged=Besieged(service), witness=witness, expected=expected, random=source)
        for target in targets(MOMENTS, source):
            siege.strike(target)
        siege.end()
    print(f"killed: {siege.kills}, children by network: {siege.hits}, compared: {len(siege.judged)} jobs")
    assert witness.wrong == []
    assert witness.looks > MOMENTS
    assert sum(siege.kills.values()) == MOMENTS
    assert set(siege.hits) == set(NETWORKS)
    for status in ("queued", "running", "paused", "failed", "cancelled"):
        assert service.get(f"/v1/jobs?status={status}").json()["items"] == []
    assert_nothing_is_left(service)
    assert service.stop() == 0
