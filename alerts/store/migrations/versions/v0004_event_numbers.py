"""A number for each event, by which another process follows what is stored."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Events that are there stay without one: nobody follows what was before."""
    op.add_column("events", sa.Column("number", sa.BigInteger))
    op.create_index("events_number", "events", ["number"])
