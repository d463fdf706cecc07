"""When a held incident is told, and lanes of the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the hold; give each row of the outbox the lane of the topic that its incident came on."""
    op.add_column("incidents", sa.Column("hold_us", sa.BigInteger))
    op.add_column("outbox", sa.Column("lane", sa.Text, nullable=False, server_default="ordinary"))
    incidents = sa.table("incidents", sa.column("id", sa.Text), sa.column("topic", sa.Text))
    outbox = sa.table("outbox", sa.column("lane", sa.Text), sa.column("incident_id", sa.Text))
    urgent = sa.select(incidents.c.id).where(incidents.c.topic == "findings.urgent")
    op.execute(sa.update(outbox).where(outbox.c.incident_id.in_(urgent)).values(lane="urgent"))
    op.drop_index("outbox_order", "outbox")
    op.create_index("outbox_order", "outbox", ["sink", "lane", "state", "priority", "number"])
