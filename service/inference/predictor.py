"""Answers predictions, by ONNX Runtime or by the TensorFlow process, in slices of a bounded number of rows."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from service.data.store import FileStore
from service.errors import NotFound
from service.inference.runtime import Sessions
from service.inference.signature import Engine, Signature
from service.inference.tensorflow_client import TensorFlowClient

Arrays = dict[str, np.ndarray[Any, Any]]

#: The most rows that one call of an engine sees: they bound the memory of its intermediate results.
MOST_ROWS = 4096
#: A call's intermediate results are to fit into a processor's cache, or at least to be no larger than the weights,
#: which have to pass through it in any case: 1000 images at once take three times as long as 20 at a time.
CACHE_BYTES = 2**20
_NUMBER_BYTES = 4
#: Of how many versions it is remembered how many rows they are given.
_MOST_STEPS = 4096


class Served(Protocol):
    """What the predictor needs to know of a version; the registry's versions have it."""

    @property
    def id(self) -> str: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def summary(self) -> list[dict[str, Any]]: ...

    @property
    def parameters(self) -> int: ...


def rows_at_once(version: Served) -> int:
    """How many rows of a batch an engine is given in one call."""
    if version.engine == "tensorflow":
        # Each call is a message to another process, which costs more than a cache can save.
        return MOST_ROWS
    sizes = (math.prod(size or 1 for size in layer["output_shape"]) for layer in version.summary)
    room = max(CACHE_BYTES, version.parameters * _NUMBER_BYTES)
    return min(MOST_ROWS, max(1, room // (max(sizes, default=1) * _NUMBER_BYTES)))


class Predictor:
    """Sends a batch to the engine that the version names."""

    def __init__(self, store: FileStore, sessions: Sessions, client: TensorFlowClient) -> None:
        self._store = store
        self._sessions = sessions
        self._client = client
        self._steps: dict[str, int] = {}

    def rows_at_once(self, version: Served) -> int:
        """The same, worked out once for each version."""
        step = self._steps.get(version.id)
        if step is None:
            if len(self._steps) >= _MOST_STEPS:
                self._steps.clear()
            step = self._steps[version.id] = rows_at_once(version)
        return step

    def predict(self, version: Served, signature: Signature, arrays: Arrays) -> Arrays:
        """Predict any number of rows: arrays by input name, (rows, *shape), give arrays by output name.

        Raises Unavailable where the version needs the TensorFlow process and that is starting again, and NotFound where
        the version was deleted meanwhile.
        """
        try:
            return self._predict(version, signature, arrays)
        except Exception as error:
            if self._store.version(version.id).exists():
                raise
            # Between finding the version and loading its files, somebody deleted it.
            raise NotFound(
                "The version has just been deleted. List the model's versions to see which are left."
            ) from error

    def is_loaded(self, version: Served) -> bool:
        """Whether the version's answers need neither a file nor another process."""
        return version.engine == "onnxruntime" and self._sessions.loaded(version.id) is not None

    def _predict(self, version: Served, signature: Signature, arrays: Arrays) -> Arrays:
        rows = len(arrays[signature.inputs[0].name])
        if rows == 0:
            return {
                spec.name: np.zeros((0, *(size or 0 for size in spec.shape)), spec.dtype) for spec in signature.outputs
            }
        answer = self._engine(version)
        if rows == 1 or rows <= (step := self.rows_at_once(version)):
            return answer(arrays)
        slices = [
            answer({name: array[start : start + step] for name, array in arrays.items()})
            for start in range(0, rows, step)
        ]
        return {spec.name: np.concatenate([part[spec.name] for part in slices]) for spec in signature.outputs}

    def _engine(self, version: Served) -> Callable[[Arrays], Arrays]:
        if version.engine == "tensorflow":
            return lambda arrays: self._client.predict(version.id, arrays)
        session = self._sessions.loaded(version.id)
        if session is None:
            session = self._sessions.get(version.id, self._store.version(version.id) / "model.onnx")
        return session.run
