"""What a client may choose of how its arrays are read, and what the server allows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a client chose (`target`: the columns that become y) and what the server allows."""

    target: tuple[str, ...] = ()
    max_rows: int = 100_000_000
    max_bytes: int = 2**34
