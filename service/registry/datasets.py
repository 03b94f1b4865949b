"""Stored data sets: their facts; the arrays and tables themselves lie in files."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select, update

from service.data.arrays import ArrayFacts
from service.data.table import ColumnFacts
from service.errors import Conflict, NotFound
from service.registry.database import Database
from service.registry.page import Page, after, cut
from service.registry.tables import ACTIVE, datasets, jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One data set: arrays, or a table, which has `columns` and no `arrays`.

    `format` is what was uploaded, `size_bytes` what is stored takes, and `sha256` is over that.
    """

    id: str
    created_at: datetime
    format: str
    rows: int
    size_bytes: int
    sha256: str
    arrays: tuple[ArrayFacts, ...]
    columns: tuple[ColumnFacts, ...] = ()

    @property
    def is_table(self) -> bool:
        return bool(self.columns)

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        arrays = tuple(map(ArrayFacts.from_json, row["arrays"]))
        return cls(**{**row, "arrays": arrays, "columns": tuple(map(ColumnFacts.from_json, row["columns"] or ()))})

    def to_row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created_at": self.created_at,
            "format": self.format,
            "rows": self.rows,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "arrays": [facts.to_json() for facts in self.arrays],
            "columns": [facts.to_json() for facts in self.columns] or None,
        }


#: All of a data set but its profile, which few ask for and which is long.
_FACTS = [column for column in datasets.c if column.name != "profile"]


class Datasets:
    """The data sets, the newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, dataset: Dataset, profile: dict[str, Any] | None = None) -> None:
        """Store a data set whose files are in place; a table comes with its profile."""
        with self._database.write() as connection:
            connection.execute(insert(datasets).values(dataset.to_row() | {"profile": profile}))

    def get(self, dataset_id: str) -> Dataset:
        """Read one data set; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(*_FACTS).where(datasets.c.id == dataset_id)).mappings().one_or_none()
        if row is None:
            raise _not_found(dataset_id)
        return Dataset.from_row(row)

    def profile(self, dataset_id: str) -> dict[str, Any]:
        """Read the profile of a table; raises NotFound where there is no such data set, or it is no table."""
        with self._database.read() as connection:
            row = connection.execute(select(datasets.c.profile).where(datasets.c.id == dataset_id)).one_or_none()
        if row is None:
            raise _not_found(dataset_id)
        if row.profile is None:
            raise NotFound(
                f"The data set {dataset_id} is arrays, and only tables have a profile. Upload records, such as a CSV "
                "file without `target`, to have one."
            )
        profile: dict[str, Any] = row.profile
        return profile

    def change_columns(self, dataset_id: str, columns: tuple[ColumnFacts, ...], profile: dict[str, Any]) -> None:
        """Say anew what a table's columns mean, with the profile that goes with it; raises NotFound."""
        values = {"columns": [facts.to_json() for facts in columns], "profile": profile}
        with self._database.write() as connection:
            changed = connection.execute(update(datasets).where(datasets.c.id == dataset_id).values(values))
            if not changed.rowcount:
                raise _not_found(dataset_id)

    def page(self, cursor: str | None, limit: int) -> Page[Dataset]:
        """List up to `limit` data sets, the newest first; raises Invalid for a made-up cursor."""
        statement = select(*_FACTS).order_by(datasets.c.id.desc()).limit(limit + 1)
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
