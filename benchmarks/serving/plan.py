"""How much of inference is measured; the same plan goes to every server."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

CONNECTIONS = (1, 8, 32)


class Part(StrEnum):
    """What can be measured by itself; start-up and memory always are."""

    #: Single-row JSON at each number of connections.
    SINGLE = "single"
    #: Bodies of 100 and of 1000 rows, as JSON.
    ROWS = "rows"
    #: Bodies of 1000 rows, as bytes.
    BINARY = "binary"
    #: The network without a server: what the machine allows.
    FLOOR = "floor"
    #: The first predictions of versions that were just trained (kerasd alone).
    COLD = "cold"
    #: Single-row JSON at one connection while a job trains (kerasd alone).
    BUSY = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes of a measurement; `seconds` is a reading's length, `warm_seconds` what goes before it."""

    rounds: int = 3
    seconds: float = 5.0
    warm_seconds: float = 1.0
    connections: tuple[int, ...] = CONNECTIONS
    parts: tuple[Part, ...] = tuple(Part)
    cold_versions: int = 9

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        parts = tuple(Part(part) for part in value["parts"])
        return cls(**{**value, "connections": tuple(value["connections"]), "parts": parts})


#: What --quick changes: enough to see that all works, too little to believe the figures.
QUICK: Mapping[str, Any] = {"rounds": 1, "seconds": 1.0, "cold_versions": 2}
