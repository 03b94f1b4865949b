"""What a measurement brings home, and how the readings of all rounds are kept."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


class Quantity(StrEnum):
    """What was read; all but the loss in seconds."""

    #: One training step, in a long warm training.
    STEP = "step"
    #: The same, by the job's own samples_per_second.
    PROGRESS_STEP = "progress_step"
    #: From the request, or the call, to the trained network: the first of its shape here.
    COLD = "cold"
    #: The same for a shape that was trained before.
    AGAIN = "again"
    #: The training loss in the last epoch of the cold run: whether all do the same work.
    LOSS = "loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One process's readings by quantity, and remarks about them."""

    values: Mapping[Quantity, list[float]]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        values = {Quantity(name): list(readings) for name, readings in value["values"].items()}
        return cls(values=values, notes=tuple(value["notes"]))


@dataclass(slots=True)
class Readings:
    """All readings of a run, by contestant and case; what is missing has its reason in `absences`."""

    values: dict[tuple[str, str, Quantity], list[float]] = field(default_factory=dict)
    notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    absences: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, contestant: str, case: str, measurement: Measurement) -> None:
        """Add a round's readings to the earlier ones."""
        for quantity, values in measurement.values.items():
            self.values.setdefault((contestant, case, quantity), []).extend(values)
        for note in measurement.notes:
            notes = self.notes.setdefault((contestant, case), [])
            if note not in notes:
                notes.append(note)

    def median(self, contestant: str, case: str, quantity: Quantity) -> float | None:
        """The median over all rounds; None where nothing was read."""
        values = self.values.get((contestant, case, quantity))
        return statistics.median(values) if values else None

    def cases(self) -> Iterable[str]:
        """The cases of the run, in its order."""
        return dict.fromkeys(case for _, case, *_ in [*self.values, *self.absences])

    def widest_spread(self) -> tuple[float, str, str, Quantity] | None:
        """The largest (maximum - minimum) / median of any timing that was read more than once, and whose it is."""
        spreads = [
            ((max(values) - min(values)) / abs(statistics.median(values)), *key)
            for key, values in self.values.items()
            if key[2] is not Quantity.LOSS and len(values) > 1 and statistics.median(values)
        ]
        return max(spreads, default=None)

    def to_json(self) -> dict[str, Any]:
        return {
            "readings": [
                {"contestant": contestant, "case": case, "quantity": quantity, "values": values}
                for (contestant, case, quantity), values in self.values.items()
            ],
            "notes": [
                {"contestant": contestant, "case": case, "notes": notes}
                for (contestant, case), notes in self.notes.items()
            ],
            "absences": [
                {"contestant": contestant, "case": case, "reason": reason}
                for (contestant, case), reason in self.absences.items()
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            values={
                (entry["contestant"], entry["case"], Quantity(entry["quantity"])): entry["values"]
                for entry in value["readings"]
            },
            notes={(entry["contestant"], entry["case"]): entry["notes"] for entry in value["notes"]},
            absences={(entry["contestant"], entry["case"]): entry["reason"] for entry in value["absences"]},
        )
