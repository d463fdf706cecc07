"""The life of an incident, as a pure fold over findings, ticks and commands: no clock, no I/O, no randomness.

An incident gathers the findings of one rule about one entity: a finding opens it; when its last open
finding is cleared the incident is cleared; raised again before ``close_at`` it is reopened; at
``close_at`` it is closed, for good. People acknowledge, confirm, reject and close it by commands; one
that was confirmed has no deadline: a person closes it. TRANSITIONS is the whole life cycle, HANDLING
what people may make of it.

A state that is known from old rows only is held: its incident is there, but nobody is told until a fresh
finding says the same or the hold is over; a clear before that ends it untold. Fresh findings speak for the
present: beside one, what is known from old rows keeps no incident open.

Time comes from the log. A deadline fires before the incident's own next finding that is not earlier,
or at the first tick of the incident's clock that is not earlier; the change bears the deadline's time,
so that the granularity of ticks does not show. Only the hold runs by our clock, as dispatch does: it is
about when people hear, and must end also where the log stands still. The store says when (``HoldOver``).
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from zhiwei.clock import to_datetime, to_us
from zhiwei.errors import ZhiweiError
from zhiwei.generations import split
from zhiwei.ids import digest
from zhiwei.lanes import Lane, fresh_clock, log_topic
from zhiwei.types import Finding, Phase, Severity, Tick


class State(StrEnum):
    """Where an incident stands."""

    HELD = "held"
    """Known from old rows only, and nobody was told yet."""
    OPEN = "open"
    CLEARED = "cleared"
    """No finding of it is open; raised again before ``close_at`` it is open again."""
    CLOSED = "closed"


class Handling(StrEnum):
    """What people have made of an incident so far."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    """Somebody has seen it and looks after it."""
    CONFIRMED = "confirmed"
    """It is so: from here on only a person closes it."""
    REJECTED = "rejected"
    """It was false; with that it is closed."""


class Signal(StrEnum):
    """What a finding, a tick or a command means to an incident."""

    CLAIMED = "claimed"
    """A finding says that it is so: suspected, raised or updated."""
    LEFT_OPEN = "left open"
    """A finding says that it was so when the entity's backlog had ended."""
    HOLD_OVER = "told"
    """Nothing fresh has come within the hold."""
    EASED = "eased"
    """One of several open findings is cleared."""
    CLEARED = "cleared"
    """The last open finding is cleared."""
    DUE = "due"
    """``close_at`` has passed."""
    ACKNOWLEDGE = "acknowledge"
    CONFIRM = "confirm"
    REJECT = "reject"
    CLOSE = "close"


class Kind(StrEnum):
    """What happened to an incident; the event's type is ``zhiwei.incident.<kind>``."""

    HELD = "held"
    """Recorded, and told to nobody."""
    OPENED = "opened"
    """The first that anybody is told."""
    UPDATED = "updated"
    CLEARED = "cleared"
    REOPENED = "reopened"
    CLOSED = "closed"
    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class Action(StrEnum):
    """What a person can do to an incident."""

    ACKNOWLEDGE = "acknowledge"
    CONFIRM = "confirm"
    REJECT = "reject"
    CLOSE = "close"

    @property
    def signal(self) -> Signal:
        """What it means to an incident."""
        return Signal(self.value)


TRANSITIONS: dict[tuple[State | None, Signal], tuple[Kind, State]] = {
    (None, Signal.CLAIMED): (Kind.OPENED, State.OPEN),
    (None, Signal.LEFT_OPEN): (Kind.HELD, State.HELD),
    (State.HELD, Signal.CLAIMED): (Kind.OPENED, State.OPEN),
    (State.HELD, Signal.HOLD_OVER): (Kind.OPENED, State.OPEN),
    (State.HELD, Signal.LEFT_OPEN): (Kind.UPDATED, State.HELD),
    (State.HELD, Signal.EASED): (Kind.UPDATED, State.HELD),
    (State.HELD, Signal.CLEARED): (Kind.CLEARED, State.CLOSED),
    (State.OPEN, Signal.CLAIMED): (Kind.UPDATED, State.OPEN),
    (State.OPEN, Signal.LEFT_OPEN): (Kind.UPDATED, State.OPEN),
    (State.OPEN, Signal.EASED): (Kind.UPDATED, State.OPEN),
    (State.OPEN, Signal.CLEARED): (Kind.CLEARED, State.CLEARED),
    (State.CLEARED, Signal.CLAIMED): (Kind.REOPENED, State.OPEN),
    (State.CLEARED, Signal.LEFT_OPEN): (Kind.REOPENED, State.OPEN),
    (State.CLEARED, Signal.DUE): (Kind.CLOSED, State.CLOSED),
    # Not confirmed while held: what is confirmed is closed by a person, and others must have heard of it.
    (State.HELD, Signal.ACKNOWLEDGE): (Kind.ACKNOWLEDGED, State.HELD),
    (State.HELD, Signal.REJECT): (Kind.REJECTED, State.CLOSED),
    (State.HELD, Signal.CLOSE): (Kind.CLOSED, State.CLOSED),
    (State.OPEN, Signal.ACKNOWLEDGE): (Kind.ACKNOWLEDGED, State.OPEN),
    (State.CLEARED, Signal.ACKNOWLEDGE): (Kind.ACKNOWLEDGED, State.CLEARED),
    (State.OPEN, Signal.CONFIRM): (Kind.CONFIRMED, State.OPEN),
    (State.CLEARED, Signal.CONFIRM): (Kind.CONFIRMED, State.CLEARED),
    (State.OPEN, Signal.REJECT): (Kind.REJECTED, State.CLOSED),
    (State.CLEARED, Signal.REJECT): (Kind.REJECTED, State.CLOSED),
    (State.OPEN, Signal.CLOSE): (Kind.CLOSED, State.CLOSED),
    (State.CLEARED, Signal.CLOSE): (Kind.CLOSED, State.CLOSED),
}
"""The life cycle. None is "no incident yet"; what is not here does not happen."""

HANDLING: dict[tuple[Handling, Action], Handling] = {
    (Handling.NEW, Action.ACKNOWLEDGE): Handling.ACKNOWLEDGED,
    (Handling.NEW, Action.CONFIRM): Handling.CONFIRMED,
    (Handling.NEW, Action.REJECT): Handling.REJECTED,
    (Handling.NEW, Action.CLOSE): Handling.NEW,
    (Handling.ACKNOWLEDGED, Action.CONFIRM): Handling.CONFIRMED,
    (Handling.ACKNOWLEDGED, Action.REJECT): Handling.REJECTED,
    (Handling.ACKNOWLEDGED, Action.CLOSE): Handling.ACKNOWLEDGED,
    # What was confirmed on the phone may turn out false on site.
    (Handling.CONFIRMED, Action.REJECT): Handling.REJECTED,
    (Handling.CONFIRMED, Action.CLOSE): Handling.CONFIRMED,
}
"""What a command makes of an incident that is not closed; what is not here is refused."""

REASON_MOST = 500
"""Characters of a command's reason."""


class Refused(ZhiweiError):  # noqa: N818
    """A finding or command that has no place in the life cycle; nothing was changed."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided about an incident. Also the wire format, within an event."""

    action: Action
    who: str
    why: str = ""
    """Must be given to reject."""
    at: datetime


class HoldOver(NamedTuple):
    """The hold of an incident is over: people are told now."""

    finding: Finding
    """The one that holds the incident open."""


class OpenFinding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finding that holds its incident open, at the latest revision folded."""

    id: str
    rev: int
    phase: Phase
    severity: Severity
    onset: datetime
    left_open: bool = False
    """Known from old rows only: the entity's backlog has ended without clearing it."""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One trouble with one entity, from the first finding to the end. Also the wire format of events."""

    id: str
    state: State
    severity: Severity
    """The highest of its open findings; once cleared, what it was last."""
    site: str
    scenario: str
    entity: str
    kind: str
    rule: str
    clock: str
    historical: bool
    onset: datetime
    opened_at: datetime
    cleared_at: datetime | None = None
    """When its last open finding was cleared; None while open."""
    close_at: datetime | None = None
    """Deadline set when it was cleared; a later change of the settings does not move it."""
    closed_at: datetime | None = None
    sequence: int
    """Of its last change: 1, 2, 3, … without a hole."""
    findings: int
    """How many were folded into it, open or cleared."""
    open: tuple[OpenFinding, ...]
    handling: Handling = Handling.NEW
    handled_by: str | None = None
    """Who gave the last command."""
    closed_by: str | None = None
    """Who closed or rejected it; None while it is not closed and where its deadline closed it."""

    @property
    def key(self) -> str:
        """What findings must share to be folded into one incident."""
        return _key(self)


class Change(NamedTuple):
    """One change in the life of one incident."""

    kind: Kind
    at: datetime
    """Event time: of the finding, or the deadline; of a command our clock."""
    incident: Incident
    """As it is after the change."""
    finding: Finding | None
    """What changed it; None for a deadline and a command."""
    command: Command | None = None
    """What changed it, where a person did."""
    told: bool = True
    """Receivers hear of it; False where the incident is held, or ended while it was."""


def key_of(finding: Finding) -> str:
    """The key of the incident that this finding belongs to."""
    return _key(finding)


def fold(
    incident: Incident | None, record: Finding | Tick | Command | HoldOver, close_after_us: int
) -> tuple[Incident | None, tuple[Change, ...]]:
    """Take one record into account.

    incident: the one of the finding's key that is not closed, or None. Revisions that were seen before
    are the caller's business: they must not come here.
    close_after_us: from the last clear to the end of the incident, µs.
    Returns the incident as it stands and the changes in order. Where a finding comes at or after the
    deadline there are two changes, of two incidents: the old one closed, a new one opened.
    Raises Refused.
    """
    if isinstance(record, Tick):
        if incident is None or incident.clock != record.clock or not _is_due(incident, record.time):
            return incident, ()
        change = _closed(incident)
        return change.incident, (change,)
    if isinstance(record, Command):
        change = _handled(incident, record)
        return change.incident, (change,)
    if isinstance(record, HoldOver):
        change = _told(incident, record.finding)
        return change.incident, (change,)
    if incident is not None and incident.key != key_of(record):
        raise Refused("wrong_incident", f"finding {record.id} does not belong to incident {incident.id}")
    if record.phase is Phase.CLEARED:
        change = _clear(incident, record, close_after_us)
        return change.incident, (change,)
    if incident is not None and _is_due(incident, record.at):
        end, start = _closed(incident), _claim(None, record)
        return start.incident, (end, start)
    change = _claim(incident, record)
    return change.incident, (change,)


def is_left_open(finding: Finding) -> bool:
    """Whether it is of a state that the entity's backlog has left open; a late call for help is not."""
    topic, _ = split(finding.coordinates.topic)
    return finding.late and topic == log_topic(Lane.BACKLOG, finding.scenario)


def _key(of: Incident | Finding) -> str:
    # What is late may be one thing with what is fresh; what is historical never is.
    clock = of.clock if of.historical else fresh_clock(of.clock)
    return digest(
        "incident-key", of.site, of.scenario, of.entity, of.kind, of.rule, clock, int(of.historical)
    )


def _is_due(incident: Incident, time: datetime) -> bool:
    return incident.close_at is not None and incident.close_at <= time


def _next(incident: Incident | None, signal: Signal) -> tuple[Kind, State]:
    state = incident.state if incident else None
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        whose = f"incident {incident.id} is {state}" if incident else "there is no incident"
        raise Refused("unknown_transition", f"{whose}: it cannot be {signal}") from None


def _claim(incident: Incident | None, finding: Finding) -> Change:
    left_open = is_left_open(finding)
    kind, state = _next(incident, Signal.LEFT_OPEN if left_open else Signal.CLAIMED)
    claim = OpenFinding(
        id=finding.id,
        rev=finding.rev,
        phase=finding.phase,
        severity=finding.severity,
        onset=finding.onset,
        left_open=left_open,
    )
    told = state is not State.HELD
    if incident is None:
        first = Incident(
            # The revision is part of it: a finding that is claimed again after its incident was closed
            # opens another incident.
            id=digest("incident", finding.id, finding.rev),
            state=state,
            severity=finding.severity,
            site=finding.site,
            scenario=finding.scenario,
            entity=finding.entity,
            kind=finding.kind,
            rule=finding.rule,
            clock=finding.clock,
            historical=finding.historical,
            onset=finding.onset,
            opened_at=finding.at,
            sequence=1,
            findings=1,
            open=(claim,),
        )
        return Change(kind, finding.at, first, finding, told=told)
    others = tuple(other for other in incident.open if other.id != finding.id)
    known = len(others) < len(incident.open)
    findings = incident.findings if known else incident.findings + 1
    still_open = (*others, claim)
    # Fresh findings speak for the present.
    if any(other.left_open for other in others) or left_open:
        still_open = tuple(one for one in still_open if not one.left_open) or still_open
    changed = msgspec.structs.replace(
        incident,
        state=state,
        severity=_highest(still_open),
        clock=incident.clock if left_open else finding.clock,
        onset=finding.onset if findings == 1 else min(incident.onset, finding.onset),
        cleared_at=None,
        close_at=None,
        sequence=incident.sequence + 1,
        findings=findings,
        open=still_open,
    )
    return Change(kind, finding.at, changed, finding, told=told)


def _clear(incident: Incident | None, finding: Finding, close_after_us: int) -> Change:
    others = tuple(other for other in incident.open if other.id != finding.id) if incident else ()
    if incident is None or len(others) == len(incident.open):
        where = f"incident {incident.id}" if incident else "any incident"
        raise Refused(
            "not_open", f"finding {finding.id} rev {finding.rev} is cleared, but not open in {where}"
        )
    kind, state = _next(incident, Signal.EASED if others else Signal.CLEARED)
    changed = msgspec.structs.replace(
        incident,
        state=state,
        severity=_highest(others) if others else incident.severity,
        cleared_at=None if others else finding.at,
        close_at=(
            to_datetime(to_us(finding.at) + close_after_us)
            if state is State.CLEARED and incident.handling is not Handling.CONFIRMED
            else None
        ),
        closed_at=finding.at if state is State.CLOSED else None,
        sequence=incident.sequence + 1,
        open=others,
    )
    return Change(kind, finding.at, changed, finding, told=incident.state is not State.HELD)


def _told(incident: Incident | None, finding: Finding) -> Change:
    kind, state = _next(incident, Signal.HOLD_OVER)
    assert incident is not None  # only one that is held can be told
    changed = msgspec.structs.replace(incident, state=state, sequence=incident.sequence + 1)
    # The finding's time, not ours: when we told people is written beside the dispatch.
    return Change(kind, finding.at, changed, finding)


def _closed(incident: Incident) -> Change:
    kind, state = _next(incident, Signal.DUE)
    deadline = incident.close_at
    assert deadline is not None  # only called when it is due
    changed = msgspec.structs.replace(
        incident, state=state, close_at=None, closed_at=deadline, sequence=incident.sequence + 1
    )
    return Change(kind, deadline, changed, None)


def _handled(incident: Incident | None, command: Command) -> Change:
    who, why = command.who.strip(), command.why.strip()
    if not who:
        raise Refused("no_name", "who: expected the name of the person who decides")
    if command.action is Action.REJECT and not why:
        raise Refused("no_reason", "why: expected the reason why it is false")
    if len(why) > REASON_MOST:
        raise Refused("long_reason", f"why: {len(why)} characters, at most {REASON_MOST}")
    kind, state = _next(incident, command.action.signal)
    assert incident is not None  # no command opens an incident
    handling = HANDLING.get((incident.handling, command.action))
    if handling is None:
        by = f" by {incident.handled_by}" if incident.handled_by else ""
        raise Refused(
            "unknown_transition",
            f"incident {incident.id} is {incident.handling}{by}: {command.action} is not possible any more",
        )
    ended = state is State.CLOSED
    changed = msgspec.structs.replace(
        incident,
        state=state,
        close_at=None if ended or handling is Handling.CONFIRMED else incident.close_at,
        closed_at=command.at if ended else None,
        sequence=incident.sequence + 1,
        handling=handling,
        handled_by=who,
        closed_by=who if ended else None,
    )
    given = msgspec.structs.replace(command, who=who, why=why)
    return Change(kind, command.at, changed, None, given, told=incident.state is not State.HELD)


def _highest(findings: tuple[OpenFinding, ...]) -> Severity:
    return max((finding.severity for finding in findings), key=lambda severity: severity.rank)
