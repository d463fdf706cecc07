"""Rows of incidents, events and what is to be sent of them, for whoever changes an incident."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, select, update

from alerts import event
from alerts.incident import Change, Incident, State
from alerts.store.outbox import Lane, rows_of
from alerts.store.tables import EVENTS, INCIDENTS, OUTBOX
from zhiwei.clock import to_us

WRITING = "incidents"
"""Whoever changes incidents is ``alone`` under this name: a person's command may come from another process,
and neither may write over what the other has just decided."""

_CHANGING = ("live_key", "clock", "close_us", "state", "severity", "body", "handling", "closed_by")
_CHANGE = (
    update(INCIDENTS)
    .where(INCIDENTS.c.id == bindparam("which"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGING})
)
_LAST_NUMBER = select(func.coalesce(func.max(EVENTS.c.number), 0))


def update_incidents(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Write what may change of incidents that are there. rows: as ``incident_row`` makes them."""
    connection.execute(
        _CHANGE, [{"which": row["id"]} | {f"new_{name}": row[name] for name in _CHANGING} for row in rows]
    )


def incident_row(incident: Incident) -> dict[str, object]:
    """The row of an incident, but for its place on the log and the end of its hold."""
    return {
        "id": incident.id,
        "live_key": None if incident.state is State.CLOSED else incident.key,
        "clock": incident.clock,
        "close_us": to_us(incident.close_at) if incident.close_at else None,
        "state": incident.state.value,
        "scenario": incident.scenario,
        "severity": incident.severity.value,
        "historical": incident.historical,
        "opened_us": to_us(incident.opened_at),
        "body": msgspec.json.encode(incident),
        "handling": incident.handling.value,
        "closed_by": incident.closed_by,
    }


def write_events(
    connection: Connection, changes: Sequence[Change], sinks: Sequence[str], lane: Lane, now_us: int
) -> None:
    """Write the event of each change, and its outbox row for each receiver. The transaction is ``alone``."""
    events = [event.event_of(change) for change in changes]
    if not events:
        return
    before = connection.execute(_LAST_NUMBER).scalar_one()
    connection.execute(
        insert(EVENTS),
        [
            {
                "id": made.id,
                "incident_id": change.incident.id,
                "sequence": change.incident.sequence,
                "kind": change.kind.value,
                "finding_id": change.finding.id if change.finding else None,
                "at_us": to_us(change.at),
                "body": event.encode(made),
                "number": number,
            }
            for number, (made, change) in enumerate(zip(events, changes, strict=True), before + 1)
        ],
    )
    rows = [
        row
        for made, change in zip(events, changes, strict=True)
        for row in rows_of(made.id, change, sinks, lane, now_us)
    ]
    if rows:
        connection.execute(insert(OUTBOX), rows)
