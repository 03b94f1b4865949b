"""The command line of the benchmarks, and the requests that kerasd is measured by; nothing is timed here."""

import re
from pathlib import Path

import pytest
from marshmallow import ValidationError

from benchmarks.cases import CASES, Case, arrays
from benchmarks.contestants import CONTESTANTS, absence
from benchmarks.peers.kerasd import execution, long_epochs, progress_steps, submission
from benchmarks.plan import QUICK, Plan
from benchmarks.training import parser, plan_of
from service.architecture.graph import read_architecture
from service.errors import Fault
from service.schemas.jobs import Submission

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_each_case_is_a_request_that_kerasd_takes(case: Case) -> None:
    """Data and layers fit what the case says of itself, and the request has no field that is unknown."""
    x, y = arrays(case)
    assert x.shape == (case.rows, *case.row_shape)
    assert set(y) == set(range(case.classes or 2))
    body = submission(case, Plan(threads=1), "ds_1", 10, 1)
    faults: list[Fault] = []
    try:
        Submission().load(body)
    except ValidationError as error:
        pytest.fail(str(error))
    assert read_architecture(body["architecture"], "/architecture", faults) is not None
    assert faults == []


def test_execution_is_left_to_the_service_unless_forced() -> None:
    """jit_compile and threads are in the request only if the command line says them."""
    free = submission(CASES["dense"], Plan(threads=2), "ds_1", 10, 1)
    forced = submission(CASES["dense"], Plan(threads=2, jit_compile=False, job_threads=1), "ds_1", 10, 1)
    assert "jit_compile" not in free["compile"]
    assert "threads" not in free
    assert forced["compile"]["jit_compile"] is False
    assert forced["threads"] == 1


def test_the_short_job_of_a_pair_has_half_of_the_work() -> None:
    """Even where there is next to none, the two differ."""
    short, long = long_epochs(CASES["dense"], Plan(threads=1, long_seconds=20))
    assert long == pytest.approx(20 / (140e-6 * 32), rel=0.01)
    assert short == long // 2
    assert long_epochs(CASES["lstm"], Plan(threads=1, long_seconds=0.001)) == (1, 2)


def test_a_job_view_without_the_newer_keys_is_read() -> None:
    """Neither `execution` nor a speed need be there."""
    assert execution({}) == "execution not said"
    chosen = {"jit_compile": True, "threads": 2, "chosen_by": "measurement"}
    assert execution({"execution": chosen}) == "XLA, 2 thread(s), by measurement"
    jobs = [{"progress": None}, {"progress": {"samples_per_second": 31250.0}}]
    assert progress_steps(CASES["dense"], jobs) == [pytest.approx(0.001)]


def test_quick_changes_defaults_and_gives_way_to_the_command_line() -> None:
    """--quick with an own size keeps the size."""
    plan = plan_of(parser().parse_args(["--quick", "--again", "7", "--set", "slots=1", "--threads", "1"]))
    assert plan == Plan(**{**QUICK, "again": 7, "threads": 1, "settings": {"slots": "1"}})
    assert Plan.from_json(plan.to_json()) == plan


def test_an_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists those that there are."""
    with pytest.raises(SystemExit):
        parser().parse_args(["--only", "dense,gnu"])
    assert "gnu is not one of dense, simple_rnn, lstm, conv2d, digits" in capsys.readouterr().err


def test_absence_tells_missing_from_not_applicable() -> None:
    """A library that no machine has is missing; a case that a contestant cannot train is not applicable."""
    assert absence(CONTESTANTS["mlp"], CASES["lstm"]) == "not applicable"
    assert absence(CONTESTANTS["numpy"], CASES["dense"]) is None


def test_every_contestant_has_its_module() -> None:
    """A module of `benchmarks/peers` that defines `measure`."""
    for contestant in CONTESTANTS.values():
        text = (ROOT / "benchmarks/peers" / f"{contestant.module}.py").read_text()
        assert re.search(r"^def measure\(case: Case, plan: Plan, variant: str\) -> Measurement:$", text, re.MULTILINE)
