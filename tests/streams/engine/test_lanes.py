"""What each lane makes of old rows and calls for help, and that cuts and restarts change none of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.engine import Engine
from streams.engine.lanes import LATE_US, PAGES_UP_TO_US, QUIET_US
from streams.engine.snapshot import copy_head, copy_rows, restore
from zhiwei import frames
from zhiwei.clock import MICROS, to_datetime
from zhiwei.contracts import LogRecord
from zhiwei.lanes import Lane, log_topic
from zhiwei.testing.hold import HELP_US, SCHEMA, HoldScenario
from zhiwei.types import Finding, Flag, Tick

LATENCY_US = 5 * MICROS
NOW = 1_750_000_000 * MICROS
HOUR_US = 3600 * MICROS
DAY_US = 24 * HOUR_US


@dataclass(frozen=True)
class Row:
    """``ts`` and ``arrived`` are seconds from NOW."""

    ts: float
    arrived: float = 0.0
    level: float | None = None
    help: bool | None = None
    entity: str = "a"
    flags: int = 0


Item = Row | Tick


def us(seconds: float) -> int:
    return NOW + round(seconds * MICROS)


def tick(seconds: float) -> Tick:
    return Tick(clock="live", time=to_datetime(us(seconds)))


def encoded(item: Item) -> bytes:
    if isinstance(item, Tick):
        return msgspec.json.encode(item)
    return frames.encode(
        SCHEMA,
        entity=[item.entity],
        device=["d"],
        ts=[us(item.ts)],
        arrived=[us(item.arrived)],
        flags=[item.flags],
        channels={
            "level": pa.array([item.level], pa.float32()),
            "help": pa.array([item.help], pa.bool_()),
        },
        clock="live",
    )


def records(items: Sequence[Item], start: int = 0) -> list[LogRecord]:
    return [LogRecord(start + offset, encoded(item)) for offset, item in enumerate(items)]


def engine_of(lane: Lane) -> Engine:
    return Engine(HoldScenario(), site="s", topic=log_topic(lane, "hold"), partition=0, lane=lane)


class Bed:
    """An engine of a lane that is fed piece by piece."""

    def __init__(self, lane: Lane) -> None:
        self.engine = engine_of(lane)
        self._next = 0

    def feed(self, *items: Item, kind: str = "test.h") -> list[Finding]:
        out = self.engine.apply(records(items, self._next))
        self._next += len(items)
        assert (out.set_aside, out.unreadable) == ([], [])
        return [f for f in out.findings if f.kind.startswith(kind)]


def said(findings: Sequence[Finding]) -> list[tuple[str, str, str]]:
    """(kind, phase, standing)."""
    return [(f.kind.removeprefix("test."), str(f.phase), standing(f)) for f in findings]


def standing(finding: Finding) -> str:
    assert not (finding.late and finding.historical)
    return "late" if finding.late else "historical" if finding.historical else ""


def keys(findings: Sequence[Finding]) -> list[tuple[object, ...]]:
    """What must not depend on cuts: everything but the coordinates and the order between entities."""
    found = [
        (f.entity, f.id, f.rev, f.kind, f.phase, f.onset, f.at, f.evidence, f.historical, f.late)
        for f in findings
    ]
    return sorted(found, key=lambda key: (key[0],))


# ------------------------------------------------------------------ urgent


@pytest.mark.parametrize(
    ("age_us", "expected"),
    [
        (0, ""),
        (LATENCY_US + LATE_US, ""),
        (LATENCY_US + LATE_US + 1, "late"),
        (PAGES_UP_TO_US, "late"),
        (PAGES_UP_TO_US + 1, "historical"),
        (-90 * MICROS, ""),
    ],
)
def test_a_call_raises_at_once_and_its_age_at_arrival_says_who_is_told(age_us: int, expected: str) -> None:
    raised, *ended = Bed(Lane.URGENT).feed(Row(ts=-age_us / MICROS, help=True))
    assert said([raised]) == [("help", "raised", expected)]
    assert {f.phase for f in ended} == ({"cleared"} if age_us > HELP_US + LATENCY_US else set())


def test_the_age_of_a_call_does_not_grow_while_the_log_waits_to_be_read() -> None:
    findings = Bed(Lane.URGENT).feed(Row(0, help=True), Row(90_000, 90_000, help=True, entity="b"))
    raised = [f for f in findings if f.phase == "raised"]
    assert said(raised) == [("help", "raised", ""), ("help", "raised", "")]


def test_a_call_whose_time_is_implausible_is_no_old_one() -> None:
    findings = Bed(Lane.URGENT).feed(Row(-DAY_US, help=True, flags=int(Flag.CLOCK)))
    assert said(findings) == [("help", "raised", "")]


def test_a_second_call_is_an_update_and_the_end_has_the_same_id() -> None:
    bed = Bed(Lane.URGENT)
    first = bed.feed(Row(0, help=True), Row(1, 1, help=True))
    end = bed.feed(tick(1 + HELP_US / MICROS + LATENCY_US / MICROS))
    assert said(first + end) == [("help", "raised", ""), ("help", "updated", ""), ("help", "cleared", "")]
    assert len({f.id for f in first + end}) == 1


def test_a_call_that_a_newer_one_overtook_is_still_a_call() -> None:
    bed = Bed(Lane.URGENT)
    findings = bed.feed(Row(100, 100, help=True), Row(50, 101, help=True), Row(60, 102, help=False))
    assert said(findings) == [("help", "raised", ""), ("help", "updated", "")]
    assert (bed.engine.bins.applied, bed.engine.bins.late) == (2, 1)


@pytest.mark.parametrize("gap_s", [0, 1, 700])
def test_after_a_call_too_old_to_page_a_fresh_one_is_raised_under_an_id_of_its_own(gap_s: float) -> None:
    findings = Bed(Lane.URGENT).feed(
        Row(-90_000, help=True), Row(gap_s, gap_s, help=True), tick(gap_s + 1000)
    )
    old, fresh = ([f for f in findings if f.historical is historical] for historical in (True, False))
    assert said(old) == [("help", "raised", "historical"), ("help", "cleared", "historical")]
    assert said(fresh) == [("help", "raised", ""), ("help", "cleared", "")]
    assert {f.id for f in old}.isdisjoint(f.id for f in fresh)


def test_a_call_too_old_to_page_that_comes_during_a_fresh_one_ends_nothing() -> None:
    findings = Bed(Lane.URGENT).feed(
        Row(0, help=True), Row(-90_000, 1, help=True), Row(2, 2, help=True), tick(1000)
    )
    assert [phase for _, phase, _ in said(findings)] == ["raised", "updated", "updated", "cleared"]
    assert (len({f.id for f in findings}), [f.historical for f in findings]) == (1, [False] * 4)


# ------------------------------------------------------------------ backlog

HIGH_FOR_A_MINUTE = [Row(s, 0, 50.0) for s in range(-7200, -7139, 10)]


def test_what_old_rows_say_is_historical_from_beginning_to_end() -> None:
    bed = Bed(Lane.BACKLOG)
    findings = bed.feed(*HIGH_FOR_A_MINUTE, Row(-7130, 0, 1.0), tick(20))
    assert said(findings) == [
        ("high", "suspected", "historical"),
        ("high", "raised", "historical"),
        ("high", "cleared", "historical"),
    ]
    assert len({f.id for f in findings}) == 1


@pytest.mark.parametrize("ticked", [False, True])
def test_old_rows_are_judged_by_their_own_time_and_not_by_that_of_their_arrival(ticked: bool) -> None:
    """High for ten seconds two hours ago; the hold of 30 s had not passed then, though it has by now."""
    rows: list[Item] = [Row(-7200, 0, 50.0), Row(-7195, 2, 50.0), Row(-7190, 4, 1.0)]
    if ticked:
        rows[1:1], rows[3:3] = [tick(1)], [tick(3)]
    findings = Bed(Lane.BACKLOG).feed(*rows, tick(30))
    assert said(findings) == [("high", "suspected", "historical"), ("high", "cleared", "historical")]


def test_what_is_open_when_the_backlog_ends_is_raised_late_under_an_id_of_its_own() -> None:
    bed = Bed(Lane.BACKLOG)
    before = bed.feed(*HIGH_FOR_A_MINUTE, tick(QUIET_US / MICROS - 0.001))
    assert {standing(f) for f in before} == {"historical"}
    (late,) = bed.feed(tick(QUIET_US / MICROS))
    assert said([late]) == [("high", "raised", "late")]
    assert (late.onset, late.at, late.rev) == (to_datetime(us(-7200)), to_datetime(us(10)), 0)
    assert late.id not in {f.id for f in before}
    (age,) = late.evidence.observations
    assert (age.name, age.observed, age.unit) == ("age", 7210.0, "s")
    assert bed.feed(tick(1000)) == []


def test_each_old_row_puts_the_end_of_the_backlog_off_and_only_its_own_entitys() -> None:
    bed = Bed(Lane.BACKLOG)
    bed.feed(*HIGH_FOR_A_MINUTE, Row(-7200, 0, 50.0, entity="b"))
    findings = bed.feed(Row(-7100, 9, 50.0), tick(11), Row(-7090, 12, 50.0), tick(19))
    assert [(f.entity, standing(f)) for f in findings if f.late] == [("b", "late")]
    assert [f.entity for f in bed.feed(tick(22))] == ["a"]


@pytest.mark.parametrize("age_us", [7200 * MICROS, LATENCY_US + LATE_US + 1])
def test_a_hold_that_no_old_row_ended_has_passed_when_the_backlog_ends_and_is_recorded_before_it_pages(
    age_us: int,
) -> None:
    findings = Bed(Lane.BACKLOG).feed(Row(-age_us / MICROS, 0, 50.0), tick(30))
    assert said(findings) == [
        ("high", "suspected", "historical"),
        ("high", "raised", "historical"),
        ("high", "raised", "late"),
    ]


def test_the_end_of_what_was_raised_late_is_told_when_old_rows_bring_it() -> None:
    bed = Bed(Lane.BACKLOG)
    raised = [f for f in bed.feed(*HIGH_FOR_A_MINUTE, tick(30)) if f.late]
    end = bed.feed(Row(-7000, 31, 1.0), tick(60))
    assert said(end) == [("high", "cleared", "historical"), ("high", "cleared", "late")]
    assert [(f.id, f.rev) for f in (raised[0], end[1])] == [(raised[0].id, 0), (raised[0].id, 1)]


def test_more_old_rows_of_what_was_raised_late_do_not_page_again_and_a_new_episode_does() -> None:
    bed = Bed(Lane.BACKLOG)
    first = [f for f in bed.feed(*HIGH_FOR_A_MINUTE, tick(30)) if f.late]
    assert [f for f in bed.feed(Row(-7000, 31, 60.0), tick(60)) if f.late] == []
    bed.feed(Row(-6900, 61, 1.0))
    second = [f for f in bed.feed(Row(-6800, 62, 50.0), tick(90)) if f.late]
    assert said(first + second) == [("high", "raised", "late")] * 2
    assert first[0].id != second[0].id


def test_what_was_cleared_never_pages() -> None:
    findings = Bed(Lane.BACKLOG).feed(*HIGH_FOR_A_MINUTE, Row(-7130, 0, 1.0), tick(100_000))
    assert {standing(f) for f in findings} == {"historical"}


@pytest.mark.parametrize(("beyond_us", "pages"), [(0, True), (1, False)])
def test_nothing_that_began_more_than_a_day_ago_pages(beyond_us: int, pages: bool) -> None:
    onset_s = (QUIET_US - PAGES_UP_TO_US - beyond_us) / MICROS
    findings = Bed(Lane.BACKLOG).feed(Row(onset_s, 0, 50.0), Row(onset_s + 60, 0, 50.0), tick(30))
    assert [standing(f) for f in findings if f.phase == "raised"] == ["historical"] + ["late"] * pages


def test_a_state_that_is_no_matter_of_life_never_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HoldScenario, "life_safety", frozenset[str]())
    findings = Bed(Lane.BACKLOG).feed(Row(-7200, 0, 50.0), Row(-7100, 0, 50.0), tick(80))
    assert {standing(f) for f in findings if f.phase == "raised"} == {"historical"}


def test_nobody_is_silent_because_a_backlog_has_ended() -> None:
    """After an outage of ours every entity has had old rows, and has none any more."""
    bed = Bed(Lane.BACKLOG)
    bed.feed(Row(-7200, 0, 1.0))
    assert bed.feed(tick(60), tick(7200), kind="test.silent") == []


# ------------------------------------------------------------------ lanes beside each other


def test_ids_of_lanes_never_meet() -> None:
    """The same rows on every lane, with calls and an open state: no id is on two lanes."""
    rows = [*HIGH_FOR_A_MINUTE, Row(-7100, 0, 50.0, help=True), tick(100)]
    ids = [{f.id for f in Bed(lane).feed(*rows, kind="test")} for lane in Lane]
    assert all(ids)
    assert sum(map(len, ids)) == len(set().union(*ids))


def test_fresh_rows_know_neither_late_nor_historical_however_old_they_are() -> None:
    findings = Bed(Lane.READINGS).feed(*HIGH_FOR_A_MINUTE, tick(30))
    assert {standing(f) for f in findings} == {""}


def test_lanes_have_clocks_of_their_own_on_the_findings_log() -> None:
    names = {engine.clock_name(0) for engine in map(engine_of, Lane)}
    assert names == {"hold/0/live", "urgent/hold/0/live", "backlog/hold/0/live"}


# ------------------------------------------------------------------ cuts and restarts


@st.composite
def streams(draw: st.DrawFn) -> list[Item]:
    items: list[Item] = []
    arrived = 0.0
    sent = dict.fromkeys("ab", draw(st.sampled_from([-90_000.0, -86_420.0, -7200.0])))
    for _ in range(draw(st.integers(0, 30))):
        arrived += draw(st.sampled_from([0, 0, 1, 5, 10, 45]))
        if draw(st.integers(0, 5)) == 0:
            items.append(tick(arrived))
            continue
        entity = draw(st.sampled_from("ab"))
        sent[entity] += draw(st.sampled_from([-20, 1, 5, 20, 40, 700, 85_000]))
        sent[entity] = min(sent[entity], arrived)
        level = draw(st.sampled_from([None, 1.0, 50.0, 50.0]))
        items.append(Row(sent[entity], arrived, level, draw(st.sampled_from([None, False, True])), entity))
    return [*items, tick(arrived + draw(st.sampled_from([0, 10, 100])))]


@pytest.mark.parametrize("lane", list(Lane))
@settings(deadline=None, max_examples=40)
@given(items=streams(), data=st.data())
def test_findings_of_a_lane_do_not_depend_on_how_many_records_are_stepped_at_once(
    lane: Lane, items: list[Item], data: st.DataObject
) -> None:
    log = records(items)
    whole = engine_of(lane).apply(log)
    assert whole.set_aside == []
    engine, pieces = engine_of(lane), []
    while log:
        take = data.draw(st.integers(1, len(log)))
        pieces += engine.apply(log[:take]).findings
        log = log[take:]
    assert keys(pieces) == keys(whole.findings)


@pytest.mark.parametrize("lane", list(Lane))
@settings(deadline=None, max_examples=40)
@given(items=streams(), every=st.integers(1, 5))
def test_a_restart_of_a_lane_after_any_record_changes_nothing(
    lane: Lane, items: list[Item], every: int
) -> None:
    log = records(items)
    whole = keys(engine_of(lane).apply(log).findings)
    engine, pieces = engine_of(lane), []
    chunks = [copy_rows(engine, everything=True)]
    place = {"site": "s", "topic": log_topic(lane, "hold"), "partition": 0}
    for record in log:
        pieces += engine.apply([record]).findings
        if record.offset % every == 0:
            chunks.append(copy_rows(engine, everything=False))
            engine = restore(HoldScenario(), copy_head(engine), chunks, lane=lane, **place)  # type: ignore[arg-type]
    assert keys(pieces) == whole


@settings(deadline=None, max_examples=40)
@given(items=streams())
def test_only_what_is_open_and_younger_than_a_day_pages_from_the_backlog(items: list[Item]) -> None:
    findings = engine_of(Lane.BACKLOG).apply(records(items)).findings
    is_open: set[tuple[str, str]] = set()
    for f in findings:
        assert f.late != f.historical
        of = (f.entity, f.rule)
        if f.historical:
            (is_open.discard if f.phase == "cleared" else is_open.add)(of)
        elif f.phase == "raised":
            assert of in is_open
            assert f.kind == "test.high"
            assert (f.at - f.onset).total_seconds() <= PAGES_UP_TO_US / MICROS
        else:
            assert f.phase == "cleared"


@settings(deadline=None, max_examples=40)
@given(items=streams())
def test_every_call_is_told_and_pages_unless_it_is_older_than_a_day(items: list[Item]) -> None:
    engine = engine_of(Lane.URGENT)
    findings = engine.apply(records(items)).findings
    calls = {
        (r.entity, to_datetime(us(r.ts)), (r.arrived - r.ts) * MICROS > PAGES_UP_TO_US)
        for r in items
        if isinstance(r, Row) and r.help
    }
    told = {(f.entity, f.at) for f in findings if f.phase != "cleared"}
    paged = {(f.entity, f.at) for f in findings if f.phase != "cleared" and not f.historical}
    assert told == {(entity, at) for entity, at, _ in calls}
    assert paged >= {(entity, at) for entity, at, old in calls if not old}
