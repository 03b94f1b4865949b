"""Databases that an application opens are closed as those of the registry's own tests are; some tests need the rest."""

from tests.registry.conftest import (
    claim,
    claims,
    closed_databases,
    database,
    dataset,
    datasets,
    jobs,
    models,
    open_database,
    submit,
    train,
    url,
)

__all__ = [
    "claim",
    "claims",
    "closed_databases",
    "database",
    "dataset",
    "datasets",
    "jobs",
    "models",
    "open_database",
    "submit",
    "train",
    "url",
]
