"""Which version a request means, and what it meant if that one is deleted meanwhile."""

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from service.architecture.compilation import family_of
from service.errors import NotFound
from service.features.answer import Logits, labels_of_numbers
from service.features.preparation import Preparation
from service.inference.plain import PlainReader
from service.inference.records import RecordReader
from service.inference.signature import Signature
from service.registry.database import Database
from service.registry.models import Models, Version
from service.schemas.models import LATEST

Result = TypeVar("Result")

#: How many answers to "which version is that now" are remembered.
_MOST_REMEMBERED = 4096
#: How much of what is expected of an answer comes from those before the last one, and how many seconds the last one
#: counts at most: one that took far longer than those before it says more of the machine than of the network.
_MEMORY_OF_PACE = 0.8
_MOST_COUNTED = 0.003


class Pace:
    """How long answers have lately taken in this process, in seconds, by about how long their requests were."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def note(self, size: int, seconds: float) -> None:
        """Note how long the answer to a body of so many bytes took; earlier ones still count."""
        kind, counted = size.bit_length(), min(seconds, _MOST_COUNTED)
        self._seconds[kind] = counted + _MEMORY_OF_PACE * (self._seconds.get(kind, counted) - counted)

    def expected(self, size: int) -> float | None:
        """How long the answer to such a body will take; None before the first."""
        return self._seconds.get(size.bit_length())


class Reader(Protocol):
    """Reads the common form of a body: `{"instances": [...]}` of what the version takes."""

    def read(self, content: bytes) -> dict[str, np.ndarray[Any, Any]] | None:
        """The arrays by input name; None where it has not that form, or is wrong."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version, and what is made of it once for all the requests that it answers.

    With a `preparation`, its clients send records and read labels. `logits` are its outputs that are no probabilities,
    `labels` what the numbers of an output are the probabilities of.
    """

    version: Version
    signature: Signature
    preparation: Preparation | None
    logits: Logits
    labels: Mapping[str, tuple[str, ...]]
    reader: Reader
    pace: Pace
    #: Who answers: its number, and the hash of its weights.
    headers: tuple[tuple[str, str], ...]
    #: How its answers in JSON end.
    tail: bytes

    @classmethod
    def of(cls, version: Version) -> "Served":
        signature = Signature.from_json({"inputs": version.inputs, "outputs": version.outputs})
        headers = (("X-Model-Version", str(version.number)), ("X-Weights-SHA256", version.weights_sha256))
        preparation = None if version.preparation is None else Preparation.from_json(version.preparation)
        return cls(
            version=version,
            signature=signature,
            preparation=preparation,
            logits=_logits(version.compile),
            labels={} if preparation is None else labels_of_numbers(preparation, _places(signature)),
            reader=PlainReader(signature) if preparation is None else RecordReader(preparation),
            pace=Pace(),
            headers=headers,
            tail=b',"model":%b,"version":%d}\n' % (json.dumps(version.model).encode(), version.number),
        )


@dataclass(frozen=True, slots=True)
class _Remembered:
    edition: int
    served: Served


class Versions:
    """Finds versions, and remembers which it found for as long as nobody has changed a version or an alias."""

    def __init__(self, database: Database, models: Models) -> None:
        self._database = database
        self._models = models
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[str, str], _Remembered] = OrderedDict()

    def find(self, name: str, wanted: str = LATEST) -> Served:
        """Give the version of a number, the newest one (`latest`), or the one that an alias points to.

        Raises NotFound.
        """
        return self._find(name, wanted, lambda: self._read(name, wanted))

    def aliased(self, name: str, alias: str) -> Served:
        """Give the version that an alias points to, also where it is called as a number is; raises NotFound."""
        return self._find(name, f"@{alias}", lambda: self._models.aliased(name, alias))

    def known(self, name: str, wanted: str = LATEST) -> Served | None:
        """Give the version as `find` does if that takes no time, or None; for the event loop, which must not wait."""
        return self._known(name, wanted, self._database.edition())

    def use(self, name: str, wanted: str, use: Callable[[Served], Result]) -> Result:
        """Use the version that is found.

        Where `use` raises NotFound, since the version was deleted after it had been found, its successor is used: the
        one that is found now. NotFound if there is none.
        """
        return with_successor(lambda: self.find(name, wanted), use)

    def _find(self, name: str, wanted: str, read: Callable[[], Version]) -> Served:
        edition = self._database.edition()
        known = self._known(name, wanted, edition)
        if known is not None:
            return known
        version = read()
        before = self._found.get((name, wanted))
        # A version never changes, so that what was made of it is made once, however often others come.
        served = before.served if before is not None and before.served.version.id == version.id else Served.of(version)
        if edition is not None:
            self._remember(name, wanted, _Remembered(edition, served))
        return served

    def _known(self, name: str, wanted: str, edition: int | None) -> Served | None:
        known = self._found.get((name, wanted))
        return known.served if known is not None and edition is not None and known.edition == edition else None

    def _read(self, name: str, wanted: str) -> Version:
        if wanted.isascii() and wanted.isdecimal():
            # Python does not read numbers of thousands of digits, and no version has a number of 19.
            return self._models.version(name, int(wanted[:19]))
        return self._models.latest(name) if wanted == LATEST else self._models.aliased(name, wanted)

    def _remember(self, name: str, wanted: str, found: _Remembered) -> None:
        with self._lock:
            self._found[name, wanted] = found
            self._found.move_to_end((name, wanted))
            while len(self._found) > _MOST_REMEMBERED:
                self._found.popitem(last=False)


def _logits(compilation: dict[str, Any] | None) -> Logits:
    """The outputs whose loss takes logits, and what makes probabilities of them."""
    losses = (compilation or {}).get("loss")
    return {
        output: "sigmoid" if family_of(loss) == "binary" else "softmax"
        for output, loss in (losses.items() if isinstance(losses, dict) else ())
        if isinstance(loss, dict) and loss.get("from_logits")
    }


def _places(signature: Signature) -> dict[str, int]:
    """How many numbers a row of each output has; a size that is not fixed counts as none."""
    return {spec.name: math.prod(size or 0 for size in spec.shape) for spec in signature.outputs}


def with_successor(find: Callable[[], Served], use: Callable[[Served], Result]) -> Result:
    """Use what `find` gives; where it was deleted meanwhile, what `find` gives then."""
    served = find()
    while True:
        try:
            return use(served)
        except NotFound:
            successor = find()
            if successor.version.id == served.version.id:
                raise
            served = successor
