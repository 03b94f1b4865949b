"""Hides pandas from the process that imports this module, and from all that are forked from it.

Keras and PyArrow look for it, and import it where some other program has had it installed. kerasd gives them arrays
alone: it would only cost memory and time, and in the zygote it brings PyArrow, which starts a thread.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Finds that there is no pandas, before anybody else can find it."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Raise ModuleNotFoundError for pandas; leave all else to the finders after this one."""
        if fullname == "pandas":
            raise ModuleNotFoundError("kerasd does not use pandas", name=fullname)


sys.meta_path.insert(0, _NoPandas())
