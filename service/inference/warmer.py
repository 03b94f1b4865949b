"""Loads in a web process what clients will ask for next, before they do: new versions, and those that aliases point to.

A version's first answer would otherwise wait for its file to be read and its network to be built, and a new process's
first answer for ONNX Runtime besides.
"""

import threading
from time import monotonic
from typing import Any

import numpy as np
import structlog

from service.inference.predictor import Predictor
from service.inference.signature import Signature, TensorSpec
from service.registry.database import Database
from service.registry.models import Models, Version

#: How often at most the database is asked what has changed.
READ_SECONDS = 0.1
#: How often it is asked where it cannot tell that nothing has changed.
BLIND_SECONDS = 1.0
#: The most versions that are loaded before anybody asks for them.
MOST_VERSIONS = 256

_log = structlog.get_logger()


class Warmer:
    """Runs in a thread of its own, from `start` to `stop`; somebody who is awake anyway calls `tick` meanwhile.

    A thread that wakes up by itself takes the interpreter from the event loop, in the middle of a prediction.
    """

    def __init__(self, database: Database, models: Models, predictor: Predictor, budget_bytes: int) -> None:
        """Load versions whose files have at most so many bytes together, so that none pushes another out."""
        self._database = database
        self._models = models
        self._predictor = predictor
        self._budget_bytes = budget_bytes
        self._newest: tuple[str | None, str | None] | None = None
        self._seen: int | None = None
        self._looked = float("-inf")
        self._told = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warmer", daemon=True)

    def start(self) -> None:
        """Begin with what there is."""
        self._told.set()
        self._thread.start()

    def stop(self) -> None:
        """End; returns once the thread has."""
        self._stopped.set()
        self._told.set()
        self._thread.join()

    def tick(self) -> None:
        """See whether there is anything new, which takes microseconds; the thread then looks at it."""
        edition = self._database.edition()
        if edition is None and monotonic() - self._looked < BLIND_SECONDS:
            return
        if edition is None or edition != self._seen:
            self._told.set()

    def look(self) -> None:
        """Load what is new since the last look; a version that cannot be loaded is left to whoever asks for it."""
        newest = self._models.newest()
        if newest == self._newest:
            return
        room = self._budget_bytes
        for version in self._models.found_without_number(MOST_VERSIONS):
            if version.engine != "onnxruntime":
                # The TensorFlow process loads these.
                continue
            room -= version.size_bytes
            if room < 0 or self._stopped.is_set():
                break
            if not self._predictor.is_loaded(version):
                self._warm(version)
        # What could not be read is looked for again.
        self._newest = newest

    def _warm(self, version: Version) -> None:
        signature = Signature.from_json({"inputs": version.inputs, "outputs": version.outputs})
        try:
            self._predictor.predict(version, signature, {spec.name: _row(spec) for spec in signature.inputs})
        except Exception as error:
            _log.warning("version_not_warm", model=version.model, version=version.number, reason=str(error)[:500])

    def _run(self) -> None:
        while self._told.wait() and not self._stopped.is_set():
            self._told.clear()
            edition, self._looked = self._database.edition(), monotonic()
            try:
                self.look()
                self._seen = edition
            except Exception as error:
                # The database is away, or being migrated: the next look may find it again.
                _log.warning("no_look_at_versions", reason=str(error)[:500])
            self._stopped.wait(READ_SECONDS)


def _row(spec: TensorSpec) -> np.ndarray[Any, Any]:
    """One row of zeros, whose unfixed sizes are 1."""
    return np.zeros((1, *(size or 1 for size in spec.shape)), spec.dtype)
