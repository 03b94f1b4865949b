"""Uploads become a folder of arrays: the format is chosen here, and what holds for every format is checked here."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal, cast

from service.data import table_readers
from service.data.array_writer import PARTS, Intake
from service.data.arrays import ArrayFacts, Part
from service.data.content_digest import ContentDigest
from service.data.csv_reader import read_csv
from service.data.json_reader import read_json
from service.data.npy_header import MAGIC
from service.data.npy_parts import FilePart, take_part
from service.data.npz_reader import read_npz
from service.data.read_options import ReadOptions
from service.data.store import storage_full
from service.errors import Fault, Invalid, UnsupportedMediaType

Format = Literal["json", "csv", "npz"]

#: Media type to format; the two general ones are npz only if the file starts as a zip file does.
FORMATS: Final[dict[str, Format]] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/x-npz": "npz",
    "application/octet-stream": "npz",
    "application/zip": "npz",
}
#: These say nothing of what the bytes are; the bytes do.
_GENERAL: Final = ("application/octet-stream", "application/zip")
_READERS: Final[dict[str, Callable[[Path, Intake], None]]] = {"json": read_json, "csv": read_csv, "npz": read_npz}
_SLICE_ROWS: Final = 4096


def format_of(media_type: str, path: Path) -> Format:
    """The format of the file at `path`; raise UnsupportedMediaType where it is none that is read here."""
    bare = media_type.partition(";")[0].strip().lower()
    found = FORMATS.get(bare)
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if bare in ("application/x-npy", *_GENERAL) and (bare not in _GENERAL or start == MAGIC):
        raise _one_array()
    if found is None:
        known = ", ".join(dict.fromkeys([*FORMATS, *table_readers.FORMATS]))
        raise UnsupportedMediaType(
            f"The media type {bare[:80]!r} came; one of {known} was expected. With curl, add for example "
            "-H 'Content-Type: text/csv'."
        )
    if bare in _GENERAL and not start.startswith(b"PK"):
        raise UnsupportedMediaType(
            f"Data of type {bare} must be an .npz file, but this is no zip file. Use numpy.savez."
        )
    return found


def read(
    path: Path,
    format_name: str,
    folder: Path,
    options: ReadOptions | None = None,
    digest: ContentDigest | None = None,
) -> tuple[ArrayFacts, ...]:
    """Read an upload into `folder`, an empty one, and return what lies there; `digest` follows what it can.

    Raise MalformedRequest where the bytes do not parse, TooLarge over a limit of `options`, and otherwise Invalid with
    every fault found; the folder is the caller's to remove then.
    """
    intake = Intake(folder, options or ReadOptions(), digest=digest)
    with storage_full():
        _READERS[format_name](path, intake)
        return _finish(intake)


def read_parts(
    parts: Iterable[FilePart], folder: Path, options: ReadOptions, digest: ContentDigest
) -> tuple[ArrayFacts, ...]:
    """Do what `read` does for files of one array each, while they come; raises also what `parts` raises."""
    intake = Intake(folder, options, digest=digest)
    with storage_full():
        for part in parts:
            take_part(part, intake)
        return _finish(intake)


def read_value(value: Any, folder: Path, pointer: str = "/data") -> tuple[ArrayFacts, ...]:
    """Do what `read` does for JSON that is parsed already and stood at `pointer` in its body."""
    if not isinstance(value, dict):
        detail = f'A {type(value).__name__} came; an object {{"x": ..., "y": ...}} was expected. Send that.'
        raise Invalid("The data are no object.", [Fault(pointer=pointer, detail=detail)])
    intake = Intake(folder, ReadOptions(), pointer)
    with storage_full():
        for part, arrays in value.items():
            if intake.known(part):
                _take_list(intake, cast(Part, part), arrays)
        return _finish(intake)


def _one_array() -> Invalid:
    detail = (
        "A .npy file holds one array, and a data set has x and y. Send both in one request, as multipart/form-data: "
        "with curl, -F x=@x.npy -F y=@y.npy; or put them into one file with numpy.savez(file, x=x, y=y)."
    )
    return Invalid(detail, [Fault(pointer="", detail=detail)])


def _take_list(intake: Intake, part: Part, arrays: Any) -> None:
    named = arrays if isinstance(arrays, dict) else {None: arrays}
    for name, rows in named.items():
        if not isinstance(rows, list):
            detail = f"A {type(rows).__name__} came; a list of rows was expected. Send that."
            intake.faults.add(intake.pointer(part, name), detail)
        elif (writer := intake.open(part, name)) is not None:
            for first in range(0, len(rows), _SLICE_ROWS):
                writer.append(rows[first : first + _SLICE_ROWS])


def _finish(intake: Intake) -> tuple[ArrayFacts, ...]:
    facts = sorted((writer.finish() for writer in intake.writers.values()), key=lambda fact: PARTS.index(fact.part))
    _check_parts(intake, facts)
    _check_rows(intake, facts)
    intake.faults.raise_if_any()
    return tuple(facts)


def _check_parts(intake: Intake, facts: list[ArrayFacts]) -> None:
    for part in ("x", "y"):
        if part not in intake.seen:
            intake.faults.add(intake.pointer(part), f"{part} is missing; x and y are required. Send both.")
        elif not len(intake.faults) and not any(fact.part == part for fact in facts):
            intake.faults.add(intake.pointer(part), f"{part} has no arrays; at least one was expected. Send one.")
    for fact in facts:
        if fact.part == "sample_weight" and fact.sample_shape:
            detail = f"Rows of shape {list(fact.sample_shape)} came; one number for each row was expected. Flatten it."
            intake.faults.add(intake.pointer("sample_weight"), detail)


def _check_rows(intake: Intake, facts: list[ArrayFacts]) -> None:
    for fact in facts[1:]:
        if fact.rows != facts[0].rows:
            here, there = intake.pointer(fact.part, fact.name), intake.pointer(facts[0].part, facts[0].name)
            detail = (
                f"{here} has {fact.rows} rows and {there} has {facts[0].rows}; all need the same number. Match them."
            )
            intake.faults.add(here, detail)
