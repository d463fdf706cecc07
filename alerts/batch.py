"""A run of records of one partition folded into incidents: decoding, "seen before", ticks. Pure.

The store loads a View of what a run touches, folds, and writes what came out, in one transaction.
Where a run is cut does not show: each record is folded alone and in order.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from alerts.incident import Change, Incident, Refused, State, fold, is_left_open, key_of
from zhiwei.clock import to_datetime, to_us
from zhiwei.contracts import LogRecord
from zhiwei.types import Drill, Finding, FindingRecord, Phase, Tick

_DECODER = msgspec.json.Decoder(FindingRecord)
_REV_MOST = (1 << 31) - 1  # what an integer column holds in every database

FOLDED = "folded"
SEEN_BEFORE = "seen_before"
SETTLED = "settled"
"""A further revision of a finding that holds nothing open any more, as a person has ended its incident or a
fresh finding speaks for the present: kept, but it changes nothing."""
REFUSED = "refused"
UNDECODABLE = "undecodable"
TICK = "tick"
DRILL = "drill"
"""The bins of the ledger: every record ends in exactly one."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record that could be read."""

    offset: int
    record: FindingRecord


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that changed no incident, and why."""

    offset: int
    bin: str
    """REFUSED or UNDECODABLE."""
    reason: str
    detail: str
    finding: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a finding id."""

    rev: int
    incident: str | None
    """The incident it was last folded into; None if it never was."""
    settled: bool = False
    """A person has closed or rejected that incident."""


@dataclass(slots=True)
class View:
    """What a run of records needs to know; folding keeps it up to date."""

    seen: dict[str, Seen] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    """By key; none of them closed."""
    clocks: dict[str, int] = field(default_factory=dict)
    """Clock → µs, the highest tick so far."""


@dataclass(slots=True)
class Folded:
    """What a run of records did."""

    changes: list[Change] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    """The latest revision of each finding of the run that was not seen before."""
    refusals: list[Refusal] = field(default_factory=list)
    bins: Counter[str] = field(default_factory=Counter)
    drills: list[Drill] = field(default_factory=list)


def decode(records: Iterable[LogRecord]) -> tuple[list[Decoded], list[Refusal]]:
    """Read records of the findings log; what cannot be read is a Refusal, never an error."""
    decoded, refusals = [], []
    for record in records:
        try:
            decoded.append(Decoded(record.offset, _checked(_DECODER.decode(record.value))))
        except (msgspec.MsgspecError, UnicodeError) as error:
            refusals.append(Refusal(record.offset, UNDECODABLE, "not_a_finding", str(error)[:500]))
        except TypeError:
            detail = "a time has no offset from UTC"
            refusals.append(Refusal(record.offset, UNDECODABLE, "naive_time", detail))
    return decoded, refusals


def fold_records(view: View, records: Sequence[Decoded], close_after_us: int) -> Folded:
    """Fold records in the order of the log. Changes ``view``."""
    out = Folded()
    for item in records:
        if isinstance(item.record, Tick):
            out.bins[TICK] += 1
            _tick(view, item.record, close_after_us, out)
        elif isinstance(item.record, Drill):
            out.bins[DRILL] += 1
            out.drills.append(item.record)
        else:
            _finding(view, item.offset, item.record, close_after_us, out)
    return out


def _tick(view: View, tick: Tick, close_after_us: int, out: Folded) -> None:
    # A clock never goes back: an older tick says what the newest has said.
    now_us = max(to_us(tick.time), view.clocks.get(tick.clock, to_us(tick.time)))
    view.clocks[tick.clock] = now_us
    now = Tick(clock=tick.clock, time=to_datetime(now_us))
    due = [i for i in view.incidents.values() if i.close_at is not None and i.close_at <= now.time]
    for incident in sorted(due, key=lambda incident: (incident.close_at, incident.id)):
        _, changes = fold(incident, now, close_after_us)
        _take(view, changes, out)


def _finding(view: View, offset: int, finding: Finding, close_after_us: int, out: Folded) -> None:
    before = view.seen.get(finding.id)
    if before is not None and finding.rev <= before.rev:
        out.bins[SEEN_BEFORE] += 1
        return
    out.findings[finding.id] = finding
    # What a person rejected as a suspicion and is then raised is news: it opens an incident of its own.
    if before is not None and before.settled and finding.phase is not Phase.RAISED:
        out.bins[SETTLED] += 1
        view.seen[finding.id] = Seen(finding.rev, before.incident, settled=True)
        return
    incident = view.incidents.get(key_of(finding))
    if before is not None and before.incident is not None and _is_spoken_for(incident, finding):
        out.bins[SETTLED] += 1
        view.seen[finding.id] = Seen(finding.rev, before.incident)
        return
    try:
        incident, changes = fold(incident, finding, close_after_us)
    except Refused as refused:
        out.bins[REFUSED] += 1
        out.refusals.append(Refusal(offset, REFUSED, refused.reason, refused.detail, finding.id))
        view.seen[finding.id] = Seen(finding.rev, before.incident if before else None)
        return
    assert incident is not None  # a finding that is not refused leaves an incident
    out.bins[FOLDED] += 1
    view.seen[finding.id] = Seen(finding.rev, incident.id)
    _take(view, changes, out)


def _is_spoken_for(incident: Incident | None, finding: Finding) -> bool:
    """Whether this is the end of what was known from old rows and holds no incident open any more."""
    ends = finding.phase is Phase.CLEARED and is_left_open(finding)
    return ends and not (incident and any(one.id == finding.id for one in incident.open))


def _take(view: View, changes: Iterable[Change], out: Folded) -> None:
    for change in changes:
        out.changes.append(change)
        if change.incident.state is State.CLOSED:
            del view.incidents[change.incident.key]
        else:
            view.incidents[change.incident.key] = change.incident


def _checked(record: FindingRecord) -> FindingRecord:
    """Times in UTC, so that equal instants give equal bytes.

    Raises TypeError for a naive time, msgspec.ValidationError for a revision out of range.
    """
    if isinstance(record, Tick):
        return msgspec.structs.replace(record, time=to_datetime(to_us(record.time)))
    if isinstance(record, Drill):
        return msgspec.structs.replace(record, sent=to_datetime(to_us(record.sent)))
    if not 0 <= record.rev <= _REV_MOST:
        raise msgspec.ValidationError(f"rev = {record.rev}: expected 0 to {_REV_MOST}")
    evidence = msgspec.structs.replace(
        record.evidence,
        start=to_datetime(to_us(record.evidence.start)) if record.evidence.start else None,
        end=to_datetime(to_us(record.evidence.end)) if record.evidence.end else None,
    )
    return msgspec.structs.replace(
        record,
        at=to_datetime(to_us(record.at)),
        onset=to_datetime(to_us(record.onset)),
        evidence=evidence,
    )
