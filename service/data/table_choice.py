"""Which uploads are tables, and in which format: by their media type and, where that leaves it open, by their start."""

from pathlib import Path
from typing import Final

from service.data.members import kind_of_zip
from service.data.table_readers import FORMATS

#: How files begin that say what they are.
_MAGIC: Final = {b"PAR1": "parquet", b"ARROW1": "arrow"}
#: How a JSON body begins that is a table: an object whose first key is `records`, or a list.
_START_BYTES: Final = 4096


def table_format(media_type: str, path: Path, *, as_arrays: bool) -> str | None:
    """The format in which the file at `path` is a table; None where it is arrays, or nothing that is known here.

    With `as_arrays` a CSV file is arrays: its target has been named.
    """
    bare = media_type.partition(";")[0].strip().lower()
    if bare in ("application/zip", "application/octet-stream"):
        return _by_content(path)
    if bare == "application/json":
        return "json" if _holds_records(path) else None
    if bare == "text/csv" and as_arrays:
        return None
    return FORMATS.get(bare)


def _by_content(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith(b"PK"):
        return next((form for magic, form in _MAGIC.items() if start.startswith(magic)), None)
    kind = kind_of_zip(path)
    return None if kind == "npz" else kind


def _holds_records(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(_START_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"["):
        return True
    return start.startswith(b"{") and start[1:].lstrip().startswith(b'"records"')
