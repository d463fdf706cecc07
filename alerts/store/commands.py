"""Commands into the store: incident, event, outbox rows and the command itself in one transaction.

Only ever added to: a command that was refused stands there with its reason, and the same key again gets
the same answer and does nothing.
"""

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, insert, select

from alerts import event
from alerts.incident import Change, Command, Incident, Refused, fold
from alerts.store.outbox import lane_of
from alerts.store.rows import WRITING, incident_row, update_incidents, write_events
from alerts.store.tables import COMMANDS, INCIDENTS
from zhiwei.clock import to_us
from zhiwei.errors import ZhiweiError
from zhiwei.sql import alone

KEY_MOST = 128
"""Characters of an idempotency key."""
WHO_MOST = 64
"""Characters of a name."""


class UnknownIncident(ZhiweiError):  # noqa: N818 - states what is the case
    """There is no incident of this id."""


class KeyReused(ZhiweiError):  # noqa: N818
    """The idempotency key belongs to another command; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    event_id: str | None
    """The event that it made; None where it was refused."""
    refused: str = ""
    """Stable word, such as ``unknown_transition``; empty where it was carried out."""
    detail: str = ""
    repeated: bool = False
    """The key was known: this is the answer of the first time, and nothing happened now."""
    change: Change | None = None
    """What changed now."""


def submit(
    connection: Connection,
    key: str,
    incident_id: str,
    command: Command,
    *,
    sinks: tuple[str, ...],
    now_us: int,
) -> Outcome:
    """Carry out a command, once for its key.

    Raises UnknownIncident, KeyReused; ZhiweiError for a key or name that is blank or too long. A command
    that the life cycle does not allow is no error: the outcome says why it was refused.
    """
    _check(key, command)
    alone(connection, WRITING)
    known = connection.execute(select(COMMANDS).where(COMMANDS.c.key == key)).one_or_none()
    if known is not None:
        asked = (incident_id, command.action.value, command.who, command.why)
        if (known.incident_id, known.action, known.who, known.why) != asked:
            raise KeyReused(f"key {key} belongs to {known.action} of incident {known.incident_id}")
        return Outcome(known.event_id, known.refused, known.detail, repeated=True)
    row = connection.execute(
        select(INCIDENTS.c.body, INCIDENTS.c.topic).where(INCIDENTS.c.id == incident_id)
    ).one_or_none()
    if row is None:
        raise UnknownIncident(f"there is no incident {incident_id}")
    try:
        _, (change,) = fold(msgspec.json.decode(row.body, type=Incident), command, 0)
    except Refused as refused:
        outcome = Outcome(None, refused.reason, refused.detail)
    else:
        update_incidents(connection, [incident_row(change.incident)])
        write_events(connection, [change], sinks, lane_of(row.topic), now_us)
        outcome = Outcome(event.event_of(change).id, change=change)
    connection.execute(
        insert(COMMANDS).values(
            key=key,
            incident_id=incident_id,
            action=command.action.value,
            who=command.who,
            why=command.why,
            at_us=to_us(command.at),
            event_id=outcome.event_id,
            refused=outcome.refused,
            detail=outcome.detail,
        )
    )
    return outcome


def _check(key: str, command: Command) -> None:
    if not key.strip() or len(key) > KEY_MOST:
        raise ZhiweiError(f"idempotency key: {len(key)} characters, expected 1 to {KEY_MOST}, not blank")
    if not command.who.strip() or len(command.who) > WHO_MOST:
        raise ZhiweiError(f"who: {len(command.who)} characters, expected 1 to {WHO_MOST}, not blank")
