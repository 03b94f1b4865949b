"""Bars are judged by ratios of medians."""

import pytest

from benchmarks.bars import STEP_FACTORS, Verdict, bars, judge
from benchmarks.cases import CASES
from benchmarks.contestants import CONTESTANTS
from benchmarks.readings import Measurement, Quantity, Readings

STEP = "dense: a step at least 20 times as fast as a warm `fit`'s"
NEW = "dense job of 10 epochs: a new shape, below 0.45 of a cold `fit`"


def readings_of(**values: dict[Quantity, list[float]]) -> Readings:
    """Readings of the dense case by contestant."""
    readings = Readings()
    for contestant, quantities in values.items():
        readings.add(contestant, "dense", Measurement(values=quantities))
    return readings


def verdict(readings: Readings, text: str) -> Verdict:
    (found,) = (verdict for verdict in judge(readings) if verdict.bar.text == text)
    return found


def test_every_bar_names_a_case_and_a_contestant_of_it() -> None:
    """A bar can be met only if its peer is measured in its case; every case has a bar."""
    assert all(bar.case in CONTESTANTS[bar.peer].cases for bar in bars())
    assert {bar.case for bar in bars()} == CASES.keys()
    assert STEP_FACTORS.keys() <= CASES.keys()


@pytest.mark.parametrize(("own", "met"), [(100e-6, True), (101e-6, False)])
def test_a_step_is_compared_with_a_warm_fit(own: float, met: bool) -> None:
    """The ratio is how many times faster kerasd is, and reaching the factor meets the bar."""
    found = verdict(readings_of(kerasd={Quantity.STEP: [own]}, fit={Quantity.STEP: [2000e-6]}), STEP)
    assert found.ratio == pytest.approx(2000e-6 / own)
    assert found.met is met


@pytest.mark.parametrize(("own", "met"), [(0.44, True), (0.45, False)])
def test_a_job_is_compared_with_a_cold_fit(own: float, met: bool) -> None:
    """The ratio is kerasd's share of the cold fit's time, which must be below the limit."""
    found = verdict(readings_of(kerasd={Quantity.COLD: [own]}, fit={Quantity.COLD: [1.0]}), NEW)
    assert found.ratio == pytest.approx(own)
    assert found.met is met


def test_one_wild_reading_changes_no_verdict() -> None:
    """Medians are compared, not means."""
    readings = readings_of(kerasd={Quantity.COLD: [0.4, 9.0, 0.4]}, fit={Quantity.COLD: [1.0, 1.0, 0.1]})
    assert verdict(readings, NEW).met


@pytest.mark.parametrize("own", [{}, {Quantity.STEP: [-1e-6]}, {Quantity.STEP: [0.0]}])
def test_a_bar_without_a_reading_is_not_met(own: dict[Quantity, list[float]]) -> None:
    """A missing reading, or a difference quotient that is not positive, gives no ratio."""
    found = verdict(readings_of(kerasd=own, fit={Quantity.STEP: [1.0]}), STEP)
    assert (found.ratio, found.met) == (None, False)


def test_bars_of_cases_that_were_not_run_are_left_out() -> None:
    """--only asks for fewer verdicts."""
    assert {found.bar.case for found in judge(readings_of(fit={Quantity.STEP: [1.0]}))} == {"dense"}
