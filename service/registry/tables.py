"""The tables: what is stored of jobs, data sets, models and supervisors."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    false,
)


class Status(StrEnum):
    """Where a job stands."""

    #: It waits for a supervisor.
    QUEUED = "queued"
    #: A supervisor has claimed it, and its child trains.
    RUNNING = "running"
    #: A client has paused it: it waits, with its checkpoint, until it is resumed.
    PAUSED = "paused"
    #: Its model has a new version.
    SUCCEEDED = "succeeded"
    #: It ended without a version, and its failure says why.
    FAILED = "failed"
    #: A client ended it.
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self not in ACTIVE


#: A job in one of these may still read its data sets and make a version.
ACTIVE = (Status.QUEUED, Status.RUNNING, Status.PAUSED)


class UtcDateTime(TypeDecorator[datetime]):
    """Times with a zone, kept in UTC; SQLite keeps no zone, so that it is taken off and put on again here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no zone: pass one in UTC, such as datetime.now(UTC)")
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


#: JSON whose None is SQL's NULL, so that a column can be emptied.
_Json = JSON(none_as_null=True)

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_unique_%(column_0_N_name)s",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_of_%(referred_table_name)s",
        "pk": "%(table_name)s_key",
    }
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("format", String(32), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    # An empty list where it is a table.
    Column("arrays", _Json, nullable=False),
    # These two are null where it is arrays.
    Column("columns", _Json),
    Column("profile", _Json),
    # Those of the same content share their files.
    Index(None, "sha256"),
)

# A job keeps the names of its data sets and its versions after those are deleted, so these are no foreign keys.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("model", String(128), nullable=False),
    Column("status", String(16), nullable=False),
    Column("request", _Json, nullable=False),
    Column("dataset", String(32), nullable=False),
    Column("validation_dataset", String(32)),
    Column("attempt", Integer, nullable=False),
    Column("owner", String(255)),
    Column("lease_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("progress", _Json),
    Column("metrics", _Json),
    Column("version", Integer),
    Column("failure", _Json),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("pause_requested", Boolean, nullable=False, server_default=false()),
    # What a cancel is to keep: "best", a version of the best weights so far.
    Column("keep", String(16)),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("time_limit_seconds", Float),
    # Running time of all attempts so far.
    Column("elapsed_seconds", Float, nullable=False, server_default="0"),
    # Attempts in a row that were lost without a new checkpoint.
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("checkpoint", _Json),
    Column("execution", _Json),
    # The id of the version whose weights it starts from.
    Column("initial_version", String(32)),
    CheckConstraint(
        "status IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')", name="status_known"
    ),
    # The queue; the pages of one status; the pages of one model; and the jobs that need a version.
    Index(None, "status", "priority", "id"),
    Index(None, "status", "id"),
    Index(None, "model", "id"),
    Index(None, "initial_version"),
)

epochs = Table(
    "epochs",
    metadata,
    Column("job", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("metrics", _Json, nullable=False),
)

# A model's row outlives its versions, because the numbers of deleted versions are never given again; a model without
# versions is one that clients do not see.
models = Table(
    "models",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_number", Integer, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("model", String(128), ForeignKey("models.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # What concerns a training is null in a version that was imported.
    Column("job", String(32)),
    Column("architecture", _Json, nullable=False),
    Column("compile", _Json),
    Column("fit", _Json),
    Column("summary", _Json, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("metrics", _Json, nullable=False),
    Column("inputs", _Json, nullable=False),
    Column("outputs", _Json, nullable=False),
    Column("seed", BigInteger),
    Column("threads", Integer),
    Column("dataset_sha256", String(64)),
    Column("weights_sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("engine", String(16), nullable=False),
    Column("engine_reason", String),
    Column("max_difference", Float),
    Column("libraries", _Json, nullable=False),
    Column("jit_compile", Boolean),
    # These three are null in versions that are older than the columns.
    Column("weights_epoch", Integer),
    Column("request_sha256", String(64)),
    Column("machine", String),
    Column("validation_dataset_sha256", String(64)),
    Column("initial", _Json),
    # The file that it came from, where it was imported.
    Column("imported", _Json),
    # What stands between raw records and the network, where it was trained on a table.
    Column("preparation", _Json),
    # What the test rows said of it, where there were any.
    Column("evaluation", _Json),
    UniqueConstraint("model", "number"),
)

# An alias that points to a version keeps it from being deleted.
aliases = Table(
    "aliases",
    metadata,
    Column("model", String(128), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("previous_version", Integer),
    # Another one after each change, and never the same again.
    Column("revision", String(32), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"]),
)

# One row, whose number grows with each change of versions and aliases: a web process remembers what it has read of
# these for as long as the number stays. On SQLite triggers count, which a migration that makes one of the two tables
# anew must make anew, too; elsewhere nobody asks.
edition = Table("edition", metadata, Column("number", BigInteger, nullable=False))

supervisors = Table(
    "supervisors",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("heartbeat_at", UtcDateTime, nullable=False),
)
