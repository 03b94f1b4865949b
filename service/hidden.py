"""Hides libraries that others look for, and that some other program has had installed, from this process and its forks.

What is looked for in vain costs neither time nor memory, and starts no thread.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _Hidden(MetaPathFinder):
    """Finds that there are no such libraries, before anybody else can find them."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Raise ModuleNotFoundError for a hidden library; leave all else to the finders after this one."""
        if fullname in self._names:
            raise ModuleNotFoundError(f"kerasd does not use {fullname}", name=fullname)


def hide(*names: str) -> None:
    """Let no later import find these libraries."""
    sys.meta_path.insert(0, _Hidden(frozenset(names)))
