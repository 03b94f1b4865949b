"""The watch sees each commit of others, by the log's index where there is one, and asks SQLite no more than it must."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.registry.watch import Watch

WRITE = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('UPDATE edition SET number = number + 1'); "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a log, as the registry's is."""
    path = tmp_path / "watched.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE edition (number)")
        connection.execute("INSERT INTO edition VALUES (0)")
        connection.commit()
    return path


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        yield connection


@pytest.fixture
def watch(path: Path) -> Iterator[Watch]:
    watch = Watch(1, str(path), {})
    yield watch
    watch.close()


def change(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE edition SET number = number + 1")


def asked(watch: Watch) -> list[str]:
    """What the watch asks SQLite from now on."""
    statements: list[str] = []
    watch._cursor.connection.set_trace_callback(statements.append)
    return statements


def test_while_nothing_is_committed_sqlite_is_not_asked(watch: Watch, other: sqlite3.Connection) -> None:
    """Nor for what is read, or undone, or written and not yet committed."""
    for _ in range(2):
        before = watch.state(), watch.edition()
    statements = asked(watch)
    other.execute("SELECT * FROM edition").fetchall()
    other.execute("BEGIN IMMEDIATE")
    change(other)
    assert (watch.state(), watch.edition()) == before
    other.execute("ROLLBACK")
    assert (watch.state(), watch.edition()) == before
    assert statements == []


def test_each_commit_is_seen_at_once(watch: Watch, other: sqlite3.Connection) -> None:
    """One by one, thousands of them, with the number that was written."""
    states = {watch.state()}
    for number in range(1, 2001):
        change(other)
        assert watch.edition() == number
        states.add(watch.state())
    assert len(states) == 2001


def test_a_commit_that_changes_nothing_of_the_edition_leaves_it(watch: Watch, other: sqlite3.Connection) -> None:
    """The state is another one, and the edition is read once more."""
    other.execute("CREATE TABLE jobs (a)")
    state, edition = watch.state(), watch.edition()
    other.execute("INSERT INTO jobs VALUES (1)")
    assert watch.state() != state
    assert watch.edition() == edition


@pytest.mark.parametrize("mode", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
def test_commits_are_seen_however_the_log_was_moved(watch: Watch, other: sqlite3.Connection, mode: str) -> None:
    """The log begins anew after it was moved into the database."""
    for number in range(1, 6):
        change(other)
        assert watch.edition() == number
        other.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        assert watch.edition() == number
        watch.state()


def test_another_process_is_seen_also_where_it_dies(watch: Watch, path: Path) -> None:
    """One that commits, one that dies in the middle, and one that finds what that one left."""
    watch.edition()
    for end, number in (("c.commit()", 1), ("import os; os._exit(0)", 1), ("c.commit()", 2)):
        subprocess.run([sys.executable, "-c", WRITE + end, str(path)], check=True)
        assert watch.edition() == number


def _count(path: str, times: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        for _ in range(times):
            change(connection)


def test_nothing_is_missed_beside_writers_in_other_processes(watch: Watch, path: Path) -> None:
    """What is read never goes back, and is the last in the end."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_count, args=(str(path), 300)) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen = [watch_or_wait(watch.edition)]
    while any(writer.is_alive() for writer in writers):
        seen.append(watch_or_wait(watch.edition))
    for writer in writers:
        writer.join()
    assert seen == sorted(seen)
    assert watch.edition() == 600


def watch_or_wait(look: Callable[[], int]) -> int:
    """A database that is busy says so, and the question is asked again."""
    while True:
        try:
            return look()
        except sqlite3.OperationalError:
            continue


def test_the_locks_of_other_connections_stay(watch: Watch, path: Path) -> None:
    """A descriptor of the index that were closed would take a reader's lock, and the log would be moved under it."""
    reader = sqlite3.connect(path, isolation_level=None)
    with closing(reader):
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM edition").fetchall()
        watch.edition()
        moving = WRITE + "c.commit(); print(c.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()[0])"
        said = subprocess.run([sys.executable, "-c", moving, str(path)], capture_output=True, text=True, check=True)
        assert said.stdout.strip() == "1"
        assert reader.execute("SELECT * FROM edition").fetchall() == [(0,)]


@pytest.mark.parametrize("damage", ["no log", "another form"])
def test_without_an_index_that_it_knows_sqlite_is_asked(
    path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database without a log, and an index of a later SQLite."""
    if damage == "no log":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    else:
        monkeypatch.setattr("service.registry.watch._FORM", b"????")
    with closing(Watch(1, str(path), {})) as watch, closing(sqlite3.connect(path, isolation_level=None)) as other:
        for number in range(1, 4):
            change(other)
            assert watch.edition() == number
        statements = asked(watch)
        watch.edition()
        assert "PRAGMA data_version" in statements


def test_closing_gives_everything_back(path: Path) -> None:
    """No descriptor stays."""
    with closing(Watch(1, str(path), {})) as watch:
        watch.edition()
        file = watch._file
        assert file is not None
        os.fstat(file)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(file)
