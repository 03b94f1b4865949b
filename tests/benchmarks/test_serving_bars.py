"""Bars of inference are judged by ratios of medians, or by kerasd's own figures."""

import pytest

from benchmarks.serving import readings as quantity
from benchmarks.serving.bars import MODEL_SERVERS, Verdict, bars, judge
from benchmarks.serving.memory import MIB
from benchmarks.serving.networks import NETWORKS
from benchmarks.serving.readings import Readings
from benchmarks.serving.servers import BYTES, SERVERS

DENSE = NETWORKS["dense"].title


def readings_of(**servers: dict[str, list[float]]) -> Readings:
    """Readings of the Dense network by server."""
    readings = Readings()
    for server, quantities in servers.items():
        for name, values in quantities.items():
            readings.add(server, "dense", name, *values)
    return readings


def verdict(readings: Readings, text: str) -> Verdict:
    (found,) = (verdict for verdict in judge(readings) if verdict.bar.text == f"{DENSE}: {text}")
    return found


def test_every_bar_names_a_server_and_has_one_limit() -> None:
    """A bar can be met only if its peer is measured; every model server has a bar for few rows and one for many."""
    for network in NETWORKS:
        for bar in bars(network):
            assert bar.peer is None or bar.peer in SERVERS
            assert (bar.at_least is None) != (bar.below is None)
    assert {bar.peer for bar in bars("dense") if bar.at_least == 8} == set(MODEL_SERVERS)
    assert {bar.peer for bar in bars("conv2d") if bar.at_least == 3} == set(MODEL_SERVERS)


@pytest.mark.parametrize(("own", "met"), [(1300.0, True), (1299.0, False)])
def test_rates_are_compared_with_a_peer(own: float, met: bool) -> None:
    """The ratio is how many times as many kerasd answers, and reaching the factor meets the bar."""
    readings = readings_of(kerasd={quantity.rate(8): [own]}, fastapi={quantity.rate(8): [1000.0]})
    found = verdict(readings, f"single rows at 8 connections, at least 1.3 times {SERVERS['fastapi'].title}")
    assert found.ratio == pytest.approx(own / 1000)
    assert found.met is met


@pytest.mark.parametrize(("own", "met"), [(129.9, True), (130.0, False)])
def test_a_figure_without_a_peer_is_shown_in_its_unit(own: float, met: bool) -> None:
    """kerasd's memory is judged by itself."""
    found = verdict(
        readings_of(kerasd={quantity.WORKER_READY_RSS: [own * MIB]}),
        "a ready web worker's resident memory, in MB, below 130",
    )
    assert found.ratio == pytest.approx(own)
    assert found.met is met


def test_the_faster_of_the_binary_forms_counts() -> None:
    """JSON is none of them."""
    own = {
        quantity.rows_rate(1000): [100.0],
        quantity.rows_rate(1000, quantity.FLAT_JSON): [900.0],
        quantity.rows_rate(1000, "npy"): [700.0],
        quantity.rows_rate(1000, "open inference"): [400.0],
    }
    readings = readings_of(kerasd=own)
    assert readings.best_binary("kerasd", "dense", 1000) == (700.0, "npy")
    assert verdict(readings, "1000 rows as bytes, at least 5 times kerasd's own JSON").ratio == pytest.approx(7)


def test_a_bar_that_is_limited_says_by_what() -> None:
    """By the network alone, and by that and the constant where that was asked."""
    own = {
        quantity.rows_rate(1000): [100.0],
        quantity.rows_rate(1000, "npy"): [300.0],
        quantity.NETWORK_ROWS: [360.0],
    }
    text = "1000 rows as bytes, at least 5 times kerasd's own JSON"
    found = verdict(readings_of(kerasd=own), text)
    assert (found.ratio, found.limit, found.met) == (3.0, 3.6, False)
    assert verdict(readings_of(kerasd={**own, quantity.NETWORK_ROWS: []}), text).limit is None
    constant = {quantity.rows_rate(1000, BYTES): [own[quantity.NETWORK_ROWS][0]]}
    assert verdict(readings_of(kerasd=own, asgi=constant), text).limit == pytest.approx(1.8)


def test_flat_json_is_compared_with_the_very_same_bytes() -> None:
    """Beside kerasd's nested JSON."""
    rows, flat = quantity.rows_rate(1000), quantity.rows_rate(1000, quantity.FLAT_JSON)
    readings = readings_of(kerasd={rows: [200.0], flat: [330.0]}, mlserver={rows: [100.0]})
    peer = SERVERS["mlserver"].title
    nested = verdict(readings, f"JSON of 1000 rows, at least 3 times {peer}")
    same = verdict(readings, f"the same JSON of 1000 rows, flat, at least 3 times {peer}")
    assert (nested.ratio, nested.met, same.ratio, same.met) == (2.0, False, 3.3, True)


def test_one_wild_reading_changes_no_verdict() -> None:
    """Medians are compared, not means."""
    readings = readings_of(kerasd={quantity.COLD_FIRST: [0.003, 0.9, 0.004]})
    assert verdict(readings, "the first prediction of a cold version, in ms, below 50").met


def test_a_bar_without_a_reading_is_not_met() -> None:
    """Neither is one whose peer failed."""
    readings = readings_of(kerasd={quantity.rate(8): [1000.0]})
    readings.absences["ray", "dense", "start"] = "not installed: no such release"
    found = verdict(readings, f"single rows at 8 connections, at least 8 times {SERVERS['ray'].title}")
    assert (found.ratio, found.met) == (None, False)


def test_bars_of_servers_that_were_not_run_are_left_out() -> None:
    """--servers and --network ask for fewer verdicts."""
    found = judge(readings_of(kerasd={quantity.rate(8): [1.0]}, asgi={quantity.rate(8): [1.0]}))
    assert {verdict.bar.peer for verdict in found} == {None, "kerasd", "asgi"}
    assert {verdict.bar.network for verdict in found} == {"dense"}
    assert judge(readings_of(fastapi={quantity.rate(8): [1.0]})) == []
