"""Models that clients bring as `.keras` files: each is read, checked and rebuilt in a child, and becomes a version.

The folder is whole and in its place before its row is committed, as with a job's version. Whatever dies on the way, no
version is there; what was left behind is cleared away by the next supervisor.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from service.architecture.plan import Limits
from service.data.store import FileStore
from service.registry.ids import new_id
from service.registry.models import NewVersion, Version
from service.registry.stores import ModelStore
from service.training.errands import Errands
from service.training.import_request import Imported, ImportRequest


class Imports:
    """Makes versions of clients' files."""

    def __init__(self, files: FileStore, store: ModelStore, errands: Errands, limits: Limits, max_bytes: int) -> None:
        self._files = files
        self._store = store
        self._errands = errands
        self._limits = limits
        self._max_bytes = max_bytes

    def add(self, model: str, stream: BinaryIO, now: Callable[[], datetime]) -> Version:
        """Make the file that comes over `stream` the model's next version; once this returns it is durable.

        Raises:
            TooLarge: the file is larger than uploads may be, or something in it than it can have to be.
            MalformedRequest: it is no `.keras` file, or a damaged one.
            Invalid: it holds what is not in the catalog, or not the weights that its layers need; with all faults.
            Unavailable: the process that was to do this could not start, died, or took more than its due.
            StorageFull: the disk is full.
        """
        spooled = self._files.spool(stream, self._max_bytes)
        try:
            with self._store.draft() as folder:
                imported = self._import(spooled.path, folder)
                return self._store.add(folder, _new_version(model, imported, folder), now())
        finally:
            spooled.path.unlink(missing_ok=True)

    def _import(self, file: Path, folder: Path) -> Imported:
        request = ImportRequest(file=file.absolute(), folder=folder.absolute(), limits=self._limits)
        return Imported.from_json(self._errands.run("import", request.to_json()))


def _new_version(model: str, imported: Imported, folder: Path) -> NewVersion:
    """The version's row; what concerns a training is None, since nobody here knows it."""
    return NewVersion(
        id=new_id("ver"),
        model=model,
        job=None,
        architecture=imported.architecture,
        compile=imported.compile,
        fit=None,
        summary=imported.summary,
        parameters=imported.parameters,
        metrics={},
        inputs=imported.inputs,
        outputs=imported.outputs,
        seed=None,
        threads=None,
        dataset_sha256=None,
        weights_sha256=imported.weights_sha256,
        size_bytes=sum(path.stat().st_size for path in folder.iterdir()),
        engine=imported.engine,
        engine_reason=imported.engine_reason,
        max_difference=imported.max_difference,
        libraries=imported.libraries,
        jit_compile=None,
        weights_epoch=None,
        request_sha256=None,
        machine=None,
        validation_dataset_sha256=None,
        initial=None,
        imported={
            "file_sha256": imported.file_sha256,
            "keras_version": imported.keras_version,
            "saved_at": imported.saved_at,
            "compile_reason": imported.compile_reason,
        },
    )
