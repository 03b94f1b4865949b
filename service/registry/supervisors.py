"""Who runs jobs: the heartbeats of the supervisors."""

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select

from service.registry.database import Database
from service.registry.tables import supervisors


class Supervisors:
    """The supervisors that have shown a sign of life."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heartbeat(self, supervisor_id: str, host: str, pid: int, now: datetime) -> None:
        """Record that the supervisor lives."""
        values = {"host": host, "pid": pid, "heartbeat_at": now}
        with self._database.write() as connection:
            connection.execute(
                self._database.insert(supervisors)
                .values(id=supervisor_id, **values)
                .on_conflict_do_update(index_elements=["id"], set_=values)
            )

    def newest(self, now: datetime, within: float) -> bool:
        """Say whether the newest heartbeat is at most `within` seconds old: whether any supervisor is alive."""
        recent = supervisors.c.heartbeat_at >= now - timedelta(seconds=within)
        with self._database.read() as connection:
            return bool(connection.scalar(select(exists().where(recent))))

    def forget_silent(self, before: datetime) -> None:
        """Forget the supervisors whose last sign of life is older; they have died without a word."""
        with self._database.write() as connection:
            connection.execute(delete(supervisors).where(supervisors.c.heartbeat_at < before))

    def remove(self, supervisor_id: str) -> None:
        """Forget a supervisor that has ended; one that is not known is no error."""
        with self._database.write() as connection:
            connection.execute(delete(supervisors).where(supervisors.c.id == supervisor_id))
