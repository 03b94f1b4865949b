"""Stored data sets: their facts; the arrays themselves lie in files."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select

from service.data.arrays import ArrayFacts
from service.errors import Conflict, NotFound
from service.registry.database import Database
from service.registry.page import Page, after, cut
from service.registry.tables import ACTIVE, datasets, jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One data set; `format` is what was uploaded, `size_bytes` what the stored arrays take, `sha256` is theirs."""

    id: str
    created_at: datetime
    format: str
    rows: int
    size_bytes: int
    sha256: str
    arrays: tuple[ArrayFacts, ...]

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        return cls(**{**row, "arrays": tuple(ArrayFacts.from_json(facts) for facts in row["arrays"])})

    def to_row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created_at": self.created_at,
            "format": self.format,
            "rows": self.rows,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "arrays": [facts.to_json() for facts in self.arrays],
        }


class Datasets:
    """The data sets, the newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, dataset: Dataset) -> None:
        """Store a data set whose files are in place."""
        with self._database.write() as connection:
            connection.execute(insert(datasets).values(dataset.to_row()))

    def get(self, dataset_id: str) -> Dataset:
        """Read one data set; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(datasets).where(datasets.c.id == dataset_id)).mappings().one_or_none()
        if row is None:
            raise _not_found(dataset_id)
        return Dataset.from_row(row)

    def page(self, cursor: str | None, limit: int) -> Page[Dataset]:
        """List up to `limit` data sets, the newest first; raises Invalid for a made-up cursor."""
        statement = select(datasets).order_by(datasets.c.id.desc()).limit(limit + 1)
        last = after(cursor, str)
        if last is not None:
            statement = statement.where(datasets.c.id < last)
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return cut([Dataset.from_row(row) for row in rows], limit, lambda dataset: dataset.id)

    def twin(self, sha256: str) -> str | None:
        """The id of the oldest data set with this content, if there is one."""
        with self._database.read() as connection:
            return connection.scalar(
                select(datasets.c.id).where(datasets.c.sha256 == sha256).order_by(datasets.c.id).limit(1)
            )

    def delete(self, dataset_id: str) -> None:
        """Delete one data set's row; raises NotFound, and Conflict while a job that has not ended uses it."""
        with self._database.write() as connection:
            # The lock makes a job that is being submitted with this data set wait, or this deletion wait for the job.
            locked = select(datasets.c.id).where(datasets.c.id == dataset_id).with_for_update()
            if connection.scalar(locked) is None:
                raise _not_found(dataset_id)
            _refuse_used(connection, dataset_id)
            connection.execute(delete(datasets).where(datasets.c.id == dataset_id))

    def ids(self) -> set[str]:
        """The ids of all data sets."""
        with self._database.read() as connection:
            return set(connection.scalars(select(datasets.c.id)))


def _refuse_used(connection: Connection, dataset_id: str) -> None:
    uses = or_(jobs.c.dataset == dataset_id, jobs.c.validation_dataset == dataset_id)
    users = connection.scalars(select(jobs.c.id).where(uses, jobs.c.status.in_(ACTIVE)).order_by(jobs.c.id)).all()
    if users:
        raise Conflict(
            f"The data set {dataset_id} is in use by {', '.join(users)}. Only a data set that no queued, running or "
            "paused job uses can be deleted: cancel these jobs or wait for their end, then delete it again."
        )


def _not_found(dataset_id: str) -> NotFound:
    return NotFound(
        f"There is no data set {dataset_id[:100]!r}. The id of a stored data set was expected: list the data sets to "
        "see their ids."
    )
