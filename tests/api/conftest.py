"""Databases that an application opens are closed as those of the registry's own tests are."""

from tests.registry.conftest import closed_databases

__all__ = ["closed_databases"]
