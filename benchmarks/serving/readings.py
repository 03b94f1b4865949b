"""All readings of a run, by server, network and quantity, and why there are none."""

import statistics
from dataclasses import dataclass, field
from typing import Any, Self

# Quantities are words with what they were read at behind an "@": requests and latencies at so many connections, rows a
# second at so many rows a body. Times are in seconds, memory in bytes.
START, RSS, PSS = "start", "rss", "pss"
WEB_START, WORKER_READY_RSS, WORKER_RSS, WEB_PSS, WEB_RSS = (
    "web_start",
    "worker_ready_rss",
    "worker_rss",
    "web_pss",
    "web_rss",
)
COLD_FIRST, COLD_TENTH = "cold_first", "cold_tenth"
IDLE_P99, BUSY_P99, IDLE_RATE, BUSY_RATE = "idle_p99", "busy_p99", "idle_rate", "busy_rate"
#: Rows a second of the network alone, without a server.
NETWORK_ROWS = "network_rows"
#: Forms of a body of many rows; all others are binary.
JSON, FLAT_JSON = "json", "flat json"


def rate(connections: int) -> str:
    """Single rows: requests a second."""
    return f"rate@{connections}"


def median_latency(connections: int) -> str:
    """Single rows: half of the answers took no longer."""
    return f"p50@{connections}"


def p99(connections: int) -> str:
    """Single rows: 99 of 100 answers took no longer."""
    return f"p99@{connections}"


def rows_rate(rows: int, form: str = JSON) -> str:
    """Rows a second in bodies of so many rows; `form` is one of JSON or the name of a binary one."""
    return f"rows {form}@{rows}"


@dataclass(slots=True)
class Readings:
    """`absences` has the reason for what is missing, by server, network and part of the plan (or the start)."""

    values: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    absences: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def add(self, server: str, network: str, quantity: str, *values: float) -> None:
        """Add to the readings of earlier rounds."""
        self.values.setdefault((server, network, quantity), []).extend(values)

    def note(self, server: str, network: str, text: str) -> None:
        """Keep a remark; the same one is kept once."""
        notes = self.notes.setdefault((server, network), [])
        if text not in notes:
            notes.append(text)

    def median(self, server: str, network: str, quantity: str) -> float | None:
        """The median over all rounds; None where nothing was read."""
        values = self.values.get((server, network, quantity))
        return statistics.median(values) if values else None

    def range(self, server: str, network: str, quantity: str) -> tuple[float, float] | None:
        """The least and the greatest."""
        values = self.values.get((server, network, quantity))
        return (min(values), max(values)) if values else None

    def networks(self) -> list[str]:
        """The networks of the run, in its order."""
        return list(dict.fromkeys(network for _, network, _ in [*self.values, *self.absences]))

    def servers(self, network: str) -> set[str]:
        """Those that were part of the run, whether or not anything was read."""
        return {server for server, of, _ in [*self.values, *self.absences] if of == network}

    def best_binary(self, server: str, network: str, rows: int) -> tuple[float, str] | None:
        """The faster of the binary forms, with its name."""
        forms = [
            (median, quantity.removeprefix("rows ").partition("@")[0])
            for name, of, quantity in self.values
            if (name, of) == (server, network) and quantity.startswith("rows ") and quantity.endswith(f"@{rows}")
            if (median := self.median(server, network, quantity)) is not None
        ]
        return max((form for form in forms if form[1] not in (JSON, FLAT_JSON)), default=None)

    def to_json(self) -> dict[str, Any]:
        return {
            "readings": [
                {"server": server, "network": network, "quantity": quantity, "values": values}
                for (server, network, quantity), values in self.values.items()
            ],
            "notes": [
                {"server": server, "network": network, "notes": notes}
                for (server, network), notes in self.notes.items()
            ],
            "absences": [
                {"server": server, "network": network, "part": part, "reason": reason}
                for (server, network, part), reason in self.absences.items()
            ],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(
            values={
                (entry["server"], entry["network"], entry["quantity"]): entry["values"] for entry in value["readings"]
            },
            notes={(entry["server"], entry["network"]): entry["notes"] for entry in value["notes"]},
            absences={
                (entry["server"], entry["network"], entry["part"]): entry["reason"] for entry in value["absences"]
            },
        )
