"""Data sets that clients upload: arrays are read where they arrive, tables in a child, which is bounded and can fail.

take -> spool the body -> arrays: DatasetStore.read; a table: an errand, then DatasetStore.keep. A client's word on what
columns mean, later, is an errand too.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from service.data.npy_parts import WHOLE, FilePart, check_alone
from service.data.profiling.kinds import check_kinds
from service.data.store import FileStore, Spooled
from service.data.table import ColumnFacts
from service.data.table_choice import table_format
from service.data.table_readers import TableOptions
from service.errors import Conflict, Fault, Invalid
from service.registry.datasets import Dataset, Datasets
from service.registry.stores import DatasetStore, Draft
from service.training.errands import Errands


class Uploads:
    """Makes data sets of what clients send."""

    def __init__(self, files: FileStore, datasets: Datasets, store: DatasetStore, errands: Errands) -> None:
        self._files = files
        self._datasets = datasets
        self._store = store
        self._errands = errands

    def take(
        self,
        stream: BinaryIO,
        media_type: str,
        options: TableOptions,
        limit_bytes: int,
        now: Callable[[], datetime],
        is_gone: Callable[[], bool] = lambda: False,
    ) -> Dataset:
        """Store what comes over `stream`; raises what the readers raise, and then nothing is left of it.

        With a target in the options, a CSV file is arrays of numbers.
        """
        return self._take_spooled(self._files.spool(stream, limit_bytes), media_type, options, now, is_gone)

    def take_parts(
        self,
        parts: Iterator[FilePart],
        options: TableOptions,
        limit_bytes: int,
        now: Callable[[], datetime],
        is_gone: Callable[[], bool] = lambda: False,
    ) -> Dataset:
        """Store what comes in the parts of a form: arrays, or one file that `take` would take; raises what it does.

        Besides, it raises what `parts` raises.
        """
        first = next(parts, None)
        if first is not None and first.name == WHOLE:
            return self._take_spooled(self._alone(first, parts, limit_bytes), first.media_type, options, now, is_gone)
        return self._store.read_parts(chain([first] if first else [], parts), options.limits, now())

    @contextmanager
    def records(self, records: Any, pointer: str, is_gone: Callable[[], bool] = lambda: False) -> Iterator[Draft]:
        """Read records that stood in a request at `pointer`; on leaving, the draft is gone unless it was kept."""
        folder = self._files.new_folder()
        try:
            file = folder / "records.json"
            file.write_bytes(orjson.dumps({"records": records}))
            with ExitStack() as stack:
                with _placed(pointer):
                    draft = stack.enter_context(self._table(file, "json", TableOptions(), is_gone))
                yield draft
        finally:
            self._files.discard(folder)

    def change_kinds(
        self, dataset_id: str, kinds: Mapping[str, str], is_gone: Callable[[], bool] = lambda: False
    ) -> Dataset:
        """Say what columns of a table mean; those that are not named keep their kind.

        Raises NotFound, Conflict where the data set is no table, and Invalid with all that is wrong with the kinds.
        """
        dataset = self._datasets.get(dataset_id)
        if not dataset.is_table:
            raise Conflict(f"The data set {dataset_id} is arrays, which have no columns with kinds. Upload records.")
        said = check_kinds(kinds, {column.name: column.type for column in dataset.columns})
        given = {column.name: said.get(column.name, column.kind).value for column in dataset.columns}
        folder = self._files.dataset(dataset_id).absolute()
        made = self._errands.run("profile", {"folder": str(folder), "kinds": given}, is_gone)
        self._datasets.change_columns(dataset_id, _columns(made), made["profile"])
        return self._datasets.get(dataset_id)

    def _alone(self, part: FilePart, others: Iterator[FilePart], limit_bytes: int) -> Spooled:
        """The part as a file, if it is the only one."""
        spooled = self._files.spool(part.stream, limit_bytes)
        try:
            check_alone(others)
        except BaseException:
            spooled.path.unlink(missing_ok=True)
            raise
        return spooled

    def _take_spooled(
        self,
        spooled: Spooled,
        media_type: str,
        options: TableOptions,
        now: Callable[[], datetime],
        is_gone: Callable[[], bool],
    ) -> Dataset:
        try:
            form = table_format(media_type, spooled.path, as_arrays=bool(options.limits.target))
            if form is None:
                return self._store.read(spooled.path, media_type, options.limits, now())
            with self._table(spooled.path, form, options, is_gone) as draft:
                return self._store.keep(draft, now())
        finally:
            spooled.path.unlink(missing_ok=True)

    @contextmanager
    def _table(self, file: Path, form: str, options: TableOptions, is_gone: Callable[[], bool]) -> Iterator[Draft]:
        folder = self._files.new_folder()
        try:
            request = {
                "file": str(file.absolute()),
                "format": form,
                "folder": str(folder.absolute()),
                "options": options.to_json(),
            }
            made = self._errands.run("read", request, is_gone)
            yield Draft(
                folder=folder,
                format=form,
                arrays=(),
                columns=_columns(made),
                rows=made["rows"],
                sha256=made["sha256"],
                profile=made["profile"],
            )
        finally:
            self._files.discard(folder)


@contextmanager
def _placed(pointer: str) -> Iterator[None]:
    """Put what is wrong with records where the records stood."""
    try:
        yield
    except Invalid as error:
        faults = [Fault(pointer=f"{pointer}{fault.pointer}", detail=fault.detail) for fault in error.faults]
        raise Invalid(error.detail, faults) from error


def _columns(made: dict[str, Any]) -> tuple[ColumnFacts, ...]:
    return tuple(map(ColumnFacts.from_json, made["columns"]))
