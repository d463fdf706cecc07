"""Copies of old rows on the ordinary lane: shown to rules that can amend, and samples of nothing."""

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.engine import Engine
from streams.engine.snapshot import copy_head, copy_rows, restore
from zhiwei import frames
from zhiwei.clock import MICROS, to_datetime
from zhiwei.contracts import LogRecord
from zhiwei.testing.hold import POISON, SCHEMA, HoldRules, HoldScenario
from zhiwei.types import Finding, Flag

START = 1_750_000_000 * MICROS
PLACE: dict[str, Any] = {"site": "s", "topic": "readings.hold", "partition": 0}

Row = tuple[float, float, float | None, float | None, bool, str]
"""ts and arrived in seconds, level, other, whether it is a copy, entity."""


def us(seconds: float) -> int:
    return START + round(seconds * MICROS)


def fresh(at: float, level: float | None = None, entity: str = "a") -> Row:
    return at, at, level, None, False, entity


def old(ts: float, arrived: float, other: float = 1.0, entity: str = "a") -> Row:
    return ts, arrived, None, other, True, entity


def frame(*rows: Row, clock: str = "live") -> bytes:
    return frames.encode(
        SCHEMA,
        entity=[row[5] for row in rows],
        device=["d"] * len(rows),
        ts=[us(row[0]) for row in rows],
        arrived=[us(row[1]) for row in rows],
        flags=[int(Flag.HISTORICAL) if row[4] else 0 for row in rows],
        channels={
            "level": pa.array([row[2] for row in rows], pa.float32()),
            "other": pa.array([row[3] for row in rows], pa.float32()),
        },
        clock=clock,
    )


def engine(scenario: Any = None) -> Engine:
    return Engine(scenario or HoldScenario(), **PLACE)


def fed(one: Engine, *rows: Row, start: int = 0, clock: str = "live") -> list[Finding]:
    out = one.apply([LogRecord(start + n, frame(row, clock=clock)) for n, row in enumerate(rows)])
    assert (out.set_aside, out.unreadable) == ([], [])
    return [finding for finding in out.findings if finding.kind == "test.high"]


def test_a_copy_ends_what_it_contradicts_and_has_a_bin_of_its_own() -> None:
    one = engine()
    found = fed(one, fresh(0, 50.0), fresh(40, 50.0), old(10, 50))
    assert [(str(f.phase), f.at) for f in found] == [
        ("suspected", to_datetime(us(0))),
        ("raised", to_datetime(us(30))),
        ("cleared", to_datetime(us(50))),
    ]
    assert (one.bins.applied, one.bins.historical, one.bins.late) == (2, 1, 0)


def test_a_copy_moves_neither_the_devices_clock_nor_engine_time() -> None:
    one = engine()
    found = fed(one, fresh(0, 50.0), old(-9, 500), fresh(1, 50.0))
    assert [str(f.phase) for f in found] == ["suspected"]
    assert (one.clocks.now[0], one.bins.applied) == (us(1), 2)


def test_what_is_due_before_a_copy_fires_before_it() -> None:
    one = engine()
    found = fed(one, fresh(0, 50.0), fresh(60, entity="b"), old(10, 61))
    assert [str(f.phase) for f in found] == ["suspected", "raised", "cleared"]


def test_on_a_simulated_clock_a_copys_arrival_says_how_late_it_is() -> None:
    phases = {
        clock: [str(f.phase) for f in fed(engine(), fresh(0, 50.0), old(10, 61), clock=clock)]
        for clock in ("live", "tape")
    }
    assert phases == {"live": ["suspected", "cleared"], "tape": ["suspected", "raised", "cleared"]}


def test_a_copy_of_what_came_in_time_is_a_duplicate() -> None:
    one = engine()
    fed(one, (0, 0, 50.0, 1.0, False, "a"), fresh(5, 50.0), (0, 90, 50.0, 1.0, True, "a"))
    assert (one.bins.duplicate, one.bins.historical) == (1, 0)


def test_a_burst_of_copies_does_not_make_a_redelivery_news() -> None:
    one = engine()
    fed(one, fresh(0, 5.0), *(old(-900 + n, 1) for n in range(40)), fresh(0, 5.0))
    assert (one.bins.applied, one.bins.duplicate, one.bins.historical) == (1, 1, 40)


def test_a_copy_that_makes_a_rule_raise_is_set_aside_alone() -> None:
    one = engine()
    out = one.apply([LogRecord(0, frame(fresh(0, 50.0), old(-5, 1, POISON), old(1, 2), fresh(3, 1.0, "b")))])
    assert [(aside.place, aside.entity) for aside in out.set_aside] == [(1, "a")]
    assert (one.bins.applied, one.bins.historical, one.bins.set_aside) == (2, 1, 1)


class Unbending:
    """The same rules without ``amend``."""

    fields, timers = HoldRules.fields, HoldRules.timers

    def __init__(self, channels: tuple[str, ...]) -> None:
        rules = HoldRules(channels)
        self.step, self.fire = rules.step, rules.fire


class UnbendingScenario(HoldScenario):
    def rules(self, policy: Any, channels: tuple[str, ...], *_: Any) -> Any:  # noqa: ARG002
        return Unbending(channels)


def test_rules_that_cannot_amend_never_see_a_copy() -> None:
    one = engine(UnbendingScenario())
    assert [str(f.phase) for f in fed(one, fresh(0, 50.0), old(10, 11))] == ["suspected"]
    assert (one.bins.applied, one.bins.historical) == (1, 1)


def test_a_copy_has_no_score() -> None:
    out = engine().apply([LogRecord(0, frame(fresh(0, 50.0), old(-5, 1), fresh(2, 50.0)))], trace="test.high")
    assert [traced.place for traced in out.traced] == [0, 2]


@st.composite
def streams(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    now = 0.0
    for _ in range(draw(st.integers(0, 30))):
        now += draw(st.sampled_from([0, 1, 5, 20, 45, 80]))
        entity = draw(st.sampled_from("ab"))
        if draw(st.booleans()):
            rows.append(fresh(now, draw(st.sampled_from([None, 1.0, 50.0, 50.0])), entity))
        else:
            rows.append(old(now - draw(st.sampled_from([1, 10, 70, 500])), now, 1.0, entity))
    return rows


@settings(deadline=None, max_examples=60)
@given(rows=streams(), clock=st.sampled_from(["live", "tape"]), data=st.data())
def test_findings_depend_neither_on_cuts_nor_on_restarts(
    rows: list[Row], clock: str, data: st.DataObject
) -> None:
    whole = engine().apply([LogRecord(0, frame(*rows, clock=clock))] if rows else [])
    assert whole.set_aside == []
    one, pieces, offset, left = engine(), [], 0, rows
    while left:
        size = data.draw(st.integers(1, len(left)))
        pieces += one.apply([LogRecord(offset, frame(*left[:size], clock=clock))]).findings
        left, offset = left[size:], offset + 1
        one = restore(HoldScenario(), copy_head(one), [copy_rows(one, everything=True)], **PLACE)
    assert said(pieces) == said(whole.findings)


def said(findings: list[Finding]) -> list[tuple[object, ...]]:
    found = [(f.entity, f.id, f.rev, f.kind, f.phase, f.onset, f.at, f.evidence) for f in findings]
    return sorted(found, key=lambda key: str(key[0]))
