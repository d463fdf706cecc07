"""The tables of ``events.sqlite``: what alerts knows. Portable SQL only: PostgreSQL is the other bed.

Times are µs since the epoch, UTC. A change here needs a migration; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
"""Of every table here."""

INCIDENTS = Table(
    "incidents",
    METADATA,
    Column("id", Text, primary_key=True),
    # While it is not closed; so the database itself refuses a second incident of one key.
    Column("live_key", Text, unique=True),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("clock", Text, nullable=False),
    Column("close_us", BigInteger),
    Column("state", Text, nullable=False),
    Column("scenario", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("historical", Boolean, nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("handling", Text, nullable=False, server_default="new"),
    # Of one that is held: when people are told, by our clock. Kept afterwards.
    Column("hold_us", BigInteger),
    # Where it is set, further revisions of its findings change nothing any more.
    Column("closed_by", Text),
    Index("incidents_due", "topic", "partition", "clock", "close_us"),
    Index("incidents_state", "state", "scenario"),
)
"""One row an incident, as it stands; ``body`` is its JSON."""

FINDINGS = Table(
    "findings",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("rev", Integer, nullable=False),
    Column("incident_id", Text, ForeignKey("incidents.id")),
    Column("body", LargeBinary, nullable=False),
    Index("findings_incident", "incident_id"),
)
"""Findings seen, at their highest revision; without an incident where they were refused."""

EVENTS = Table(
    "events",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("finding_id", Text),
    Column("at_us", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    # In the order in which they became visible; none where an earlier version wrote it.
    Column("number", BigInteger),
    UniqueConstraint("incident_id", "sequence", name="events_sequence"),
    Index("events_at", "at_us"),
    Index("events_number", "number"),
)
"""One row a change; ``body`` is the CloudEvents JSON, byte for byte what sinks send."""

OUTBOX = Table(
    "outbox",
    METADATA,
    # Order of writing, which is the order of sending.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("event_id", Text, ForeignKey("events.id"), nullable=False),
    Column("sink", Text, nullable=False),
    Column("lane", Text, nullable=False, server_default="ordinary"),  # whose worker sends it
    Column("incident_id", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("priority", Integer, nullable=False),  # 1 = critical, the first to go
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("written_us", BigInteger, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Column("settled_us", BigInteger),
    Column("last_error", Text, nullable=False),
    Index("outbox_order", "sink", "lane", "state", "priority", "number"),
    Index("outbox_queue", "sink", "state", "incident_id", "sequence"),
    Index("outbox_event", "event_id"),
)
"""One row for each event and receiver: what is to be sent, what became of it and why."""

COMMANDS = Table(
    "commands",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    Column("action", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("event_id", Text, ForeignKey("events.id")),
    Column("refused", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("commands_incident", "incident_id", "at_us"),
)
"""What people decided, by idempotency key; only ever added to. ``event_id`` is the event that it made;
where it was refused there is none, and ``refused`` and ``detail`` say why."""

APPLIED = Table(
    "applied",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("log_id", Text, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
)
"""How far which log was folded."""

CLOCKS = Table(
    "clocks",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("clock", Text, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
)
"""The highest tick of each clock."""

GAPS = Table(
    "gaps",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("first_offset", BigInteger, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("noticed_us", BigInteger, nullable=False),
)
"""Records that the log no longer had when they were wanted: [first_offset, next_offset)."""

REFUSALS = Table(
    "refusals",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("log_offset", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("finding_id", Text),
)
"""Records of the findings log that changed no incident, and why."""

LEDGER = Table(
    "ledger",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("bin", Text, primary_key=True),
    Column("records", BigInteger, nullable=False),
)
"""Records by bin; they add up to the applied offset less the gaps."""
