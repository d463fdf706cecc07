"""Rows that wait for earlier ones: stepped in the order of time, however the log is cut."""

from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.engine import Engine
from streams.engine.snapshot import copy_head, copy_rows, restore
from zhiwei import frames
from zhiwei.clock import MICROS, to_datetime
from zhiwei.contracts import LogRecord
from zhiwei.errors import LogMismatch
from zhiwei.lanes import Lane
from zhiwei.testing.hold import SCHEMA, HoldScenario
from zhiwei.types import Control, Finding, Flag, Tick

START = 1_750_000_000 * MICROS
PLACE: dict[str, Any] = {"site": "s", "topic": "readings.hold", "partition": 0}
WAIT_S = 10

Row = tuple[str, int, int]
"""Device, ts and arrived in seconds."""


def us(seconds: float) -> int:
    return START + round(seconds * MICROS)


def frame(*rows: Row, level: float = 1.0, flags: int = 0, channel: str = "level") -> bytes:
    return frames.encode(
        SCHEMA,
        entity=["a"] * len(rows),
        device=[row[0] for row in rows],
        ts=[us(row[1]) for row in rows],
        arrived=[us(row[2]) for row in rows],
        flags=[flags] * len(rows),
        clock="live",
        channels={
            channel: pa.array([level] * len(rows), pa.float32()),
            "label": pa.array([f"{row[0]} {row[1]}" for row in rows]).dictionary_encode(),
        },
    )


def tick(seconds: float) -> bytes:
    return msgspec.json.encode(Tick(clock="live", time=to_datetime(us(seconds))))


def engine(wait_s: float = WAIT_S) -> Engine:
    scenario: Any = HoldScenario()
    return Engine(scenario, policy=scenario.policy(f"reorder {wait_s}"), **PLACE)


def restarted(one: Engine) -> Engine:
    scenario: Any = HoldScenario()
    return restore(scenario, copy_head(one), [copy_rows(one, everything=True)], **PLACE)


def stepped(one: Engine, *values: bytes, start: int = 0) -> list[int]:
    """Offsets of the rows in the order in which they were stepped; each record has one row."""
    outcome = one.apply([LogRecord(start + n, value) for n, value in enumerate(values)], trace="test.high")
    assert (outcome.set_aside, outcome.unreadable) == ([], [])
    return [row.offset for row in outcome.traced]


def expected(rows: list[Row], wait_s: int) -> list[int]:
    """One row after the other: a list of those that wait, and engine time."""
    waiting: list[tuple[int, int, str, int]] = []
    order, now = [], 0
    for offset, (device, ts, arrived) in enumerate(rows):
        due = min(ts, arrived) + wait_s
        if due > now:
            waiting.append((due, ts, device, offset))
        else:
            order.append(offset)
        now = max(now, arrived)
        order += [offset for at, _, _, offset in sorted(waiting) if at <= now]
        waiting = [one for one in waiting if one[0] > now]
    return order + [offset for *_, offset in sorted(waiting)]


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """Rows that come up to twice as late as the limit, some with a clock that is ahead; no two of one device
    with one time."""
    steps = draw(st.lists(st.integers(0, 4), min_size=1, max_size=25))
    rows: dict[tuple[str, int], Row] = {}
    arrived = 2 * WAIT_S
    for step in steps:
        arrived += step
        ts = arrived - draw(st.integers(-3, 2 * WAIT_S))
        device = draw(st.sampled_from("de"))
        rows.setdefault((device, ts), (device, ts, arrived))
    return list(rows.values())


@given(logs(), st.randoms(use_true_random=False))
def test_rows_are_stepped_as_from_a_sorted_list_however_the_log_is_cut(rows: list[Row], chance: Any) -> None:
    values = [*(frame(row) for row in rows), tick(1000)]
    want = expected(rows, WAIT_S)
    assert stepped(engine(), *values) == want
    one, order, start = engine(), [], 0
    while start < len(values):
        end = start + chance.randint(1, 6)
        order += stepped(one, *values[start:end], start=start)
        one, start = restarted(one), end
    assert order == want
    assert (one.bins.waiting, one.waiting) == (0, None)


def test_without_a_limit_rows_are_stepped_as_they_come() -> None:
    one = engine(0)
    assert stepped(one, frame(("d", 5, 6)), frame(("e", 1, 7))) == [0, 1]
    assert one.bins.waiting == 0


def test_a_row_that_waits_is_in_a_bin_of_its_own() -> None:
    one = engine()
    assert stepped(one, frame(("d", 5, 6))) == []
    assert (one.bins.waiting, one.bins.applied) == (1, 0)
    assert stepped(one, tick(15), start=1) == [0]
    assert (one.bins.waiting, one.bins.applied) == (0, 1)


def test_a_row_of_one_device_that_was_overtaken_within_the_limit_is_not_late() -> None:
    one = engine()
    assert stepped(one, frame(("d", 5, 6)), frame(("d", 4, 7)), tick(20)) == [1, 0]
    assert (one.bins.applied, one.bins.late) == (2, 0)


def test_beyond_the_limit_a_row_keeps_its_place_and_is_late() -> None:
    one = engine()
    assert stepped(one, frame(("d", 5, 6)), tick(15), frame(("d", 4, 16)), tick(30)) == [0, 2]
    assert (one.bins.applied, one.bins.late) == (1, 1)


def test_a_clock_that_is_ahead_holds_its_row_back_no_longer_than_others() -> None:
    one = engine()
    assert stepped(one, frame(("d", 100, 6)), tick(16)) == [0]


def test_deadlines_wait_for_rows_that_wait() -> None:
    def found(*values: bytes) -> list[Finding]:
        return engine().apply([LogRecord(n, value) for n, value in enumerate(values)]).findings

    high = frame(("d", 0, 0), level=50.0)
    ended = frame(("d", 29, 40), level=1.0)  # comes after 30 s of being high, and tells of a time before
    ends = [(str(one.phase), one.at) for one in found(high, ended, tick(44), tick(45))]
    assert ends == [("suspected", to_datetime(us(0))), ("cleared", to_datetime(us(29)))]
    silent = [one.at for one in found(high, tick(69), tick(75)) if one.kind == "test.silent"]
    assert silent == [to_datetime(us(60))]
    assert [one for one in found(high, tick(69)) if one.kind == "test.silent"] == []


def test_watermarks_say_what_may_still_come() -> None:
    one = engine()
    stepped(one, tick(120))
    told = one.watermarks()[0].time
    assert told == to_datetime((us(120) - 15 * MICROS) // (60 * MICROS) * 60 * MICROS)


def test_rows_that_wait_are_stepped_under_the_policy_of_their_moment() -> None:
    control = msgspec.json.encode(Control(kind="policy", version="x", body="reorder 0"))
    values = [frame(("d", 5, 6)), control, frame(("d", 4, 7)), tick(15)]
    one = engine()
    assert stepped(one, *values) == [2, 0]
    by_row = engine()
    assert [offset for n, value in enumerate(values) for offset in stepped(by_row, value, start=n)] == [2, 0]


def test_calls_for_help_do_not_wait() -> None:
    scenario: Any = HoldScenario()
    place = {**PLACE, "topic": "urgent.hold", "lane": Lane.URGENT}
    one = Engine(scenario, policy=scenario.policy("reorder 10"), **place)
    assert stepped(one, frame(("d", 5, 6))) == [0]


def test_copies_of_old_rows_do_not_wait() -> None:
    one = engine()
    stepped(one, frame(("d", 5, 6)), frame(("d", 1, 500), channel="other", flags=int(Flag.HISTORICAL)))
    assert (one.bins.waiting, one.bins.historical) == (1, 1)


def test_what_waits_keeps_its_channels_when_others_come() -> None:
    one = engine()
    values = [frame(("d", 5, 6)), frame(("d", 7, 7), channel="other"), tick(30)]
    assert stepped(one, *values) == [0, 1]
    assert one.entities.column("seen").tolist() == [[1, 1]]


def test_a_control_record_between_frames_of_other_channels_loses_no_state() -> None:
    control = msgspec.json.encode(Control(kind="policy", version="x", body="1"))
    one = engine(0)
    stepped(one, frame(("d", 5, 6)), control, frame(("d", 7, 7), channel="other"))
    assert (one.channels, one.entities.column("seen").tolist()) == (("level", "other"), [[1, 1]])


def test_a_snapshot_from_before_rows_could_wait_is_read_and_one_of_tomorrow_is_not() -> None:
    one = engine()
    stepped(one, frame(("d", 5, 6)), tick(15))
    head = msgspec.msgpack.decode(copy_head(one))
    del head["waiting"]
    scenario: Any = HoldScenario()
    rows = [copy_rows(one, everything=True)]
    again = restore(scenario, msgspec.msgpack.encode({**head, "version": 1}), rows, **PLACE)
    assert (again.waiting, again.bins.applied) == (None, 1)
    with pytest.raises(LogMismatch, match="a snapshot of version 3"):
        restore(scenario, msgspec.msgpack.encode({**head, "version": 3}), rows, **PLACE)
