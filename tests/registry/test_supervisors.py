"""Heartbeats."""

from datetime import timedelta

from service.registry.database import Database
from service.registry.supervisors import Supervisors
from tests.registry.conftest import NOON


def test_without_a_supervisor_none_is_alive(supervisors: Supervisors) -> None:
    """A service on which nothing has ever run says so."""
    assert not supervisors.newest(NOON, within=60)


def test_a_supervisor_is_alive_until_its_last_heartbeat_is_too_old(supervisors: Supervisors) -> None:
    """A later heartbeat of the same supervisor takes the place of the earlier."""
    supervisors.heartbeat("here:sup_1", "here", 41, NOON - timedelta(seconds=100))
    assert not supervisors.newest(NOON, within=60)
    supervisors.heartbeat("here:sup_1", "here", 41, NOON)
    assert supervisors.newest(NOON + timedelta(seconds=60), within=60)
    assert not supervisors.newest(NOON + timedelta(seconds=61), within=60)


def test_a_removed_supervisor_is_not_alive(supervisors: Supervisors) -> None:
    """A supervisor that ends takes its heartbeat with it; ending twice is no error."""
    supervisors.heartbeat("here:sup_1", "here", 41, NOON)
    supervisors.remove("here:sup_1")
    supervisors.remove("here:sup_1")
    assert not supervisors.newest(NOON, within=60)


def test_supervisors_that_fell_silent_are_forgotten(supervisors: Supervisors, database: Database) -> None:
    """One that was killed never takes its row away; those that beat since then stay."""
    supervisors.heartbeat("here:sup_1", "here", 41, NOON - timedelta(days=2))
    supervisors.heartbeat("here:sup_2", "here", 42, NOON)
    supervisors.forget_silent(NOON - timedelta(days=1))
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT id FROM supervisors").scalars().all() == ["here:sup_2"]
