"""What people decide about incidents."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the commands, and what they made of an incident."""
    op.add_column("incidents", sa.Column("handling", sa.Text, nullable=False, server_default="new"))
    op.add_column("incidents", sa.Column("closed_by", sa.Text))
    op.create_table(
        "commands",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.Text, sa.ForeignKey("events.id")),
        sa.Column("refused", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Index("commands_incident", "incident_id", "at_us"),
    )
