"""Versions: what is found is remembered for as long as nobody changes a version or an alias, and no longer."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from service.api import versions as module
from service.api.versions import Pace, Served, Versions
from service.errors import NotFound
from service.registry.aliases import ANY, Aliases, Seen
from service.registry.database import Database
from service.registry.models import Models
from tests.registry.conftest import NOON

#: What a client says who makes an alias, and one who moves or deletes it wherever it points.
NEW, SEEN = Seen(), Seen(revisions=ANY)


@pytest.fixture
def versions(database: Database, models: Models) -> Versions:
    return Versions(database, models)


@contextmanager
def counted_reads() -> Iterator[list[str]]:
    """The SELECTs that any database is asked meanwhile."""
    seen: list[str] = []

    def note(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def change(database: Database) -> None:
    """Change something that has nothing to do with any version."""
    with database.write() as connection:
        connection.execute(text("INSERT INTO models VALUES ('other', 'mod_3', '2026-01-01 00:00:00.000000', 1)"))


@pytest.mark.parametrize("wanted", ["latest", "1", "2", "stable", "01"])
def test_nothing_is_read_while_nothing_changes(
    versions: Versions, database: Database, train: Callable[..., int], wanted: str
) -> None:
    """The first asks the database, the next hundred do not, and get the very same, whatever else is written."""
    train("xor")
    train("xor")
    Aliases(database).put("xor", "stable", 1, NEW, NOON)
    assert versions.known("xor", wanted) is None
    first = versions.find("xor", wanted)
    assert first.version.number == (2 if wanted in ("2", "latest") else 1)
    with counted_reads() as reads:
        change(database)
        for _ in range(100):
            assert versions.find("xor", wanted) is first
            assert versions.known("xor", wanted) is first
    assert reads == []


def test_a_new_version_is_found_at_once(versions: Versions, train: Callable[..., int]) -> None:
    """By those who ask for the latest; others get what they got."""
    train("xor")
    first = versions.find("xor")
    train("xor")
    assert versions.known("xor") is None
    assert versions.find("xor").version.number == 2
    assert versions.find("xor", "1").version == first.version


def test_another_process_is_seen(versions: Versions, models: Models, train: Callable[..., int], tmp_path: Path) -> None:
    """As the supervisor and the other web processes are."""
    train("xor")
    train("xor")
    assert versions.find("xor").version.number == 2
    program = (
        "import sys; from service.registry.database import Database; from service.registry.models import Models; "
        "database = Database(sys.argv[1]); Models(database).delete_version('xor', 2); database.close()"
    )
    subprocess.run([sys.executable, "-c", program, f"sqlite:///{tmp_path / 'registry.sqlite3'}"], check=True)
    assert versions.known("xor") is None
    assert versions.find("xor").version.number == 1


def test_aliases_are_followed(versions: Versions, database: Database, train: Callable[..., int]) -> None:
    """Wherever they are moved, and as long as they are there."""
    aliases = Aliases(database)
    train("xor")
    train("xor")
    for number, seen in ((1, NEW), (2, SEEN), (1, SEEN)):
        aliases.put("xor", "live", number, seen, NOON)
        assert versions.find("xor", "live").version.number == number
        assert versions.aliased("xor", "live").version.number == number
    aliases.delete("xor", "live", SEEN)
    for find in (versions.find, versions.aliased):
        with pytest.raises(NotFound, match="no alias 'live'"):
            find("xor", "live")


def test_an_alias_is_not_taken_for_a_number_or_the_latest(
    versions: Versions, database: Database, train: Callable[..., int]
) -> None:
    """What was found by one way is not given to who asks by the other."""
    train("xor")
    versions.find("xor", "1")
    versions.find("xor", "latest")
    for name in ("1", "latest"):
        with pytest.raises(NotFound):
            versions.aliased("xor", name)


def test_what_is_deleted_is_not_found(versions: Versions, models: Models, train: Callable[..., int]) -> None:
    """However often it was found before."""
    train("xor")
    train("xor")
    versions.find("xor", "2")
    models.delete_version("xor", 2)
    with pytest.raises(NotFound, match="no version 2"):
        versions.find("xor", "2")
    models.delete("xor")
    assert versions.known("xor") is None
    with pytest.raises(NotFound, match="no model 'xor'"):
        versions.find("xor")


@pytest.mark.parametrize("wanted", ["0", "3", "9" * 18, "9" * 5000, "nobody", "", "²", "-1", "x" * 500])
def test_what_there_never_was_is_not_found(versions: Versions, train: Callable[..., int], wanted: str) -> None:
    """Whatever it is called; it is not remembered either."""
    train("xor")
    for _ in range(2):
        with pytest.raises(NotFound):
            versions.find("xor", wanted)
        assert versions.known("xor", wanted) is None


def test_a_version_is_prepared_once(versions: Versions, train: Callable[..., int]) -> None:
    """Another model's new version makes it be looked for again, not made again: its pace is known still."""
    train("xor")
    first = versions.find("xor")
    first.pace.note(100, 0.5)
    train("other")
    assert versions.known("xor") is None
    with counted_reads() as reads:
        assert versions.find("xor") is first
    assert len(reads) == 1


def test_a_database_that_cannot_tell_is_always_asked(
    models: Models, database: Database, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL is."""
    train("xor")
    monkeypatch.setattr(database, "edition", lambda: None)
    versions = Versions(database, models)
    with counted_reads() as reads:
        for _ in range(3):
            assert versions.find("xor").version.number == 1
            assert versions.known("xor") is None
    assert len(reads) == 3
    train("xor")
    assert versions.find("xor").version.number == 2


def test_a_change_between_the_look_and_the_reading_is_not_lost(
    models: Models, database: Database, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is remembered as of the state before, so that the next one reads again."""
    train("xor")
    versions = Versions(database, models)
    read = Models.latest

    def read_slowly(self: Models, name: str) -> Any:
        found = read(self, name)
        monkeypatch.setattr(Models, "latest", read)
        train("xor")
        return found

    monkeypatch.setattr(Models, "latest", read_slowly)
    assert versions.find("xor").version.number == 1
    assert versions.find("xor").version.number == 2


def test_the_memory_is_bounded(
    models: Models, database: Database, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were found first are forgotten first, and are found again all the same."""
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 3)
    versions = Versions(database, models)
    for _ in range(5):
        train("xor")
    for number in range(1, 6):
        versions.find("xor", str(number))
    assert [versions.known("xor", str(number)) is not None for number in range(1, 6)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert versions.find("xor", "1").version.number == 1


def test_a_successor_is_used_where_one_is_deleted(
    versions: Versions, models: Models, train: Callable[..., int]
) -> None:
    """Between finding it and using it; where nobody is left, that is the answer."""
    train("xor")
    train("xor")
    asked: list[int] = []

    def use(served: Served) -> int:
        asked.append(served.version.number)
        if served.version.number == 2:
            models.delete_version("xor", 2)
            raise NotFound("gone")
        return served.version.number

    assert versions.use("xor", "latest", use) == 1
    assert asked == [2, 1]

    def fail(served: Served) -> int:
        raise NotFound("its file is gone")

    with pytest.raises(NotFound, match="its file is gone"):
        versions.use("xor", "latest", fail)


def test_the_pace_is_of_late_and_by_size() -> None:
    """One slow answer raises it by a fifth; bodies of another size have their own."""
    pace = Pace()
    assert pace.expected(100) is None
    pace.note(100, 0.001)
    assert pace.expected(100) == pytest.approx(0.001)
    pace.note(100, 0.002)
    assert pace.expected(100) == pytest.approx(0.0012)
    assert pace.expected(100_000) is None


def test_one_answer_that_took_far_longer_counts_little() -> None:
    """It says more of the machine than of the network; two in a row say that the network is slow."""
    pace = Pace()
    pace.note(100, 0.0003)
    pace.note(100, 5.0)
    assert (pace.expected(100) or 1) < 0.001
    pace.note(100, 5.0)
    assert (pace.expected(100) or 0) > 0.001
