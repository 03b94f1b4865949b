"""A client's `.keras` file: a zip of metadata.json, config.json and model.weights.h5, read with bounds."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from service.architecture.arguments import at, shown
from service.data.archive import opened, unreadable
from service.data.store import storage_full
from service.errors import Fault, Invalid, MalformedRequest, TooLarge

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.weights.h5"
_METADATA: Final = "metadata.json"
#: How many bytes each of these may have once unpacked; how many the weights may have, the configuration tells.
_MOST_BYTES: Final = {_METADATA: 2**16, CONFIG: 2**23}
_MEMBERS: Final = (_METADATA, CONFIG, WEIGHTS)
_MAX_FAULTS: Final = 20
_BLOCK_BYTES: Final = 2**20
_KIND: Final = ".keras"
_ADVICE: Final = 'Write it with `model.save("model.keras")`.'

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasFile:
    """What a `.keras` file says of itself: its configuration, unchecked, and which Keras wrote it, and when."""

    config: Json
    keras_version: str
    saved_at: str | None


def read(path: Path) -> KerasFile:
    """Read a client's `.keras` file, its weights aside.

    Raises:
        MalformedRequest: it is no zip file, or a damaged one, or its JSON does not parse.
        TooLarge: a member is larger than it may be, unpacked.
        Invalid: members are missing, or others came, or another Keras wrote it; with all faults.
    """
    with path.open("rb") as file, opened(file, _KIND, _ADVICE) as archive:
        members = _members(archive)
        metadata, config = (_json(archive, members[name]) for name in (_METADATA, CONFIG))
    return _checked(metadata, config)


def unpack_weights(path: Path, target: Path, max_bytes: int) -> None:
    """Copy the weights of a file that was read, as they are, to a new file.

    Raises:
        MalformedRequest: they are damaged.
        TooLarge: they are larger than `max_bytes`.
        StorageFull: they do not fit on the disk.
    """
    with (
        path.open("rb") as source,
        opened(source, _KIND, _ADVICE) as archive,
        storage_full(),
        target.open("xb") as file,
    ):
        for block in _blocks(archive, _members(archive)[WEIGHTS], max_bytes):
            file.write(block)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The three members by name; Invalid where one is missing, comes twice or cannot be read, or there are others."""
    found: dict[str, zipfile.ZipInfo] = {}
    faults: list[Fault] = []
    for info in archive.infolist():
        pointer = at("", info.filename[:200])
        if info.filename in found:
            faults.append(Fault(pointer=pointer, detail=f"This member came twice; one was expected. {_ADVICE}"))
        elif info.filename in _MEMBERS:
            found[info.filename] = info
            wrong = unreadable(info, _ADVICE)
            faults.extend([Fault(pointer=pointer, detail=wrong)] if wrong else [])
        else:
            faults.append(Fault(pointer=pointer, detail=_strange(info.filename)))
    faults.extend(
        Fault(pointer=at("", name), detail=f"There is no {name} in this file. {_ADVICE}")
        for name in _MEMBERS
        if name not in found
    )
    if faults:
        raise Invalid(_headline(faults), faults[:_MAX_FAULTS])
    return found


def _strange(name: str) -> str:
    if name.startswith("assets/"):
        return f"{shown(name)} is a file that a layer reads; kerasd has no layer that does. Leave that layer out."
    return f"{shown(name)} came; a {_KIND} file has {', '.join(_MEMBERS)} and nothing else. {_ADVICE}"


def _json(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Json:
    name = info.filename
    content = b"".join(_blocks(archive, info, _MOST_BYTES[name]))
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        detail = f"The {name} in this file is not JSON: {str(error)[:200]}. {_ADVICE}"
        raise MalformedRequest(detail, [Fault(pointer=at("", name), detail=detail)]) from error
    if isinstance(value, dict):
        return value
    detail = f"The {name} in this file is {shown(value)}; an object was expected. {_ADVICE}"
    raise Invalid(detail, [Fault(pointer=at("", name), detail=detail)])


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
    """Yield a member block by block; that it declares to be small enough is not believed."""
    size = info.file_size
    if size <= most:
        size = 0
        with archive.open(info) as stream:
            while size <= most and (block := stream.read(_BLOCK_BYTES)):
                size += len(block)
                yield block
    if size > most:
        raise TooLarge(
            f"The {info.filename} in this file has more than {most} bytes once unpacked, which is the most allowed."
        )


def _checked(metadata: Json, config: Json) -> KerasFile:
    version, saved_at = metadata.get("keras_version"), metadata.get("date_saved")
    if not isinstance(version, str) or not version.startswith("3."):
        detail = f"Keras {shown(version)} wrote this file; kerasd reads what Keras 3 writes. Save it with Keras 3."
        raise Invalid(detail, [Fault(pointer=at("", _METADATA, "keras_version"), detail=detail)])
    return KerasFile(
        config=config, keras_version=version[:64], saved_at=saved_at[:64] if isinstance(saved_at, str) else None
    )


def _headline(faults: list[Fault]) -> str:
    return faults[0].detail if len(faults) == 1 else f"{len(faults)} things are wrong with this {_KIND} file."
