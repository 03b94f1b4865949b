"""Evaluations of versions, as a web process asks for them: every check, and then an errand."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from service.architecture.arguments import at
from service.architecture.compilation import Compilation, check_targets
from service.architecture.graph import read_architecture
from service.architecture.network import Input, Network
from service.architecture.plan import INDEXED, match_arrays
from service.data.arrays import ArrayFacts
from service.data.store import FileStore
from service.errors import Fault, Invalid
from service.inference.signature import Signature, TensorSpec
from service.registry.models import Version
from service.training.errands import Errands
from service.training.given_data import Given, GivenData


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a version is to be evaluated on, and how: in batches of `batch_size` rows, yes from above `threshold`."""

    dataset: str | None
    data: Any
    batch_size: int
    threshold: float


class Evaluations:
    """Checks questions, and has them answered."""

    def __init__(self, given: GivenData, files: FileStore, errands: Errands) -> None:
        self._given = given
        self._files = files
        self._errands = errands

    def evaluate(
        self, version: Version, question: Question, is_gone: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """The rows, the metrics and the reports; the work ends once the client `is_gone`.

        Raises Invalid with every fault, NotFound where the version is deleted meanwhile, Conflict where the data set
        is, and Unavailable where nobody can answer now.
        """
        faults: list[Fault] = []
        with self._given.open(question.dataset, question.data, faults, needed_to="evaluate on") as given:
            if not faults:
                _check_form(version, given, faults)
            if not faults and not given.is_table:
                _check(version, given.arrays, faults)
            if faults:
                raise Invalid(_headline(faults), [_placed(fault, question) for fault in faults])
            with self._table_folder(given) as folder:
                request = self._request(version, question, given) | folder
                return self._errands.run("evaluate", request, is_gone)

    def _request(self, version: Version, question: Question, given: Given) -> dict[str, Any]:
        return {
            "folder": str(self._files.version(version.id).absolute()),
            "compile": version.compile or None,
            "data_folder": str(given.folder),
            "arrays": [facts.to_json() for facts in given.arrays],
            "batch_size": question.batch_size,
            "threshold": question.threshold,
            "preparation": version.preparation,
        }

    @contextmanager
    def _table_folder(self, given: Given) -> Iterator[dict[str, str]]:
        """Where the arrays of a table are written, for as long as they are needed."""
        if not given.is_table:
            yield {}
            return
        folder = self._files.new_folder()
        try:
            yield {"table_folder": str(folder.absolute())}
        finally:
            self._files.discard(folder)


def _check_form(version: Version, given: Given, faults: list[Fault]) -> None:
    """Records need a version that knows what to make of them."""
    if given.is_table and version.preparation is None:
        detail = (
            "The data are a table, and this version was trained on arrays: it does not know how columns enter it. "
            "Evaluate it on x and y."
        )
        faults.append(Fault(pointer="/data", detail=detail))


def _check(version: Version, arrays: Sequence[ArrayFacts], faults: list[Fault]) -> None:
    signature = Signature.from_json({"inputs": version.inputs, "outputs": version.outputs})
    x, y = ([facts for facts in arrays if facts.part == part] for part in ("x", "y"))
    inputs = [Input(name=spec.name, shape=spec.shape, dtype=spec.dtype, pointer="") for spec in signature.inputs]
    given = match_arrays(inputs, x, faults)
    for spec in signature.inputs:
        if spec.name in given:
            faults.extend(_input_faults(spec, given[spec.name]))
    network = read_architecture(version.architecture, "", [])
    if network is not None:
        faults.extend(_word_faults(network, given))
    outputs = {spec.name: spec.shape for spec in signature.outputs}
    check_targets(_compilation(version, signature, y), outputs, y, faults)


def _compilation(version: Version, signature: Signature, y: Sequence[ArrayFacts]) -> Compilation:
    """What the version was trained with; where that is not known, what the targets look like."""
    if version.compile:
        return Compilation.from_json(version.compile)
    losses = {spec.name: _assumed_loss(spec, y) for spec in signature.outputs}
    return Compilation(optimizer=None, loss=losses, metrics={}, loss_weights={})


def _assumed_loss(spec: TensorSpec, y: Sequence[ArrayFacts]) -> str:
    """A loss for class numbers where these have come for an output of several numbers, or else one for numbers."""
    facts = next((facts for facts in y if facts.name in (None, spec.name)), None)
    places = spec.shape[:-1]
    numbered = facts is not None and facts.integral and facts.sample_shape in (places, (*places, 1))
    return "SparseCategoricalCrossentropy" if numbered and spec.shape[-1:] != (1,) else "MeanSquaredError"


def _input_faults(spec: TensorSpec, facts: ArrayFacts) -> Iterator[Fault]:
    sample = facts.sample_shape
    fits = len(sample) == len(spec.shape) and all(
        size is None or size == came for size, came in zip(spec.shape, sample, strict=True)
    )
    if not fits:
        due = [("any" if size is None else size) for size in spec.shape]
        detail = f"Rows of shape {list(sample)} came for the input {spec.name!r}; {due} was expected. Send such rows."
        yield Fault(pointer=_pointer(facts), detail=detail)


def _word_faults(network: Network, given: dict[str, ArrayFacts]) -> Iterator[Fault]:
    """Yield where numbers of words or categories are none that their layer has."""
    for layer in network.layers:
        facts = given.get(layer.inputs[0]) if layer.type in INDEXED else None
        if facts is None:
            continue
        words = layer.arguments[INDEXED[layer.type]]
        if not facts.integral or facts.minimum < 0 or facts.maximum >= words:
            came = f"Values from {facts.minimum:g} to {facts.maximum:g} came" if facts.integral else "Fractions came"
            detail = f"{came}; the {layer.type} {layer.name!r} knows whole numbers from 0 to {words - 1}. Send such."
            yield Fault(pointer=_pointer(facts), detail=detail)


def _pointer(facts: ArrayFacts) -> str:
    pointer = f"/data/{facts.part}"
    return pointer if facts.name is None else at(pointer, facts.name)


def _placed(fault: Fault, question: Question) -> Fault:
    """What is wrong with stored data stands nowhere in the body but where they are named."""
    stored = question.dataset is not None and question.data is None
    return replace(fault, pointer="/dataset") if stored else fault


def _headline(faults: Sequence[Fault]) -> str:
    if len(faults) == 1:
        return f"One thing is wrong with the evaluation: {faults[0].detail}"
    return f"{len(faults)} things are wrong with the evaluation: see errors for where each is and how to mend it."
