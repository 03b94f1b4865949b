"""Trained models and their versions: their facts; the weights themselves lie in files."""

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from service.errors import Conflict, NotFound
from service.registry.database import Database
from service.registry.ids import new_id
from service.registry.page import Page, after, cut
from service.registry.tables import ACTIVE, aliases, jobs, models, versions

#: The largest number that a column of 32 bits holds.
MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A name with trained versions: how many there are, and the number of the latest."""

    name: str
    created_at: datetime
    versions: int
    latest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What a successful job, or an import, has made, before the registry gives it a number.

    `engine` is what serves it, "onnxruntime" or "tensorflow", and `engine_reason` says why it is the latter;
    `max_difference` is the largest one between ONNX Runtime's predictions and Keras's. `size_bytes` is what its files
    take. `weights_epoch` is the epoch whose weights these are, `request_sha256` is over all that the client asked for,
    `machine` is the kind that trained it: these are None in versions that are older than they. `initial` says which
    version's weights it started from.

    `imported` says what file it came from, and is None where a job made it. Of an import, what concerns a training is
    None, and `compile` is what the file said, if kerasd offers it.

    `preparation` is a `Preparation` as JSON where it was trained on a table, `evaluation` what its test rows said of it
    where there were any.
    """

    id: str
    model: str
    job: str | None
    architecture: dict[str, Any]
    compile: dict[str, Any] | None
    fit: dict[str, Any] | None
    summary: list[dict[str, Any]]
    parameters: int
    metrics: dict[str, float | None]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    seed: int | None
    threads: int | None
    dataset_sha256: str | None
    weights_sha256: str
    size_bytes: int
    engine: Literal["onnxruntime", "tensorflow"]
    engine_reason: str | None
    max_difference: float | None
    libraries: dict[str, str]
    jit_compile: bool | None
    weights_epoch: int | None
    request_sha256: str | None
    machine: str | None
    validation_dataset_sha256: str | None
    initial: dict[str, Any] | None
    imported: dict[str, Any] | None = None
    preparation: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(NewVersion):
    """A version that can be asked for predictions; it never changes."""

    number: int
    created_at: datetime

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})


class Models:
    """The models that have a version, the newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, cursor: str | None, limit: int) -> Page[Model]:
        """List up to `limit` models, the newest first; raises Invalid for a made-up cursor."""
        statement = _models().order_by(models.c.id.desc()).limit(limit + 1)
        last = after(cursor, str)
        if last is not None:
            statement = statement.where(models.c.id < last)
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        page = cut(rows, limit, lambda row: row["id"])
        return Page(items=tuple(_model(row) for row in page.items), next_cursor=page.next_cursor)

    def get(self, name: str) -> Model:
        """Read one model; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(_models().where(models.c.name == name)).mappings().one_or_none()
        if row is None:
            raise model_not_found(name)
        return _model(row)

    def numbers(self, name: str) -> list[int]:
        """The numbers of a model's versions, the newest first; none where there is no such model."""
        statement = select(versions.c.number).where(versions.c.model == name).order_by(versions.c.number.desc())
        with self._database.read() as connection:
            return list(connection.scalars(statement))

    def all_numbers(self) -> list[tuple[str, int]]:
        """The name and the number of every version, by name, the newest first."""
        statement = select(versions.c.model, versions.c.number).order_by(versions.c.model, versions.c.number.desc())
        with self._database.read() as connection:
            return [(row.model, row.number) for row in connection.execute(statement)]

    def add(self, version: NewVersion, now: datetime) -> Version:
        """Give a version that no job has made the next number of its model; its files are in their place by then."""
        with self._database.write() as connection:
            return publish(self._database, connection, version, now)

    def delete(self, name: str) -> list[str]:
        """Delete all versions of a model with its aliases, and return their ids, whose files are to be deleted next.

        Raises NotFound, and Conflict while a job that has not ended is for the model, or starts from a version of it.
        """
        every = versions.c.model == name
        with self._database.write() as connection:
            _refuse_awaited(connection, name)
            _refuse_needed(connection, every)
            connection.execute(delete(aliases).where(aliases.c.model == name))
            deleted = connection.scalars(delete(versions).where(every).returning(versions.c.id))
            ids = sorted(deleted)
        if not ids:
            raise model_not_found(name)
        return ids

    def versions(self, name: str, cursor: str | None, limit: int) -> Page[Version]:
        """List up to `limit` versions of a model, the newest first; raises NotFound, and Invalid for the cursor."""
        statement = select(versions).where(versions.c.model == name).order_by(versions.c.number.desc())
        last = after(cursor, int)
        if last is not None:
            statement = statement.where(versions.c.number < last)
        with self._database.read() as connection:
            rows = connection.execute(statement.limit(limit + 1)).mappings().all()
            if not rows and not _has_versions(connection, name):
                raise model_not_found(name)
        return cut([Version.from_row(row) for row in rows], limit, lambda version: version.number)

    def version(self, name: str, number: int) -> Version:
        """Read one version; raises NotFound."""
        statement = select(versions).where(is_version(name, number))
        with self._database.read() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise version_not_found(name, number)
        return Version.from_row(row)

    def latest(self, name: str) -> Version:
        """Read the version of a model that has the highest number; raises NotFound."""
        statement = select(versions).where(versions.c.model == name).order_by(versions.c.number.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise model_not_found(name)
        return Version.from_row(row)

    def aliased(self, name: str, alias: str) -> Version:
        """Read the version that an alias points to; raises NotFound."""
        pointing = and_(aliases.c.model == versions.c.model, aliases.c.version == versions.c.number)
        statement = select(versions).join(aliases, pointing).where(aliases.c.model == name, aliases.c.name == alias)
        with self._database.read() as connection:
            row = connection.execute(statement).mappings().one_or_none()
            if row is None and not _has_versions(connection, name):
                raise model_not_found(name)
        if row is None:
            raise NotFound(
                f"The model {name!r} has no alias {alias[:100]!r}. A version's number, `latest` or an alias was "
                "expected: list the model's aliases to see them."
            )
        return Version.from_row(row)

    def newest(self) -> tuple[str | None, str | None]:
        """The id of the newest version and the newest revision of an alias: other ones once there is more to serve."""
        statement = select(
            select(func.max(versions.c.id)).scalar_subquery(), select(func.max(aliases.c.revision)).scalar_subquery()
        )
        with self._database.read() as connection:
            version, revision = connection.execute(statement).one()
        return version, revision

    def found_without_number(self, limit: int) -> list[Version]:
        """List the versions that clients find without naming a number, newest first: each model's latest, and aliased.

        There are at most `limit` of them.
        """
        latest = select(versions.c.model, func.max(versions.c.number)).group_by(versions.c.model)
        aliased = select(aliases.c.model, aliases.c.version)
        place = tuple_(versions.c.model, versions.c.number)
        statement = select(versions).where(or_(place.in_(latest), place.in_(aliased)))
        with self._database.read() as connection:
            rows = connection.execute(statement.order_by(versions.c.id.desc()).limit(limit)).mappings().all()
        return [Version.from_row(row) for row in rows]

    def delete_version(self, name: str, number: int) -> str:
        """Delete one version, and return its id, whose files are to be deleted next.

        Raises NotFound, and Conflict while a job that has not ended starts from it, or an alias points to it.
        """
        statement = delete(versions).where(is_version(name, number)).returning(versions.c.id)
        with self._database.write() as connection:
            _refuse_needed(connection, is_version(name, number))
            _refuse_pointed_to(connection, name, number)
            deleted: str | None = connection.scalar(statement)
        if deleted is None:
            raise version_not_found(name, number)
        return deleted

    def version_ids(self) -> set[str]:
        """The ids of all versions."""
        with self._database.read() as connection:
            return set(connection.scalars(select(versions.c.id)))


def publish(database: Database, connection: Connection, version: NewVersion, now: datetime) -> Version:
    """Give the version the next number of its model, and insert it, as a part of the caller's transaction."""
    number = _next_number(database, connection, version.model, now)
    inserted = insert(versions).values(**asdict(version), number=number, created_at=now).returning(versions)
    return Version.from_row(connection.execute(inserted).mappings().one())


def is_version(name: str, number: int) -> ColumnElement[bool]:
    """Match one version. A number that no column can hold names none, and must not reach the database."""
    if number > MAX_NUMBER:
        return false()
    return and_(versions.c.model == name, versions.c.number == number)


def _next_number(database: Database, connection: Connection, name: str, now: datetime) -> int:
    # The row is made or raised by one statement, which also makes a second transaction for the same name wait.
    counted = (
        database.insert(models)
        .values(name=name, id=new_id("mod"), created_at=now, last_number=1)
        .on_conflict_do_update(index_elements=["name"], set_={"last_number": models.c.last_number + 1})
        .returning(models.c.last_number)
    )
    number: int = connection.execute(counted).scalar_one()
    if not _has_versions(connection, name):
        # The name is used for the first time, or again after all its versions were deleted: the model is new.
        renewed = {"id": new_id("mod"), "created_at": now}
        connection.execute(update(models).where(models.c.name == name).values(renewed))
    return number


def _has_versions(connection: Connection, name: str) -> bool:
    return connection.scalar(select(versions.c.id).where(versions.c.model == name).limit(1)) is not None


def _models() -> Select[Any]:
    return (
        select(
            models.c.id,
            models.c.name,
            models.c.created_at,
            func.count(versions.c.id).label("versions"),
            func.max(versions.c.number).label("latest"),
        )
        .join(versions, versions.c.model == models.c.name)
        .group_by(models.c.id, models.c.name, models.c.created_at)
    )


def _model(row: RowMapping) -> Model:
    return Model(name=row["name"], created_at=row["created_at"], versions=row["versions"], latest=row["latest"])


def _refuse_awaited(connection: Connection, name: str) -> None:
    awaited = select(jobs.c.id).where(jobs.c.model == name, jobs.c.status.in_(ACTIVE)).order_by(jobs.c.id)
    found = connection.scalars(awaited).all()
    if found:
        raise Conflict(
            f"The model {name!r} is awaited from {', '.join(found)}. Only a model without queued, running or paused "
            "jobs can be deleted: cancel these jobs or wait for their end, then delete it again."
        )


def _refuse_pointed_to(connection: Connection, name: str, number: int) -> None:
    if number > MAX_NUMBER:
        return
    pointing = select(aliases.c.name).where(aliases.c.model == name, aliases.c.version == number)
    found = connection.scalars(pointing.order_by(aliases.c.name)).all()
    if found:
        raise Conflict(
            f"{', '.join(found)} of the model {name!r} points to version {number}, so that clients rely on it: move or "
            "delete the alias first."
        )


def _refuse_needed(connection: Connection, which: ColumnElement[bool]) -> None:
    # The lock makes a job that is being submitted with one of these versions wait, or this deletion wait for the job.
    ids = connection.scalars(select(versions.c.id).where(which).with_for_update()).all()
    needing = select(jobs.c.id).where(jobs.c.initial_version.in_(ids), jobs.c.status.in_(ACTIVE)).order_by(jobs.c.id)
    found = connection.scalars(needing).all()
    if found:
        raise Conflict(
            f"The training of {', '.join(found)} starts from these weights. Only a version that no queued, running or "
            "paused job starts from can be deleted: cancel these jobs or wait for their end, then delete it again."
        )


def model_not_found(name: str) -> NotFound:
    return NotFound(
        f"There is no model {name[:100]!r}. The name of a model with a trained version was expected: list the models "
        "to see their names, and the jobs to see which are still in training."
    )


def version_not_found(name: str, number: int) -> NotFound:
    return NotFound(
        f"The model {name[:100]!r} has no version {number}. The number of a version that was trained and not deleted "
        "was expected: list the model's versions to see their numbers."
    )
