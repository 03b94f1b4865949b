"""Changes of versions and aliases are counted, so that web processes know what they need not read again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COUNTED = [(table, change) for table in ("versions", "aliases") for change in ("insert", "update", "delete")]


def upgrade() -> None:
    op.create_table("edition", sa.Column("number", sa.BigInteger(), nullable=False))
    op.execute("INSERT INTO edition VALUES (0)")
    for table, change in _COUNTED if _is_sqlite() else ():
        count = "UPDATE edition SET number = number + 1"
        op.execute(f"CREATE TRIGGER {table}_{change} AFTER {change} ON {table} BEGIN {count}; END")


def downgrade() -> None:
    for table, change in _COUNTED if _is_sqlite() else ():
        op.execute(f"DROP TRIGGER {table}_{change}")
    op.drop_table("edition")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
