"""Which version a request means, and what it meant if that one is deleted meanwhile."""

from collections.abc import Callable
from typing import TypeVar

from service.errors import NotFound
from service.inference.signature import Signature
from service.registry.models import Models, Version
from service.schemas.models import LATEST

Result = TypeVar("Result")


def find_version(models: Models, name: str, wanted: str) -> Version:
    """The version of a number, the newest one (`latest`), or the one that an alias points to; raises NotFound."""
    if wanted.isascii() and wanted.isdecimal():
        # Python does not read numbers of thousands of digits, and no version has a number of 19.
        return models.version(name, int(wanted[:19]))
    return models.latest(name) if wanted == LATEST else models.aliased(name, wanted)


def signature_of(version: Version) -> Signature:
    """What a version takes and gives."""
    return Signature.from_json({"inputs": version.inputs, "outputs": version.outputs})


def with_version(find: Callable[[], Version], use: Callable[[Version], Result]) -> Result:
    """Use the version that `find` gives.

    Where `use` raises NotFound, since the version was deleted after it had been found, its successor is used: the one
    that `find` gives now. NotFound if there is none.
    """
    version = find()
    while True:
        try:
            return use(version)
        except NotFound:
            successor = find()
            if successor.id == version.id:
                raise
            version = successor
