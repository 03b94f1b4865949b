"""A job in small: the same network, compiled and fitted in the same way, on a few rows of zeros.

A child that stands by runs such jobs, to have behind it what a process does only once: first a network of its own,
and then those that were trained last, since the next job is likely to be one of them again. Of a network that it has
rehearsed, it has the graphs not only read but ready to run.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from service.architecture.compilation import Compilation
from service.architecture.fitting import Fitting
from service.data.arrays import ArrayFacts
from service.training.messages import Assignment, Execution, StoredArrays

#: Whose name a rehearsal runs under.
NOBODY = "standby"
#: Enough rows for a step, where their number does not matter.
_ROWS = 20
#: How the files of rehearsals end.
SUFFIX = ".rehearsal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What the graphs of a job depend on; of the arrays, only type and shape of a row count.

    There are `rows` rows to train on, and `validation_rows` others to validate on.
    """

    architecture: dict[str, Any]
    input_shapes: dict[str, list[int | None]]
    compilation: Compilation
    fitting: Fitting
    arrays: tuple[ArrayFacts, ...]
    rows: int
    validation_rows: int

    @classmethod
    def of(cls, job: Assignment, rows: int, validation_rows: int) -> "Rehearsal":
        """Keep of a job of so many rows what is needed to run it in small."""
        fitting = replace(job.fitting, epochs=1, validation_freq=1, validation_data=None, validation_split=0.0)
        return cls(
            architecture=job.architecture,
            input_shapes=job.input_shapes,
            compilation=job.compilation,
            fitting=fitting,
            arrays=job.data.arrays,
            rows=_few(rows, fitting.batch_size),
            validation_rows=_few(validation_rows, fitting.validation_batch_size or fitting.batch_size),
        )

    def assignment(self, folder: Path, cache: Path, threads: int) -> Assignment:
        """Make it a job below `folder`, with data; it is run as a graph."""
        work = folder / "work"
        work.mkdir(parents=True)
        data = self._zeros(folder / "data", self.rows)
        validation_data = self._zeros(folder / "validation_data", self.validation_rows)
        return Assignment(
            job=NOBODY,
            attempt=1,
            architecture=self.architecture,
            input_shapes=self.input_shapes,
            compilation=self.compilation,
            fitting=self.fitting,
            seed=0,
            threads=threads,
            threads_requested=True,
            spare_threads=0,
            execution=Execution(jit_compile=False, threads=threads, chosen_by="request"),
            measurements=(),
            data=data,
            validation_data=validation_data if self.validation_rows else None,
            initial=None,
            work_folder=work,
            checkpoint_folder=work,
            checkpoint=None,
            checkpoint_epochs=None,
            checkpoint_seconds=float("inf"),
            cache_folder=cache,
            seconds_left=None,
            data_memory_bytes=2**30,
            keep_best_after=None,
        )

    def _zeros(self, folder: Path, rows: int) -> StoredArrays:
        folder.mkdir()
        arrays = tuple(replace(facts, shape=(rows, *facts.sample_shape)) for facts in self.arrays)
        for facts in arrays:
            np.save(folder / facts.filename, np.zeros(facts.shape, facts.dtype))
        return StoredArrays(folder=folder, arrays=arrays)


def _few(rows: int, batch_size: int) -> int:
    """As few rows as have the same graphs: one full batch where all batches are full, part of one otherwise."""
    return min(rows, batch_size) if rows % batch_size == 0 else min(rows % batch_size, _ROWS)


def write(rehearsal: Rehearsal, path: Path) -> None:
    """Keep a rehearsal for children to come; one that is there already counts as the newest again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(
        json.dumps(
            {
                "architecture": rehearsal.architecture,
                "input_shapes": rehearsal.input_shapes,
                "compilation": rehearsal.compilation.to_json(),
                "fitting": rehearsal.fitting.to_json(),
                "arrays": [facts.to_json() for facts in rehearsal.arrays],
                "rows": rehearsal.rows,
                "validation_rows": rehearsal.validation_rows,
            }
        )
    )
    unfinished.rename(path)


def newest(cache: Path, most: int) -> Sequence[Rehearsal]:
    """Read those that were written last, the newest last; what cannot be read is passed over."""
    if not cache.is_dir():
        return ()
    paths = sorted(cache.glob(f"*{SUFFIX}"), key=_written)[-most:]
    return [rehearsal for rehearsal in map(_read, paths) if rehearsal is not None]


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(path: Path) -> Rehearsal | None:
    try:
        stored = json.loads(path.read_text())
        return Rehearsal(
            architecture=stored["architecture"],
            input_shapes=stored["input_shapes"],
            compilation=Compilation.from_json(stored["compilation"]),
            fitting=Fitting.from_json(stored["fitting"]),
            arrays=tuple(ArrayFacts.from_json(row) for row in stored["arrays"]),
            rows=stored["rows"],
            validation_rows=stored["validation_rows"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
