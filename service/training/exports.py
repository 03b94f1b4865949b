"""Versions in the formats of other programs: each is made once, in a child, and kept beside the version's files."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from service.data.store import FileStore
from service.errors import Conflict, NotFound
from service.registry.models import Version
from service.training.errands import Errands

Format = Literal["keras", "saved_model", "onnx", "litert"]

#: The file of each format: how its name ends, and, where it is one of the version's own files, which.
_SUFFIXES: Final[dict[Format, str]] = {
    "keras": ".keras",
    "saved_model": ".zip",
    "onnx": ".onnx",
    "litert": ".tflite",
}
_OWN_FILES: Final[dict[Format, str]] = {"keras": "model.keras", "onnx": "model.onnx"}
_FACTS: Final = "export.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file that was shown to answer as Keras does.

    `max_difference` is the largest one from Keras's answers on `compared_rows` rows; `compared_on` says whose these
    are, "training rows" or "made-up rows". `batch_size` is that of the only batches that it takes; None for any.
    """

    path: Path
    filename: str
    sha256: str
    size_bytes: int
    max_difference: float
    compared_rows: int
    compared_on: str
    batch_size: int | None


class Exports:
    """Makes exports, and finds those that were made."""

    def __init__(self, store: FileStore, errands: Errands) -> None:
        self._store = store
        self._errands = errands

    def get(self, version: Version, form: Format, is_gone: Callable[[], bool] = lambda: False) -> Export:
        """Export a version, or find the export that was made before; nothing is made for a client that `is_gone`.

        Raises Conflict where the format cannot hold the version, NotFound where that is deleted meanwhile, and
        Unavailable where nobody can make it now.
        """
        if form == "onnx" and version.engine != "onnxruntime":
            raise Conflict(
                f"Version {version.number} of {version.model!r} has no ONNX file that answers as Keras does: "
                f"{version.engine_reason} Export it as keras or saved_model."
            )
        return self._kept(version, form) or self._made(version, form, is_gone)

    def _kept(self, version: Version, form: Format) -> Export | None:
        folder = self._store.export(version.id, form)
        try:
            facts = json.loads((folder / _FACTS).read_text())
        except FileNotFoundError:
            return None
        file = facts.pop("file")
        path = self._store.version(version.id) / _OWN_FILES[form] if file is None else folder / file
        return Export(path=path, filename=f"{version.model}-{version.number}{_SUFFIXES[form]}", **facts)

    def _made(self, version: Version, form: Format, is_gone: Callable[[], bool]) -> Export:
        with self._work_folder() as work_folder:
            request: dict[str, Any] = {
                "format": form,
                "folder": str(self._store.version(version.id).absolute()),
                "work_folder": str(work_folder.absolute()),
                "signature": {"inputs": version.inputs, "outputs": version.outputs},
            }
            self._errands.run("export", request, is_gone)
            try:
                self._store.keep_export(work_folder, version.id, form)
            except FileNotFoundError as error:
                raise _deleted() from error
        kept = self._kept(version, form)
        if kept is None:
            raise _deleted()
        return kept

    @contextmanager
    def _work_folder(self) -> Iterator[Path]:
        folder = self._store.new_folder()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _deleted() -> NotFound:
    return NotFound("The version has just been deleted. List the model's versions to see which are left.")
