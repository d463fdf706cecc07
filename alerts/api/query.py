"""What API and console read from the event store. Every call is bounded: folding waits for it."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, and_, func, or_, select

from alerts import event
from alerts.incident import Action, Change, Command, Handling, Incident, Kind, State
from alerts.store.outbox import AT_ONCE, Dispatched
from alerts.store.tables import COMMANDS, EVENTS, FINDINGS, INCIDENTS, OUTBOX
from zhiwei.clock import to_us
from zhiwei.types import Finding, Severity

LIMIT_MOST = 500
_SCAN_MOST = 5000
"""Incidents looked at in one call, also where few of them are wanted."""
_HISTORY_MOST = 200
"""Latest events of an incident that are told."""
_INCIDENT = msgspec.json.Decoder(Incident)
_FINDING = msgspec.json.Decoder(Finding)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which incidents; None = whatever."""

    live: bool | None = None
    """True: not closed."""
    state: State | None = None
    scenario: str | None = None
    severity: Severity | None = None
    handling: Handling | None = None
    kind: str | None = None
    entity: str | None = None
    before: tuple[int, str] | None = None
    """Only those opened earlier than this (opened_us, id): where the page before ended."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some incidents, the latest opened first."""

    incidents: tuple[Incident, ...]
    next: str | None
    """What to give as ``before`` for those that follow; None at the end."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One event in the life of an incident."""

    id: str
    sequence: int
    kind: Kind
    at_us: int
    finding: Finding | None
    command: Command | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one receiver, and what became of it."""

    event: str
    sequence: int
    sink: str
    state: Dispatched
    reason: str
    attempts: int
    written_us: int
    due_us: int | None
    settled_us: int | None
    last_error: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A command that the life cycle did not allow."""

    action: Action
    who: str
    why: str
    at_us: int
    reason: str
    detail: str


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """All about one incident."""

    incident: Incident
    findings: tuple[Finding, ...]
    """At their latest revision, the latest first; also revisions that came after a person had ended it."""
    history: tuple[Told, ...]
    """In order."""
    earlier: int
    """Events before these, which are not told here."""
    deliveries: tuple[Delivery, ...]
    refused: tuple[Refusal, ...]


def incidents(connection: Connection, wanted: Wanted, limit: int) -> Page:
    """Incidents that fit. A page may be short of ``limit`` and still have a next one."""
    where = [
        column == value
        for column, value in (
            (INCIDENTS.c.state, wanted.state),
            (INCIDENTS.c.scenario, wanted.scenario),
            (INCIDENTS.c.severity, wanted.severity),
            (INCIDENTS.c.handling, wanted.handling),
        )
        if value is not None
    ]
    if wanted.live is not None:
        live = INCIDENTS.c.live_key
        where.append(live.is_not(None) if wanted.live else live.is_(None))
    if wanted.before is not None:
        opened_us, last = wanted.before
        earlier = INCIDENTS.c.opened_us < opened_us
        where.append(or_(earlier, and_(INCIDENTS.c.opened_us == opened_us, INCIDENTS.c.id < last)))
    query = select(INCIDENTS.c.opened_us, INCIDENTS.c.id, INCIDENTS.c.body).where(*where)
    rows = connection.execute(
        query.order_by(INCIDENTS.c.opened_us.desc(), INCIDENTS.c.id.desc()).limit(_SCAN_MOST)
    )
    found: list[Incident] = []
    looked, place = 0, ""
    for row in rows:
        looked, place = looked + 1, f"{row.opened_us}:{row.id}"
        incident = _INCIDENT.decode(row.body)
        if wanted.kind in (None, incident.kind) and wanted.entity in (None, incident.entity):
            found.append(incident)
        if len(found) == limit:
            break
    more = len(found) == limit or looked == _SCAN_MOST
    return Page(incidents=tuple(found), next=place if more else None)


def live_with_findings(connection: Connection) -> tuple[tuple[Incident, Finding | None], ...]:
    """All that are not closed, each with its latest finding: once, at the start."""
    live = INCIDENTS.c.live_key.is_not(None)
    latest: dict[str, Finding] = {}
    rows = connection.execute(
        select(FINDINGS.c.incident_id, FINDINGS.c.body)
        .join(INCIDENTS, INCIDENTS.c.id == FINDINGS.c.incident_id)
        .where(live)
    )
    for incident_id, body in rows:
        finding = _FINDING.decode(body)
        known = latest.get(incident_id)
        if known is None or (known.at, known.id) < (finding.at, finding.id):
            latest[incident_id] = finding
    found = connection.execute(select(INCIDENTS.c.id, INCIDENTS.c.body).where(live))
    return tuple((_INCIDENT.decode(body), latest.get(key)) for key, body in found)


def kind_of(told: event.Event) -> Kind:
    """What an event says has happened."""
    return Kind(told.type.removeprefix(event.TYPE_PREFIX))


def latest_events(connection: Connection, most: int) -> tuple[event.Event, ...]:
    """The latest by event time, newest first."""
    query = select(EVENTS.c.body).order_by(EVENTS.c.at_us.desc(), EVENTS.c.sequence.desc()).limit(most)
    return tuple(event.decode(body) for (body,) in connection.execute(query))


def last_number(connection: Connection) -> int:
    """Of the event that was stored last; 0 where none has a number."""
    return int(connection.execute(select(func.coalesce(func.max(EVENTS.c.number), 0))).scalar_one())


def changes_after(connection: Connection, number: int, most: int) -> tuple[tuple[int, Change], ...]:
    """Changes stored after the event of this number, each with its own number, in order."""
    query = select(EVENTS.c.number, EVENTS.c.body).where(EVENTS.c.number > number)
    rows = connection.execute(query.order_by(EVENTS.c.number).limit(most))
    return tuple((row.number, change_of(event.decode(row.body))) for row in rows)


def change_of(told: event.Event) -> Change:
    """The change that an event tells of."""
    return Change(kind_of(told), told.time, told.data.incident, told.data.finding, told.data.command)


def dossier(connection: Connection, incident_id: str) -> Dossier | None:
    """All about this incident; None if there is none of this id."""
    body = connection.execute(select(INCIDENTS.c.body).where(INCIDENTS.c.id == incident_id)).scalar()
    if body is None:
        return None
    newest = select(EVENTS).where(EVENTS.c.incident_id == incident_id).order_by(EVENTS.c.sequence.desc())
    rows = connection.execute(newest.limit(_HISTORY_MOST)).all()[::-1]
    told = [_told(row.body, row.sequence) for row in rows]
    findings = connection.execute(
        select(FINDINGS.c.body).where(FINDINGS.c.incident_id == incident_id).limit(_HISTORY_MOST)
    )
    latest_first = sorted(
        (_FINDING.decode(body) for (body,) in findings), key=lambda one: (one.at, one.id), reverse=True
    )
    return Dossier(
        incident=_INCIDENT.decode(body),
        findings=tuple(latest_first),
        history=tuple(told),
        earlier=told[0].sequence - 1 if told else 0,
        deliveries=_deliveries(connection, [one.id for one in told]),
        refused=_refusals(connection, incident_id),
    )


def _told(body: bytes, sequence: int) -> Told:
    made = event.decode(body)
    return Told(
        id=made.id,
        sequence=sequence,
        kind=kind_of(made),
        at_us=to_us(made.time),
        finding=made.data.finding,
        command=made.data.command,
    )


def _deliveries(connection: Connection, events: Sequence[str]) -> tuple[Delivery, ...]:
    query = select(OUTBOX).where(OUTBOX.c.event_id.in_(events)).order_by(OUTBOX.c.sequence, OUTBOX.c.sink)
    return tuple(
        Delivery(
            event=row.event_id,
            sequence=row.sequence,
            sink=row.sink,
            state=Dispatched(row.state),
            reason=row.reason,
            attempts=row.attempts,
            written_us=row.written_us,
            due_us=row.due_us if row.state == Dispatched.PENDING and row.due_us != AT_ONCE else None,
            settled_us=row.settled_us,
            last_error=row.last_error,
        )
        for row in connection.execute(query)
    )


def _refusals(connection: Connection, incident_id: str) -> tuple[Refusal, ...]:
    query = select(COMMANDS).where(COMMANDS.c.incident_id == incident_id, COMMANDS.c.refused != "")
    return tuple(
        Refusal(
            action=Action(row.action),
            who=row.who,
            why=row.why,
            at_us=row.at_us,
            reason=row.refused,
            detail=row.detail,
        )
        for row in connection.execute(query.order_by(COMMANDS.c.at_us).limit(_HISTORY_MOST))
    )
