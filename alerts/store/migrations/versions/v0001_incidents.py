"""Incidents, findings, events, outbox, and how far the log was folded."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("live_key", sa.Text, unique=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("clock", sa.Text, nullable=False),
        sa.Column("close_us", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("historical", sa.Boolean, nullable=False),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Index("incidents_due", "topic", "partition", "clock", "close_us"),
        sa.Index("incidents_state", "state", "scenario"),
    )
    op.create_table(
        "findings",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id")),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Index("findings_incident", "incident_id"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("finding_id", sa.Text),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("incident_id", "sequence", name="events_sequence"),
        sa.Index("events_at", "at_us"),
    )
    _create_outbox()
    _create_progress()


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("event_id", sa.Text, sa.ForeignKey("events.id"), nullable=False),
        sa.Column("sink", sa.Text, nullable=False),
        sa.Column("incident_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("written_us", sa.BigInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("settled_us", sa.BigInteger),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Index("outbox_order", "sink", "state", "priority", "number"),
        sa.Index("outbox_queue", "sink", "state", "incident_id", "sequence"),
        sa.Index("outbox_event", "event_id"),
    )


def _create_progress() -> None:
    op.create_table(
        "applied",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("log_id", sa.Text, nullable=False),
        sa.Column("partitions", sa.Integer, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "clocks",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("clock", sa.Text, primary_key=True),
        sa.Column("time_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "gaps",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("first_offset", sa.BigInteger, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("noticed_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "refusals",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("log_offset", sa.BigInteger, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("finding_id", sa.Text),
    )
    op.create_table(
        "ledger",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("bin", sa.Text, primary_key=True),
        sa.Column("records", sa.BigInteger, nullable=False),
    )
