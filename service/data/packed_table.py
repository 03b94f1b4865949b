"""Packed files whose media type says no more than that: the first bytes of what is in them tell how to read them."""

from pathlib import Path
from typing import Final

from service.data.json_stream import begins_as_list
from service.data.packed import is_packed
from service.data.table_readers import TableOptions, reader_of
from service.data.utf16 import opened_text
from service.errors import Fault, MalformedRequest

_HEAD_BYTES: Final = 2**16
_BOM: Final = b"\xef\xbb\xbf"
#: What Parquet files, and Arrow's files and streams begin with.
_COLUMNAR: Final = {b"PAR1": "parquet", b"ARRO": "arrow", b"\xff\xff\xff\xff": "arrow"}


def read_packed_table(path: Path, folder: Path, options: TableOptions) -> None:
    """Write the table of a gzip or zstd file with JSON lines, JSON, CSV or TSV in it; raises what its reader does."""
    if not is_packed(path):
        detail = (
            "The file is neither gzip nor zstd, as its media type says. Send it with the media type of its content."
        )
        raise MalformedRequest(detail, [Fault(pointer="", detail=detail)])
    with opened_text(path, options.limits.max_bytes) as file:
        head = file.read(_HEAD_BYTES).removeprefix(_BOM)
    reader_of(_format(head))(path, folder, options)


def _format(head: bytes) -> str:
    if head[:4] in _COLUMNAR:
        return _COLUMNAR[head[:4]]
    if begins_as_list(head):
        return "json"
    # A tab is found out by the reader of CSV, like other delimiters.
    return "jsonl" if head.lstrip().startswith(b"{") else "csv"
