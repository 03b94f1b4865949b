"""Data sets are found by their content, so that equal ones can share their files."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("datasets_by_sha256", "datasets", ["sha256"])


def downgrade() -> None:
    op.drop_index("datasets_by_sha256", "datasets")
