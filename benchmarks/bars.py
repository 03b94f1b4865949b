"""What kerasd is to reach beside its peers, and whether it did; every ratio is of medians of one run."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.cases import CASES
from benchmarks.readings import Quantity, Readings


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Two readings to compare: peer/kerasd is to be at least `faster_by`, or kerasd/peer less than `below`."""

    text: str
    case: str
    quantity: Quantity
    peer: str
    peer_quantity: Quantity
    faster_by: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A bar with its ratio; `ratio` is None where one of the two was not read, and then the bar is not met."""

    bar: Bar
    ratio: float | None
    met: bool


#: How many times faster than `fit` a step is to be; in other cases it is to be no slower.
STEP_FACTORS = {"dense": 20.0, "simple_rnn": 5.0, "lstm": 5.0, "conv2d": 2.0}


def bars() -> Iterator[Bar]:
    """Every bar there is, in the order of the report."""
    for case in CASES:
        factor = STEP_FACTORS.get(case, 1.0)
        yield Bar(
            text=f"{case}: a step at least {factor:g} times as fast as a warm `fit`'s",
            case=case,
            quantity=Quantity.STEP,
            peer="fit",
            peer_quantity=Quantity.STEP,
            faster_by=factor,
        )
    yield _job("a new shape, below 0.45 of a cold `fit`", Quantity.COLD, "fit", Quantity.COLD, 0.45)
    yield _job("the shape again, below 0.25 of a cold `fit`", Quantity.AGAIN, "fit", Quantity.COLD, 0.25)
    yield _job("a new shape, faster than H2O-3's first job", Quantity.COLD, "h2o", Quantity.COLD, 1.0)
    yield _job("a new shape, faster than H2O-3's later jobs", Quantity.COLD, "h2o", Quantity.AGAIN, 1.0)
    yield _job("the shape again, faster than H2O-3's later jobs", Quantity.AGAIN, "h2o", Quantity.AGAIN, 1.0)


def _job(text: str, quantity: Quantity, peer: str, peer_quantity: Quantity, below: float) -> Bar:
    return Bar(
        text=f"dense job of 10 epochs: {text}",
        case="dense",
        quantity=quantity,
        peer=peer,
        peer_quantity=peer_quantity,
        below=below,
    )


def judge(readings: Readings) -> list[Verdict]:
    """A verdict for each bar whose case was part of the run."""
    cases = set(readings.cases())
    return [_verdict(bar, readings) for bar in bars() if bar.case in cases]


def _verdict(bar: Bar, readings: Readings) -> Verdict:
    own = readings.median("kerasd", bar.case, bar.quantity)
    peer = readings.median(bar.peer, bar.case, bar.peer_quantity)
    # A difference of two short jobs can come out as zero or less: that is no reading.
    if own is None or peer is None or own <= 0 or peer <= 0:
        return Verdict(bar=bar, ratio=None, met=False)
    if bar.faster_by is not None:
        return Verdict(bar=bar, ratio=peer / own, met=peer / own >= bar.faster_by)
    assert bar.below is not None
    return Verdict(bar=bar, ratio=own / peer, met=own / peer < bar.below)
