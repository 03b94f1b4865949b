"""The SHA-256 of a data set's arrays, made while they are written, so that nobody has to read them again."""

import hashlib
import json
from collections.abc import Iterable

from service.data.arrays import ArrayFacts


def head_line(facts: ArrayFacts) -> bytes:
    """What stands before an array's values in the digest: a JSON line of part, name, dtype and shape."""
    line = {"part": facts.part, "name": facts.name, "dtype": facts.dtype, "shape": list(facts.shape)}
    return json.dumps(line).encode() + b"\n"


class ContentDigest:
    """Follows the writing of arrays, one after the other; what it then says is what `store.content_sha256` would."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._before = self._digest.copy()
        self._heads: list[bytes] = []

    def begin(self, head: bytes) -> None:
        """Begin the next array; its values follow."""
        self._before = self._digest.copy()
        self._heads.append(head)
        self._digest.update(head)

    def begin_again(self, head: bytes) -> None:
        """Forget the array that was begun last; its values follow once more, in another type."""
        self._digest = self._before
        del self._heads[-1]
        self.begin(head)

    def update(self, values: memoryview) -> None:
        self._digest.update(values)

    def of(self, facts: Iterable[ArrayFacts]) -> str | None:
        """The hexadecimal digest, if exactly these arrays were written, in this order; else None."""
        return self._digest.hexdigest() if [head_line(fact) for fact in facts] == self._heads else None
