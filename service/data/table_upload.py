"""What is done with a table in a child: an upload is read and profiled, or a stored table profiled anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.data.profile import profile_table
from service.data.profiling.column_findings import Finding
from service.data.sequence_table import group_sequences
from service.data.store import storage_full
from service.data.table import ColumnFacts, Kind, row_count
from service.data.table_readers import TableOptions, reader_of, table_sha256
from service.errors import Fault, Invalid


def read_table(request: dict[str, Any]) -> dict[str, Any]:
    """Read the upload `file` of a `format` into `folder`, as `options` say; give the rows, the columns and the profile.

    Raises MalformedRequest where the file does not parse, TooLarge over a limit, StorageFull, and otherwise Invalid
    with every fault found; what is in the folder then is of no use.
    """
    folder, options = Path(request["folder"]), TableOptions.from_json(request["options"])
    short = 0
    with storage_full():
        reader_of(request["format"])(Path(request["file"]), folder, options)
        if options.sequence is not None:
            short = group_sequences(folder, options).short
    rows = row_count(folder)
    if not rows:
        detail = "The data have no rows; at least one was expected. Send one or more."
        raise Invalid(detail, [Fault(pointer="", detail=detail)])
    made = {"rows": rows, "sha256": table_sha256(folder), **_profiled(folder, None)}
    if short:
        made["profile"]["warnings"].insert(0, _of_short_sequences(short, options))
    return made


def profile_again(request: dict[str, Any]) -> dict[str, Any]:
    """Profile the stored table in `folder` with the `kinds` that a client has given by column; the others are guessed.

    Raises Invalid where a column cannot be of its kind.
    """
    return _profiled(Path(request["folder"]), {name: Kind(kind) for name, kind in request["kinds"].items()})


def _of_short_sequences(short: int, options: TableOptions) -> dict[str, Any]:
    """The warning that sequences were left out, among the profile's own."""
    needed = (options.window or 0) + (options.horizon or 0)
    came = f"{short} sequence(s) have fewer than the {needed} steps that a window with its horizon takes"
    return Finding(
        code="short_sequences",
        columns=(str(options.sequence),),
        message=f"{came}, and are left out. Upload them with a smaller window if they are to count.",
        evidence={"count": short, "needed": needed},
    ).to_json()


def _profiled(folder: Path, kinds: Mapping[str, Kind] | None) -> dict[str, Any]:
    columns, profile = profile_table(folder, kinds)
    return {"columns": [ColumnFacts.to_json(column) for column in columns], "profile": profile}
