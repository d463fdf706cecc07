"""The engine against a plain loop, and against itself under every way of cutting and interrupting."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.engine import Engine
from streams.engine.snapshot import copy_head, copy_rows, restore
from zhiwei import frames, registry
from zhiwei.clock import MICROS, NEVER, to_datetime
from zhiwei.contracts import LogRecord
from zhiwei.testing.hold import HOLD_US, SCHEMA, SILENCE_US, HoldScenario
from zhiwei.types import Control, Drill, Finding, Flag, Phase, Tick

LATENCY_US = 5 * MICROS
START = 1_750_000_000 * MICROS


@dataclass(frozen=True)
class Row:
    entity: str
    ts: int
    arrived: int
    level: float | None
    flags: int = 0
    device: str = "d"


Item = Row | Tick


def frame(rows: Sequence[Row]) -> bytes:
    return frames.encode(
        SCHEMA,
        entity=[r.entity for r in rows],
        device=[r.device for r in rows],
        ts=[r.ts for r in rows],
        arrived=[r.arrived for r in rows],
        flags=[r.flags for r in rows],
        channels={"level": pa.array([r.level for r in rows], pa.float32())},
        clock="live",
    )


def records(items: Sequence[Item], cuts: Sequence[bool]) -> list[LogRecord]:
    """Frames that end before each tick and where ``cuts`` says so."""
    values: list[bytes] = []
    run: list[Row] = []
    for item, cut in zip(items, cuts, strict=True):
        if isinstance(item, Row):
            run.append(item)
        if run and (cut or not isinstance(item, Row)):
            values.append(frame(run))
            run = []
        if not isinstance(item, Row):
            values.append(msgspec.json.encode(item))
    if run:
        values.append(frame(run))
    return [LogRecord(offset, value) for offset, value in enumerate(values)]


def fresh() -> Engine:
    return Engine(HoldScenario(), site="s", topic="readings.hold", partition=0)


def keys(findings: Sequence[Finding]) -> list[tuple[object, ...]]:
    """What must not depend on cuts: everything but the coordinates and the order between entities."""
    said = [(f.entity, f.id, f.rev, f.kind, f.phase, f.onset, f.at, f.evidence) for f in findings]
    return sorted(said, key=lambda k: (k[0],))


def loop(items: Sequence[Item]) -> list[tuple[str, str, Phase, int, int]]:
    """The same rules written for clarity: one row after the other, all deadlines looked at each time."""
    now = -(1 << 62)
    onset: dict[str, int] = {}
    hold: dict[str, int] = {}
    silence: dict[str, int] = {}
    silent: set[str] = set()
    raised: set[str] = set()
    seen: dict[str, list[tuple[int, object]]] = {}
    clock: dict[str, int] = {}
    said: list[tuple[str, str, Phase, int, int]] = []

    def due(entity: str, event: int, engine: int, arrived: int) -> None:
        waiting = []
        if hold.get(entity, NEVER) <= max(event, engine - LATENCY_US):
            waiting.append((hold[entity], 0))
        if silence.get(entity, NEVER) <= max(engine, arrived):
            waiting.append((silence[entity], 1))
        for when, what in sorted(waiting):
            if what:
                silence[entity] = NEVER
                silent.add(entity)
                said.append((entity, "test.silent", Phase.RAISED, when - SILENCE_US, when))
            else:
                hold[entity] = NEVER
                raised.add(entity)
                said.append((entity, "test.high", Phase.RAISED, onset[entity], when))

    for item in items:
        if isinstance(item, Tick):
            now = max(now, (item.time - to_datetime(0)) // (to_datetime(1) - to_datetime(0)))
            continue
        entity, at = item.entity, item.arrived if item.flags & Flag.CLOCK else item.ts
        before, now = now, max(now, item.arrived)
        content = (item.ts, item.level, item.flags)
        ring = seen.setdefault(entity, [])
        timed = not item.flags & Flag.NO_TS
        if timed and (item.ts, content) in ring[-16:]:
            continue
        if timed:
            ring.append((item.ts, content))
        if not item.flags & Flag.CLOCK:
            if at < clock.get(entity, -(1 << 62)):
                continue
            clock[entity] = at
        due(entity, at, before, item.arrived)
        silence[entity] = item.arrived + SILENCE_US
        if entity in silent:
            silent.discard(entity)
            said.append((entity, "test.silent", Phase.CLEARED, at, at))
        if item.level is None:
            continue
        if item.level >= 10 and entity not in onset:
            onset[entity], hold[entity] = at, at + HOLD_US
            said.append((entity, "test.high", Phase.SUSPECTED, at, at))
        elif item.level < 10 and entity in onset:
            said.append((entity, "test.high", Phase.CLEARED, onset.pop(entity), at))
            hold[entity] = NEVER
            raised.discard(entity)
    for entity in sorted(silence):
        due(entity, -(1 << 62), now, now)
    return said


@st.composite
def streams(draw: st.DrawFn) -> list[Item]:
    items: list[Item] = []
    arrived = START
    for _ in range(draw(st.integers(0, 40))):
        arrived += draw(st.sampled_from([0, 1, 5, 20, 45, 90])) * MICROS
        if draw(st.integers(0, 9)) == 0:
            items.append(Tick(clock="live", time=to_datetime(arrived)))
            continue
        lag = draw(st.sampled_from([0, 0, 0, 2, 10, 40])) * MICROS
        items.append(
            Row(
                entity=draw(st.sampled_from("abc")),
                ts=arrived - lag,
                arrived=arrived,
                level=draw(st.sampled_from([None, 1.0, 10.0, 50.0, 50.0])),
                flags=draw(st.sampled_from([0, 0, 0, 0, int(Flag.NO_TS), int(Flag.CLOCK)])),
            )
        )
        if draw(st.integers(0, 7)) == 0:
            items.append(items[-1])
    return items


@given(streams())
def test_the_engine_says_what_a_plain_loop_says(items: list[Item]) -> None:
    engine = fresh()
    out = engine.apply(records(items, [False] * len(items)))
    said = sorted((f.entity, f.kind, f.phase, f.onset, f.at) for f in out.findings)
    expected = sorted((e, k, p, to_datetime(o), to_datetime(a)) for e, k, p, o, a in loop(items))
    assert said == expected
    bins = engine.bins
    rows = sum(isinstance(item, Row) for item in items)
    assert bins.applied + bins.duplicate + bins.late + bins.set_aside == rows


@given(streams(), st.data())
def test_findings_do_not_depend_on_cuts_or_on_how_many_frames_are_stepped_at_once(
    items: list[Item], data: st.DataObject
) -> None:
    whole = fresh().apply(records(items, [False] * len(items))).findings
    cuts = data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items)))
    log = records(items, cuts)
    engine, pieces = fresh(), []
    while log:
        take = data.draw(st.integers(1, len(log)))
        pieces += engine.apply(log[:take]).findings
        log = log[take:]
    assert keys(pieces) == keys(whole)


@given(streams(), st.data())
def test_a_restart_after_any_record_changes_nothing(items: list[Item], data: st.DataObject) -> None:
    log = records(items, [True] * len(items))
    whole = keys(fresh().apply(log).findings)
    engine, pieces, chunks = fresh(), [], []
    chunks.append(copy_rows(engine, everything=True))
    every = data.draw(st.integers(1, 7))
    for place, record in enumerate(log):
        pieces += engine.apply([record]).findings
        if place % every == 0:
            chunks.append(copy_rows(engine, everything=False))
            engine = restore(
                HoldScenario(), copy_head(engine), chunks, site="s", topic="readings.hold", partition=0
            )
    assert keys(pieces) == whole


@given(streams(), st.data())
def test_drills_are_passed_on_and_change_neither_findings_nor_state_nor_books(
    items: list[Item], data: st.DataObject
) -> None:
    log = [record.value for record in records(items, [True] * len(items))]
    drills = data.draw(st.lists(st.integers(0, len(log)), max_size=5))
    drill = Drill(topic="readings.hold", partition=0, sent=to_datetime(START))
    drilled = list(log)
    for place in sorted(drills, reverse=True):
        drilled.insert(place, msgspec.json.encode(drill))
    plain, engine = fresh(), fresh()
    expected = plain.apply([LogRecord(offset, value) for offset, value in enumerate(log)])
    outcome = engine.apply([LogRecord(offset, value) for offset, value in enumerate(drilled)])
    assert outcome.drills == [drill] * len(drills)
    assert keys(outcome.findings) == keys(expected.findings)
    assert (copy_head(engine), outcome.unreadable) == (copy_head(plain), [])
    assert len(copy_rows(engine, everything=True)) == len(copy_rows(plain, everything=True))


def test_a_replay_from_an_older_snapshot_gives_the_same_ids_and_revisions() -> None:
    rows = [
        Row("a", START + s * MICROS, START + s * MICROS, lv)
        for s, lv in ((0, 50), (40, 50), (50, 1), (60, 50))
    ]
    log = records(rows, [True] * 4)
    engine = fresh()
    before = engine.apply(log[:1]).findings
    head, chunk = copy_head(engine), copy_rows(engine, everything=True)
    first = engine.apply(log[1:]).findings
    again = restore(HoldScenario(), head, [chunk], site="s", topic="readings.hold", partition=0)
    assert [(f.id, f.rev) for f in again.apply(log[1:]).findings] == [(f.id, f.rev) for f in first]
    assert len({f.id for f in before + first}) == 2  # the second rise is a second episode


def test_a_row_that_makes_a_rule_raise_is_set_aside_alone() -> None:
    rows = [
        Row("a", START, START, 50.0),
        Row("b", START, START, 666.0),
        Row("b", START + MICROS, START, 50.0),
        Row("c", START, START, 50.0),
    ]
    engine = fresh()
    out = engine.apply(records(rows, [False] * 4))
    assert [(a.entity, a.offset, a.place) for a in out.set_aside] == [("b", 0, 1)]
    assert "level is 666" in out.set_aside[0].error
    assert sorted(f.entity for f in out.findings) == ["a", "b", "c"]
    assert (engine.bins.applied, engine.bins.set_aside) == (3, 1)


def test_a_replay_passes_over_the_same_row_although_the_rule_was_mended() -> None:
    log = records([Row("b", START, START, 50.0), Row("b", START + MICROS, START, 1.0)], [True, True])
    engine = fresh()
    engine.skips.add((1, 0))
    assert [f.phase for f in engine.apply(log).findings] == [Phase.SUSPECTED]
    assert engine.bins.set_aside == 1


def test_a_stamp_of_2038_leaves_its_successors_untouched() -> None:
    far = 2_145_916_800 * MICROS
    rows = [
        Row("a", START, START, 1.0),
        Row("a", far, START + MICROS, 1.0, int(Flag.CLOCK)),
        Row("a", START + 2 * MICROS, START + 2 * MICROS, 50.0),
    ]
    engine = fresh()
    findings = engine.apply(records(rows, [False] * 3)).findings
    assert [(f.kind, f.at) for f in findings] == [("test.high", to_datetime(START + 2 * MICROS))]
    assert engine.bins.late == 0


def test_a_simulated_source_of_2006_does_not_move_the_live_clock() -> None:
    old = frames.encode(
        SCHEMA, entity=["x"], device=["d"], ts=[1], arrived=[1], flags=[0],
        channels={"level": pa.array([1.0], pa.float32())}, clock="tape",
    )  # fmt: skip
    live = Tick(clock="live", time=to_datetime(START))
    later = Tick(clock="tape", time=to_datetime(1 + SILENCE_US))
    engine = fresh()
    assert engine.apply([LogRecord(0, old), LogRecord(1, msgspec.json.encode(live))]).findings == []
    assert [f.kind for f in engine.apply([LogRecord(2, msgspec.json.encode(later))]).findings] == [
        "test.silent"
    ]


def test_equal_time_with_other_values_is_kept_and_counted_as_a_conflict() -> None:
    rows = [Row("a", START, START, 1.0), Row("a", START, START, 2.0), Row("a", START, START, 1.0)]
    engine = fresh()
    engine.apply(records(rows, [False] * 3))
    assert (engine.bins.applied, engine.bins.duplicate, engine.bins.conflict) == (2, 1, 1)


def test_a_device_id_used_by_two_entities_is_two_devices() -> None:
    rows = [Row("a", START, START, 1.0), Row("b", START, START, 1.0)]
    engine = fresh()
    engine.apply(records(rows, [False, False]))
    assert (engine.bins.applied, engine.bins.duplicate) == (2, 0)


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xff\xff\xff", b'{"type": "tick"}', b"frame"])
def test_a_record_that_cannot_be_read_is_named_and_stops_nothing(value: bytes) -> None:
    good = records([Row("a", START, START, 50.0)], [True])[0]
    out = fresh().apply([LogRecord(0, value), LogRecord(1, good.value)])
    assert [u.offset for u in out.unreadable] == [0]
    assert out.unreadable[0].value == value
    assert [f.entity for f in out.findings] == ["a"]


def test_each_station_is_judged_by_its_own_attributes_whoever_else_is_in_the_batch() -> None:
    water = registry.scenario("water")
    body = '{"chloramine": {"disinfectant": "total"}, "free": {"disinfectant": "free"}}'

    def low(entity: str, minute: int) -> bytes:
        at = START + minute * 60 * MICROS
        return frames.encode(
            water.schema, entity=[entity], device=["d"], ts=[at], arrived=[at], flags=[0],
            channels={"free_chlorine": pa.array([0.02], pa.float32())}, clock="live",
        )  # fmt: skip

    values = [msgspec.json.encode(Control(kind="registry", version="1", body=body))]
    values += [low(entity, minute) for minute in range(6) for entity in ("chloramine", "free")]
    engine = Engine(water, site="s", topic="readings.water", partition=0)
    found = [f for o, v in enumerate(values) for f in engine.apply([LogRecord(o, v)]).findings]
    assert {(f.entity, f.kind) for f in found} == {
        ("free", "water.chlorine_low"),
        ("free", "water.chlorine_prealarm"),
    }


def test_a_policy_takes_effect_at_its_place_in_the_log() -> None:
    control = Control(kind="policy", version="2", body="2")
    low, high = (records([Row("a", START + s, START, 50.0 if s else 1.0)], [True])[0].value for s in (0, 1))
    log = [low, msgspec.json.encode(control), high]
    engine = fresh()
    findings = engine.apply([LogRecord(o, v) for o, v in enumerate(log)]).findings
    assert [f.versions["policy"] for f in findings] == ["2"]


def test_a_new_channel_leaves_the_state_of_the_others_as_it_was() -> None:
    engine = fresh()
    engine.apply(records([Row("a", START, START, 50.0)], [True]))
    other = frames.encode(
        SCHEMA, entity=["a"], device=["d"], ts=[START + 1], arrived=[START + 1], flags=[0],
        channels={
            "other": pa.array([3.0], pa.float32()),
            "label": pa.array(["x"], pa.utf8()).dictionary_encode(),
        },
        clock="live",
    )  # fmt: skip
    engine.apply([LogRecord(1, other)])
    assert engine.channels == ("level", "other")
    assert engine.entities.column("seen").tolist() == [[1, 1]]
    assert engine.entities.column("timer")[0, 0] == START + HOLD_US
