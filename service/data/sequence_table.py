"""Long tables, which have a step a row, become tables of sequences: one row each, or one for each window of steps.

    table.arrow, a step a row
      -> parts, by a hash of the id  (sequence_parts.py)
      -> sorted parts, a range that fits into memory at a time  (sequence_sort.py)
      -> which columns change from step to step, and are the values; the others belong to the row
      -> table.arrow, a row a sequence, in the order in which the sequences first came  (sequence_rows.py)

Beside one range nothing is in memory but some numbers for each sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from service.data.array_writer import MAX_ROW_VALUES
from service.data.fault_list import FaultList, escape
from service.data.sequence_parts import Roles, distribute
from service.data.sequence_rows import Shape, rows_of
from service.data.sequence_sort import Gaps, Part, sort_part
from service.data.table import FILENAME, Origin, TableWriter, Type, arrow_of, name_field, stored_types, with_origin
from service.data.table_readers import TableOptions
from service.errors import TooLarge

if TYPE_CHECKING:
    import pyarrow as pa

VALUES: Final = "sequence"
TARGET: Final = "target"
START: Final = "start"
END: Final = "end"
_TIMES: Final[tuple[Type, ...]] = ("int64", "float64", "timestamp", "string")
_NUMBERS: Final[tuple[Type, ...]] = ("int64", "float64", "bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """What came of a long table; `short` sequences have too few steps for one window, and are left out."""

    sequences: int
    rows: int
    short: int


def group_sequences(folder: Path, options: TableOptions) -> Grouping:
    """Rewrite the long table in `folder` with a row for each sequence, or for each window of one.

    Columns that never change within a sequence stay columns of the row; the numeric ones that do become the column
    `sequence`, steps of float32 numbers in the columns' order. Windows have the first and the last time as `start` and
    `end`, and with a horizon the steps after them as `target`. Raise Invalid with every fault, and leave the table as
    it was then; TooLarge over a limit.
    """
    types = stored_types(folder)
    roles = _roles(types, options)
    with TemporaryDirectory(dir=folder) as name:
        spare = Path(name)
        parts = [sort_part(path, roles) for path in distribute(folder, spare, roles)]
        shape = _shape(roles, parts, options)
        _check_lengths(parts, shape, options)
        schema = _schema(types, roles, shape)
        with TableWriter(spare, schema, options.limits) as writer:
            for batch in rows_of(parts, shape, schema):
                writer.write(batch)
        (spare / FILENAME).replace(folder / FILENAME)
    sequences = sum(len(part.lengths) for part in parts)
    return Grouping(sequences=sequences, rows=writer.rows, short=_short(parts, shape.steps))


def _roles(types: dict[str, Type], options: TableOptions) -> Roles:
    """Which column is what, as far as names and types tell."""
    faults = FaultList()
    _check_steps(options, faults)
    listed = ", ".join(repr(name) for name in [*types][:50]) + (", ..." if len(types) > 50 else "")
    for role, name in (("sequence", options.sequence), ("time", options.time)):
        if name is not None and name not in types:
            faults.add(f"/{role}", f"{role} names {name[:64]!r}, which is no column; choose among {listed}.")
    faults.raise_if_any()
    identity, time = options.sequence or "", options.time
    if identity == time:
        faults.add("/time", f"The column {time!r} came as sequence and as time; they are two columns. Name another.")
    for name, stored in types.items():
        if (wrong := _wrong_type(name, stored, identity, time)) is not None:
            faults.add(f"/{escape(name)}", wrong)
    faults.raise_if_any()
    others = [name for name in types if name not in (identity, time)]
    return Roles(
        identity=identity,
        time=time,
        time_type=types[time] if time is not None else None,
        numbers=tuple(name for name in others if types[name] in _NUMBERS),
        others=tuple(name for name in others if types[name] not in _NUMBERS),
    )


def _check_steps(options: TableOptions, faults: FaultList) -> None:
    if options.sequence is None:
        faults.add("/sequence", "No column came that names the sequences. Name the one that does.")
    for name in ("window", "horizon", "stride"):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= MAX_ROW_VALUES:
            faults.add(f"/{name}", f"{value} came; 1 to {MAX_ROW_VALUES} steps were expected. Change it.")
        if value is not None and options.window is None:
            faults.add(f"/{name}", f"{name} came without window, the number of steps a row. Send both, or neither.")


def _wrong_type(name: str, stored: Type, identity: str, time: str | None) -> str | None:
    if stored == "sequence":
        return f"The column {name!r} holds sequences already; one value a step was expected. Leave it out."
    if name == identity and stored == "image":
        return f"The column {name!r} holds images; a name or number of each sequence was expected. Name another."
    if name == time and stored not in _TIMES:
        return f"The column {name!r} holds {stored} values, which have no order in time. Name another."
    return None


def _shape(roles: Roles, parts: Sequence[Part], options: TableOptions) -> Shape:
    """Decide which columns are the values, now that it is known what changes within sequences."""
    faults = FaultList()
    changing = {name: place for part in parts for name, place in part.changing.items()}
    for name in roles.others:
        if name in changing:
            row, sequence = changing[name]
            came = f"Column {name!r} changes within the sequence {str(sequence)[:64]!r}, in row {row + 1}"
            expected = "a value of each step must be a number. Leave the column out, or make it numbers"
            faults.add(f"/{row}/{escape(name)}", f"{came}; {expected}.")
    channels = tuple(name for name in roles.numbers if name in changing)
    if not channels:
        faults.add("", "No column of numbers changes within a sequence; at least one was expected. " + _hint(parts))
    _add_gaps(channels, parts, faults)
    kept = (roles.identity, *(name for name in (*roles.numbers, *roles.others) if name not in changing))
    made = [VALUES] if options.window is None else [VALUES, *([START, END] if roles.time else [])]
    made += [TARGET] if options.horizon is not None else []
    for name in made:
        if name in kept:
            detail = f"The column {name!r} stays a column of each row, and one of that name is made. Rename yours."
            faults.add(f"/{escape(name)}", detail)
    faults.raise_if_any()
    return Shape(
        channels=channels,
        kept=kept,
        time=roles.time,
        window=options.window,
        horizon=options.horizon,
        stride=options.stride or 1,
    )


def _hint(parts: Sequence[Part]) -> str:
    if all((part.lengths == 1).all() for part in parts):
        return "Each sequence has one row only: name the column that says which rows belong together."
    return "Columns that never change within a sequence belong to its row."


def _add_gaps(channels: tuple[str, ...], parts: Sequence[Part], faults: FaultList) -> None:
    """A fault for each step that has no number, in the order of the rows."""
    gaps = {name: reduce(Gaps.joined, (part.gaps[name] for part in parts)) for name in channels}
    for row, name, came in sorted((row, name, came) for name, gap in gaps.items() for row, came in gap.found):
        advice = "Fill it in, or leave the row out" if came == "No value" else "Replace it"
        detail = f"{came} came in row {row + 1}, column {name!r}; each step needs a finite number within float32."
        faults.add(f"/{row}/{escape(name)}", f"{detail} {advice}.")
    faults.count_more(sum(gap.more for gap in gaps.values()))


def _check_lengths(parts: Sequence[Part], shape: Shape, options: TableOptions) -> None:
    longest = max(int(part.lengths.max()) for part in parts)
    faults = FaultList()
    steps = longest if shape.window is None else shape.steps
    if steps * len(shape.channels) > MAX_ROW_VALUES:
        came = f"A row would have {steps} steps of {len(shape.channels)} values"
        faults.add("/window", f"{came}; {MAX_ROW_VALUES} values is the most. Ask for (shorter) windows.")
    elif longest < shape.steps:
        came = f"No sequence has the {shape.steps} steps of a window and its horizon; the longest has {longest}"
        faults.add("/window", f"{came}. Ask for fewer.")
    faults.raise_if_any()
    size = sum(int(shape.windows(part.lengths).sum()) for part in parts) * shape.steps * len(shape.channels) * 4
    if shape.window is not None and size > options.limits.max_bytes:
        raise TooLarge(f"The windows need {size} bytes, {options.limits.max_bytes} is the most allowed. Widen stride.")


def _short(parts: Sequence[Part], steps: int) -> int:
    return sum(int((part.lengths < steps).sum()) for part in parts)


def _schema(types: dict[str, Type], roles: Roles, shape: Shape) -> pa.Schema:
    import pyarrow as pa

    fields = [pa.field(name, arrow_of(types[name])) for name in types if name in shape.kept]
    identity = with_origin(name_field(roles.identity, arrow_of(types[roles.identity])), Origin.SEQUENCE)
    fields = [identity if one.name == roles.identity else one for one in fields]
    if shape.window is not None and roles.time_type is not None:
        time = arrow_of(roles.time_type)
        fields += [with_origin(pa.field(START, time), Origin.START), with_origin(pa.field(END, time), Origin.END)]
    fields.append(pa.field(VALUES, arrow_of("sequence", len(shape.channels))))
    if shape.horizon is not None:
        fields.append(pa.field(TARGET, arrow_of("sequence", len(shape.channels))))
    return pa.schema(fields)
