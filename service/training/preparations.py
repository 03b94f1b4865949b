"""What a submission wants of a table: its features, target and split are checked here, and fitted in a child."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.data.arrays import ArrayFacts
from service.errors import Fault, Invalid
from service.features.preparation import Preparation
from service.features.request import check_request
from service.training.errands import Errands
from service.training.given_data import Given


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A table that is ready to be trained on: `arrays` are those that its training rows become.

    `notes` say what was chosen where the client left the choice.
    """

    preparation: Preparation
    arrays: tuple[ArrayFacts, ...]
    notes: tuple[str, ...]


class Preparations:
    """Has preparations fitted."""

    def __init__(self, errands: Errands) -> None:
        self._errands = errands

    def fit(
        self,
        given: Given,
        asked: "Asked",
        seed: int,
        validation_folder: Path | None,
        faults: list[Fault],
    ) -> Prepared | None:
        """Fit what was asked for on the training rows of a table; None after adding all that is wrong with it."""
        before = len(faults)
        check_request(asked.features, asked.target, asked.split, given.columns, faults)
        if len(faults) > before:
            return None
        request = {
            "folder": str(given.folder),
            "columns": [column.to_json() for column in given.columns],
            "features": asked.features,
            "target": asked.target,
            "split": asked.split,
            "seed": seed,
            "validation_folder": None if validation_folder is None else str(validation_folder),
        }
        try:
            made = self._errands.run("prepare", request)
        except Invalid as error:
            faults.extend(error.faults)
            return None
        return Prepared(
            preparation=Preparation.from_json(made["preparation"]),
            arrays=tuple(map(ArrayFacts.from_json, made["arrays"])),
            notes=tuple(made["notes"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client said of a table: as it came, or what stands for what was left out."""

    features: Any
    target: Any
    split: Any


def refuse_for_arrays(asked: Asked) -> Sequence[Fault]:
    """The faults of a submission that speaks of columns, and whose data have none."""
    said = {"features": asked.features, "target": asked.target, "split": asked.split}
    return [
        Fault(
            pointer=f"/{name}",
            detail=f"`{name}` came, and the data are arrays, which have no columns. Leave it out, or upload records: a "
            "CSV file without `target`, JSON lines, Parquet, Arrow, or a zip of images.",
        )
        for name, value in said.items()
        if value is not None
    ]
