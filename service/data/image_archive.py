"""Zip files of images: each PNG or JPEG is looked at with care, and becomes a row with its own bytes."""

from __future__ import annotations

import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.data.fault_list import FaultList
from service.data.image_labels import Labels, labels_among, read_labels
from service.data.members import Member, content, in_batches, labelled, members_of, opened
from service.data.table import MAX_SCANS, Origin, TableWriter, arrow_of, name_field, with_origin
from service.data.table_readers import TableOptions

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PIXELS: Final = 50_000_000
MAX_FILE_BYTES: Final = 2**26
_FORMATS: Final = ("PNG", "JPEG")
_ADVICE: Final = "Save the image anew as PNG or JPEG, or leave it out."
#: What Pillow raises for damaged images, by the place of the damage; it reads from memory, so that none is the disk's.
_DAMAGE: Final = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, ArithmeticError, LookupError, TypeError,
    AttributeError, AssertionError,
)  # fmt: skip
_OTHERS: Final = {
    b"GIF8": "A GIF image", b"BM": "A BMP image", b"II*\0": "A TIFF image", b"MM\0*": "A TIFF image",
    b"RIFF": "A WebP image or another RIFF file", b"%PDF": "A PDF file", b"\0\0\0": "A HEIC or AVIF image or a video",
    b"<svg": "An SVG image", b"<?xml": "An XML or SVG file", b"PK\x03\x04": "A zip file",
}  # fmt: skip


def read_image_archive(path: Path, folder: Path, options: TableOptions) -> None:
    """Write a table with the columns `filename`, `label` and `image`, one row a file, sorted by the files' names.

    The label is the name of the folder right above a file, if every file lies in a folder; otherwise there is no such
    column. The image is the file's own bytes, known to be whole. One table beside the images (CSV, TSV, JSON lines) may
    name them: its other columns come between, and a column `label` of its own instead of the folders. Raise Invalid
    with every file that is no such image, MalformedRequest for a damaged zip file, TooLarge over a limit.
    """
    faults = FaultList()
    with path.open("rb") as file, opened(file) as files:
        members = members_of(files, options.limits.max_bytes, faults)
        table = labels_among(members)
        images = [member for member in members if member is not table]
        if not images:
            faults.add("", "The zip file holds no files; PNG or JPEG images were expected. Put them into it.")
        faults.raise_if_any()
        labels = None if table is None else read_labels(files, table, images, folder, options)
        _write(files, images, labels, folder, options, faults)
    faults.raise_if_any()


def wrong_image(data: bytes) -> str | None:
    """Say what is wrong with a PNG or JPEG file, all of which is decoded; None where nothing is."""
    from PIL import Image

    if not data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8")):
        return f"{_named(data)} came; a PNG or JPEG image was expected. {_ADVICE}"
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MAX_SCANS:
        return f"A JPEG image of more than {MAX_SCANS} scans came, the most that is read. {_ADVICE}"
    try:
        with warnings.catch_warnings():
            # What is odd about an image's remarks on itself is nothing to a network.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _wrong_pixels(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"The image has far more than {MAX_PIXELS} pixels, the most that is read. Scale it down."
    except _DAMAGE as error:
        return f"The image is damaged ({str(error)[:120] or type(error).__name__}). {_ADVICE}"


def _wrong_pixels(data: bytes) -> str | None:
    from PIL import Image

    with Image.open(BytesIO(data), formats=_FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            return f"An image of {width} x {height} pixels came; {MAX_PIXELS} is the most that is read. Scale it down."
        # This compares the checksums of a PNG's parts, and leaves the image unusable.
        image.verify()
    with Image.open(BytesIO(data), formats=_FORMATS) as image:
        # A JPEG is read through to its end for an eighth of its size too, and in less time and memory.
        image.draft(image.mode, (1, 1))
        image.load()
    return None


def _named(data: bytes) -> str:
    known = (name for start, name in _OTHERS.items() if data.startswith(start))
    return next(known, "A file of another kind" if data else "An empty file")


def _write(
    files: zipfile.ZipFile,
    images: list[Member],
    labels: Labels | None,
    folder: Path,
    options: TableOptions,
    faults: FaultList,
) -> None:
    schema = _schema(labels, labelled(images))
    with TableWriter(folder, schema, options.limits) as writer:
        for rows in in_batches(_images(files, images, faults), lambda row: len(row[1])):
            writer.write(_batch(rows, labels, schema))


def _schema(labels: Labels | None, with_folders: bool) -> pa.Schema:
    import pyarrow as pa

    told = [] if labels is None else [*labels.table.schema]
    if with_folders and all(field.name != "label" for field in told):
        told.insert(0, name_field("label", arrow_of("string")))
    filename = with_origin(name_field("filename", arrow_of("string")), Origin.FILENAME)
    return pa.schema([filename, *told, pa.field("image", arrow_of("image"))])


def _images(files: zipfile.ZipFile, members: list[Member], faults: FaultList) -> Iterator[tuple[Member, bytes]]:
    """The members that are images, with their bytes, one in memory at a time."""
    for member in members:
        if member.info.file_size > MAX_FILE_BYTES:
            came = f"{member.name[:200]!r}: The file has {member.info.file_size} bytes"
            faults.add(member.pointer, f"{came}; {MAX_FILE_BYTES} is the most that is read. Scale it down.")
            continue
        data = content(files, member)
        if (wrong := wrong_image(data)) is None:
            yield member, data
        else:
            faults.add(member.pointer, f"{member.name[:200]!r}: {wrong}")


def _batch(rows: list[tuple[Member, bytes]], labels: Labels | None, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    members = [member for member, _ in rows]
    told = [] if labels is None else labels.of(members)
    columns = [pa.array([member.name for member in members], arrow_of("string"))]
    if len(schema) > len(told) + 2:
        columns.append(pa.array([member.folder for member in members], arrow_of("string")))
    return pa.record_batch([*columns, *told, pa.array([data for _, data in rows], arrow_of("image"))], schema=schema)
