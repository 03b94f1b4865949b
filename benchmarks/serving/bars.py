"""What kerasd's inference is to reach beside its peers and by itself; every ratio is of medians of one run."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.serving import readings as quantity
from benchmarks.serving.memory import MIB
from benchmarks.serving.networks import NETWORKS
from benchmarks.serving.readings import FLAT_JSON, JSON, Readings
from benchmarks.serving.servers import BYTES, SERVERS, Kind

#: What a quantity is called where the faster of the binary forms is meant.
BEST_BINARY = "best binary"
#: Each of them has bars of its own.
MODEL_SERVERS = tuple(server.name for server in SERVERS.values() if server.kind is Kind.MODEL_SERVER)

#: Those whose JSON is flat: kerasd is compared by its nested JSON, and by the very bytes that these are sent.
FLAT_PEERS = ("mlserver",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """kerasd's reading by another one is to be `at_least`, or `below`; without a `peer` it is compared with a number.

    `unit` divides kerasd's reading where there is no peer. Where it is `limited`, it is
    said how far the network alone would come, less the time that a constant takes to answer the same bytes by ASGI.
    """

    text: str
    network: str
    quantity: str
    peer: str | None = None
    peer_quantity: str = ""
    at_least: float | None = None
    below: float | None = None
    unit: float = 1.0
    limited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A bar with its ratio, or its figure; None where something was not read, and then the bar is not met.

    `limit` is the ratio that these two would come to, where that was read.
    """

    bar: Bar
    ratio: float | None
    met: bool
    limit: float | None = None


def bars(network: str) -> Iterator[Bar]:
    """Every bar of a network, in the order of the report."""
    if network == "dense":
        yield from _single_rows(network)
    yield from _many_rows(network)
    yield from _alone(network)


def _single_rows(network: str) -> Iterator[Bar]:
    title, rate = NETWORKS[network].title, quantity.rate(8)
    peers = [("flask", 2.5), ("fastapi", 1.3), *((name, 8.0) for name in MODEL_SERVERS), ("asgi", 0.5)]
    for peer, factor in peers:
        yield Bar(
            text=f"{title}: single rows at 8 connections, at least {factor:g} times {SERVERS[peer].title}",
            network=network,
            quantity=rate,
            peer=peer,
            peer_quantity=rate,
            at_least=factor,
        )
    yield Bar(
        text=f"{title}: p99 at 1 connection, below 2 times {SERVERS['asgi'].title}",
        network=network,
        quantity=quantity.p99(1),
        peer="asgi",
        peer_quantity=quantity.p99(1),
        below=2.0,
    )


def _many_rows(network: str) -> Iterator[Bar]:
    title, rate = NETWORKS[network].title, quantity.rows_rate(1000)
    for peer, factor in [*((name, 3.0) for name in MODEL_SERVERS), ("fastapi", 1.5)]:
        yield _json_rows(f"{title}: JSON of 1000 rows", network, rate, peer, factor)
    for peer in FLAT_PEERS:
        flat = quantity.rows_rate(1000, FLAT_JSON)
        yield _json_rows(f"{title}: the same JSON of 1000 rows, flat", network, flat, peer, 3.0)
    yield Bar(
        text=f"{title}: 1000 rows as bytes, at least 5 times kerasd's own JSON",
        network=network,
        quantity=BEST_BINARY,
        peer="kerasd",
        peer_quantity=quantity.rows_rate(1000, JSON),
        at_least=5.0,
        limited=True,
    )


def _json_rows(what: str, network: str, own: str, peer: str, factor: float) -> Bar:
    return Bar(
        text=f"{what}, at least {factor:g} times {SERVERS[peer].title}",
        network=network,
        quantity=own,
        peer=peer,
        peer_quantity=quantity.rows_rate(1000),
        at_least=factor,
    )


def _alone(network: str) -> Iterator[Bar]:
    title = NETWORKS[network].title
    yield Bar(
        text=f"{title}: a web worker is ready, in seconds, below 1",
        network=network,
        quantity=quantity.WEB_START,
        below=1.0,
    )
    yield Bar(
        text=f"{title}: a ready web worker's resident memory, in MB, below 130",
        network=network,
        quantity=quantity.WORKER_READY_RSS,
        below=130.0,
        unit=MIB,
    )
    yield Bar(
        text=f"{title}: the first prediction of a cold version, in ms, below 50",
        network=network,
        quantity=quantity.COLD_FIRST,
        below=50.0,
        unit=1e-3,
    )
    yield Bar(
        text=f"{title}: p99 at 1 connection while a job trains on all cores, at most 3 times the idle one",
        network=network,
        quantity=quantity.BUSY_P99,
        peer="kerasd",
        peer_quantity=quantity.IDLE_P99,
        below=3.0,
    )


def judge(readings: Readings) -> list[Verdict]:
    """A verdict for each bar whose network and servers were part of the run."""
    return [
        _verdict(bar, readings)
        for network in readings.networks()
        for bar in bars(network)
        if {"kerasd", bar.peer or "kerasd"} <= readings.servers(network)
    ]


def _verdict(bar: Bar, readings: Readings) -> Verdict:
    own = _own(bar, readings)
    peer = bar.unit if bar.peer is None else readings.median(bar.peer, bar.network, bar.peer_quantity)
    if own is None or not peer:
        return Verdict(bar=bar, ratio=None, met=False)
    ratio = own / peer
    if bar.at_least is not None:
        most = _most(bar.network, readings) if bar.limited else None
        limit = None if most is None else most / peer
        return Verdict(bar=bar, ratio=ratio, met=ratio >= bar.at_least, limit=limit)
    assert bar.below is not None
    return Verdict(bar=bar, ratio=ratio, met=ratio < bar.below)


def _most(network: str, readings: Readings) -> float | None:
    """Rows a second that these would come to, as far as they were read: both take the processors one after the other.

    The network alone is a bound. With the constant it is none: kerasd answers small bodies without ASGI.
    """
    alone = readings.median("kerasd", network, quantity.NETWORK_ROWS)
    constant = readings.median("asgi", network, quantity.rows_rate(1000, BYTES))
    if alone is None or constant is None:
        return alone
    return 1 / (1 / alone + 1 / constant)


def _own(bar: Bar, readings: Readings) -> float | None:
    if bar.quantity == BEST_BINARY:
        best = readings.best_binary("kerasd", bar.network, 1000)
        return None if best is None else best[0]
    return readings.median("kerasd", bar.network, bar.quantity)
