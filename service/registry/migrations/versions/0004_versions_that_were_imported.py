"""A version can come from a file instead of a job, and then has nothing that concerns a training."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
#: What only a training has, and what an earlier release reads where there was none.
_OF_TRAININGS: dict[str, tuple[Any, str]] = {
    "job": (sa.String(length=32), "''"),
    "compile": (_JSON, "'{}'"),
    "fit": (_JSON, "'{}'"),
    "seed": (sa.BigInteger(), "0"),
    "threads": (sa.Integer(), "1"),
    "dataset_sha256": (sa.String(length=64), "''"),
}


def upgrade() -> None:
    _change(nullable=True)


def downgrade() -> None:
    # An imported version stays, and is served as before.
    for name, (_, value) in {**_OF_TRAININGS, "jit_compile": (None, "false")}.items():
        op.execute(f"UPDATE versions SET {name} = {value} WHERE {name} IS NULL")
    _change(nullable=False)


def _change(*, nullable: bool) -> None:
    """Change the columns; SQLite makes the table anew, while nothing may point to it, other databases change it."""
    sqlite = op.get_context().dialect.name == "sqlite"
    if sqlite:
        op.execute("CREATE TEMPORARY TABLE kept_aliases AS SELECT * FROM aliases")
        op.execute("DELETE FROM aliases")
    with op.batch_alter_table("versions") as versions:
        for name, (type_, _) in _OF_TRAININGS.items():
            versions.alter_column(name, existing_type=type_, nullable=nullable)
        default = None if nullable else sa.false()
        versions.alter_column("jit_compile", existing_type=sa.Boolean(), nullable=nullable, server_default=default)
        if nullable:
            versions.add_column(sa.Column("imported", _JSON))
        else:
            versions.drop_column("imported")
    if sqlite:
        op.execute("INSERT INTO aliases SELECT * FROM kept_aliases")
        op.execute("DROP TABLE kept_aliases")
