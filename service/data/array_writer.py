"""Arrays on their way to disk: rows come in chunks, are checked, and become one .npy file each."""

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from service.data.arrays import ArrayFacts, Part
from service.data.store import HEADER_BYTES, npy_header, stored_chunks
from service.errors import Fault, Invalid, TooLarge

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
PARTS: Final[tuple[Part, ...]] = get_args(Part)
MAX_ARRAYS: Final = 64
MAX_RANK: Final = 8
MAX_ROW_VALUES: Final = 2**24
#: From here on a float64 no longer tells neighbouring whole numbers apart.
EXACT_LIMIT: Final = 2**53
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a client chose (`target`: the columns that become y) and what the server allows."""

    target: tuple[str, ...] = ()
    max_rows: int = 100_000_000
    max_bytes: int = 2**34


class FaultList:
    """Faults in the order found; it keeps the first `LIMIT` and counts the rest."""

    LIMIT: Final = 20

    def __init__(self) -> None:
        self._kept: list[Fault] = []
        self._more = 0

    def add(self, pointer: str, detail: str) -> None:
        if len(self._kept) < self.LIMIT:
            self._kept.append(Fault(pointer=pointer, detail=detail))
        else:
            self._more += 1

    @property
    def full(self) -> bool:
        """Whether further faults are only counted, so that nobody need describe them."""
        return len(self._kept) >= self.LIMIT

    def count_more(self, number: int) -> None:
        """Count faults without describing them."""
        self._more += number

    def __len__(self) -> int:
        return len(self._kept) + self._more

    def raise_if_any(self) -> None:
        """Raise Invalid with everything that was found."""
        if not self._kept:
            return
        rest = [Fault(pointer="", detail=f"... and {self._more} more")] if self._more else []
        raise Invalid(f"Faults in the data: {len(self)}. Mend what `errors` lists and send again.", self._kept + rest)


class ArrayWriter:
    """One array being written to `folder`; what is wrong with it goes to `faults`, and no file comes of it then.

    `stored` is the dtype of exact chunks until all are known. Without it the numbers were decimal text, now
    float64: whole ones from 2**53 on may have lost digits. `columns` names the values of a row.
    """

    def __init__(
        self,
        folder: Path,
        part: Part,
        name: str | None = None,
        *,
        intake: "Intake | None" = None,
        columns: tuple[str, ...] | None = None,
        stored: str | None = None,
    ) -> None:
        self._intake = intake or Intake(folder, ReadOptions())
        self.faults = self._intake.faults
        self.pointer = self._intake.pointer(part, name)
        self.rows = 0
        self.part = part
        self._folder, self._name, self._columns = folder, name, columns
        self._from_text = stored is None
        self._stored = np.dtype(stored or "float64")
        self._sample_shape: tuple[int, ...] | None = None
        self._good = True
        self._integral = True
        self._minimum: float | int = np.inf
        self._maximum: float | int = -np.inf
        self._raw = folder / f"{part}{'' if name is None else '.' + name}.raw"

    def append(self, rows: Sequence[Any] | np.ndarray[Any, Any]) -> None:
        """Add rows: nested lists, or an array of shape (rows, ...) of booleans, whole numbers or floats."""
        if not len(rows):
            return
        first, self.rows = self.rows, self.rows + len(rows)
        if self._sample_shape is None:
            self._fix_shape(rows.shape[1:] if isinstance(rows, np.ndarray) else _shape_of(rows[0]))
        chunk = rows if isinstance(rows, np.ndarray) else self._from_lists(rows, first)
        self._intake.charge(self.rows, 0 if chunk is None else chunk.size * self._stored.itemsize)
        if chunk is not None and self._fits(chunk, first) and self._good:
            self._write(chunk)

    def finish(self) -> ArrayFacts:
        """Turn the chunks into the .npy file: int32 or int64 if all values are whole, else float32.

        What is wrong stands in `faults` afterwards; the facts then describe the array as far as it was read.
        """
        if self.rows == 0:
            self.faults.add(self.pointer, f"{self.part} has no rows; at least one row was expected. Send one or more.")
            self._good = False
        dtype = self._final_dtype() if self._good else "float32"
        if self._good:
            self._check_range(dtype)
        facts = ArrayFacts(
            part=self.part,
            name=self._name,
            shape=(self.rows, *(self._sample_shape or ((1,) if self.part == "x" else ()))),
            dtype=dtype,
            minimum=float(self._minimum),
            maximum=float(self._maximum),
            integral=self._integral,
            columns=self._columns,
        )
        if self._good:
            self._convert(facts)
        else:
            self._raw.unlink(missing_ok=True)
        return facts

    def _fault(self, row: int, index: Sequence[int], came: str, expected: str) -> None:
        """Note what is wrong with one value; rows and values are named as the client's format counts them."""
        pointer, place = "/".join([self.pointer, str(row), *map(str, index)]), ""
        if self._columns is not None:
            column = self._columns[index[0] if index else 0]
            pointer, place = f"/{row}/{escape(column)}", f" in row {row + 1}, column {column!r}"
        self.faults.add(pointer, f"{came} came{place}; {expected}")
        self._good = False

    def _fix_shape(self, shape: tuple[int, ...]) -> None:
        self._sample_shape = shape
        if not _allowed(shape):
            came = f"Rows of shape {list(shape[: MAX_RANK + 1])} came"
            expected = (
                f"a row must have 1 to {MAX_ROW_VALUES} values in at most {MAX_RANK} dimensions. Change its shape."
            )
            self.faults.add(self.pointer, f"{came}; {expected}")
            self._good = False

    def _from_lists(self, rows: Sequence[Any], first: int) -> np.ndarray[Any, Any] | None:
        shape = self._sample_shape or ()
        if not _allowed(shape):
            return None
        kinds = {int, float, bool} if self.part == "y" else {int, float}
        chunk = _numbers(rows, len(shape), kinds)
        if chunk is not None and chunk.shape[1:] == shape and bool(np.isfinite(chunk).all()):
            return chunk
        for offset, row in enumerate(rows):
            for index, came, expected in _wrong(row, shape, kinds):
                self._fault(first + offset, index, came, expected)
        return None

    def _fits(self, chunk: np.ndarray[Any, Any], first: int) -> bool:
        if chunk.shape[1:] != self._sample_shape:
            came = f"Rows of shape {list(chunk.shape[1:])}"
            self._fault(first, (), came, f"{list(self._sample_shape or ())} was expected, as in the first row.")
            return False
        if chunk.dtype.kind == "f" and not np.isfinite(chunk).all():
            self._fault_cells(chunk, ~np.isfinite(chunk), first, "a finite number was expected. Replace it.")
            return False
        return True

    def _fault_cells(self, chunk: np.ndarray[Any, Any], mask: np.ndarray[Any, Any], first: int, expected: str) -> None:
        cells = np.argwhere(mask)
        for cell in cells[: FaultList.LIMIT].tolist():
            self._fault(first + cell[0], cell[1:], str(chunk[tuple(cell)]), expected)
        self.faults.count_more(max(0, len(cells) - FaultList.LIMIT))

    def _write(self, chunk: np.ndarray[Any, Any]) -> None:
        if chunk.dtype == np.uint64 and chunk.max() > np.iinfo(np.int64).max:
            over = chunk > np.uint64(np.iinfo(np.int64).max)
            self._fault_cells(chunk, over, self.rows - len(chunk), "whole numbers up to 2**63 - 1 are kept. Scale it.")
            return
        self._minimum = min(self._minimum, chunk.min().item())
        self._maximum = max(self._maximum, chunk.max().item())
        self._integral = self._integral and (chunk.dtype.kind != "f" or bool((np.trunc(chunk) == chunk).all()))
        new = not self._raw.exists()
        # The file is opened for each chunk, so that a writer holds nothing open and needs no closing.
        with self._raw.open("ab") as file:
            if new:
                file.write(bytes(HEADER_BYTES))
            file.write(np.ascontiguousarray(chunk, dtype=self._stored).data)

    def _final_dtype(self) -> str:
        if self.part == "sample_weight" or not self._integral:
            return "float32"
        for kind in ("int32", "int64"):
            if np.iinfo(kind).min <= self._minimum and self._maximum <= np.iinfo(kind).max:
                return kind
        return "float32"

    def _check_range(self, dtype: str) -> None:
        whole = self._integral and self._from_text
        if whole and self.part != "sample_weight" and max(-self._minimum, self._maximum) >= EXACT_LIMIT:
            expected = "whole numbers beyond 2**53 - 1 lose digits. Scale them, or send int64 in an .npz file."
            self._scan(lambda chunk: np.abs(chunk) >= EXACT_LIMIT, expected)
        elif dtype == "float32" and max(-self._minimum, self._maximum) > _FLOAT32_MAX:
            expected = "values are kept as float32, up to 3.4e38. Scale them."
            self._scan(lambda chunk: np.abs(chunk) > _FLOAT32_MAX, expected)
        if self.part == "sample_weight" and self._minimum < 0:
            self._scan(lambda chunk: chunk < 0, "a weight of 0 or more was expected. Make it positive.")

    def _scan(self, wrong: Callable[[Any], Any], expected: str) -> None:
        for first, chunk in self._chunks():
            self._fault_cells(chunk, wrong(chunk), first, expected)

    def _chunks(self) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
        return stored_chunks(self._raw, self._stored, (self.rows, *(self._sample_shape or ())))

    def _convert(self, facts: ArrayFacts) -> None:
        if facts.dtype == self._stored.name:
            with self._raw.open("r+b") as file:
                file.write(npy_header(facts))
            self._raw.rename(self._folder / facts.filename)
            return
        with (self._folder / facts.filename).open("wb") as file:
            file.write(npy_header(facts))
            for _, chunk in self._chunks():
                file.write(chunk.astype(facts.dtype).data)
        self._raw.unlink()


class Intake:
    """All arrays of one upload: it opens their writers, and gathers the faults of every one of them."""

    def __init__(self, folder: Path, options: ReadOptions, prefix: str = "") -> None:
        self.folder, self.options, self.prefix = folder, options, prefix
        self.faults = FaultList()
        self.writers: dict[tuple[Part, str | None], ArrayWriter] = {}
        self.seen: set[str] = set()
        self._bytes = 0

    def pointer(self, *tokens: str | None) -> str:
        """The JSON Pointer of what lies under these keys; None stands for no key."""
        return self.prefix + "".join(f"/{escape(token[:64])}" for token in tokens if token is not None)

    def charge(self, rows: int, size: int) -> None:
        """Take `size` more bytes for an array that now has `rows` rows; raise TooLarge when that is too much."""
        self._bytes += size
        if rows > self.options.max_rows:
            raise TooLarge(f"The data have more than {self.options.max_rows} rows, the most allowed. Send fewer.")
        if self._bytes > self.options.max_bytes:
            raise TooLarge(f"The data need more than {self.options.max_bytes} bytes as arrays, the most allowed.")

    def known(self, part: str) -> bool:
        """Say whether `part` is a part of a data set, and note a fault if not."""
        self.seen.add(part)
        if part in PARTS:
            return True
        expected = "x, y and sample_weight are known. Remove or rename it."
        self.faults.add(self.pointer(part), f"The key {part[:64]!r} came; {expected}")
        return False

    def open(
        self, part: Part, name: str | None = None, columns: tuple[str, ...] | None = None, stored: str | None = None
    ) -> ArrayWriter | None:
        """A writer for a new array, or None (and a fault) where there can be none of this name."""
        if (wrong := self._unfit(part, name)) is not None:
            self.faults.add(self.pointer(part, name), wrong)
            return None
        writer = ArrayWriter(self.folder, part, name, intake=self, columns=columns, stored=stored)
        self.writers[part, name] = writer
        return writer

    def _unfit(self, part: Part, name: str | None) -> str | None:
        names = [known for of, known in self.writers if of == part]
        if name is not None and part == "sample_weight":
            return "Several sample_weight arrays came; one array with one weight a row was expected."
        if name is not None and not NAME.fullmatch(name):
            return f"The name {name[:64]!r} came; a letter and up to 63 letters, digits, _ or - were expected."
        if name in names:
            return "This array came twice; send it once."
        if names and (name is None or None in names):
            return f"A single {part} and named ones came; send one array, or all by name."
        if len(self.writers) >= MAX_ARRAYS:
            return f"More than {MAX_ARRAYS} arrays came; that is the most one data set can have. Join some."
        return None


def escape(token: str) -> str:
    """One token of a JSON Pointer, as RFC 6901 escapes it; half a character, which JSON can hold, becomes `?`."""
    return token.replace("~", "~0").replace("/", "~1").encode(errors="replace").decode()


def _allowed(shape: tuple[int, ...]) -> bool:
    return len(shape) <= MAX_RANK and 0 < math.prod(shape) <= MAX_ROW_VALUES


def _shape_of(row: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(row, list) and len(shape) <= MAX_RANK:
        shape.append(len(row))
        row = row[0] if row else None
    return tuple(shape)


def _numbers(rows: Sequence[Any], depth: int, kinds: set[type]) -> np.ndarray[Any, Any] | None:
    """The rows as float64, or None where they are not numbers of one shape; a type check of all values runs in C."""
    values: Any = rows
    for _ in range(depth):
        values = chain.from_iterable(values)
    try:
        return np.array(rows, np.float64) if set(map(type, values)) <= kinds else None
    except (TypeError, ValueError, OverflowError):
        return None


def _wrong(value: Any, shape: tuple[int, ...], kinds: set[type], at: tuple[int, ...] = ()) -> Iterator[Any]:
    """Each thing in `value` that is not as `shape` says: its index, what came, and what was expected."""
    if not shape:
        if type(value) not in kinds:
            yield at, _describe(value), "a finite number was expected. Replace it."
        elif not abs(value) <= sys.float_info.max:
            yield (
                at,
                str(value) if isinstance(value, float) else "A huge number",
                "a finite number within float64 was expected. Replace it.",
            )
    elif not isinstance(value, list):
        yield at, _describe(value), f"a list of {shape[0]} was expected, as in the first row. Make all rows alike."
    elif len(value) != shape[0]:
        yield at, f"A list of {len(value)}", f"{shape[0]} were expected, as in the first row. Make all rows alike."
    else:
        for index, item in enumerate(value):
            yield from _wrong(item, shape[1:], kinds, (*at, index))


def _describe(value: Any) -> str:
    if isinstance(value, str):
        return f"The text {value[:40]!r}"
    named = {list: "A list", dict: "An object", type(None): "null"}
    return named.get(type(value), str(value)[:40].lower())
