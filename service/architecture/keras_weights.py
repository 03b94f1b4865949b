"""The weights in a `.keras` file: a client's HDF5 file, of which only plain arrays of the expected shapes are read.

Keras's own loading is not run on it. The structure of the whole file is checked first: groups and plain arrays, no
links, nothing compressed, nothing outside the file. Then each array is looked up by the path at which Keras saves it,
compared with what the network needs, and only then read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from service.architecture.arguments import at
from service.architecture.keras_file import WEIGHTS
from service.errors import Fault, Invalid, MalformedRequest

#: A network of as many layers as are served has fewer groups and arrays than this, its optimizer's state included.
MAX_OBJECTS: Final = 65_536
MAX_DEPTH: Final = 16
_MAX_FAULTS: Final = 20
#: What Keras writes beside the layers, and kerasd does not read.
_UNREAD: Final = ("optimizer", "vars")
_LAYERS: Final = "layers"
_ADVICE: Final = "Save the model anew with `model.save`."

Path5 = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one array lies in a file, below `layers`, and what it must be."""

    path: str
    shape: tuple[int, ...]
    dtype: str


def fill(source: Path, target: Path, places: Mapping[str, str]) -> None:
    """Overwrite the arrays of `target`, a file of the network's fresh weights that Keras wrote here, with a client's.

    `places` maps what Keras calls each layer in `target` to what it calls that layer in `source`, for it counts them
    in their order. Both files must have the very same arrays below each layer.

    Raises:
        MalformedRequest: `source` is no HDF5 file, or a damaged one.
        Invalid: it has what Keras does not write, or other arrays than the network; with the faults.
    """
    with _opened(source) as theirs, h5py.File(target, "r+") as ours:
        arrays = _read_safely(lambda: _arrays(theirs))
        needed = {_path_in_source(place, places): place for place in _places(ours)}
        faults = _read_safely(lambda: list(_misfits(arrays, needed)))
        if faults:
            raise _invalid(faults)
        for path, place in needed.items():
            ours[_LAYERS][place.path][...] = _read_safely(partial(np.asarray, arrays[path]))


def _path_in_source(place: Place, places: Mapping[str, str]) -> str:
    layer, _, rest = place.path.partition("/")
    return f"{places[layer]}/{rest}"


def _opened(path: Path) -> Any:
    try:
        return h5py.File(path, "r")
    except (OSError, ValueError, RuntimeError) as error:
        raise _damaged(error) from error


def _read_safely(read: Callable[[], Any]) -> Any:
    """Read something of a client's file; what the library says of damage is one error."""
    try:
        return read()
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, UnicodeError, SystemError) as error:
        raise _damaged(error) from error


def _arrays(file: Any) -> dict[str, Any]:
    """All arrays below `layers`, by path; Invalid if the whole file has anything but groups and plain arrays."""
    found: dict[Path5, Any] = {}
    faults = list(_walk(file, found))
    faults.extend(
        _fault((name,), f"Keras writes no {name[:80]!r} beside {_LAYERS!r}. {_ADVICE}")
        for name in sorted({path[0] for path in found} - {_LAYERS, *_UNREAD})
    )
    if faults:
        raise _invalid(faults)
    return {"/".join(path[1:]): array for path, array in found.items() if path[0] == _LAYERS}


def _walk(file: Any, found: dict[Path5, Any]) -> Iterator[Fault]:
    """Visit everything in a file without following a link, and note the arrays; yields a fault for what is no array."""
    open_groups: list[tuple[Path5, Any]] = [((), file)]
    count = 0
    while open_groups:
        path, group = open_groups.pop()
        for name in group:
            count += 1
            place = (*path, str(name))
            if count > MAX_OBJECTS or len(place) > MAX_DEPTH:
                yield _fault(path, f"More came than the weights of any network that is served here. {_ADVICE}")
                return
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                yield _fault(place, f"A link came; arrays and groups were expected, in this very file. {_ADVICE}")
                continue
            item = group[name]
            if isinstance(item, h5py.Group):
                open_groups.append((place, item))
            elif (wrong := _not_plain(item)) is not None:
                yield _fault(place, f"{wrong} came; a plain array of numbers was expected. {_ADVICE}")
            else:
                found[place] = item


def _not_plain(item: Any) -> str | None:
    """Say what is no array as Keras writes it; every such array lies in one piece in the file, with nothing packed."""
    if not isinstance(item, h5py.Dataset):
        return "A named type"
    if item.dtype.kind not in "fiub" or item.dtype.itemsize > 8 or item.dtype.metadata or item.shape is None:
        return f"Data of type {str(item.dtype)[:80]}"
    properties = item.id.get_create_plist()
    if properties.get_external_count() or item.is_virtual:
        return "An array whose values lie outside this file"
    if properties.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or properties.get_nfilters():
        return "An array in pieces, or a compressed one,"
    return None


def _places(ours: Any) -> list[Place]:
    """What the network needs: the arrays of the file that Keras has just written of it."""
    places: list[Place] = []

    def note(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            places.append(Place(path=path, shape=item.shape, dtype=str(item.dtype)))

    ours[_LAYERS].visititems(note)
    return places


def _misfits(arrays: Mapping[str, Any], needed: Mapping[str, Place]) -> Iterator[Fault]:
    for path, place in needed.items():
        expected = f"{place.dtype} of shape {list(place.shape)}"
        if path not in arrays:
            yield _fault((_LAYERS, path), f"There is no such array; the layer needs one, {expected}. {_ADVICE}")
            continue
        array = arrays[path]
        if array.shape != place.shape or not _is_read_as(array.dtype, np.dtype(place.dtype)):
            came = f"{str(array.dtype)[:40]} of shape {list(array.shape[:20])}"
            yield _fault((_LAYERS, path), f"An array of {came} came; the layer needs {expected}. {_ADVICE}")
        elif array.id.get_storage_size() < array.size * array.dtype.itemsize:
            yield _fault((_LAYERS, path), f"The array's values are not in the file. {_ADVICE}")
    for path in sorted(arrays.keys() - needed.keys()):
        yield _fault((_LAYERS, path), f"An array came that no layer of this network has. {_ADVICE}")


def _is_read_as(came: np.dtype[Any], needed: np.dtype[Any]) -> bool:
    """Whether values are the very same in the type that a layer needs; counts have other widths with other backends."""
    return came == needed or (came.kind == needed.kind == "i" and came.itemsize < needed.itemsize)


def _fault(path: Path5, detail: str) -> Fault:
    return Fault(pointer=at("", WEIGHTS, *"/".join(path).split("/"))[:300], detail=detail)


def _invalid(faults: list[Fault]) -> Invalid:
    headline = f"{len(faults)} things are wrong with the weights in this file: see errors for where each is."
    return Invalid(faults[0].detail if len(faults) == 1 else headline, faults[:_MAX_FAULTS])


def _damaged(error: Exception) -> MalformedRequest:
    # What the library says of a file's name is of no use to a client.
    reason = "" if "name =" in str(error) else f" ({str(error)[:120]})"
    detail = f"The {WEIGHTS} in this file is damaged, or no HDF5 file{reason}. {_ADVICE}"
    return MalformedRequest(detail, [Fault(pointer=at("", WEIGHTS), detail=detail)])
