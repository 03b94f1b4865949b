"""A table beside the images of a zip file, such as labels.csv: its rows name the images, and say something of each."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from service.data.delimited import read_csv_table, read_tsv_table
from service.data.fault_list import FaultList, escape
from service.data.json_records import read_json_lines
from service.data.members import Member, content
from service.data.table import batches
from service.data.table_readers import Reader, TableOptions
from service.errors import Fault, Invalid, KerasdError, MalformedRequest

if TYPE_CHECKING:
    import pyarrow as pa

MAX_FILE_BYTES: Final = 2**26
_READERS: Final[dict[str, Reader]] = {
    ".csv": read_csv_table,
    ".tsv": read_tsv_table,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
}
#: The columns that every table of images has.
OWN: Final = ("filename", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a table says of the images: row `rows[name]` of `table`, which no longer has the column of their names."""

    table: pa.Table
    rows: dict[str, int]

    def of(self, images: Iterable[Member]) -> list[pa.Array]:
        """The table's columns for these images."""
        found = self.table.take([self.rows[image.name] for image in images])
        return [column.combine_chunks() for column in found.columns]


def labels_among(members: Sequence[Member]) -> Member | None:
    """The one member that is a table, if exactly one is and something is beside it."""
    texts = [member for member in members if member.suffix in _READERS]
    return texts[0] if len(texts) == 1 and len(members) > 1 else None


def read_labels(
    files: zipfile.ZipFile, member: Member, images: Sequence[Member], folder: Path, options: TableOptions
) -> Labels:
    """Read the table `member`, whose rows must name each of the images once.

    A row names an image by its path, by its file's name, or by that without its suffix. Raise Invalid with every row
    and image that finds no other, and what the readers of such tables raise.
    """
    with TemporaryDirectory(dir=folder) as spare:
        table = _table(files, member, Path(spare), options)
        faults = FaultList()
        key = _key(table, member, images, faults)
        for name in OWN:
            if name in table.column_names and name != key:
                _add(faults, member, f"The column {name!r} came, which each image has anyway. Rename it.")
        faults.raise_if_any()
        rows = _rows(_texts(table, key), key, member, images, faults)
        faults.raise_if_any()
        # What is kept must not lie in the file that goes now.
        return Labels(table=table.drop_columns([key]).take(list(range(table.num_rows))), rows=rows)


def _table(files: zipfile.ZipFile, member: Member, folder: Path, options: TableOptions) -> pa.Table:
    import pyarrow as pa

    if member.info.file_size > MAX_FILE_BYTES:
        raise _invalid(member, [Fault(pointer="", detail=f"The file has more than {MAX_FILE_BYTES} bytes, the most.")])
    path = folder / "labels"
    path.write_bytes(content(files, member))
    try:
        _READERS[member.suffix](path, folder, options)
    except (Invalid, MalformedRequest) as error:
        raise _invalid(member, error.faults or [Fault(pointer="", detail=error.detail)]) from error
    return pa.Table.from_batches(batches(folder))


def _invalid(member: Member, faults: Iterable[Fault]) -> KerasdError:
    told = [
        Fault(pointer=member.pointer + fault.pointer, detail=f"{member.name[:200]!r}: {fault.detail}")
        for fault in faults
    ]
    return Invalid(f"The table {member.name[:200]!r} beside the images cannot be used.", told)


def _key(table: pa.Table, member: Member, images: Sequence[Member], faults: FaultList) -> str:
    """The column that names the most images."""
    names = _names(images)
    found: dict[str, int] = {column: len(names.keys() & {*_texts(table, column)}) for column in table.column_names}
    best, most = max(found.items(), key=lambda item: item[1])
    if not most:
        came = f"None of the columns {', '.join(repr(column[:64]) for column in table.column_names[:20])}"
        _add(faults, member, f"{came} names the images; one with names such as {images[0].name[:200]!r} was expected.")
    return best


def _names(images: Sequence[Member]) -> dict[str, str]:
    """How images can be called, where only one can be meant; the whole name comes before what is part of one."""
    names: dict[str, str] = {}
    for part in (str, lambda name: PurePosixPath(name).name, lambda name: PurePosixPath(name).stem):
        counts = Counter(part(image.name) for image in images)
        for image in images:
            if counts[part(image.name)] == 1:
                names.setdefault(part(image.name), image.name)
    return names


def _texts(table: pa.Table, column: str) -> list[str | None]:
    return [None if value is None else str(value) for value in table.column(column).to_pylist()]


def _rows(
    texts: list[str | None], key: str, member: Member, images: Sequence[Member], faults: FaultList
) -> dict[str, int]:
    names = _names(images)
    rows: dict[str, int] = {}
    for row, text in enumerate(texts):
        name = names.get(text or "")
        if name is None:
            came = "No name" if text is None else repr(text[:200])
            detail = (
                f"{came} came in row {row + 1}, column {key!r}; the name of one image in the zip file was expected."
            )
            _add(faults, member, f"{detail} Correct it, or leave the row out.", f"/{row}/{escape(key)}")
        elif name in rows:
            detail = f"Rows {rows[name] + 1} and {row + 1} name the same image, {name[:200]!r}. Leave one out."
            _add(faults, member, detail, f"/{row}/{escape(key)}")
        else:
            rows[name] = row
    for image in images:
        if image.name not in rows:
            faults.add(
                image.pointer, f"{image.name[:200]!r}: No row of {member.name[:200]!r} names this image. Add one."
            )
    return rows


def _add(faults: FaultList, member: Member, detail: str, pointer: str = "") -> None:
    faults.add(member.pointer + pointer, f"{member.name[:200]!r}: {detail}")
