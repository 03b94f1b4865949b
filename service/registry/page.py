"""Pages of a long list, and the opaque cursors that lead from one to the next."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import Invalid

Item = TypeVar("Item")
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """Some items, the newest first; `next_cursor` is None on the last page."""

    items: tuple[Item, ...]
    next_cursor: str | None


def cut(items: Sequence[Item], limit: int, key: Callable[[Item], object]) -> Page[Item]:
    """Make a page of `limit` items out of `limit + 1` that were asked for: the one too many proves a next page."""
    shown = tuple(items[:limit])
    return Page(items=shown, next_cursor=_encode(str(key(shown[-1]))) if len(items) > limit else None)


def after(cursor: str | None, parse: Callable[[str], Key]) -> Key | None:
    """Read the last key of the page before, None where there was none; raise Invalid for a made-up cursor."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return parse(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii"))
    except ValueError as error:
        raise Invalid(
            f"The cursor {cursor[:100]!r} is not one of this list. The `next_cursor` of the page before was expected: "
            "pass it on unchanged, or leave the cursor out to begin with the newest."
        ) from error


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode("ascii")).decode("ascii").rstrip("=")
