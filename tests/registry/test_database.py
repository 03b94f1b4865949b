"""The connection: settings of SQLite, whole transactions, threads, forks and checkpoints."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, OperationalError

from service.errors import StorageFull, Unavailable
from service.registry import database as module
from service.registry.aliases import ANY, Aliases, Seen
from service.registry.database import Database, wal_race_possible
from service.registry.job import Job
from service.registry.models import Models
from service.registry.supervisors import Supervisors
from service.registry.tables import models
from tests.registry.conftest import NOON, an_import

PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000, "wal_autocheckpoint": 0}


@pytest.mark.parametrize(("pragma", "value"), PRAGMAS.items())
def test_each_connection_is_durable_and_patient(database: Database, pragma: str, value: object) -> None:
    """A commit is on the disk when it returns, and a busy database is waited for."""
    with database.read() as connection:
        assert connection.scalar(text(f"PRAGMA {pragma}")) == value


def test_one_process_may_checkpoint_by_itself(open_database: Callable[..., Database]) -> None:
    """With `checkpoints`, SQLite moves its log into the database whenever 1000 pages have gathered."""
    with open_database(checkpoints=True).read() as connection:
        assert connection.scalar(text("PRAGMA wal_autocheckpoint")) == 1000


def test_a_write_that_raises_is_undone(database: Database) -> None:
    """Nothing of a transaction stays when its block raises."""
    with pytest.raises(IntegrityError):
        _insert_model_twice(database)
    with database.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM models")) == 0


def test_a_reader_sees_one_state_while_another_writes(database: Database, submit: Callable[..., Job]) -> None:
    """A read does not block a write, and does not see what is committed after it began."""
    count = text("SELECT count(*) FROM jobs")
    with database.read() as connection:
        assert connection.scalar(count) == 0
        submit()
        assert connection.scalar(count) == 0
    with database.read() as connection:
        assert connection.scalar(count) == 1


def test_threads_take_turns_in_writing(database: Database, submit: Callable[..., Job]) -> None:
    """Threads that write at once all succeed."""
    with ThreadPoolExecutor(8) as threads:
        submitted = list(threads.map(lambda _: submit().id, range(40)))
    assert len(set(submitted)) == 40


# Newer Pythons warn of a fork beside threads, which other tests of the same run may have started.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_opens_connections_of_its_own(database: Database, submit: Callable[..., Job]) -> None:
    """A child that inherits the database writes without disturbing its parent."""
    submit()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            submit()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    submit()
    with database.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM jobs")) == 3
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"


def test_a_checkpoint_empties_the_log(database: Database, submit: Callable[..., Job], tmp_path: Path) -> None:
    """After a truncating checkpoint all is in the database's file."""
    log = tmp_path / "registry.sqlite3-wal"
    submit()
    assert log.stat().st_size > 0
    assert database.checkpoint()
    assert log.stat().st_size == 0


def test_a_checkpoint_says_when_a_reader_keeps_a_part(database: Database, submit: Callable[..., Job]) -> None:
    """A passive checkpoint does not wait, and is not complete while a reader needs the state before."""
    with database.read() as connection:
        connection.scalar(text("SELECT count(*) FROM jobs"))
        submit()
        assert not database.checkpoint(truncate=False)
    assert database.checkpoint(truncate=False)


def test_a_database_that_stays_locked_is_unavailable(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot get a turn to write is told to try again."""
    with database.read() as connection:
        connection.execute(text("PRAGMA busy_timeout = 10"))
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="try again") as caught, database.write():
            pass
    assert caught.value.retry_after == 1


def test_a_full_disk_is_a_full_storage(database: Database) -> None:
    """A database that cannot grow says so in the service's own words."""
    with database.read() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StorageFull, match="make room"), database.write() as connection:
        connection.execute(text("CREATE TABLE large AS SELECT randomblob(10000000)"))


def test_a_full_disk_before_the_first_word_is_a_full_storage(database: Database) -> None:
    """On a disk without a free page SQLite cannot even make the index of its log, and has another name for that."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    with pytest.raises(StorageFull, match="make room"), database.read():
        raise OperationalError("BEGIN", {}, error)


def test_other_errors_of_the_database_are_not_disguised(database: Database) -> None:
    """A wrong statement is our fault, not the client's moment."""
    with pytest.raises(OperationalError, match="no such table"), database.read() as connection:
        connection.execute(text("SELECT * FROM unknown"))


def test_ping_answers_and_a_closed_database_opens_again(database: Database) -> None:
    """Closing twice is no error, and the next use opens the database again."""
    database.ping()
    database.close()
    database.close()
    database.ping()


@pytest.mark.parametrize(
    ("version", "possible"), [((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False), ((3, 52, 0), False)]
)
def test_the_race_of_checkpoints_ends_with_sqlite_3_51_3(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], possible: bool
) -> None:
    """SQLite before 3.51.3 needs one process alone to checkpoint."""
    monkeypatch.setattr(module.sqlite3, "sqlite_version_info", version)
    assert wal_race_possible() is possible


def test_postgresql_needs_no_checkpoint_and_inserts_in_its_own_dialect() -> None:
    """A PostgreSQL database checkpoints by itself; making the object needs no server."""
    database = Database("postgresql+psycopg://user:secret@nowhere/kerasd")
    assert not database.is_sqlite
    assert database.checkpoint()
    assert isinstance(database.insert(models), postgresql.Insert)


def test_the_state_is_another_one_after_each_change(
    database: Database, open_database: Callable[..., Database], submit: Callable[..., Job]
) -> None:
    """Of this connection pool or of another one; a read, or a write that is undone, changes nothing."""
    seen = [database.state()]
    submit()
    seen.append(database.state())
    other = open_database()
    with other.write() as connection:
        connection.execute(text("INSERT INTO models VALUES ('other', 'mod_3', '2026-01-01 00:00:00.000000', 1)"))
    seen.append(database.state())
    assert None not in seen
    assert len(set(seen)) == 3
    other.ping()
    with pytest.raises(IntegrityError):
        _insert_model_twice(database)
    assert database.state() == seen[-1]


def test_another_process_changes_the_state(database: Database, tmp_path: Path) -> None:
    """As a supervisor that publishes a version does."""
    before = database.state()
    statement = "INSERT INTO models VALUES ('other', 'mod_3', '2026-01-01 00:00:00.000000', 1)"
    program = f"import sqlite3; c = sqlite3.connect(sys.argv[1]); c.execute({statement!r}); c.commit(); c.close()"
    command = [sys.executable, "-c", f"import sys; {program}", str(tmp_path / "registry.sqlite3")]
    subprocess.run(command, check=True)
    assert database.state() != before


def test_a_state_does_not_come_again_with_a_new_connection(database: Database, submit: Callable[..., Job]) -> None:
    """Each connection counts from the same number; what was kept from before must not seem to be still so."""
    seen = [database.state()]
    for _ in range(3):
        database.close()
        submit()
        seen.append(database.state())
    assert len(set(seen)) == 4


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_states_of_its_own(database: Database, submit: Callable[..., Job]) -> None:
    """None of them is one of its parent's, and none of the parent's connections is touched."""
    before = database.state()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            submit()
            first = database.state()
            submit()
            code = 0 if before != first != database.state() != before else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert database.state() not in (None, before)


def test_the_edition_changes_with_versions_and_aliases_alone(
    database: Database, open_database: Callable[..., Database], submit: Callable[..., Job]
) -> None:
    """Each of their changes counts, whoever commits it; what else is written does not."""
    other, told = open_database(), [database.edition()]
    aliases, registry = Aliases(other), Models(other)
    changes: list[Callable[[], object]] = [
        lambda: registry.add(an_import(), NOON),
        lambda: registry.add(an_import(), NOON),
        lambda: aliases.put("xor", "stable", 1, Seen(), NOON),
        lambda: aliases.put("xor", "stable", 2, Seen(revisions=ANY), NOON),
        lambda: aliases.delete("xor", "stable", Seen(revisions=ANY)),
        lambda: registry.delete_version("xor", 2),
        lambda: registry.delete("xor"),
    ]
    for change in changes:
        change()
        told.append(database.edition())
        Supervisors(other).heartbeat("sup_1", "here", 1, NOON)
        submit(model="other")
        assert database.edition() == told[-1]
    assert None not in told
    assert len(set(told)) == len(changes) + 1


def test_threads_may_ask_for_the_state(database: Database) -> None:
    """All at once, and for the first time, too."""
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: database.state(), range(200)))) == 1


def test_the_state_does_not_wait_for_writers(database: Database, tmp_path: Path) -> None:
    """Whoever asks is in the middle of answering others."""
    before = database.state()
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert database.state() == before


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://user:secret@nowhere/kerasd",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////no/such/folder/x",
    ],
)
def test_a_state_that_nobody_knows_is_none(url: str) -> None:
    """It is not asked for elsewhere, is in memory, or is not to be had."""
    assert Database(url).state() is None
    assert Database(url).edition() is None


def test_the_state_is_that_of_the_database_of_the_url(tmp_path: Path) -> None:
    """With SQLite's own options in it, and whatever they make of the file's name."""
    database = Database(f"sqlite:///file:{tmp_path / 'a.sqlite3'}?uri=true")
    with database.write() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
    before = database.state()
    with database.write() as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
    assert database.state() not in (None, before)


def _insert_model_twice(database: Database) -> None:
    with database.write() as connection:
        for key in ("mod_1", "mod_2"):
            connection.execute(text(f"INSERT INTO models VALUES ('m', '{key}', '2026-01-01 00:00:00.000000', 1)"))
