"""Arrays on their way to disk: rows come in chunks, are checked, and become one .npy file each."""

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from service.data.arrays import ArrayFacts, Part
from service.data.content_digest import ContentDigest, head_line
from service.data.fault_list import FaultList, escape
from service.data.read_options import ReadOptions
from service.data.store import HEADER_BYTES, npy_header, stored_chunks
from service.errors import TooLarge

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
PARTS: Final[tuple[Part, ...]] = get_args(Part)
MAX_ARRAYS: Final = 64
MAX_RANK: Final = 8
MAX_ROW_VALUES: Final = 2**24
#: From here on a float64 no longer tells neighbouring whole numbers apart.
EXACT_LIMIT: Final = 2**53
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
_INT64_MAX: Final = int(np.iinfo(np.int64).max)
_BEYOND_FLOAT32: Final = "values are kept as float32, up to 3.4e38. Scale them."


class ArrayWriter:
    """One array being written to `folder`; what is wrong with it goes to `faults`, and no file comes of it then.

    `stored` is a dtype that holds what comes exactly. Without it the numbers were decimal text, now float64: whole ones
    from 2**53 on may have lost digits. Values are written as the array's final type as soon as that is known, so that
    most arrays are written once; they are read and written again where floats are whole for a while, or integers become
    larger than int32. `columns` names the values of a row. With `rows`, where their number is known from the start,
    the intake's digest follows.
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
        rows: int | None = None,
    ) -> None:
        self._intake = intake or Intake(folder, ReadOptions())
        self.faults = self._intake.faults
        self.pointer = self._intake.pointer(part, name)
        self.rows = 0
        self.part = part
        self._folder, self._name, self._columns, self._due = folder, name, columns, rows
        self._from_text = stored is None
        self._stored = np.dtype(stored or "float64")
        self._settled = self._hashed = False
        self._sample_shape: tuple[int, ...] | None = None
        self._good = True
        self._integral = True
        self._minimum: float | int = np.inf
        self._maximum: float | int = -np.inf
        self._written = 0
        self._raw = folder / f"{part}{'' if name is None else '.' + name}.raw"
        self._facts: ArrayFacts | None = None

    def append(self, rows: Sequence[Any] | np.ndarray[Any, Any]) -> None:
        """Add rows: nested lists, or an array of shape (rows, ...) of booleans, whole numbers or floats."""
        if not len(rows):
            return
        first, self.rows = self.rows, self.rows + len(rows)
        if self._sample_shape is None:
            self._fix_shape(rows.shape[1:] if isinstance(rows, np.ndarray) else _shape_of(rows[0]))
        chunk = rows if isinstance(rows, np.ndarray) else self._from_lists(rows, first)
        self._intake.charge(self.rows, 0 if chunk is None else chunk.size * self._stored.itemsize)
        if chunk is not None and self._has_shape(chunk, first):
            self._take(chunk.astype(chunk.dtype.newbyteorder("="), copy=False), first)

    def finish(self) -> ArrayFacts:
        """Make it the .npy file: int32 or int64 if all values are whole, else float32. To finish twice is no error.

        What is wrong stands in `faults` afterwards; the facts then describe the array as far as it was read.
        """
        if self._facts is None:
            self._facts = self._finish()
        return self._facts

    def discard(self) -> None:
        """Remove what was written."""
        self._raw.unlink(missing_ok=True)

    def _finish(self) -> ArrayFacts:
        if self.rows == 0:
            self.faults.add(self.pointer, f"{self.part} has no rows; at least one row was expected. Send one or more.")
            self._good = False
        dtype = self._final_dtype()
        if self._good and not self._settled:
            self._check_whole(dtype)
        if not self._good:
            self.discard()
            return self._facts_as("float32", self.rows)
        self._settle(dtype)
        facts = self._facts_as(dtype, self.rows)
        with self._raw.open("r+b") as file:
            file.write(npy_header(facts))
        self._raw.rename(self._folder / facts.filename)
        return facts

    def _facts_as(self, dtype: str, rows: int) -> ArrayFacts:
        return ArrayFacts(
            part=self.part,
            name=self._name,
            shape=(rows, *(self._sample_shape or ((1,) if self.part == "x" else ()))),
            dtype=dtype,
            minimum=float(self._minimum),
            maximum=float(self._maximum),
            integral=self._integral,
            columns=self._columns,
        )

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

    def _has_shape(self, chunk: np.ndarray[Any, Any], first: int) -> bool:
        if chunk.shape[1:] != self._sample_shape:
            came = f"Rows of shape {list(chunk.shape[1:])}"
            self._fault(first, (), came, f"{list(self._sample_shape or ())} was expected, as in the first row.")
            return False
        return chunk.size > 0

    def _take(self, chunk: np.ndarray[Any, Any], first: int) -> None:
        """Check a chunk's values, and write them if there was nothing wrong so far."""
        low, high = _extremes(chunk)
        if not (math.isfinite(low) and math.isfinite(high)):
            self._fault_cells(chunk, ~np.isfinite(chunk), first, "a finite number was expected. Replace it.")
            return
        self._minimum, self._maximum = min(self._minimum, low), max(self._maximum, high)
        self._integral = self._integral and (chunk.dtype.kind != "f" or bool((np.trunc(chunk) == chunk).all()))
        self._check_range(chunk, low, high, first)
        if self._good and (dtype := self._known_dtype(chunk.dtype)) is not None:
            self._settle(dtype)
        if self._good:
            self._write(chunk)

    def _fault_cells(self, chunk: np.ndarray[Any, Any], mask: np.ndarray[Any, Any], first: int, expected: str) -> None:
        cells = np.argwhere(mask)
        for cell in cells[: FaultList.LIMIT].tolist():
            self._fault(first + cell[0], cell[1:], str(chunk[tuple(cell)]), expected)
        self.faults.count_more(max(0, len(cells) - FaultList.LIMIT))

    def _check_range(self, chunk: np.ndarray[Any, Any], low: float, high: float, first: int) -> None:
        if high > _INT64_MAX and chunk.dtype.kind == "u":
            over = chunk > np.uint64(_INT64_MAX)
            self._fault_cells(chunk, over, first, "whole numbers up to 2**63 - 1 are kept. Scale it.")
        if self._known_dtype(chunk.dtype) == "float32" and max(-low, high) > _FLOAT32_MAX:
            self._fault_cells(chunk, np.abs(chunk) > _FLOAT32_MAX, first, _BEYOND_FLOAT32)
        if self.part == "sample_weight" and low < 0:
            self._fault_cells(chunk, chunk < 0, first, "a weight of 0 or more was expected. Make it positive.")

    def _known_dtype(self, came: np.dtype[Any]) -> str | None:
        """The type in which to write what is known so far; None while floats are all whole: they may stay so."""
        if self.part == "sample_weight" or not self._integral or came.kind != "f":
            return self._final_dtype()
        return None

    def _final_dtype(self) -> str:
        if self.part == "sample_weight" or not self._integral:
            return "float32"
        for kind in ("int32", "int64"):
            if np.iinfo(kind).min <= self._minimum and self._maximum <= np.iinfo(kind).max:
                return kind
        return "float32"

    def _check_whole(self, dtype: str) -> None:
        """Check the range of floats that were whole to the end, for only now it is known what they become."""
        largest = max(-self._minimum, self._maximum)
        if self._from_text and largest >= EXACT_LIMIT:
            expected = "whole numbers beyond 2**53 - 1 lose digits. Scale them, or send int64 in an .npz file."
            self._scan(lambda chunk: np.abs(chunk) >= EXACT_LIMIT, expected)
        elif dtype == "float32" and largest > _FLOAT32_MAX:
            self._scan(lambda chunk: np.abs(chunk) > _FLOAT32_MAX, _BEYOND_FLOAT32)

    def _scan(self, wrong: Callable[[Any], Any], expected: str) -> None:
        for first, chunk in self._chunks():
            self._fault_cells(chunk, wrong(chunk), first, expected)

    def _chunks(self) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
        return stored_chunks(self._raw, self._stored, (self._written, *(self._sample_shape or ())))

    def _settle(self, dtype: str) -> None:
        """Write as `dtype` from now on; what is on disk already becomes the same, if it can."""
        if self._settled and dtype == self._stored.name:
            return
        if self._written and dtype == "float32" and max(-self._minimum, self._maximum) > _FLOAT32_MAX:
            self._scan(lambda chunk: np.abs(chunk) > _FLOAT32_MAX, _BEYOND_FLOAT32)
        if self._good:
            self._begin_digest(dtype)
            if self._written:
                self._rewrite(dtype)
            self._stored, self._settled = np.dtype(dtype), True

    def _begin_digest(self, dtype: str) -> None:
        if self._due is not None:
            head = head_line(self._facts_as(dtype, self._due))
            (self._intake.digest.begin_again if self._hashed else self._intake.digest.begin)(head)
            self._hashed = True

    def _rewrite(self, dtype: str) -> None:
        """Read what was written: for the digest, and to write it anew where its type changes."""
        if dtype == self._stored.name:
            for _, chunk in self._chunks():
                self._follow(chunk)
            return
        anew = self._raw.with_suffix(".anew")
        with anew.open("wb") as file:
            file.write(bytes(HEADER_BYTES))
            for _, chunk in self._chunks():
                values = chunk.astype(dtype)
                file.write(values.data)
                self._follow(values)
        anew.rename(self._raw)

    def _write(self, chunk: np.ndarray[Any, Any]) -> None:
        values = np.ascontiguousarray(chunk, dtype=self._stored)
        # The file is opened for each chunk, so that a writer holds nothing open and needs no closing.
        with self._raw.open("ab") as file:
            if not self._written:
                file.write(bytes(HEADER_BYTES))
            file.write(values.data)
        self._written += len(values)
        if self._settled:
            self._follow(values)

    def _follow(self, values: np.ndarray[Any, Any]) -> None:
        if self._hashed:
            self._intake.digest.update(values.data)


class Intake:
    """All arrays of one upload: it opens their writers, and gathers the faults of every one of them."""

    def __init__(
        self, folder: Path, options: ReadOptions, prefix: str = "", digest: ContentDigest | None = None
    ) -> None:
        self.folder, self.options, self.prefix = folder, options, prefix
        #: What follows the arrays whose number of rows is known before they are written.
        self.digest = digest or ContentDigest()
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
        self,
        part: Part,
        name: str | None = None,
        columns: tuple[str, ...] | None = None,
        stored: str | None = None,
        rows: int | None = None,
    ) -> ArrayWriter | None:
        """A writer for a new array, or None (and a fault) where there can be none of this name."""
        if (wrong := self._unfit(part, name)) is not None:
            self.faults.add(self.pointer(part, name), wrong)
            return None
        writer = ArrayWriter(self.folder, part, name, intake=self, columns=columns, stored=stored, rows=rows)
        self.writers[part, name] = writer
        return writer

    def drop(self, part: Part, name: str | None) -> None:
        """Forget an array that did not come whole; whoever drops it notes why."""
        self.writers.pop((part, name)).discard()

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


def _extremes(chunk: np.ndarray[Any, Any]) -> tuple[float | int, float | int]:
    """The least and the greatest value; both are NaN where any value is."""
    # To meet a NaN is what this is for.
    with np.errstate(invalid="ignore"):
        return chunk.min().item(), chunk.max().item()


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
