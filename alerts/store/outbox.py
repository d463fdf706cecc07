"""The outbox: what is to be sent to whom, in which order, and what became of it.

Each receiver has two lanes, each with a worker of its own, so that what is urgent does not wait for what is
not. A row's lane is that of the topic its incident's findings come on, whatever its severity. The order
within an incident holds across lanes.

The table is the truth: a worker holds nothing that a restart would lose.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, func, or_, select, update

from alerts.incident import Change
from alerts.store.tables import EVENTS, OUTBOX
from zhiwei.ids import digest
from zhiwei.lanes import FINDINGS_URGENT
from zhiwei.types import Severity

AT_ONCE = 0
"""``due_us`` of a row that was not tried yet: earlier than any time, also after the clock was set back."""


class Lane(StrEnum):
    """Whose worker sends a row."""

    URGENT = "urgent"
    """Incidents of life-safety kinds."""
    ORDINARY = "ordinary"


def lane_of(topic: str) -> Lane:
    """The lane of incidents whose findings come on this topic of the log."""
    return Lane.URGENT if topic == FINDINGS_URGENT else Lane.ORDINARY


class Dispatched(StrEnum):
    """Where one dispatch stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up; ``reason`` and ``last_error`` say why."""
    SUPPRESSED = "suppressed"
    """Never to be sent; ``reason`` says why."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits for a receiver."""

    number: int
    event_id: str
    incident_id: str
    attempts: int
    written_us: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """What may be sent now, and when the next may be."""

    rows: tuple[Waiting, ...]
    next_due_us: int | None
    """None where nothing waits for a time, or where there were more rows than asked for."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of one attempt."""

    number: int
    state: Dispatched
    reason: str
    attempts: int
    due_us: int
    last_error: str


def rows_of(
    event_id: str, change: Change, sinks: Sequence[str], lane: Lane, now_us: int
) -> list[dict[str, object]]:
    """The outbox rows of one event: one for each receiver, also where it is not to be told."""
    incident = change.incident
    state, reason = Dispatched.PENDING, ""
    if incident.historical:
        state, reason = Dispatched.SUPPRESSED, "historical"
    elif not change.told:
        state, reason = Dispatched.SUPPRESSED, "held"
    return [
        {
            "id": digest("dispatch", event_id, sink),
            "event_id": event_id,
            "sink": sink,
            "lane": lane.value,
            "incident_id": incident.id,
            "sequence": incident.sequence,
            "priority": len(Severity) - incident.severity.rank,
            "state": state.value,
            "reason": reason,
            "attempts": 0,
            "written_us": now_us,
            "due_us": AT_ONCE,
            "settled_us": None if state is Dispatched.PENDING else now_us,
            "last_error": "",
        }
        for sink in sinks
    ]


def ready(
    connection: Connection,
    sink: str,
    lane: Lane,
    now_us: int,
    *,
    busy: Collection[str],
    most: int,
    horizon_us: int,
    least_tried: bool = False,
) -> Ready:
    """The events of a lane that may be sent to this sink now: of each incident at most its first pending one,
    whichever lane that is on.

    busy: incidents of which one is being sent. horizon_us: no row waits longer than that; one that
    seems to was written before the clock was set back, and is due.
    The most severe first, then the oldest; with ``least_tried`` the one that has failed least often.
    """
    rows = connection.execute(
        _first(least_tried=least_tried),
        {
            "sink": sink,
            "lane": lane.value,
            "busy": sorted(busy),
            "now": now_us,
            "far": now_us + horizon_us,
            "most": most + 1,
        },
    ).all()
    due = [Waiting(*row[:-1]) for row in rows if row.later_us is None]
    later = rows[len(due)].later_us if len(due) < len(rows) and len(due) < most else None
    return Ready(tuple(due[:most]), later)


@cache  # asked for each event, and dear to make
def _first(*, least_tried: bool) -> Select[Any]:
    """What is due, in its order; then what is not, by its time, which is ``later_us``."""
    waiting, due = _waiting_and_due()
    later = case((due, None), else_=OUTBOX.c.due_us)
    order = [OUTBOX.c.priority, OUTBOX.c.number]
    return (
        select(
            OUTBOX.c.number,
            OUTBOX.c.event_id,
            OUTBOX.c.incident_id,
            OUTBOX.c.attempts,
            OUTBOX.c.written_us,
            EVENTS.c.body,
            later.label("later_us"),
        )
        .join(EVENTS, EVENTS.c.id == OUTBOX.c.event_id)
        .where(waiting)
        .order_by(later.nulls_first(), *([OUTBOX.c.attempts] if least_tried else []), *order)
        .limit(bindparam("most"))
    )


def _waiting_and_due() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Pending events whose incident has no earlier one pending, and of those the ones whose time has come."""
    earlier = OUTBOX.alias()
    waiting = and_(
        OUTBOX.c.sink == bindparam("sink"),
        OUTBOX.c.lane == bindparam("lane"),
        OUTBOX.c.state == Dispatched.PENDING.value,
        OUTBOX.c.incident_id.not_in(bindparam("busy", expanding=True)),
        ~select(earlier.c.number)
        .where(
            earlier.c.sink == bindparam("sink"),
            earlier.c.state == Dispatched.PENDING.value,
            earlier.c.incident_id == OUTBOX.c.incident_id,
            earlier.c.sequence < OUTBOX.c.sequence,
        )
        .exists(),
    )
    return waiting, or_(OUTBOX.c.due_us <= bindparam("now"), OUTBOX.c.due_us > bindparam("far"))


def settle(connection: Connection, outcomes: Sequence[Settled], now_us: int) -> None:
    """Write down what came of attempts."""
    connection.execute(
        update(OUTBOX)
        .where(OUTBOX.c.number == bindparam("which"), OUTBOX.c.state == Dispatched.PENDING.value)
        .values(
            state=bindparam("new_state"),
            reason=bindparam("new_reason"),
            attempts=bindparam("new_attempts"),
            due_us=bindparam("new_due_us"),
            settled_us=bindparam("new_settled_us"),
            last_error=bindparam("new_last_error"),
        ),
        [
            {
                "which": outcome.number,
                "new_state": outcome.state.value,
                "new_reason": outcome.reason,
                "new_attempts": outcome.attempts,
                "new_due_us": outcome.due_us,
                "new_settled_us": None if outcome.state is Dispatched.PENDING else now_us,
                "new_last_error": outcome.last_error,
            }
            for outcome in outcomes
        ],
    )


def hasten(connection: Connection, sink: str) -> None:
    """The receiver is back: what waits for its next attempt is due at once."""
    connection.execute(
        update(OUTBOX)
        .where(
            OUTBOX.c.sink == sink,
            OUTBOX.c.state == Dispatched.PENDING.value,
            OUTBOX.c.due_us > AT_ONCE,
        )
        .values(due_us=AT_ONCE)
    )


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one sink on one lane."""

    pending: int
    oldest_us: int
    """When the oldest was written."""


def backlogs(connection: Connection) -> dict[tuple[str, Lane], Backlog]:
    """By sink and lane, those with something pending; also sinks that are no longer configured."""
    rows = connection.execute(
        select(OUTBOX.c.sink, OUTBOX.c.lane, func.count(), func.min(OUTBOX.c.written_us))
        .where(OUTBOX.c.state == Dispatched.PENDING.value)
        .group_by(OUTBOX.c.sink, OUTBOX.c.lane)
    )
    return {(sink, Lane(lane)): Backlog(pending, oldest) for sink, lane, pending, oldest in rows}
