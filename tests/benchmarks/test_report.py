"""The tables show medians and name what is missing."""

from benchmarks.cases import SIZES
from benchmarks.machine import Machine
from benchmarks.plan import Plan
from benchmarks.readings import Measurement, Quantity, Readings
from benchmarks.report import STEP_LINES, markdown_table, plain_table, report, table

MACHINE = Machine(
    processor="Abacus",
    cores=2,
    used_cores=1,
    system="Linux x86_64",
    python="3.12.1",
    java="not installed",
    libraries={"keras": "3.15.1"},
)


def some_readings() -> Readings:
    readings = Readings()
    own = {Quantity.STEP: [20e-6, 30e-6, 1.0], Quantity.COLD: [0.5], Quantity.AGAIN: [0.25], Quantity.LOSS: [0.1]}
    readings.add("kerasd", "dense", Measurement(values=own, notes=("long jobs: XLA",)))
    readings.add("kerasd", "dense", Measurement(values={}, notes=("long jobs: XLA",)))
    readings.add("fit", "dense", Measurement(values={Quantity.STEP: [1500e-6], Quantity.COLD: [2.0]}))
    readings.absences["h2o", "dense"] = "not installed: java"
    readings.absences["torch", "dense"] = "failed: exit code 1: Traceback\n...\nMemoryError"
    readings.absences["mlp", "lstm"] = "not applicable"
    return readings


def test_markdown_has_the_machine_the_medians_and_the_bars() -> None:
    """It can be pasted into the README as it stands."""
    text = report(some_readings(), MACHINE, Plan(threads=1), markdown=True)
    assert "Measured on Abacus, 1 of 2 cores, Linux x86_64, Python 3.12.1, keras 3.15.1, Java not installed." in text
    assert "|  | Dense(64) | LSTM(64) |" in text
    assert "| kerasd | 30 | - |" in text
    assert "| kerasd, a new shape, POST to succeeded | 0.500 | - |" in text
    assert "| dense: a step at least 20 times as fast as a warm `fit`'s | 50.00 | met |" in text
    assert "| dense job of 10 epochs: a new shape, faster than H2O-3's first job | no reading | NOT met |" in text


def test_what_is_missing_is_named() -> None:
    """A peer that is not installed or that failed has a row that says so, and a line with the reason."""
    text = report(some_readings(), MACHINE, Plan(threads=1), markdown=True)
    assert "| H2O-3, first job, POST to done | not installed | - |" in text
    assert "- H2O-3 over REST, Dense(64): not installed: java." in text
    assert "| PyTorch, eager | failed | - |" in text
    assert "- PyTorch, eager, Dense(64): failed: exit code 1: Traceback ... MemoryError." in text
    assert "MLPClassifier, LSTM" not in text


def test_a_remark_is_printed_once_and_the_widest_spread_last() -> None:
    """What every round says alike stands once."""
    text = report(some_readings(), MACHINE, Plan(threads=1), markdown=False)
    assert text.count("long jobs: XLA") == 1
    assert text.splitlines()[-1].startswith("- Widest spread of one reading")


def test_readings_survive_json() -> None:
    """--redraw prints what the run itself printed."""
    readings = some_readings()
    assert Readings.from_json(readings.to_json()) == readings


def test_many_cases_are_rows() -> None:
    """A table with more cases than fit beside each other has one below the other."""
    readings = Readings()
    for case in SIZES:
        readings.add("kerasd", case, Measurement(values={Quantity.STEP: [0.001]}))
    rows = table(readings, STEP_LINES, list(SIZES), lambda seconds: f"{seconds * 1e6:,.0f}")
    assert rows == [("", "kerasd"), *((case.title, "1,000") for case in SIZES.values())]


def test_tables_are_aligned() -> None:
    """The first column is flush left, the figures flush right."""
    rows = [["", "a"], ["kerasd", "12"]]
    assert markdown_table(rows) == "|  | a |\n| --- | ---: |\n| kerasd | 12 |"
    assert plain_table(rows) == "         a\nkerasd  12"
