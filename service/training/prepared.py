"""A table becomes the arrays that a job works on, in its child: written once an attempt, in the work folder."""

import shutil
from dataclasses import replace
from typing import Any

from service.errors import KerasdError
from service.features.preparation import Preparation
from service.features.write import Written, write_all, write_arrays
from service.training.evaluate import evaluate_version
from service.training.messages import Assignment, StoredArrays

_FOLDER = "prepared"
#: From where on a probability is a yes, in what is said of the test rows.
_THRESHOLD = 0.5


def with_arrays(assignment: Assignment) -> Assignment:
    """The assignment with the arrays of its table in the table's place; one on arrays as it is.

    What is written depends on the table and the preparation alone, so that each attempt works on the same arrays.
    """
    if assignment.preparation is None:
        return assignment
    preparation = Preparation.from_json(assignment.preparation)
    folder = assignment.work_folder / _FOLDER
    folder.mkdir()
    written = write_arrays(assignment.data.folder, preparation, folder)
    validation = written.validation
    if assignment.validation_data is not None:
        validation = write_all(assignment.validation_data.folder, preparation, folder / "validation_data")
    return replace(
        assignment,
        data=_stored(written.train),
        validation_data=None if validation is None else _stored(validation),
        test_data=None if written.test is None else _stored(written.test),
    )


def evaluate_on_test_rows(assignment: Assignment) -> dict[str, Any] | None:
    """What the test rows say of the version in the work folder; None where the job has none.

    Where they cannot be evaluated, a `reason` says why, and the version stays what it is.
    """
    test = assignment.test_data
    if test is None:
        return None
    try:
        return _evaluate(assignment, test)
    except KerasdError as error:
        return {"rows": test.arrays[0].rows, "metrics": {}, "reports": {}, "reason": error.detail}


def clear_away(assignment: Assignment) -> None:
    """Remove the arrays, so that the work folder holds what the version has; what is mapped can still be read."""
    shutil.rmtree(assignment.work_folder / _FOLDER, ignore_errors=True)


def _evaluate(assignment: Assignment, test: StoredArrays) -> dict[str, Any]:
    return evaluate_version(
        {
            "folder": str(assignment.work_folder),
            "compile": assignment.compilation.to_json(),
            "data_folder": str(test.folder),
            "arrays": [facts.to_json() for facts in test.arrays],
            "batch_size": assignment.fitting.validation_batch_size or assignment.fitting.batch_size,
            "threshold": _THRESHOLD,
            "preparation": assignment.preparation,
        }
    )


def _stored(written: Written) -> StoredArrays:
    folder, arrays = written
    return StoredArrays(folder=folder, arrays=arrays)
