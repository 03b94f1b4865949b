"""A data set can be a table with a profile, and a version can have a preparation, and an evaluation on test rows."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.add_column("datasets", sa.Column("columns", _JSON))
    op.add_column("datasets", sa.Column("profile", _JSON))
    op.add_column("versions", sa.Column("preparation", _JSON))
    op.add_column("versions", sa.Column("evaluation", _JSON))


def downgrade() -> None:
    # An earlier release cannot read a table; versions that were trained on one go on with the network's own inputs.
    op.execute("DELETE FROM datasets WHERE columns IS NOT NULL")
    op.drop_column("versions", "evaluation")
    op.drop_column("versions", "preparation")
    op.drop_column("datasets", "profile")
    op.drop_column("datasets", "columns")
