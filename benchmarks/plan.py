"""How much is measured; the same plan goes to every contestant."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes of a measurement; `epochs` are those of a cold run, and of the same shape again.

    `warm_epochs` and `warm_fits` size the peers' warm trainings. `long_seconds` is how much work, at the speed of a
    graph without XLA, kerasd's long job has; the short one of a pair has half. `jit_compile` and `job_threads` force
    what kerasd else chooses; `settings` are further KERASD_* settings of the service.
    """

    threads: int
    rounds: int = 5
    epochs: int = 10
    again: int = 3
    warm_epochs: int = 30
    warm_fits: int = 3
    long_seconds: float = 20.0
    pairs: int = 1
    jit_compile: bool | None = None
    job_threads: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(**value)


#: What --quick changes: enough to see that all works, too little to believe the figures.
QUICK: Mapping[str, Any] = {"rounds": 1, "again": 1, "warm_epochs": 5, "warm_fits": 1, "long_seconds": 2.0}
