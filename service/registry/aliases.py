"""Aliases: names such as `stable` under which clients find the version of a model that is to answer them.

To move an alias, a client says which of its revisions it has seen. Two that want to move it at once cannot both
succeed, and the one that comes too late is told where the alias points now.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Self

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, select

from service.errors import Fault, Invalid, NotFound, PreconditionFailed, PreconditionRequired
from service.registry.database import Database
from service.registry.ids import new_id
from service.registry.models import is_version, model_not_found, version_not_found
from service.registry.page import Page, after, cut
from service.registry.tables import aliases, versions

#: Matches whatever revision there is.
ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for a version of a model, and the version that it pointed to before its last move, if there was one."""

    model: str
    name: str
    version: int
    previous_version: int | None
    revision: str
    updated_at: datetime

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        return cls(**{field.name: row[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a client says it has seen: an alias in one of these `revisions`, or, with `nothing`, that there is none.

    `revisions` is None where it does not say.
    """

    revisions: Collection[str] | None = None
    nothing: bool = False


class Aliases:
    """The aliases of all models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, model: str, cursor: str | None, limit: int) -> Page[Alias]:
        """List up to `limit` aliases of a model, by name; raises NotFound, and Invalid for a made-up cursor."""
        statement = select(aliases).where(aliases.c.model == model).order_by(aliases.c.name)
        last = after(cursor, str)
        if last is not None:
            statement = statement.where(aliases.c.name > last)
        with self._database.read() as connection:
            _refuse_unknown_model(connection, model)
            rows = connection.execute(statement.limit(limit + 1)).mappings().all()
        return cut([Alias.from_row(row) for row in rows], limit, lambda alias: alias.name)

    def get(self, model: str, name: str) -> Alias:
        """Read one alias; raises NotFound."""
        with self._database.read() as connection:
            alias = _find(connection, model, name)
            if alias is None:
                _refuse_unknown_model(connection, model)
                raise _not_found(connection, model, name)
        return alias

    def put(self, model: str, name: str, version: int, seen: Seen, now: datetime) -> Alias:
        """Make the alias point to a version of the model.

        Raises:
            NotFound: there is no such model.
            Invalid: the model has no such version.
            PreconditionRequired: there is such an alias, and the client does not say that it has seen it.
            PreconditionFailed: the alias is no longer what the client has seen.
        """
        with self._database.write() as connection:
            _refuse_unknown_model(connection, model)
            # The lock makes a deletion of the version wait until it can see the alias.
            which = select(versions.c.id).where(is_version(model, version)).with_for_update()
            if connection.scalar(which) is None:
                raise Invalid(
                    "The alias cannot point there: see errors.",
                    [Fault(pointer="/version", detail=version_not_found(model, version).detail)],
                )
            before = _find(connection, model, name, lock=True)
            _check(before, model, name, seen)
            connection.execute(delete(aliases).where(_is(model, name)))
            values = {
                "model": model,
                "name": name,
                "version": version,
                "previous_version": _previous(before, version),
                "revision": new_id("rev"),
                "updated_at": now,
            }
            insertion = self._database.insert(aliases).values(**values).on_conflict_do_nothing().returning(aliases)
            row = connection.execute(insertion).mappings().one_or_none()
        if row is None:
            # On PostgreSQL, two clients that have both seen no alias get here at once.
            raise PreconditionFailed(f"The alias {name!r} of {model!r} was just made by somebody else. {_LOOK}")
        return Alias.from_row(row)

    def delete(self, model: str, name: str, seen: Seen) -> None:
        """Remove an alias; raises NotFound, PreconditionRequired and PreconditionFailed."""
        with self._database.write() as connection:
            before = _find(connection, model, name, lock=True)
            if before is None:
                _refuse_unknown_model(connection, model)
                raise _not_found(connection, model, name)
            _check(before, model, name, seen)
            connection.execute(delete(aliases).where(_is(model, name)))


def _previous(before: Alias | None, version: int) -> int | None:
    """Where to go back to; to point an alias to where it points already changes nothing of that."""
    if before is None:
        return None
    return before.previous_version if before.version == version else before.version


_LOOK = "GET it for its present ETag, decide again, and send that as If-Match."


def _check(alias: Alias | None, model: str, name: str, seen: Seen) -> None:
    if alias is None:
        if seen.revisions is not None:
            raise PreconditionFailed(
                f"If-Match came, but the model {model!r} has no alias {name!r}. To make it, leave If-Match out, or "
                "send If-None-Match: * to make sure that nobody else makes it first."
            )
        return
    stands = f'The alias {name!r} of {model!r} points to version {alias.version}, with the ETag "{alias.revision}"'
    if seen.nothing:
        raise PreconditionFailed(f"{stands}, and If-None-Match: * came, which only makes an alias anew. {_LOOK}")
    if seen.revisions is None:
        raise PreconditionRequired(
            f"{stands}. Send that ETag as If-Match to change it, so that nobody's change is lost unseen."
        )
    if ANY not in seen.revisions and alias.revision not in seen.revisions:
        raise PreconditionFailed(f"{stands}, and If-Match names another one: it was changed meanwhile. {_LOOK}")


def _find(connection: Connection, model: str, name: str, *, lock: bool = False) -> Alias | None:
    statement = select(aliases).where(_is(model, name))
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    return None if row is None else Alias.from_row(row)


def _is(model: str, name: str) -> ColumnElement[bool]:
    return and_(aliases.c.model == model, aliases.c.name == name)


def _refuse_unknown_model(connection: Connection, model: str) -> None:
    if connection.scalar(select(versions.c.id).where(versions.c.model == model).limit(1)) is None:
        raise model_not_found(model)


def _not_found(connection: Connection, model: str, name: str) -> NotFound:
    known = connection.scalars(
        select(aliases.c.name).where(aliases.c.model == model).order_by(aliases.c.name).limit(20)
    )
    listed = ", ".join(known) or "none"
    return NotFound(f"The model {model!r} has no alias {name[:100]!r}. Its aliases: {listed}.")
