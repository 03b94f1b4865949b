"""What a submission says once all that it left to kerasd is written out: architecture, compile and fit in full."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.architecture.graph import read_architecture
from service.data.arrays import ArrayFacts
from service.errors import Fault
from service.features.design import VALIDATION, Design, design, design_for_arrays
from service.features.network import tensors, with_features
from service.features.preparation import Preparation
from service.training.preparations import Asked, Prepared

#: In the place of an architecture, it leaves the network to kerasd.
AUTO = "auto"
#: What a table is split by where kerasd chooses the network, which stops early; by which rule depends on the target.
_AUTO_SPLIT = {"validation": VALIDATION}
_VALIDATING = ("validation_split", "validation_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Plain JSON as a client would write it; `network` is the architecture with the features' layers in front.

    `notes` say what was chosen, and why.
    """

    architecture: Any
    compile: dict[str, Any] | None
    fit: dict[str, Any]
    network: Any = None
    notes: tuple[str, ...] = ()


def of_table(asked: Asked, architecture: Any, fit: dict[str, Any], faults: list[Fault]) -> tuple[Asked, dict[str, Any]]:
    """What is asked of a table, and the rest of `fit`: a `validation_split` is a split that takes the last rows."""
    features = "auto" if asked.features is None else asked.features
    if "validation_split" in fit and asked.split is not None:
        detail = "Both split and validation_split came; give the rows to validate on in split.validation alone."
        faults.append(Fault(pointer="/fit/validation_split", detail=detail))
    split = asked.split
    if split is None and fit.get("validation_split"):
        split = {"validation": fit["validation_split"], "by": "order"}
    if split is None and architecture == AUTO and not fit.get("validation_data"):
        split = _AUTO_SPLIT
    rest = {name: value for name, value in fit.items() if name != "validation_split"}
    return replace(asked, features=features, split=split), rest


def write_out(
    said: Wording, prepared: Prepared | None, arrays: Sequence[ArrayFacts], faults: list[Fault]
) -> Wording | None:
    """Write out what was left to kerasd in what was `said`; None after adding what is wrong with it.

    What a client says of `compile` and `fit` beside an "auto" goes before what is chosen.
    """
    full = replace(said, notes=() if prepared is None else prepared.notes)
    if said.architecture == AUTO:
        designed = _designed(prepared, arrays, said.fit, faults)
        if designed is None:
            return None
        full = _chosen(full, designed, is_table=prepared is not None)
    if prepared is None:
        return replace(full, network=full.architecture)
    network = _in_front(full.architecture, prepared.preparation, faults)
    fit = _with_numbers(full.fit, prepared.preparation)
    return None if network is None else replace(full, network=network, fit=fit)


def _chosen(said: Wording, designed: Design, *, is_table: bool) -> Wording:
    return replace(
        said,
        architecture=designed.architecture,
        compile={**designed.compile, **(said.compile or {})},
        fit=_joined(designed.fit, said.fit, is_table=is_table),
        notes=(*said.notes, *designed.reasons),
    )


def _designed(
    prepared: Prepared | None, arrays: Sequence[ArrayFacts], fit: dict[str, Any], faults: list[Fault]
) -> Design | None:
    validates = any(fit.get(name) for name in _VALIDATING)
    if prepared is not None:
        preparation = prepared.preparation
        held_out = preparation.rows[1] > 0
        rows = preparation.rows[0]
        return design(tensors(preparation), preparation.targets, rows, validates=validates or held_out)
    if not arrays:
        detail = 'architecture is "auto", and there are no data to choose one for. Name a data set, or send data.'
        faults.append(Fault(pointer="/architecture", detail=detail))
        return None
    x, y = ([facts for facts in arrays if facts.part == part] for part in ("x", "y"))
    return design_for_arrays(x, y, validates=validates)


def _joined(chosen: dict[str, Any], said: dict[str, Any], *, is_table: bool) -> dict[str, Any]:
    """The client's `fit` over the chosen one; of a table, the split says what validates."""
    left_out = _VALIDATING if is_table or any(name in said for name in _VALIDATING) else ()
    return {name: value for name, value in chosen.items() if name not in left_out} | said


def _with_numbers(fit: dict[str, Any], preparation: Preparation) -> dict[str, Any]:
    """Class weights by the numbers of the labels, where they were given by the labels."""
    weights, labels = fit.get("class_weight"), preparation.targets[0].labels
    if not isinstance(weights, dict) or len(preparation.targets) > 1 or not set(weights) <= set(labels):
        return fit
    return {**fit, "class_weight": {str(labels.index(label)): weight for label, weight in weights.items()}}


def _in_front(architecture: Any, preparation: Preparation, faults: list[Fault]) -> Any:
    """The architecture with the features' layers in front; of a list of layers, the faults are found before that."""
    before = len(faults)
    if _is_list(architecture):
        read_architecture(architecture, "/architecture", faults)
    made = None if len(faults) > before else with_features(architecture, preparation, "/architecture", faults)
    return made if len(faults) == before else None


def _is_list(architecture: Any) -> bool:
    layers = architecture.get("layers") if isinstance(architecture, dict) else None
    return isinstance(layers, list) and not any(isinstance(one, dict) and "inputs" in one for one in layers)
