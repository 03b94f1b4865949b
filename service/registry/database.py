"""The connection to the SQL database: short reads, and writes that are either whole and on the disk or not at all."""

import itertools
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, make_url, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

from service.errors import KerasdError, StorageFull, Unavailable
from service.registry.watch import Watch

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

#: PostgreSQL's advisory locks are numbers; this one is ours by agreement only: "kerasd" in ASCII.
_MIGRATION_LOCK = int.from_bytes(b"kerasd", "big")
_WAL_RACE_ENDS = (3, 51, 3)
#: Errors that pass by themselves, as SQLite and PostgreSQL (SQLSTATE) name them.
_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED", "40001", "40P01", "55P03", "57P03"}
#: A full disk; SQLite's second name for it is that of the index of its log, which every connection needs.
_FULL = {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "53100"}
#: Databases of SQLite that only the connection sees that has made them.
_IN_MEMORY = (None, "", ":memory:")


def wal_race_possible() -> bool:
    """Say whether this SQLite can, though rarely, spoil a database that two processes checkpoint at once."""
    return sqlite3.sqlite_version_info < _WAL_RACE_ENDS


class Database:
    """One database, by its SQLAlchemy URL; may be shared by threads, and each process makes connections of its own.

    `checkpoints` says that this process may move SQLite's write-ahead log into the database whenever it has grown:
    give it to one process only, or to none and let one call `checkpoint`.
    """

    def __init__(self, url: str, *, checkpoints: bool = False) -> None:
        self._url = make_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._checkpoints = checkpoints
        # By process: a connection that came through a fork is the parent's, and the child neither uses nor closes it,
        # since closing one end would disturb the other.
        self._engines: dict[int, Engine] = {}
        self._watches: dict[int, Watch] = {}
        self._watching = threading.Lock()
        self._watch_numbers = itertools.count()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection to read from; on SQLite it sees one state of the database until the block ends.

        Raises Unavailable when the database does not answer.
        """
        with _problems(), self._own_engine().begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed when the block ends, and undone when it raises.

        On SQLite the block is alone in writing from its first statement on. Raises Unavailable when the turn does not
        come within 10 s, and StorageFull when the disk is full.
        """
        with _problems(), self._own_engine().execution_options(writes=True).begin() as connection:
            yield connection

    @contextmanager
    def migrate(self) -> Iterator[Connection]:
        """Give a connection as `write` does, alone among all that call this, on PostgreSQL too."""
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            yield connection

    def insert(self, table: Table) -> "sqlite.Insert | postgresql.Insert":
        """Begin an INSERT that knows `on_conflict_do_update`, which each dialect has under a name of its own."""
        if self.is_sqlite:
            return sqlite.insert(table)
        # Its import takes as long as that of all other dialects together.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    def ping(self) -> None:
        """Ask the database for an answer; raises what `read` raises."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def state(self) -> int | None:
        """A number that is another one after each change that anybody commits; None where that is not known.

        It takes a microsecond, so that what was read can be kept until the number changes. SQLite alone has it.
        """
        return self._watched(Watch.state)

    def edition(self) -> int | None:
        """A number that is another one after each change of versions and aliases; None where that is not known.

        It takes as long as `state`, but does not change with every sign of life, or each epoch of a job.
        """
        return self._watched(Watch.edition)

    def _watched(self, look: Callable[[Watch], int]) -> int | None:
        if not self.is_sqlite or self._url.database in _IN_MEMORY:
            return None
        try:
            with self._watching:
                return look(self._watches.get(os.getpid()) or self._new_watch())
        except sqlite3.Error:
            # Who asks must not wait for a database that is busy: to know nothing is an answer, too.
            return None

    def _new_watch(self) -> Watch:
        place, given = self._own_engine().dialect.create_connect_args(self._url)
        watch = Watch(next(self._watch_numbers), str(place[0]), given)
        return self._watches.setdefault(os.getpid(), watch)

    def checkpoint(self, *, truncate: bool = True) -> bool:
        """Move SQLite's write-ahead log into the database; False when readers or writers kept a part of it.

        With `truncate` it waits for readers, up to 10 s, and empties the log's file. Other databases need nothing.
        """
        if not self.is_sqlite:
            return True
        # A checkpoint is not possible inside a transaction, so this goes past SQLAlchemy, which would begin one.
        connection = self._own_engine().raw_connection()
        try:
            mode = "TRUNCATE" if truncate else "PASSIVE"
            row = connection.cursor().execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        finally:
            connection.close()
        busy, in_log, moved = row
        return not busy and in_log == moved

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()
        watch = self._watches.pop(os.getpid(), None)
        if watch is not None:
            watch.close()

    def _own_engine(self) -> Engine:
        engine = self._engines.get(os.getpid())
        # Of two threads that both find none, one's is kept; the other's has not connected yet, and is just dropped.
        return engine or self._engines.setdefault(os.getpid(), self._new_engine())

    def _new_engine(self) -> Engine:
        # JSON has no NaN, and PostgreSQL refuses it: better to learn of one here than from a client.
        dumps = partial(json.dumps, allow_nan=False, separators=(",", ":"))
        engine = create_engine(self._url, json_serializer=dumps, pool_pre_ping=not self.is_sqlite)
        if self.is_sqlite:
            event.listen(engine, "connect", self._prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _prepare_sqlite(self, connection: Any, _record: Any) -> None:
        # The driver's own BEGINs are turned off; `_begin_sqlite` says when a transaction begins.
        connection.isolation_level = None
        # The timeout stands first, because a change of the journal may have to wait already.
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if not self._checkpoints:
            connection.execute("PRAGMA wal_autocheckpoint = 0")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail at once where it could have waited; an immediate one
    # takes the writer's turn before it reads.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        problem = _problem(error)
        if problem is None:
            raise
        raise problem from error


def _problem(error: OperationalError) -> KerasdError | None:
    name = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or ""
    if name in _FULL:
        return StorageFull("The disk of the database is full, so that nothing was stored: make room, then try again.")
    if name in _BUSY or name.startswith("SQLITE_BUSY_") or error.connection_invalidated:
        return Unavailable("The database did not answer in time, so that nothing was stored: try again.", retry_after=1)
    return None
