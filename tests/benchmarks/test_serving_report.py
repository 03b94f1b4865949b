"""The tables of inference show medians with their range, and name what is missing."""

from benchmarks.machine import Machine
from benchmarks.serving import readings as quantity
from benchmarks.serving.memory import MIB
from benchmarks.serving.plan import Plan
from benchmarks.serving.readings import Readings
from benchmarks.serving.report import ROW_COLUMNS, report, server_table

MACHINE = Machine(
    processor="Abacus",
    cores=2,
    used_cores=2,
    system="Linux x86_64",
    python="3.12.1",
    java="not installed",
    libraries={"keras": "3.15.1"},
)
PLAN = Plan(connections=(1, 8))


def some_readings() -> Readings:
    readings = Readings()
    readings.add("kerasd", "dense", quantity.rate(8), 12_000, 14_000, 13_000)
    readings.add("kerasd", "dense", quantity.p99(1), 0.00125)
    readings.add("kerasd", "dense", quantity.WORKER_READY_RSS, 100 * MIB)
    readings.add("kerasd", "dense", quantity.rows_rate(1000), 200_000)
    readings.add("asgi", "dense", quantity.rate(8), 20_000)
    readings.note("asgi", "dense", "a remark")
    readings.note("asgi", "dense", "a remark")
    readings.absences["ray", "dense", "start"] = "not installed: no such release\n...\nand more"
    readings.absences["kerasd", "dense", "binary npy"] = "not served: status 415"
    return readings


def test_markdown_has_the_machine_the_medians_and_the_bars() -> None:
    """It can be pasted into the README as it stands."""
    text = report(some_readings(), MACHINE, PLAN, markdown=True)
    assert "Measured on Abacus, 2 of 2 cores, Linux x86_64" in text
    assert "Peers: ray[serve] 2.60.0; all with onnxruntime 1.32.0." in text
    assert "| kerasd | 13,000 (12,000..14,000) |" in text
    assert "| kerasd | 1.25 |" in text
    assert "| RSS of a ready web worker, MB | 100 |" in text
    assert (
        "| Dense 20-64-1: single rows at 8 connections, at least 0.5 times constant, ASGI under kerasd's own worker "
        "class | 0.65 | met |"
    ) in text


def test_what_is_missing_is_named() -> None:
    """A server without readings has a row that says so and a line with the reason; a part has the line."""
    text = report(some_readings(), MACHINE, PLAN, markdown=True)
    assert "| Ray Serve | not installed |" in text
    assert "- Ray Serve, Dense 20-64-1, start: not installed: no such release ... and more." in text
    assert "- kerasd, Dense 20-64-1, binary npy: not served: status 415." in text
    assert text.count("a remark") == 1


def test_columns_and_rows_that_nobody_filled_are_left_out() -> None:
    """A floor that was asked for single rows has no row among those of large bodies."""
    rows = server_table(some_readings(), "dense", ROW_COLUMNS)
    assert rows == [["", "JSON of 1000"], ["kerasd", "200,000"], ["Ray Serve", "not installed"]]
    assert server_table(some_readings(), "conv2d", ROW_COLUMNS) == []


def test_readings_survive_json() -> None:
    """--redraw prints what the run itself printed."""
    readings = some_readings()
    assert Readings.from_json(readings.to_json()) == readings
    assert Plan.from_json(PLAN.to_json()) == PLAN
