"""What stands between raw records and a network, fitted once on the training rows and never changed afterwards.

A `Preparation` is made when a job is submitted, travels in its request, and is stored in its version: training,
evaluation and prediction encode by it alone. All of it is plain JSON, with Keras's words where there are any.
"""

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Self

from service.data.table import Kind, Type

#: The input that all numbers enter by, and the one of all categories that become ones and zeros.
NUMBERS: Final = "numbers"
CATEGORIES: Final = "categories"
#: The tensor that all features make which are not a tensor of their own.
FEATURES: Final = "features"

#: Where numbers are scaled by the network: not farther from zero than so many spreads, which lie between these two.
#: A Normalization divides by 1e-7 at least, and its variance is bounded.
_FAR: Final = 10_000
_SMALLEST_SPREAD: Final = 1e-6
_LARGEST_SPREAD: Final = 1e12

#: What happens to a value that the training rows did not have, or to one that is not there.
Policy = Literal["error", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column on its way into the network. `column`, `type` and `kind` are the data set's; `slug` names layers."""

    tag: ClassVar[str] = ""

    column: str
    type: Type
    kind: Kind
    slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Feature):
    """A quantity: `(value - center) / spread` is what reaches the client's layers; a spread of 0 counts as 1.

    `scale` is what the client asked for. With "log" the value enters as sign(x) * log1p(|x|), and center and spread are
    those of that. A missing value is `fill`, in the value's own unit; None means that none may be missing. `indicator`
    adds a number that is 1 where the value was missing.
    """

    tag: ClassVar[str] = "number"

    scale: Literal["standardize", "min_max", "log", "none"]
    center: float
    spread: float
    fill: float | None
    indicator: bool

    @property
    def early(self) -> bool:
        """Whether the value is scaled as it is encoded: float32, or a Normalization, would lose what distinguishes it.

        That is so far from zero, as with a number of a few units around a million millions, and for tiny or huge ones.
        """
        spread = self.spread or 1.0
        return abs(self.center) > _FAR * spread or not _SMALLEST_SPREAD <= spread <= _LARGEST_SPREAD


# Without slots of its own it has room for what is worked out once: predictions look names up in it.
@dataclass(frozen=True, kw_only=True)
class Category(Feature):
    """One of `categories`, as the text of the value; its number is its place, counted from 1: 0 is every other value.

    `enters` "one_hot" makes ones and zeros of it, "embedding" a vector of `output_dim` numbers that is learned.
    `unknown` and `missing` say whether such values are an error at prediction; in stored rows they are "other". Where
    there is a `fill`, one of the categories, a missing value is that, in stored rows too, and no error.
    """

    tag: ClassVar[str] = "category"

    enters: Literal["one_hot", "embedding"]
    categories: tuple[str, ...]
    output_dim: int | None
    unknown: Policy
    missing: Policy
    fill: str | None = None

    @property
    def width(self) -> int:
        return len(self.categories) + 1

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each category."""
        return {text: number for number, text in enumerate(self.categories, start=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed(Feature):
    """A category by its hash: 1 + (the first 8 bytes of SHA-256 of its text, little endian) modulo `num_bins`.

    A missing value is 0, or, where there is one, the text `fill`.
    """

    tag: ClassVar[str] = "hashing"

    num_bins: int
    missing: Policy
    fill: str | None = None

    @property
    def width(self) -> int:
        return self.num_bins + 1


@dataclass(frozen=True, kw_only=True)
class Text(Feature):
    """Words as numbers: 0 is no word, 1 one that is not in `vocabulary`, the first of which is 2.

    `enters` "bag" says which words are there, "tokens" gives the first `sequence_length` words in their order.
    """

    tag: ClassVar[str] = "text"

    enters: Literal["bag", "tokens"]
    vocabulary: tuple[str, ...]
    sequence_length: int

    @property
    def width(self) -> int:
        return len(self.vocabulary) + 2

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.vocabulary, start=2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Date(Feature):
    """Parts of a date as numbers, each with its own center and spread; a missing date is `fill`, in ISO 8601."""

    tag: ClassVar[str] = "date"

    parts: tuple[str, ...]
    centers: tuple[float, ...]
    spreads: tuple[float, ...]
    fill: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(Feature):
    """A picture, brought to one size: (height, width, channels), from 0 to 255."""

    tag: ClassVar[str] = "image"

    height: int
    width: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence(Feature):
    """Steps in time: (length, channels); shorter ones are filled up with the centers, longer ones cut."""

    tag: ClassVar[str] = "sequence"

    length: int
    channels: int
    pad: Literal["pre", "post"]
    truncate: Literal["pre", "post"]
    centers: tuple[float, ...]
    spreads: tuple[float, ...]


class Task(StrEnum):
    """What is to be learned of a target."""

    #: One of two labels: one number from 0 to 1, the probability of the second label.
    BINARY = "binary"
    #: One of several labels: a probability for each.
    CLASSES = "classes"
    #: Any number of labels: a probability for each.
    LABELS = "labels"
    #: A quantity.
    NUMBER = "number"
    #: Steps in time.
    SEQUENCE = "sequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be learned. `slug` is the network's output of it, where there are several.

    `labels` are in the order of the network's numbers. `center` and `spread` are the mean and the standard deviation of
    numbers in the training rows, of all steps of sequences together, and None otherwise. `shape` is that of a row of y.
    """

    column: str
    type: Type
    kind: Kind
    slug: str
    task: Task
    labels: tuple[str, ...]
    separator: str | None
    center: float | None
    spread: float | None
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        typed = {"kind": Kind(row["kind"]), "task": Task(row["task"])}
        return cls(**{**row, **typed, "labels": tuple(row["labels"]), "shape": tuple(row["shape"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Which rows train, validate and test: parts of all rows, chosen `by` a rule, with `seed` where it draws."""

    validation: float
    test: float
    by: Literal["random", "stratified", "group", "time", "order", "column"]
    column: str | None
    seed: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        return cls(**row)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFacts:
    """One of the network's inputs: one row's shape, and the columns that make it."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "int32"]
    columns: tuple[str, ...]


_KINDS_OF_FEATURE: Final = (Number, Category, Hashed, Text, Date, Image, Sequence)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """All of it; `rows` is how many rows train, validate and test. Without a split, all train.

    `ignored` are the data set's columns that neither a feature nor a target is made of: a record may have them.
    """

    features: tuple[Feature, ...]
    targets: tuple[Target, ...]
    split: Split | None
    rows: tuple[int, int, int]
    ignored: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> frozenset[str]:
        """Every column that a record may have."""
        features, targets = (one.column for one in self.features), (one.column for one in self.targets)
        return frozenset((*features, *targets, *self.ignored))

    @cached_property
    def inputs(self) -> tuple[InputFacts, ...]:
        """The network's inputs, in their order: numbers, categories, then those of single features."""
        numbers = [one for one in self.features if isinstance(one, Number | Date)]
        categories = [one for one in self.features if _is_one_hot(one)]
        grouped = []
        if numbers:
            shape = (sum(map(_numbers, numbers)),)
            columns = tuple(one.column for one in numbers)
            grouped.append(InputFacts(name=NUMBERS, shape=shape, dtype="float32", columns=columns))
        if categories:
            columns = tuple(one.column for one in categories)
            grouped.append(InputFacts(name=CATEGORIES, shape=(len(categories),), dtype="int32", columns=columns))
        alone = [one for one in self.features if not (isinstance(one, Number | Date) or _is_one_hot(one))]
        return (*grouped, *map(_own_input, alone))

    @cached_property
    def features_of(self) -> dict[str, tuple[Feature, ...]]:
        """The features that make each input, by its name, in their order."""
        by_column = {one.column: one for one in self.features}
        return {one.name: tuple(by_column[column] for column in one.columns) for one in self.inputs}

    def to_json(self) -> dict[str, Any]:
        return {
            "features": [{"feature": one.tag, **asdict(one)} for one in self.features],
            "targets": [target.to_json() for target in self.targets],
            "split": None if self.split is None else self.split.to_json(),
            "rows": list(self.rows),
            "ignored": list(self.ignored),
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        train, validation, test = row["rows"]
        return cls(
            features=tuple(map(_feature, row["features"])),
            targets=tuple(map(Target.from_json, row["targets"])),
            split=None if row["split"] is None else Split.from_json(row["split"]),
            rows=(train, validation, test),
            ignored=tuple(row["ignored"]),
        )


def _is_one_hot(feature: Feature) -> bool:
    return isinstance(feature, Hashed) or (isinstance(feature, Category) and feature.enters == "one_hot")


def _numbers(feature: Feature) -> int:
    """How many numbers a feature puts into the input of all numbers."""
    return len(feature.parts) if isinstance(feature, Date) else 1 + int(getattr(feature, "indicator", False))


def _own_input(feature: Feature) -> InputFacts:
    """The input of a feature that shares none; its name must differ from that of the tensor that it becomes."""
    columns, name = (feature.column,), f"{feature.slug}_input"
    match feature:
        case Category():
            return InputFacts(name=name, shape=(1,), dtype="int32", columns=columns)
        case Text():
            return InputFacts(name=name, shape=(feature.sequence_length,), dtype="int32", columns=columns)
        case Image():
            shape = (feature.height, feature.width, feature.channels)
            return InputFacts(name=name, shape=shape, dtype="float32", columns=columns)
        case Sequence():
            return InputFacts(name=name, shape=(feature.length, feature.channels), dtype="float32", columns=columns)
    raise AssertionError(f"a {type(feature).__name__} has no input of its own")


def _feature(row: dict[str, Any]) -> Feature:
    made: type[Feature] = next(one for one in _KINDS_OF_FEATURE if one.tag == row["feature"])
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    values["kind"] = Kind(row["kind"])
    # What was stored by an earlier release lacks what has a default now.
    return made(**{field.name: values[field.name] for field in fields(made) if field.name in values})
