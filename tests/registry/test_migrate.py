"""The migrations make exactly the tables that the code declares."""

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from service.errors import Conflict
from service.registry import migrate
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.job import Job
from service.registry.jobs import Jobs
from service.registry.migrate import upgrade
from service.registry.models import Models
from service.registry.tables import Status, metadata
from tests.registry.conftest import NOON, an_import

#: What the first release wrote: a running job with two epochs, and a model with one version.
OLD_ROWS = (
    """INSERT INTO jobs (id, model, status, request, dataset, attempt, owner, lease_until, created_at, started_at,
        metrics, cancel_requested) VALUES ('job_1', 'xor', 'running', '{"seed":7}', 'ds_1', 1, 'here:sup_1',
        '2026-03-01 12:00:00', '2026-03-01 12:00:00', '2026-03-01 12:00:00', '{"loss":0.5}', 0)""",
    """INSERT INTO epochs (job, epoch, metrics) VALUES ('job_1', 1, '{"loss":1.0}'), ('job_1', 2, '{"loss":0.5}')""",
    """INSERT INTO models (name, id, created_at, last_number) VALUES ('xor', 'mod_1', '2026-03-01 12:00:00', 1)""",
    """INSERT INTO versions (id, model, number, created_at, job, architecture, compile, fit, summary, parameters,
        metrics, inputs, outputs, seed, threads, dataset_sha256, weights_sha256, size_bytes, engine, libraries)
        VALUES ('ver_1', 'xor', 1, '2026-03-01 12:00:00', 'job_0', '{}', '{}', '{}', '[]', 3, '{}', '[]', '[]', 7, 1,
        'a', 'b', 5, 'onnxruntime', '{}')""",
)


@pytest.fixture
def old_database(open_database: Callable[..., Database]) -> Database:
    """A database as the first release left it."""
    database = open_database()
    with database.write() as connection:
        command.upgrade(_config(connection), "0001")
        for statement in OLD_ROWS:
            connection.exec_driver_sql(statement)
    return database


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


def test_the_first_releases_rows_survive(url: str, old_database: Database) -> None:
    """Jobs, epochs and versions are what they were, and the new columns say what is known of them."""
    upgrade(url)
    jobs, claims, models = Jobs(old_database), Claims(old_database), Models(old_database)
    job = jobs.get("job_1")
    assert (job.status, job.metrics, job.checkpoint, job.execution) == (Status.RUNNING, {"loss": 0.5}, None, None)
    assert (job.priority, job.retries, job.elapsed_seconds, job.time_limit_seconds) == (0, 0, 0.0, None)
    assert jobs.epochs("job_1") == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]
    version = models.version("xor", 1)
    assert (version.jit_compile, version.weights_epoch, version.machine, version.initial) == (False, None, None, None)
    assert claims.release("job_1", 1, NOON) is Status.QUEUED
    assert jobs.pause("job_1").status is Status.PAUSED


def test_going_back_to_the_first_release_loses_no_job(url: str, old_database: Database) -> None:
    """A paused job waits in the queue, epochs and versions stay, and the request is one that it reads."""
    upgrade(url)
    claims, jobs = Claims(old_database), Jobs(old_database)
    claims.release("job_1", 1, NOON)
    jobs.pause("job_1")
    with old_database.write() as connection:
        connection.exec_driver_sql(
            """UPDATE jobs SET request = '{"seed":7,"compilation":{"loss":"mse","jit_compile":true}}'"""
        )
        command.downgrade(_config(connection), "0001")
        status, request = connection.exec_driver_sql("SELECT status, request FROM jobs").one()
        assert (status, json.loads(request)) == ("queued", {"seed": 7, "compilation": {"loss": "mse"}})
        assert connection.exec_driver_sql("SELECT count(*) FROM epochs").scalar_one() == 2
        assert connection.exec_driver_sql("SELECT count(*) FROM versions").scalar_one() == 1
        assert "priority" not in {column["name"] for column in inspect(connection).get_columns("jobs")}


def test_aliases_survive_that_versions_can_be_imported(url: str, old_database: Database) -> None:
    """A table that others point to is made anew on SQLite, and nothing that pointed to it is lost."""
    with old_database.write() as connection:
        command.upgrade(_config(connection), "0003")
        connection.exec_driver_sql(
            """INSERT INTO aliases (model, name, version, revision, updated_at)
                VALUES ('xor', 'production', 1, 'rev_1', '2026-03-01 12:00:00')"""
        )
    upgrade(url)
    models = Models(old_database)
    assert (models.aliased("xor", "production").id, models.version("xor", 1).imported) == ("ver_1", None)
    with pytest.raises(Conflict):
        models.delete_version("xor", 1)


def test_an_imported_version_is_served_by_the_release_before(database: Database) -> None:
    """Going back, it stays, with nothing where that release reads something of a training."""
    models = Models(database)
    models.add(an_import(), NOON)
    with database.write() as connection:
        command.downgrade(_config(connection), "0003")
        row = connection.exec_driver_sql(
            "SELECT job, compile, fit, seed, threads, dataset_sha256, jit_compile, weights_sha256 FROM versions"
        ).one()
    assert tuple(row) == ("", "{}", "{}", 0, 1, "", 0, "b" * 64)


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
