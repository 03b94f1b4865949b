"""The checks of `fit`: Keras's arguments and defaults, in bounds, and held against rows, classes and metrics."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, floor
from typing import Any

from service.architecture import catalog
from service.architecture.arguments import at, shown
from service.architecture.compilation import Compilation, listed
from service.data.arrays import ArrayFacts
from service.errors import Fault

MAX_EPOCHS = 100_000
MAX_BATCH_SIZE = 1_048_576
#: One step is one batch: the most that a job may ask for in all its epochs.
MAX_STEPS = 100_000_000
MAX_CALLBACKS = 16
MAX_CLASS_WEIGHT = 1e9

_CLASS = re.compile(r"0|[1-9][0-9]{0,8}")
#: Keras knows for every other metric whether more or less of it is better.
_UNDIRECTED = ("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """A checked `fit`, with Keras's names and defaults; `validation_data` is a data set's id.

    `held_out` says that the split of a table keeps rows to validate on.
    """

    epochs: int = 1
    batch_size: int = 32
    validation_split: float = 0.0
    validation_data: str | None = None
    validation_batch_size: int | None = None
    validation_freq: int = 1
    shuffle: bool = True
    class_weight: dict[int, float] | None = None
    callbacks: tuple[dict[str, Any], ...] = ()
    held_out: bool = False

    @property
    def validates(self) -> bool:
        """Whether the job measures itself on rows that it does not train on."""
        return self.validation_split > 0 or self.validation_data is not None or self.held_out

    def to_json(self) -> dict[str, Any]:
        weights, written = self.class_weight, asdict(self)
        if not self.held_out:
            # It is no argument of Keras's, and only told where it says something.
            del written["held_out"]
        return {
            **written,
            "class_weight": None if weights is None else {str(number): weights[number] for number in weights},
            "callbacks": list(self.callbacks),
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Fitting":
        weights = row["class_weight"]
        numbered = None if weights is None else {int(number): weight for number, weight in weights.items()}
        return cls(**{**row, "class_weight": numbered, "callbacks": tuple(row["callbacks"])})


def check_fit(
    value: object,
    rows: int | None,
    compilation: Compilation | None,
    y: Sequence[ArrayFacts],
    pointer: str,
    faults: list[Fault],
    *,
    sample_weighted: bool = False,
    held_out: bool = False,
) -> Fitting | None:
    """Check a `fit` object; None after appending faults.

    `rows` is None, and `y` empty, for a dry run without data; `compilation` is None when `compile` is faulty: what
    needs them is then not checked. `sample_weighted` says that the data have a `sample_weight`, which Keras does not
    take together with `class_weight`; `held_out` that a split keeps rows to validate on.
    """
    if not isinstance(value, dict):
        faults.append(_fault(pointer, f'fit is {shown(value)}; expected an object such as {{"epochs": 10}}.'))
        return None
    before = len(faults)
    fitting = replace(_read(value, pointer, faults), held_out=held_out)
    sound = len(faults) == before
    if fitting.class_weight is not None:
        weighted = f"{pointer}/class_weight"
        faults.extend(_fault(weighted, detail) for detail in _class_faults(fitting, compilation, y, sample_weighted))
    # The other checks compare arguments, and would only blame the default that stands for a faulty one.
    if sound:
        _check_rows(fitting, rows, pointer, faults)
        _check_validation(fitting, pointer, faults)
        _check_monitors(fitting, compilation, pointer, faults)
    return None if len(faults) > before else fitting


def training_rows(rows: int, validation_split: float) -> int:
    """Return how many of the rows train: the first ones, as Keras splits before it shuffles."""
    return floor(rows * (1.0 - validation_split))


def reported_names(compilation: Compilation, has_validation: bool) -> tuple[str, ...]:
    """Return the names under which Keras's history reports the metrics, "loss" first, `val_` names last.

    Several outputs add "<output>_loss" each, and their metrics are prefixed "<output>_". A metric given as a string is
    reported under that very string, an object under its type in snake case; of two with the same name the second gets
    "_1". The numbers that Keras adds to "auc" and other unnamed objects across outputs depend on what else the process
    has made, and are not foretold.
    """
    several = len(compilation.loss) > 1
    names = ["loss", *(f"{output}_loss" for output in compilation.loss if several)]
    seen: dict[str, int] = {}
    for output, metrics in compilation.metrics.items():
        for metric in metrics:
            name = f"{output}_{_metric_name(metric)}" if several else _metric_name(metric)
            count = seen.get(name, 0)
            seen[name] = count + 1
            names.append(f"{name}_{count}" if count else name)
    return (*names, *(f"val_{name}" for name in names if has_validation))


def _metric_name(metric: Any) -> str:
    # The catalog gives each object Keras's default name, which is null for those that Keras names by their class.
    if isinstance(metric, str):
        return metric
    return str(metric["name"] or catalog.default_name(metric["type"]))


def _read(value: dict[str, Any], pointer: str, faults: list[Fault]) -> Fitting:
    """Read each argument by itself; a faulty one gets its default, so that the others are still checked."""
    allowed = list(_READERS)
    faults.extend(
        _fault(at(pointer, key), f"fit has no {shown(key)}; leave it out, or use one of {listed(allowed)}.")
        for key in value
        if key not in allowed
    )
    found: dict[str, Any] = {}
    for key, read in _READERS.items():
        # Null stands for Keras's None, which all three of these arguments may be.
        optional = key in ("validation_data", "validation_batch_size", "class_weight")
        if key in value and not (value[key] is None and optional):
            read_value = read(value[key], f"{pointer}/{key}", faults)
            found.update({} if read_value is None else {key: read_value})
    return Fitting(**found)


def _integer(highest: int) -> Callable[[object, str, list[Fault]], int | None]:
    def read(value: object, pointer: str, faults: list[Fault]) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest:
            return value
        faults.append(_fault(pointer, f"The value is {shown(value)}; expected a whole number from 1 to {highest}."))
        return None

    return read


def _read_split(value: object, pointer: str, faults: list[Fault]) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value)
    expected = "expected the part of the rows to validate on, at least 0 and below 1, such as 0.2"
    faults.append(_fault(pointer, f"validation_split is {shown(value)}; {expected}."))
    return None


def _read_data_set(value: object, pointer: str, faults: list[Fault]) -> str | None:
    if isinstance(value, str) and value:
        return value
    advice = "upload the validation rows as a data set and name it here, or use validation_split"
    faults.append(_fault(pointer, f"validation_data is {shown(value)}; expected the id of a data set: {advice}."))
    return None


def _read_shuffle(value: object, pointer: str, faults: list[Fault]) -> bool | None:
    if isinstance(value, bool):
        return value
    faults.append(_fault(pointer, f"shuffle is {shown(value)}; expected true or false."))
    return None


def _read_class_weight(value: object, pointer: str, faults: list[Fault]) -> dict[int, float] | None:
    if not isinstance(value, dict) or not value:
        expected = 'expected an object from class number to weight, such as {"0": 1, "1": 5}'
        faults.append(_fault(pointer, f"class_weight is {shown(value)}; {expected}."))
        return None
    weights = {}
    for key, weight in value.items():
        if not _CLASS.fullmatch(str(key)):
            expected = 'expected a class number such as "0" or "1"'
            faults.append(_fault(at(pointer, key), f"The class is {shown(key)}; {expected}."))
        elif isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= MAX_CLASS_WEIGHT:
            expected = f"expected a number from 0 to {MAX_CLASS_WEIGHT:g}"
            faults.append(_fault(at(pointer, key), f"The weight of class {key} is {shown(weight)}; {expected}."))
        else:
            weights[int(key)] = float(weight)
    return weights or None


def _read_callbacks(value: object, pointer: str, faults: list[Fault]) -> tuple[dict[str, Any], ...] | None:
    if not isinstance(value, list) or len(value) > MAX_CALLBACKS:
        came = f"{len(value)} callbacks" if isinstance(value, list) else shown(value)
        faults.append(_fault(pointer, f"callbacks is {came}; expected a list of at most {MAX_CALLBACKS}."))
        return None
    # A name alone is written out, so that every callback comes back with all its arguments.
    written = [{"type": callback} if isinstance(callback, str) else callback for callback in value]
    checked = [catalog.check("callback", entry, f"{pointer}/{index}", faults) for index, entry in enumerate(written)]
    for index, callback in enumerate(checked):
        if isinstance(callback, dict) and callback["type"] == "ModelCheckpoint" and not callback["save_best_only"]:
            detail = "ModelCheckpoint keeps the best weights for the version; expected save_best_only to be true."
            faults.append(_fault(f"{pointer}/{index}/save_best_only", detail))
    return tuple({"type": entry} if isinstance(entry, str) else entry for entry in checked if entry is not None)


_READERS: dict[str, Callable[[object, str, list[Fault]], Any]] = {
    "epochs": _integer(MAX_EPOCHS),
    "batch_size": _integer(MAX_BATCH_SIZE),
    "validation_split": _read_split,
    "validation_data": _read_data_set,
    "validation_batch_size": _integer(MAX_BATCH_SIZE),
    "validation_freq": _integer(MAX_EPOCHS),
    "shuffle": _read_shuffle,
    "class_weight": _read_class_weight,
    "callbacks": _read_callbacks,
}


def _check_rows(fitting: Fitting, rows: int | None, pointer: str, faults: list[Fault]) -> None:
    """Check that both sides of the split have a row, as Keras does too, and that the job has an end."""
    if rows is None:
        return
    training = training_rows(rows, fitting.validation_split)
    if fitting.validation_split > 0 and not 0 < training < rows:
        came = f"validation_split {fitting.validation_split:g} of {rows} row(s) leaves {training} to train on"
        advice = "change the split, or send more rows"
        faults.append(_fault(f"{pointer}/validation_split", f"{came} and {rows - training} to validate on; {advice}."))
    steps = fitting.epochs * ceil(training / fitting.batch_size)
    if steps > MAX_STEPS:
        came = f"{fitting.epochs} epochs over {training} rows in batches of {fitting.batch_size} are {steps} steps"
        advice = "lower epochs or raise batch_size"
        faults.append(_fault(f"{pointer}/epochs", f"{came}; a job may have at most {MAX_STEPS}: {advice}."))


def _check_validation(fitting: Fitting, pointer: str, faults: list[Fault]) -> None:
    if fitting.validation_split > 0 and fitting.validation_data is not None:
        came = "Both validation_split and validation_data came"
        reason = "Keras would silently ignore the split"
        faults.append(_fault(f"{pointer}/validation_split", f"{came}; {reason}: give one of the two."))
    if fitting.held_out and fitting.validation_data is not None:
        detail = "Both split.validation and validation_data came; give one of the two."
        faults.append(_fault(f"{pointer}/validation_data", detail))
    if fitting.validates and fitting.validation_freq > fitting.epochs:
        came = f"validation_freq {fitting.validation_freq} is more than the {fitting.epochs} epoch(s)"
        advice = "no epoch would be validated: lower it to at most that"
        faults.append(_fault(f"{pointer}/validation_freq", f"{came}; {advice}."))


def _class_faults(
    fitting: Fitting, compilation: Compilation | None, y: Sequence[ArrayFacts], sample_weighted: bool
) -> Iterator[str]:
    """Yield what forbids these class weights.

    Keras makes them the weights of rows, by the class number of the row or the largest entry of its one-hot row; a
    class without a weight counts 1, so that one may be missing.
    """
    if sample_weighted:
        yield "class_weight came with data that have a sample_weight; Keras takes one of them: leave one out."
    if len(y) > 1 or (compilation is not None and len(compilation.loss) > 1):
        yield "class_weight came for a network with several outputs; Keras takes it for one: use sample_weight."
        return
    if not y:
        return
    classes = _classes(y[0])
    if classes is None:
        came = f"class_weight came, but y of shape {y[0].shape} with values from {y[0].minimum:g} to {y[0].maximum:g}"
        yield f"{came} does not have one class for each row; send class numbers or one-hot rows, or use sample_weight."
        return
    unknown = sorted(number for number in fitting.class_weight or {} if number >= classes)
    if unknown:
        came = f"class_weight has the class(es) {listed(unknown)}, but y has only the classes 0 to {classes - 1}"
        yield f"{came}; leave them out, or number the classes as y does."


def _classes(y: ArrayFacts) -> int | None:
    """Return how many classes `y` has: one number a row, or one-hot rows; None when it is neither."""
    size = y.sample_shape
    if size in ((), (1,)):
        return int(y.maximum) + 1 if y.integral and y.minimum >= 0 else None
    one_hot = len(size) == 1 and y.minimum >= 0 and y.maximum <= 1
    return size[0] if one_hot else None


def _check_monitors(fitting: Fitting, compilation: Compilation | None, pointer: str, faults: list[Fault]) -> None:
    if compilation is None:
        return
    names = reported_names(compilation, fitting.validates)
    for index, callback in enumerate(fitting.callbacks):
        place = f"{pointer}/callbacks/{index}"
        faults.extend(_fault(place, detail) for detail in _monitor_faults(callback, names, compilation))


def _monitor_faults(callback: dict[str, Any], names: tuple[str, ...], compilation: Compilation) -> Iterator[str]:
    """Yield why a callback could not follow its `monitor`.

    Keras only warns, at each epoch, of a name that is not reported. In "auto" mode it fails at the end of the first
    epoch unless it knows whether less or more is better, as for "loss" and most metrics of a single output.
    """
    monitor, kind = callback.get("monitor"), callback["type"]
    if monitor is None:
        return
    # Keras numbers the names of some metrics itself, so a number at the end does not count.
    known = {re.sub(r"_\d+$", "", name) for name in names} | set(names)
    if monitor not in known and re.sub(r"_\d+$", "", monitor) not in known:
        unmet = monitor.startswith("val_") and monitor.removeprefix("val_") in known
        advice = "give validation_split or validation_data, or " if unmet else ""
        yield f"{kind} monitors {monitor!r}, which this job does not report; {advice}monitor one of {listed(names)}."
    elif callback.get("mode") == "auto" and not _has_direction(monitor.removeprefix("val_"), compilation):
        yield f'Keras does not know which way {monitor!r} improves; set mode to "min" or "max" in {kind}.'


def _has_direction(name: str, compilation: Compilation) -> bool:
    """Whether Keras finds a metric of this very name, and knows if less or more of it is better."""
    if name == "loss" or len(compilation.loss) > 1:
        return name == "loss"
    undirected = []
    for metric in (metric for metrics in compilation.metrics.values() for metric in metrics):
        entry = catalog.find("metric", metric if isinstance(metric, str) else metric["type"])
        if entry is not None and entry.type in _UNDIRECTED:
            undirected.append(_metric_name(metric))
    return re.sub(r"_\d+$", "", name) not in undirected and name not in undirected


def _fault(pointer: str, detail: str) -> Fault:
    return Fault(pointer=pointer, detail=detail)
