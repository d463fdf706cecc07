"""Runs of records: what cannot be read, what was seen before, and that cuts and ticks do not show."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import event
from alerts.batch import Decoded, View, decode, fold_records
from alerts.incident import Incident
from zhiwei.contracts import LogRecord
from zhiwei.types import Coordinates, Evidence, Finding, Phase, Severity, Tick

START = datetime(2025, 6, 1, tzinfo=UTC)
CLOSE_AFTER_S = 100


def records_of(*values):
    return [
        LogRecord(n, value if isinstance(value, bytes) else msgspec.json.encode(value))
        for n, value in enumerate(values)
    ]


def test_what_cannot_be_read_is_a_refusal_with_a_reason_and_the_rest_is_read(finding):
    naive = msgspec.json.encode(finding()).replace(b'T00:00:00Z","at"', b'T00:00:00","at"')
    huge = msgspec.json.encode(finding(rev=1 << 80))
    decoded, refusals = decode(records_of(b"{", finding(), naive, huge, b'{"type":"tick"}', b"\xff"))
    assert [item.offset for item in decoded] == [1]
    assert [(refusal.offset, refusal.reason) for refusal in refusals] == [
        (0, "not_a_finding"),
        (2, "naive_time"),
        (3, "not_a_finding"),
        (4, "not_a_finding"),
        (5, "not_a_finding"),
    ]
    assert all(refusal.detail for refusal in refusals)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_record_or_a_refusal(value):
    decoded, refusals = decode([LogRecord(3, value)])
    assert len(decoded) + len(refusals) == 1


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_record_is_a_record_or_a_refusal(data):
    good = msgspec.json.encode(
        Finding(id="a", rev=1, site="s", scenario="w", entity="e", kind="k", rule="r", phase=Phase.RAISED,
                onset=START, at=START, score=1.0, severity=Severity.INFO, evidence=Evidence(), versions={},
                coordinates=Coordinates(topic="t", partition=0, offset=0))
    )  # fmt: skip
    at = data.draw(st.integers(0, len(good)))
    value = good[:at] + data.draw(st.binary(max_size=3)) + good[at + data.draw(st.integers(0, 3)) :]
    decoded, refusals = decode([LogRecord(3, value)])
    assert len(decoded) + len(refusals) == 1


def test_equal_instants_in_other_zones_give_equal_bytes(finding):
    utc = msgspec.json.encode(finding(at=3600))
    local = utc.replace(b"2025-06-01T01:00:00Z", b"2025-06-01T09:00:00+08:00")
    assert local != utc
    bodies = []
    for value in (utc, local):
        decoded, _ = decode([LogRecord(0, value)])
        folded = fold_records(View(), decoded, 1)
        bodies.append([event.encode(event.event_of(change)) for change in folded.changes])
    assert bodies[0] == bodies[1]


def test_the_same_or_an_older_revision_is_counted_and_changes_nothing(finding):
    view = View()
    records = [
        Decoded(0, finding(rev=2)),
        Decoded(1, finding(rev=2)),
        Decoded(2, finding(rev=1, phase="cleared")),
    ]
    folded = fold_records(view, records, 1)
    assert folded.bins == Counter(folded=1, seen_before=2)
    assert [change.incident.sequence for change in folded.changes] == [1]


def test_historical_and_live_findings_are_never_one_incident(finding):
    folded = fold_records(
        View(), [Decoded(0, finding("a")), Decoded(1, finding("b", historical=True))], 1_000_000
    )
    assert [(change.kind.value, change.incident.historical) for change in folded.changes] == [
        ("opened", False),
        ("opened", True),
    ]


# ------------------------------------------------------------------ cuts, ticks, duplicates, restarts


@st.composite
def stories(draw):
    """Findings of a few entities in order of time: (at, entity, phase, severity) made into revisions."""
    now, opened, revs, episodes, records = 0, {}, Counter(), Counter(), []
    for _ in range(draw(st.integers(1, 25))):
        now += draw(st.integers(0, 80))
        entity = draw(st.sampled_from(["lift-1", "lift-2", "lift-3"]))
        if entity not in opened:
            episodes[entity] += 1
            opened[entity] = f"{entity}-{episodes[entity]}"
            phase = draw(st.sampled_from([Phase.SUSPECTED, Phase.RAISED]))
        else:
            phase = draw(st.sampled_from([Phase.UPDATED, Phase.CLEARED, Phase.CLEARED]))
        name = opened[entity]
        if phase is Phase.CLEARED:
            del opened[entity]
        revs[name] += 1
        records.append(
            Finding(
                id=name,
                rev=revs[name],
                site="s",
                scenario="elevator",
                entity=entity,
                kind="elevator.entrapment",
                rule="A",
                phase=phase,
                onset=START,
                at=START + timedelta(seconds=now),
                score=1.0,
                severity=draw(st.sampled_from(Severity)),
                evidence=Evidence(),
                versions={"rules": "1"},
                coordinates=Coordinates(topic="readings.elevator", partition=0, offset=0),
            )
        )
    return records


END = Tick(clock="live", time=START + timedelta(days=9))


@st.composite
def noisy(draw, records):
    """The same log with ticks that say no more than is true, stale ticks, and redelivered findings."""
    out = []
    for place, record in enumerate(records):
        seconds = draw(st.lists(st.integers(0, 400), max_size=3))
        out += [Tick(clock="live", time=record.at - timedelta(seconds=s)) for s in seconds]
        out.append(record)
        out += [records[i] for i in draw(st.lists(st.integers(0, place), max_size=2))]
    return [*out, END]


def events_of(records, cuts, *, restart):
    """Incident → its events, folded run by run, each run from a view that went through bytes."""
    view, told = View(), defaultdict(list)
    bounds = [0, *sorted(cuts), len(records)]
    for start, end in pairwise(bounds):
        run, refusals = decode(records_of(*records[start:end]))
        assert refusals == []
        for change in fold_records(view, run, CLOSE_AFTER_S * 1_000_000).changes:
            told[change.incident.id].append(event.encode(event.event_of(change)))
        if restart:
            kept = msgspec.json.encode(view.incidents)
            view.incidents = msgspec.json.decode(kept, type=dict[str, Incident])
    return dict(told)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_cuts_ticks_duplicates_and_restarts_do_not_show_in_the_events(data):
    records = data.draw(stories())
    plain = events_of([*records, END], [], restart=False)
    noise = data.draw(noisy(records))
    cuts = data.draw(st.lists(st.integers(0, len(noise)), max_size=10))
    assert events_of(noise, cuts, restart=True) == plain


def test_a_clock_never_goes_back(finding, tick, at):
    """A stale tick says what the newest has said: the incident, cleared long before it, ends."""
    records = [tick(5000), finding(), finding(rev=2, phase="cleared", at=60), tick(10)]
    view = View()
    folded = fold_records(view, [Decoded(n, one) for n, one in enumerate(records)], 1_800_000_000)
    assert [(change.kind.value, change.at) for change in folded.changes][-1] == ("closed", at(1860))
    assert view.clocks == {"live": 1_748_736_000_000_000 + 5_000_000_000}


def test_a_finding_that_is_claimed_again_after_the_end_opens_another_incident(finding, tick):
    records = [
        finding(),
        finding(rev=2, phase="cleared", at=60),
        tick(5000),
        finding(rev=3, phase="updated", at=6000),
    ]
    folded = fold_records(View(), [Decoded(n, one) for n, one in enumerate(records)], 1_800_000_000)
    assert [change.kind.value for change in folded.changes] == ["opened", "cleared", "closed", "opened"]
    assert len({change.incident.id for change in folded.changes}) == 2
