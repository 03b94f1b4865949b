"""Brings a database's tables to the newest migration."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from service.registry.database import Database

_SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(url: str) -> None:
    """Create or migrate the tables, wholly or not at all; a database that is up to date stays as it is."""
    database = Database(url)
    try:
        # A second process that starts at the same time waits here, and then finds all done.
        with database.migrate() as connection:
            config = Config()
            # The value is interpolated, so that a percent sign in the path has to be doubled.
            config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        database.close()
