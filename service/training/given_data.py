"""The data of a request: those of a stored data set that it names, or those that it brings along."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.data.arrays import ArrayFacts
from service.data.store import FileStore
from service.data.table import ColumnFacts
from service.errors import Fault, Invalid, NotFound
from service.registry.datasets import Dataset, Datasets
from service.registry.stores import DatasetStore, Draft
from service.training.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Arrays, or a table, which has columns; or nothing. `draft` is there if they came inline."""

    arrays: tuple[ArrayFacts, ...] = ()
    columns: tuple[ColumnFacts, ...] = ()
    folder: Path | None = None
    draft: Draft | None = None

    @property
    def is_table(self) -> bool:
        return bool(self.columns)


class GivenData:
    """Finds data sets, and reads inline data into drafts."""

    def __init__(self, files: FileStore, datasets: Datasets, store: DatasetStore, uploads: Uploads) -> None:
        self._files = files
        self._datasets = datasets
        self._store = store
        self._uploads = uploads

    @contextmanager
    def open(
        self, dataset: str | None, data: Any, faults: list[Fault], needed_to: str | None = None
    ) -> Iterator[Given]:
        """The data; faults in them are added, and then there are none.

        With `needed_to`, which says what for, it is a fault if there are none.
        """
        with ExitStack() as stack:
            given = Given()
            if dataset is not None and data is not None:
                faults.append(Fault(pointer="/data", detail="Both dataset and data came; send one of the two."))
            elif dataset is not None:
                given = self._stored(dataset, faults)
            elif data is not None:
                try:
                    given = self._inline(data, stack)
                except Invalid as error:
                    faults.extend(error.faults)
            elif needed_to is not None:
                faults.append(
                    Fault(
                        pointer="/dataset",
                        detail=f"There are no data to {needed_to}. Name a stored data set's id in dataset, or send "
                        '{"x": ..., "y": ...} or {"records": [...]} in data.',
                    )
                )
            yield given

    def find(self, dataset_id: str, pointer: str, faults: list[Fault]) -> Dataset | None:
        """A data set; None, and a fault, where there is no such one."""
        try:
            return self._datasets.get(dataset_id)
        except NotFound as error:
            faults.append(Fault(pointer=pointer, detail=error.detail))
            return None

    def folder(self, dataset_id: str) -> Path:
        """Where a data set's files are."""
        return self._files.dataset(dataset_id).absolute()

    def _stored(self, dataset_id: str, faults: list[Fault]) -> Given:
        dataset = self.find(dataset_id, "/dataset", faults)
        if dataset is None:
            return Given()
        return Given(arrays=dataset.arrays, columns=dataset.columns, folder=self.folder(dataset_id))

    def _inline(self, data: Any, stack: ExitStack) -> Given:
        if isinstance(data, dict) and "records" in data:
            extra = sorted(key for key in data if key != "records")
            if extra:
                detail = f"The key {extra[0][:64]!r} came beside records; send records alone, or x and y."
                raise Invalid(detail, [Fault(pointer="/data", detail=detail)])
            draft = stack.enter_context(self._uploads.records(data["records"], "/data/records"))
        else:
            draft = stack.enter_context(self._store.draft(data, "/data"))
        return Given(
            arrays=draft.arrays,
            columns=draft.columns,
            folder=draft.folder.absolute(),
            draft=draft,
        )
