"""How a job is run is chosen once, remembered, and never changes."""

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from service.training import choice
from service.training.assembly import assemble
from service.training.checkpoint import Position
from service.training.child import run_job
from service.training.choice import Choice, Reconsider, _best, _Trial, _TrialOver
from service.training.kept import Kept
from service.training.messages import Execution, ExecutionChosen, Finished, Measurement, StartAgain
from tests.training.assignments import COMPILE, Heard, assignment

AUTO = {**COMPILE, "jit_compile": "auto"}
MEASURED = Execution(jit_compile=False, threads=0, chosen_by="measurement")


def a_choice(folder: Path, **changes: Any) -> Choice:
    job = assignment(folder, compile_=changes.pop("compile_", AUTO), **changes)
    assembled = assemble(job)
    return Choice(job, assembled, Kept(job.cache_folder, assembled.model, {}))


def measured(jit_compile: bool, threads: int, total_seconds: float) -> Measurement:
    return Measurement(jit_compile=jit_compile, threads=threads, step_seconds=0.001, total_seconds=total_seconds)


def look_after(trial: _Trial, steps: Iterable[int]) -> None:
    for step in steps:
        trial.look(Position(step=step))


@pytest.mark.parametrize("asked", [True, False])
def test_what_a_request_says_is_done(tmp_path: Path, asked: bool) -> None:
    """A request that names both leaves nothing to choose."""
    asked_choice = a_choice(tmp_path, compile_={**COMPILE, "jit_compile": asked})
    assert asked_choice.first() == Execution(jit_compile=asked, threads=0, chosen_by="request")


def test_what_was_chosen_before_is_done_again(tmp_path: Path) -> None:
    """A later attempt at a job is run as the first one was."""
    assert a_choice(tmp_path, execution=MEASURED).first() == MEASURED


def test_a_short_job_stays_as_it_was_started(tmp_path: Path) -> None:
    """Little work that is left is not worth a trial."""
    short = a_choice(tmp_path, threads_requested=False)
    assert short.first() is None
    short.consider(1, 10)
    time.sleep(choice.PROBE_SECONDS)
    short.consider(2, 1)
    assert short.execution == Execution(jit_compile=False, threads=0, chosen_by="default")


def test_much_work_is_worth_a_trial(tmp_path: Path) -> None:
    """A job that will take long is looked at again."""
    long = a_choice(tmp_path, threads_requested=False)
    long.consider(1, 10**6)
    time.sleep(choice.PROBE_SECONDS)
    with pytest.raises(Reconsider) as reconsidered:
        long.consider(2, 10**6)
    assert reconsidered.value.left_seconds > choice.WORTH_XLA_SECONDS
    assert long.execution is None


def test_an_earlier_job_of_the_same_request_decides(tmp_path: Path) -> None:
    """What was measured once on a server holds for the next job of the same request, and for no other."""
    first = a_choice(tmp_path, threads_requested=False)
    first.execution = Execution(jit_compile=True, threads=0, chosen_by="measurement")
    first.remember()
    again = a_choice(tmp_path, threads_requested=False, seed=99)
    assert again.first() == Execution(jit_compile=True, threads=0, chosen_by="earlier job")
    assert a_choice(tmp_path, threads_requested=False, fit={"epochs": 4}).first() is None


def test_another_number_of_threads_needs_another_process(tmp_path: Path) -> None:
    """A remembered number of threads that this process has not got is asked for."""
    first = a_choice(tmp_path, threads_requested=False)
    first.execution = Execution(jit_compile=False, threads=3, chosen_by="measurement")
    first.remember()
    wanted = a_choice(tmp_path, threads_requested=False).first()
    assert isinstance(wanted, StartAgain)
    assert wanted.threads == 3
    assert wanted.execution is not None


def test_what_a_request_forced_is_not_remembered(tmp_path: Path) -> None:
    """A forced way says nothing of which is the fastest."""
    forced = a_choice(tmp_path, compile_={**COMPILE, "jit_compile": True})
    forced.remember()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ({(False, 1): 10.0, (True, 1): 9.0}, (False, 1)),
        ({(False, 1): 10.0, (True, 1): 5.0}, (True, 1)),
        ({(False, 1): 10.0, (False, 2): 9.0}, (False, 1)),
        ({(False, 1): 10.0, (True, 1): 5.0, (False, 2): 6.0, (True, 2): 4.5}, (True, 1)),
        ({(False, 1): 10.0, (True, 1): 50.0, (False, 2): 5.5, (True, 2): 30.0}, (False, 2)),
    ],
)
def test_what_costs_more_must_be_faster_by_a_quarter(
    totals: dict[tuple[bool, int], float], expected: tuple[bool, int]
) -> None:
    """XLA and more threads are taken only where they gain something worth having."""
    best = _best([measured(jit, threads, total) for (jit, threads), total in totals.items()])
    assert (best.jit_compile, best.threads) == expected


def test_a_trial_tells_compiling_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that compiled what they ran do not count for the time of a step."""
    clock = iter([0.0, 2.0, 2.1, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6])
    monkeypatch.setattr(choice.time, "perf_counter", lambda: next(clock))
    trial = _Trial(steps=100, rival_seconds=0.01)
    with pytest.raises(_TrialOver):
        look_after(trial, [1, 11, 12, 22, 32, 42, 52, 62])
    assert trial.step_seconds == pytest.approx(0.01)
    assert trial.compile_seconds == pytest.approx(2.99, abs=0.05)


def test_a_trial_of_slow_steps_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a chunk is one long step, a few of them are enough."""
    clock = iter(float(second) for second in range(0, 90, 3))
    monkeypatch.setattr(choice.time, "perf_counter", lambda: next(clock))
    trial = _Trial(steps=100, rival_seconds=3.0)
    with pytest.raises(_TrialOver):
        look_after(trial, range(1, 20))
    assert trial.step_seconds == pytest.approx(3.0)


@pytest.mark.parametrize(("xla_seconds", "tries"), [(0.0019, True), (0.0021, False)])
def test_what_was_much_slower_is_not_tried_again(tmp_path: Path, xla_seconds: float, tries: bool) -> None:
    """With more threads XLA is tried anew, unless it was hopeless with fewer; the threads are compared all the same."""
    before = (
        measured(False, 1, 20.0),
        Measurement(jit_compile=True, threads=1, step_seconds=xla_seconds, total_seconds=30.0),
    )
    second = a_choice(tmp_path, threads_requested=False, measurements=before)
    second.consider(1, 10**6)
    time.sleep(choice.PROBE_SECONDS)
    with pytest.raises(Reconsider):
        second.consider(2, 1)
    decision = second.measure(Reconsider(step_seconds=0.002, left_seconds=40.0))
    assert [one.jit_compile for one in second.measurements] == [False, True, False, *([True] if tries else [])]
    if not tries:
        assert decision == StartAgain(
            threads=1,
            execution=Execution(jit_compile=False, threads=1, chosen_by="measurement"),
            measurements=second.measurements,
        )


def test_a_trial_of_what_is_much_slower_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as one chunk that has compiled nothing has shown it."""
    clock = iter([0.0, 2.0, 3.0, 3.3])
    monkeypatch.setattr(choice.time, "perf_counter", lambda: next(clock))
    trial = _Trial(steps=100, rival_seconds=0.1)
    with pytest.raises(_TrialOver):
        look_after(trial, [1, 2, 3])
    assert trial.step_seconds == pytest.approx(0.3)


def test_short_chunks_give_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In them a call takes longer than its step; nor does a chunk that may have compiled a last batch."""
    clock = iter([0.0, 2.0, 4.0, 4.001, 4.002, 4.003])
    monkeypatch.setattr(choice.time, "perf_counter", lambda: next(clock))
    look_after(_Trial(steps=100, rival_seconds=0.0001), range(1, 6))


def test_a_job_that_was_measured_is_trained_from_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the trials the job comes to the bits of one that was told from the start how to run."""
    monkeypatch.setattr(choice, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(choice, "WORTH_XLA_SECONDS", 0.0)
    monkeypatch.setattr("service.training.engine.CHUNK_SECONDS", 1e-9)
    fit = {"epochs": 6, "batch_size": 4}
    heard, told = Heard(), Heard()
    job = assignment(tmp_path, compile_=AUTO, fit=fit, threads_requested=False)
    run_job(heard, job)
    (chosen,) = heard.of(ExecutionChosen)
    assert chosen.execution.chosen_by == "measurement"
    assert {one.jit_compile for one in chosen.measurements} == {True, False}
    run_job(told, dataclasses.replace(assignment(tmp_path, compile_=AUTO, fit=fit), execution=chosen.execution))
    assert heard.finished.weights_sha256 == told.finished.weights_sha256


def test_more_threads_are_tried_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long job on a machine with idle threads ends its first process to be measured with all of them."""
    monkeypatch.setattr(choice, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(choice, "WORTH_THREADS_SECONDS", 0.0)
    monkeypatch.setattr("service.training.engine.CHUNK_SECONDS", 1e-9)
    heard = Heard()
    run_job(heard, assignment(tmp_path, threads_requested=False, spare_threads=1))
    (wanted,) = heard.messages
    assert isinstance(wanted, StartAgain)
    assert wanted.threads == 1
    assert wanted.execution is None
    assert [one.threads for one in wanted.measurements] == [0]


def test_the_last_word_of_a_trained_job_is_finished(tmp_path: Path) -> None:
    """The outcome comes after everything else that a job says."""
    heard = Heard()
    run_job(heard, assignment(tmp_path))
    assert isinstance(heard.messages[-1], Finished)
