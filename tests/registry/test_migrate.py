"""The migrations make exactly the tables that the code declares."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from service.registry import migrate
from service.registry.database import Database
from service.registry.jobs import Job
from service.registry.migrate import upgrade
from service.registry.tables import metadata


def test_the_migrations_make_the_declared_tables(database: Database) -> None:
    """Alembic finds nothing to add, change or drop after all migrations have run."""
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_constraints_have_the_declared_names(database: Database, tmp_path: Path) -> None:
    """Constraints are named alike in migrated and declared tables, so that a later migration can find them."""
    declared = Database(f"sqlite:///{tmp_path / 'declared.sqlite3'}")
    with declared.write() as connection:
        metadata.create_all(connection)
        expected = _constraints(connection)
    with database.read() as connection:
        assert _constraints(connection) == expected


def test_upgrading_again_changes_nothing(url: str, database: Database, submit: Callable[..., Job]) -> None:
    """A server that starts on its old database keeps all that is in it."""
    job = submit()
    upgrade(url)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT id FROM jobs").scalar_one() == job.id


def test_several_servers_may_start_at_once(url: str, open_database: Callable[..., Database]) -> None:
    """Processes that upgrade one new database wait for each other, and all find it done."""
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as processes:
        list(processes.map(upgrade, [url] * 4))
    with open_database().read() as connection:
        assert set(metadata.tables) < set(inspect(connection).get_table_names())


def test_a_path_may_hold_a_percent_sign(tmp_path: Path) -> None:
    """The database's path is not read as a template."""
    upgrade(f"sqlite:///{tmp_path / '50% of.sqlite3'}")
    assert (tmp_path / "50% of.sqlite3").exists()


def test_the_first_migration_can_be_undone(database: Database) -> None:
    """Going back to the beginning leaves no table but Alembic's own."""
    with database.write() as connection:
        command.downgrade(_config(connection), "base")
    with database.read() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]


def test_there_is_one_line_of_migrations() -> None:
    """Each migration follows one other, and there is one newest."""
    assert len(ScriptDirectory.from_config(_config(None)).get_heads()) == 1


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _constraints(connection: Connection) -> dict[str, Any]:
    inspector = inspect(connection)
    return {
        table: (
            inspector.get_pk_constraint(table),
            inspector.get_check_constraints(table),
            inspector.get_unique_constraints(table),
            inspector.get_foreign_keys(table),
            inspector.get_indexes(table),
        )
        for table in metadata.tables
    }
