"""What the tests of the readers of tables share: a body becomes records, and what is wrong with it faults."""

from pathlib import Path
from typing import Any

import pytest

from service.data.table import Type, batches, stored_types
from service.data.table_readers import Reader, TableOptions
from service.errors import Fault, Invalid

Records = list[dict[str, Any]]


def take(folder: Path, reader: Reader, body: str | bytes, **options: Any) -> Records:
    """The records that a reader makes of a body."""
    path = folder / "body"
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    reader(path, folder, TableOptions(**options))
    return [record for batch in batches(folder) for record in batch.to_pylist()]


def types(folder: Path, reader: Reader, body: str | bytes, **options: Any) -> dict[str, Type]:
    """The columns that it makes of it."""
    take(folder, reader, body, **options)
    return stored_types(folder)


def faults_of(folder: Path, reader: Reader, body: str | bytes, **options: Any) -> tuple[Fault, ...]:
    """What it says is wrong with it."""
    with pytest.raises(Invalid) as raised:
        take(folder, reader, body, **options)
    return raised.value.faults
