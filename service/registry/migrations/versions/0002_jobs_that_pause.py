"""Jobs can be paused, resumed, retried and limited in time, and versions say more of how they were made."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OLD = "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')"
_NEW = "status IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')"
_JSON = sa.JSON(none_as_null=True)
_JOBS = sa.table("jobs", sa.column("id", sa.String), sa.column("status", sa.String), sa.column("request", _JSON))


def upgrade() -> None:
    _change_jobs(_job_columns(), (), _NEW)
    op.create_index("jobs_by_status_priority_id", "jobs", ["status", "priority", "id"])
    op.create_index("jobs_by_initial_version", "jobs", ["initial_version"])
    # SQLite adds these columns in place, so that no version is copied.
    for column in _version_columns():
        op.add_column("versions", column)


def downgrade() -> None:
    # The first release has no paused jobs, and reads no `jit_compile`; nobody's job is lost by that.
    op.execute(sa.update(_JOBS).where(_JOBS.c.status == "paused").values(status="queued"))
    _forget_jit_compile()
    op.drop_index("jobs_by_initial_version", "jobs")
    op.drop_index("jobs_by_status_priority_id", "jobs")
    _change_jobs((), tuple(column.name for column in _job_columns()), _OLD)
    for column in _version_columns():
        op.drop_column("versions", column.name)


def _job_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("pause_requested", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("keep", sa.String(length=16)),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("time_limit_seconds", sa.Float()),
        sa.Column("elapsed_seconds", sa.Float(), server_default="0", nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("checkpoint", _JSON),
        sa.Column("execution", _JSON),
        sa.Column("initial_version", sa.String(length=32)),
    )


def _version_columns() -> tuple[sa.Column[Any], ...]:
    return (
        # Until now every network was trained without XLA, which is Keras's own choice on a CPU.
        sa.Column("jit_compile", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("weights_epoch", sa.Integer()),
        sa.Column("request_sha256", sa.String(length=64)),
        sa.Column("machine", sa.String()),
        sa.Column("validation_dataset_sha256", sa.String(length=64)),
        sa.Column("initial", _JSON),
    )


def _change_jobs(added: tuple[sa.Column[Any], ...], dropped: tuple[str, ...], check: str) -> None:
    """Change the columns and the known statuses of jobs; SQLite makes the table anew, other databases change it."""
    sqlite = op.get_context().dialect.name == "sqlite"
    if sqlite:
        # Dropping the old table deletes its rows one by one, and their epochs with them.
        op.execute("CREATE TEMPORARY TABLE kept_epochs AS SELECT * FROM epochs")
    with op.batch_alter_table("jobs") as jobs:
        for column in added:
            jobs.add_column(column)
        for name in dropped:
            jobs.drop_column(name)
        if not sqlite:
            jobs.drop_constraint(op.f("jobs_status_known"), type_="check")
        jobs.create_check_constraint(op.f("jobs_status_known"), check)
    if sqlite:
        op.execute("INSERT INTO epochs (job, epoch, metrics) SELECT job, epoch, metrics FROM kept_epochs")
        op.execute("DROP TABLE kept_epochs")


def _forget_jit_compile() -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.select(_JOBS.c.id, _JOBS.c.request)).all():
        if "jit_compile" in row.request.get("compilation", {}):
            row.request["compilation"].pop("jit_compile")
            connection.execute(sa.update(_JOBS).where(_JOBS.c.id == row.id).values(request=row.request))
