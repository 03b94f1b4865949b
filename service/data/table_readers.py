"""Uploads become tables: the format is chosen here; what reads it, and says what the columns mean, runs in a child."""

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from service.data.read_options import ReadOptions
from service.data.table import FILENAME

#: Texts that stand for a value that is not there.
NULLS: Final = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What a client chose, and what the server allows.

    `delimiter` is that of a CSV file, and `decimal` what its numbers have before their fraction, a point or a comma;
    None finds them out. `nulls` are the texts that stand for a missing value. With `sequence`, a column that names
    sequences, the rows are steps: they are put together in the order of `time`, whole, or in windows of so many steps,
    each `stride` after the one before it, with the `horizon` steps after it as target.
    """

    limits: ReadOptions = field(default_factory=ReadOptions)
    delimiter: str | None = None
    decimal: str | None = None
    nulls: tuple[str, ...] = NULLS
    sequence: str | None = None
    time: str | None = None
    window: int | None = None
    horizon: int | None = None
    stride: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        limits = ReadOptions(**{**row["limits"], "target": tuple(row["limits"]["target"])})
        return cls(**{**row, "limits": limits, "nulls": tuple(row["nulls"])})


#: A reader writes the table of a file into a folder.
Reader = Callable[[Path, Path, TableOptions], None]

#: Media type to format. What is packed says nothing of what is in it: its first bytes do.
FORMATS: Final[dict[str, str]] = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/gzip": "packed",
    "application/zstd": "packed",
}
#: Format to reader, as module and function: none is imported before it is needed.
READERS: Final[dict[str, str]] = {
    "csv": "service.data.delimited:read_csv_table",
    "tsv": "service.data.delimited:read_tsv_table",
    "json": "service.data.json_records:read_json_records",
    "jsonl": "service.data.json_records:read_json_lines",
    "parquet": "service.data.columnar:read_parquet",
    "arrow": "service.data.columnar:read_arrow",
    "packed": "service.data.packed_table:read_packed_table",
    "images": "service.data.image_archive:read_image_archive",
    "sequences": "service.data.sequence_archive:read_sequence_archive",
}


def reader_of(format_name: str) -> Reader:
    """The reader of a format that READERS has."""
    module, _, name = READERS[format_name].partition(":")
    reader: Reader = getattr(importlib.import_module(module), name)
    return reader


def table_sha256(folder: Path) -> str:
    """The hexadecimal SHA-256 of a stored table's file, which the same columns and rows always give."""
    with (folder / FILENAME).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
