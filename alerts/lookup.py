"""Reads the event store for people: what an id stands for and how it came, and how much there is.

For ``zhiwei explain`` and the terminal view; may run beside the alerts process.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
from sqlalchemy import Connection, Row, Select, func, select

from alerts.incident import Incident
from alerts.store.outbox import AT_ONCE, Dispatched
from alerts.store.store import Store
from alerts.store.tables import EVENTS, FINDINGS, GAPS, INCIDENTS, LEDGER, OUTBOX, REFUSALS
from zhiwei.errors import ZhiweiError
from zhiwei.settings import Settings
from zhiwei.types import Finding

What = Literal["incident", "event", "finding", "dispatch"]

_PREFIX = re.compile(r"[0-9a-f]{4,32}")
_TABLES = {"incident": INCIDENTS, "event": EVENTS, "finding": FINDINGS, "dispatch": OUTBOX}


class UnknownId(ZhiweiError):  # noqa: N818 - states what is the case
    """Nothing has this id."""


class AmbiguousId(ZhiweiError):  # noqa: N818
    """Several things have an id that begins so."""


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was sent, or is to be."""

    id: str
    incident: str
    sequence: int
    kind: str
    """What happened: one of ``alerts.incident.Kind``."""
    at_us: int
    finding: str | None
    body: bytes
    """The CloudEvents JSON."""


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one receiver, and what became of it."""

    id: str
    event: str
    sink: str
    state: Dispatched
    reason: str
    """Empty before the first attempt; else one of ``alerts.dispatch.policy.Reason``, or ``historical``."""
    attempts: int
    written_us: int
    due_us: int | None
    """When it is tried next; None for "at once" and where it is settled."""
    settled_us: int | None
    last_error: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What an id stands for, and what belongs to it."""

    what: What
    id: str
    incident: Incident | None
    """As it stands now; None for a finding that was refused."""
    findings: tuple[Finding, ...]
    """At their latest revision."""
    events: tuple[StoredEvent, ...]
    """In order."""
    dispatches: tuple[Dispatch, ...]
    refusals: tuple[str, ...]
    """Why revisions of the finding were refused, ``reason: detail``."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is."""

    incidents: dict[str, int]
    """By state."""
    open_by_severity: dict[str, int]
    """Of those open or cleared."""
    events: dict[str, int]
    """By what happened."""
    dispatches: dict[str, dict[str, int]]
    """Sink → state → count."""
    records: dict[str, int]
    """Of the findings log, by bin of the ledger."""
    gap_records: int


class Lookup:
    """An event store opened for reading. Calls block for a disk access."""

    def __init__(self, data: Path) -> None:
        """Raises ZhiweiError where the data directory has no event store."""
        self._store = Store.open_existing(data)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The store that these settings name. Raises ZhiweiError where there is none."""
        if not settings.database.url:
            return cls(settings.data)
        found = cls.__new__(cls)
        found._store = Store.of(settings)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def explain(self, prefix: str) -> Explanation:
        """What this id, or the only one that begins so, stands for. Raises UnknownId, AmbiguousId."""
        return self._store.transact_here(lambda connection: _explain(connection, prefix.strip().lower()))

    def counts(self) -> Counts:
        """How much there is."""
        return self._store.transact_here(_counts)

    def latest(self, most: int) -> tuple[StoredEvent, ...]:
        """The latest events by event time, newest first."""
        query = select(EVENTS).order_by(EVENTS.c.at_us.desc(), EVENTS.c.id, EVENTS.c.sequence.desc())
        return self._store.transact_here(lambda connection: _events(connection, query.limit(most)))


def _explain(connection: Connection, prefix: str) -> Explanation:
    what, full = _resolve(connection, prefix)
    incident_id: str | None = full
    event_ids: list[str] | None = None
    finding_ids: list[str] | None = None
    query = select(EVENTS).order_by(EVENTS.c.sequence)
    if what == "finding":
        incident_id = connection.execute(select(FINDINGS.c.incident_id).where(FINDINGS.c.id == full)).scalar()
        query, finding_ids = query.where(EVENTS.c.finding_id == full), [full]
    elif what != "incident":
        event_id = full
        if what == "dispatch":
            event_id = connection.execute(select(OUTBOX.c.event_id).where(OUTBOX.c.id == full)).scalar_one()
        query, event_ids = query.where(EVENTS.c.id == event_id), [event_id]
    else:
        query = query.where(EVENTS.c.incident_id == full)
    events = _events(connection, query)
    if event_ids is not None:
        incident_id = events[0].incident
        finding_ids = [event.finding for event in events if event.finding]
    return Explanation(
        what=what,
        id=full,
        incident=_incident(connection, incident_id),
        findings=_findings(connection, incident_id, finding_ids),
        events=events,
        dispatches=_dispatches(
            connection, [event.id for event in events], only=full if what == "dispatch" else None
        ),
        refusals=_refusals(connection, full) if what == "finding" else (),
    )


def _resolve(connection: Connection, prefix: str) -> tuple[What, str]:
    if not _PREFIX.fullmatch(prefix):
        raise UnknownId(f"{prefix!r} is no id: expected 4 to 32 hexadecimal digits")
    found: list[tuple[What, str]] = []
    for what, table in _TABLES.items():
        # "g" follows every hexadecimal digit, so this is a range of the primary key's index.
        query = select(table.c.id).where(table.c.id >= prefix, table.c.id < prefix + "g")
        found += [(what, row[0]) for row in connection.execute(query.order_by(table.c.id).limit(3))]  # type: ignore[misc]
    if not found:
        raise UnknownId(f"no incident, event, finding or dispatch has an id that begins with {prefix}")
    if len(found) > 1:
        some = ", ".join(f"{what} {full}" for what, full in found[:4])
        raise AmbiguousId(f"several ids begin with {prefix}: {some}; give more digits")
    return found[0]


def _incident(connection: Connection, incident_id: str | None) -> Incident | None:
    body = connection.execute(select(INCIDENTS.c.body).where(INCIDENTS.c.id == incident_id)).scalar()
    return None if body is None else msgspec.json.decode(body, type=Incident)


def _findings(
    connection: Connection, incident_id: str | None, only: Sequence[str] | None
) -> tuple[Finding, ...]:
    query = select(FINDINGS.c.body).order_by(FINDINGS.c.id)
    if only is None:
        query = query.where(FINDINGS.c.incident_id == incident_id)
    else:
        query = query.where(FINDINGS.c.id.in_(only))
    return tuple(msgspec.json.decode(row[0], type=Finding) for row in connection.execute(query))


def _events(connection: Connection, query: Select[Any]) -> tuple[StoredEvent, ...]:
    return tuple(
        StoredEvent(
            id=row.id,
            incident=row.incident_id,
            sequence=row.sequence,
            kind=row.kind,
            at_us=row.at_us,
            finding=row.finding_id,
            body=row.body,
        )
        for row in connection.execute(query)
    )


def _dispatches(connection: Connection, events: Sequence[str], only: str | None) -> tuple[Dispatch, ...]:
    query = select(OUTBOX).where(OUTBOX.c.event_id.in_(events)).order_by(OUTBOX.c.number)
    if only is not None:
        query = query.where(OUTBOX.c.id == only)
    return tuple(_dispatch(row) for row in connection.execute(query))


def _dispatch(row: Row[Any]) -> Dispatch:
    state = Dispatched(row.state)
    waits = state is Dispatched.PENDING and row.due_us != AT_ONCE
    return Dispatch(
        id=row.id,
        event=row.event_id,
        sink=row.sink,
        state=state,
        reason=row.reason,
        attempts=row.attempts,
        written_us=row.written_us,
        due_us=row.due_us if waits else None,
        settled_us=row.settled_us,
        last_error=row.last_error,
    )


def _refusals(connection: Connection, finding_id: str) -> tuple[str, ...]:
    query = select(REFUSALS).where(REFUSALS.c.finding_id == finding_id).order_by(REFUSALS.c.log_offset)
    return tuple(f"{row.reason}: {row.detail}" for row in connection.execute(query))


def _counts(connection: Connection) -> Counts:
    def by(column: Any, *conditions: Any) -> dict[str, int]:
        query = select(column, func.count()).where(*conditions).group_by(column).order_by(column)
        return {row[0]: row[1] for row in connection.execute(query)}

    dispatches: dict[str, dict[str, int]] = {}
    grouped = select(OUTBOX.c.sink, OUTBOX.c.state, func.count()).group_by(OUTBOX.c.sink, OUTBOX.c.state)
    for sink, state, number in connection.execute(grouped):
        dispatches.setdefault(sink, {})[state] = number
    bins = select(LEDGER.c.bin, func.sum(LEDGER.c.records)).group_by(LEDGER.c.bin)
    gap = select(func.sum(GAPS.c.next_offset - GAPS.c.first_offset))
    return Counts(
        incidents=by(INCIDENTS.c.state),
        open_by_severity=by(INCIDENTS.c.severity, INCIDENTS.c.live_key.is_not(None)),
        events=by(EVENTS.c.kind),
        dispatches=dispatches,
        records={name: int(number) for name, number in connection.execute(bins)},
        gap_records=int(connection.execute(gap).scalar() or 0),
    )
