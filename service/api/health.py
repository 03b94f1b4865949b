"""`/health`: for load balancers, containers and people."""

from collections.abc import Callable
from datetime import datetime

from flask import Blueprint

from service.api.operation import Operation, operation
from service.errors import Unavailable
from service.registry.database import Database
from service.registry.supervisors import Supervisors
from service.schemas.catalog import Health

#: A supervisor proves life every few seconds; one that was silent this long, in seconds, does not count.
SILENCE = 10.0


def check_readiness(database: Database, supervisors: Supervisors, now: Callable[[], datetime]) -> None:
    """Raise Unavailable unless the registry answers and a supervisor has just proved that it is alive."""
    database.ping()
    if not supervisors.newest(now(), SILENCE):
        raise Unavailable(
            f"No supervisor has been heard of for {SILENCE:.0f} seconds. It takes some seconds to start; after "
            "that, look into the server's log.",
            retry_after=1,
        )


def blueprint(check: Callable[[], None]) -> Blueprint:
    """The routes of health; `check` raises where jobs cannot be taken and run."""
    routes = Blueprint("health", __name__, url_prefix="/health")

    @routes.get("/live")
    @operation(Operation(summary="Does the web process answer?", answer=Health))
    def get_liveness() -> dict[str, str]:
        """True whenever it can be asked at all."""
        return {"status": "live"}

    @routes.get("/ready")
    @operation(Operation(summary="Can jobs be taken and run?", answer=Health, raises=(Unavailable,)))
    def get_readiness() -> dict[str, str]:
        """True only if the registry answers and a supervisor has just proved that it is alive."""
        check()
        return {"status": "ready"}

    return routes
