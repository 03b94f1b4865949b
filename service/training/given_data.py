"""The data of a request: those of a stored data set that it names, or those that it brings along."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from service.data.arrays import ArrayFacts
from service.errors import Fault, Invalid, NotFound
from service.registry.datasets import Datasets
from service.registry.stores import DatasetStore, Draft


class GivenData:
    """Finds data sets, and reads inline data into drafts."""

    def __init__(self, datasets: Datasets, store: DatasetStore) -> None:
        self._datasets = datasets
        self._store = store

    @contextmanager
    def open(
        self, dataset: str | None, data: Any, faults: list[Fault], needed_to: str | None = None
    ) -> Iterator[tuple[tuple[ArrayFacts, ...], Draft | None]]:
        """The data's arrays, and the draft if they came inline; faults in them are added, and then there are none.

        With `needed_to`, which says what for, it is a fault if there are none.
        """
        with ExitStack() as stack:
            arrays: tuple[ArrayFacts, ...] = ()
            draft = None
            if dataset is not None and data is not None:
                faults.append(Fault(pointer="/data", detail="Both dataset and data came; send one of the two."))
            elif dataset is not None:
                arrays = self.find(dataset, "/dataset", faults)
            elif data is not None:
                try:
                    draft = stack.enter_context(self._store.draft(data, "/data"))
                    arrays = draft.arrays
                except Invalid as error:
                    faults.extend(error.faults)
            elif needed_to is not None:
                faults.append(
                    Fault(
                        pointer="/dataset",
                        detail=f"There are no data to {needed_to}. Name a stored data set's id in dataset, or send "
                        '{"x": ..., "y": ...} in data.',
                    )
                )
            yield arrays, draft

    def find(self, dataset_id: str, pointer: str, faults: list[Fault]) -> tuple[ArrayFacts, ...]:
        """The arrays of a data set; none, and a fault, where there is no such data set."""
        try:
            return self._datasets.get(dataset_id).arrays
        except NotFound as error:
            faults.append(Fault(pointer=pointer, detail=error.detail))
            return ()
