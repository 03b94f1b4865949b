"""The checks of `compile`: each output's loss, metrics and loss weight, and whether the loss fits the targets."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from service.architecture import catalog
from service.architecture.arguments import at, shown
from service.architecture.network import Network, Shape
from service.data.arrays import ArrayFacts
from service.errors import Fault

#: More metrics than this on one output cost more time than the training itself.
MAX_METRICS = 32
MAX_LOSS_WEIGHT = 1e9

_KEYS = ("loss", "optimizer", "metrics", "loss_weights", "jit_compile")
_Y = "/data/y"
#: It takes class numbers without the last axis only, and has no `from_logits`.
_GCE = "CategoricalGeneralizedCrossEntropy"
_FAMILIES = {
    _GCE: "sparse",
    "SparseCategoricalCrossentropy": "sparse",
    "CategoricalCrossentropy": "categorical",
    "CategoricalFocalCrossentropy": "categorical",
    "BinaryCrossentropy": "binary",
    "BinaryFocalCrossentropy": "binary",
}

#: A value, and the JSON Pointer to where the client wrote it.
_Placed = tuple[Any, str]
_Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """A checked `compile`; every mapping has each output's name, in the plan's order.

    `optimizer` and the values of `loss` are in the catalog's normal form. A metric given as a string stays as the
    client spelled it, because Keras reports it under that very spelling ("mae", not "mean_absolute_error").
    `jit_compile` says whether XLA compiles the steps; "auto" leaves that to the server.
    """

    optimizer: Any
    loss: dict[str, Any]
    metrics: dict[str, tuple[Any, ...]]
    loss_weights: dict[str, float]
    jit_compile: bool | Literal["auto"] = "auto"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "metrics": {output: list(metrics) for output, metrics in self.metrics.items()}}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Compilation":
        return cls(**{**row, "metrics": {output: tuple(metrics) for output, metrics in row["metrics"].items()}})


def check_compile(
    value: object,
    outputs: Mapping[str, Shape],
    y: Sequence[ArrayFacts],
    output_activations: Mapping[str, str | None],
    pointer: str,
    faults: list[Fault],
) -> Compilation | None:
    """Check a `compile` object against the catalog, the outputs and the targets; None after appending faults.

    `outputs` holds each output's shape without the batch; when it is empty, because the architecture itself is faulty,
    only what needs no outputs is checked. `y` is empty for a dry run without data. `output_activations` holds the
    activation that makes each output, None where it is not known. Metrics and loss weights may be left out; the
    optimizer is then Keras's default, "rmsprop"; a loss weight is 1.
    """
    if not isinstance(value, dict):
        faults.append(_fault(pointer, f"compile is {shown(value)}; expected an object with {listed(_KEYS)}."))
        return None
    before, names = len(faults), tuple(outputs)
    faults.extend(
        _fault(at(pointer, key), f"compile has no {shown(key)}; leave it out, or use one of {listed(_KEYS)}.")
        for key in value
        if key not in _KEYS
    )
    optimizer = catalog.check("optimizer", value.get("optimizer", "rmsprop"), f"{pointer}/optimizer", faults)
    losses = _check_losses(value.get("loss"), names, f"{pointer}/loss", faults)
    metrics = _check_metrics(value.get("metrics", []), names, f"{pointer}/metrics", faults)
    weights = _check_weights(value.get("loss_weights"), names, f"{pointer}/loss_weights", faults)
    jit_compile = _check_jit_compile(value.get("jit_compile", "auto"), f"{pointer}/jit_compile", faults)
    faults.extend(_misfits(losses, outputs, y, output_activations))
    if len(faults) > before or not names:
        return None
    loss = {name: losses[name][0] for name in names}
    return Compilation(optimizer=optimizer, loss=loss, metrics=metrics, loss_weights=weights, jit_compile=jit_compile)


def output_activations(network: Network) -> dict[str, str | None]:
    """The activation that makes each output, None where it is no plain name."""
    found: dict[str, str | None] = dict.fromkeys(network.outputs)
    for layer in network.layers:
        activation = layer.arguments.get("activation")
        if layer.name in found and isinstance(activation, str):
            found[layer.name] = activation
    return found


def check_targets(
    compilation: Compilation, outputs: Mapping[str, Shape], y: Sequence[ArrayFacts], faults: list[Fault]
) -> None:
    """Check whether targets that a network was not trained on fit its outputs and their losses."""
    targets: dict[str, _Placed] = {}
    matching = _match_targets(y, tuple(outputs))
    try:
        while True:
            faults.append(next(matching))
    except StopIteration as stopped:
        targets = stopped.value
    for name, (facts, place) in targets.items():
        loss = compilation.loss[name]
        target = _Target(output=name, shape=outputs[name], loss=loss, place=place, y=facts, y_place=place)
        faults.extend(target.shape_misfits())
        faults.extend(target.value_misfits())


def family_of(loss: Any) -> str:
    """Which cross-entropy a loss is: "sparse", "categorical" or "binary"; else "other"."""
    return _FAMILIES.get(str(loss["type"] if isinstance(loss, dict) else loss), "other")


def _check_losses(value: object, names: _Names, pointer: str, faults: list[Fault]) -> dict[str, _Placed]:
    """Return each output's loss; one name or object stands for all outputs, as in Keras."""
    if value is None:
        advice = 'give one, such as "mse", "binary_crossentropy" or "sparse_categorical_crossentropy"'
        faults.append(_fault(pointer, f"compile has no loss, and no network trains without one; {advice}."))
        return {}
    # An object with `type` is one loss, unless its keys are the outputs (an output may be called "type").
    if isinstance(value, list) or (isinstance(value, dict) and ("type" not in value or set(value) == set(names))):
        placed = _by_output(value, names, pointer, faults, "loss")
        losses = {name: (catalog.check("loss", *entry, faults), entry[1]) for name, entry in placed.items()}
    else:
        losses = dict.fromkeys(names or ("",), (catalog.check("loss", value, pointer, faults), pointer))
    return {name: entry for name, entry in losses.items() if entry[0] is not None}


def _by_output(value: Any, names: _Names, pointer: str, faults: list[Fault], needed: str = "") -> dict[str, _Placed]:
    """Spread a list with one entry per output, or an object by output name; without names anything goes."""
    if isinstance(value, list):
        if names and len(value) != len(names):
            advice = "give one for each, or an object by output name"
            faults.append(_fault(pointer, f"{len(value)} entries came for the outputs {listed(names)}; {advice}."))
            return {}
        keys = names or map(str, range(len(value)))
        return {name: (value[index], f"{pointer}/{index}") for index, name in enumerate(keys)}
    faults.extend(
        _fault(at(pointer, key), f"The network has no output {shown(key)}; its outputs are {listed(names)}.")
        for key in value
        if names and key not in names
    )
    faults.extend(
        _fault(pointer, f"The output {name!r} has no {needed}, and every output needs one; add it under that name.")
        for name in names
        if needed and name not in value
    )
    return {name: (value[name], at(pointer, name)) for name in names or value if name in value}


def _check_metrics(value: object, names: _Names, pointer: str, faults: list[Fault]) -> dict[str, tuple[Any, ...]]:
    """Return each output's metrics; as in Keras, one output takes a flat list, several take one entry for each."""
    if not isinstance(value, (list, dict)):
        expected = 'expected a list such as ["accuracy"], or an object by output name'
        faults.append(_fault(pointer, f"metrics is {shown(value)}; {expected}."))
        return {}
    if not value or (isinstance(value, list) and len(names) < 2):
        placed = dict.fromkeys(names or ("",), (value or None, pointer))
    else:
        placed = _by_output(value, names, pointer, faults)
    return {name: _check_output_metrics(*placed.get(name, (None, pointer)), faults) for name in names or placed}


def _check_output_metrics(value: object, pointer: str, faults: list[Fault]) -> tuple[Any, ...]:
    """Check one output's metrics: a metric, a list of them (Keras flattens lists in it), or null for none."""
    placed = [] if value is None else list(_flat(value, pointer, nesting=2))
    if len(placed) > MAX_METRICS:
        faults.append(_fault(pointer, f"{len(placed)} metrics came for one output; give at most {MAX_METRICS}."))
        return ()
    checked = [(metric, catalog.check("metric", metric, place, faults)) for metric, place in placed]
    return tuple(given if isinstance(given, str) else normal for given, normal in checked)


def _flat(value: object, pointer: str, nesting: int) -> Iterator[_Placed]:
    if isinstance(value, list) and nesting:
        for index, entry in enumerate(value):
            yield from _flat(entry, f"{pointer}/{index}", nesting - 1)
    else:
        yield value, pointer


def _check_weights(value: object, names: _Names, pointer: str, faults: list[Fault]) -> dict[str, float]:
    """Return each output's weight in the total loss; Keras too wants a weight for every output, or none at all."""
    if value is None:
        return dict.fromkeys(names, 1.0)
    if isinstance(value, (list, dict)):
        placed = _by_output(value, names, pointer, faults, "loss weight")
    else:
        # One number is a list of one, which is too short for several outputs.
        placed = {name: (entry, pointer) for name, (entry, _) in _by_output([value], names, pointer, faults).items()}
    return {name: _check_weight(*entry, faults) for name, entry in placed.items()}


def _check_weight(value: object, pointer: str, faults: list[Fault]) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MAX_LOSS_WEIGHT:
        expected = f"expected a number from -{MAX_LOSS_WEIGHT:g} to {MAX_LOSS_WEIGHT:g}, such as 0.5"
        faults.append(_fault(pointer, f"The loss weight is {shown(value)}; {expected}."))
        return 0.0
    return float(value)


def _check_jit_compile(value: object, pointer: str, faults: list[Fault]) -> bool | Literal["auto"]:
    if isinstance(value, bool):
        return value
    if value != "auto":
        detail = (
            f'jit_compile is {shown(value)}; expected true for XLA, false for none, or "auto" to let the server choose.'
        )
        faults.append(_fault(pointer, detail))
    return "auto"


def _misfits(
    losses: Mapping[str, _Placed],
    outputs: Mapping[str, Shape],
    y: Sequence[ArrayFacts],
    activations: Mapping[str, str | None],
) -> Iterator[Fault]:
    """Yield what in each output's loss does not fit the output itself, and, with data, its targets."""
    targets: dict[str, _Placed] = {}
    if y and outputs:
        targets = yield from _match_targets(y, tuple(outputs))
    for name in (name for name in outputs if name in losses):
        loss, place = losses[name]
        facts, y_place = targets.get(name, (None, ""))
        target = _Target(output=name, shape=outputs[name], loss=loss, place=place, y=facts, y_place=y_place)
        yield from target.output_misfits(activations.get(name))
        yield from target.shape_misfits()
        yield from target.value_misfits()


def _match_targets(y: Sequence[ArrayFacts], names: _Names) -> Generator[Fault, None, dict[str, _Placed]]:
    """Return each output's targets: one array for a single output, else an array by each output's name."""
    if len(y) == len(names) == 1 and y[0].name in (None, names[0]):
        return {names[0]: (y[0], _Y if y[0].name is None else at(_Y, y[0].name))}
    arrays = {facts.name: facts for facts in y if facts.name is not None}
    if len(arrays) < len(y):
        yield _fault(_Y, f"y is one array without a name; send an object with an array for each of {listed(names)}.")
        return {}
    for extra in (name for name in arrays if name not in names):
        came = f"y has an array for {shown(extra)}, which is no output of the network"
        yield _fault(at(_Y, extra), f"{came}; leave it out, or name it as one of {listed(names)}.")
    for name in (name for name in names if name not in arrays):
        yield _fault(_Y, f"y has no array for the output {name!r}; add one under that name.")
    return {name: (arrays[name], at(_Y, name)) for name in names if name in arrays}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """One output, its loss, and the targets it is to learn (None without data)."""

    output: str
    shape: Shape
    loss: Any
    place: str
    y: ArrayFacts | None
    y_place: str

    @property
    def kind(self) -> str:
        """The catalog's type of the loss, without its arguments."""
        return str(self.loss["type"] if isinstance(self.loss, dict) else self.loss)

    @property
    def family(self) -> str:
        """As `family_of` says."""
        return family_of(self.loss)

    @property
    def units(self) -> int | None:
        return self.shape[-1] if self.shape else None

    def option(self, name: str, default: Any) -> Any:
        return self.loss.get(name, default) if isinstance(self.loss, dict) else default

    def output_misfits(self, activation: str | None) -> Iterator[Fault]:
        """Yield what is wrong without looking at the targets.

        Keras trains all of these without a word: it clips what is no probability, and learns nothing from one class.
        """
        family, output = self.family, f"the output {self.output!r}"
        if family in ("sparse", "categorical") and self.units == 1:
            advice = 'use binary_crossentropy with the activation "sigmoid", or give the output one unit for each class'
            yield _fault(self.place, f"{self.kind} chooses between classes, but {output} has 1 unit; {advice}.")
        elif family == "binary" and self.units == 1 and activation == "softmax":
            came = f"softmax over the 1 unit of {output} is always 1, from which {self.kind} learns nothing"
            yield _fault(self.place, f'{came}; use the activation "sigmoid".')
        if family != "other" and activation == "linear" and not self.option("from_logits", False):
            fitting = "sigmoid" if family == "binary" else "softmax"
            logits = f', or the loss to {{"type": "{self.kind}", "from_logits": true}}' if self.kind != _GCE else ""
            advice = f'set its activation to "{fitting}"{logits}'
            yield _fault(self.place, f"{self.kind} expects probabilities, but {output} is linear; {advice}.")

    def shape_misfits(self) -> Iterator[Fault]:
        """Yield a fault where the shape of `y` is not what the loss compares with the output.

        Keras's sparse cross-entropy takes y without the output's last axis, or with 1 there; the others take equal
        shapes, where an axis of 1 at the end may be missing on either side. Keras broadcasts what differs otherwise
        and trains on nonsense, so that is refused here.
        """
        # Circle compares embeddings with class numbers, so that no rule about equal shapes holds.
        if self.y is None or self.kind == "Circle" or self.option("axis", -1) != -1:
            return
        y, out = self.y.sample_shape, self.shape
        numbered = _fits(y, out[:-1]) or (self.kind != _GCE and _fits(y, (*out[:-1], 1)))
        if numbered if self.family == "sparse" else _same(y, out):
            return
        if self.family == "sparse":
            expected = f"class numbers of shape {_rows(out[:-1])}"
            advice = "for y that is one-hot use categorical_crossentropy" if _fits(y, out) else "reshape y"
        else:
            expected, advice = _rows(out), "change y, or the units of the output layer"
            if numbered and self.y.integral:
                advice += "; for y of class numbers use sparse_categorical_crossentropy, or make y one-hot"
        came = f"{self.kind} on the output {self.output!r} of shape {_rows(out)} got y of shape {_rows(y)}"
        yield _fault(self.place, f"{came}, expected {expected}: {advice}.")

    def value_misfits(self) -> Iterator[Fault]:
        """Yield faults where y has values that the loss cannot learn from."""
        if self.y is not None and self.family == "sparse":
            yield from self._class_misfits(self.y)
        elif self.y is not None and self.family == "binary" and not 0 <= self.y.minimum <= self.y.maximum <= 1:
            came = f"{self.kind} expects y from 0 to 1, but y has values from {self.y.minimum:g} to {self.y.maximum:g}"
            if self.y.integral and self.y.minimum >= 0:
                units = f"{int(self.y.maximum) + 1} units"
                yield _fault(self.place, f"{came}; for class numbers use sparse_categorical_crossentropy with {units}.")
            else:
                yield _fault(self.y_place, f"{came}; rescale y.")

    def _class_misfits(self, y: ArrayFacts) -> Iterator[Fault]:
        # The class to ignore, often -1 or 255, may stand among the others.
        ignored = self.option("ignore_class", None)
        units = self.units if self.option("axis", -1) == -1 and self.units != 1 else None
        if not y.integral:
            advice = 'send class numbers 0, 1, 2 ..., or use a loss for numbers, such as "mse"'
            yield _fault(self.y_place, f"{self.kind} expects class numbers, but y has fractions; {advice}.")
        elif y.minimum < 0 and y.minimum != ignored:
            yield _fault(self.y_place, f"y has the class {int(y.minimum)}, but classes count from 0: renumber them.")
        elif units is not None and y.maximum >= units and y.maximum != ignored:
            came = f"y has the class {int(y.maximum)}, but the output {self.output!r} has {units} units"
            yield _fault(self.y_place, f"{came}; give it {int(y.maximum) + 1} units, or number from 0 to {units - 1}.")


def _fits(y: tuple[int, ...], shape: Shape) -> bool:
    """Whether a row of `y` has this shape; None in it matches every size."""
    return len(y) == len(shape) and all(size is None or size == came for came, size in zip(y, shape, strict=True))


def _same(y: tuple[int, ...], shape: Shape) -> bool:
    """Whether Keras compares value by value: shapes are equal but for an axis of 1 at the end of either."""
    return _fits(y, shape) or (shape[-1:] == (1,) and _fits(y, shape[:-1])) or (y[-1:] == (1,) and _fits(y[:-1], shape))


def _rows(shape: Shape) -> str:
    return f"({', '.join(['rows', *('any' if size is None else str(size) for size in shape)])})"


def _fault(pointer: str, detail: str) -> Fault:
    return Fault(pointer=pointer, detail=detail)


def listed(names: Iterable[object]) -> str:
    """Return the names, quoted, with commas between them."""
    return ", ".join(repr(name) for name in names)
