"""What the past looks like is the same from segments and from InfluxDB, and is what a plain loop says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.telemetry.forwarder import Forwarder
from streams.telemetry.history import CARRY_US, SegmentHistory
from streams.telemetry.influx import Influx
from streams.telemetry.influx_history import InfluxHistory
from streams.telemetry.positions import Positions
from zhiwei import frames
from zhiwei.clock import MICROS, SystemClock
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Entry
from zhiwei.history import Gap, History, HistoryRefused, Interval, Series
from zhiwei.schema import Channel, Schema
from zhiwei.settings import Influx as InfluxSettings
from zhiwei.sql import open_engine, sqlite_url
from zhiwei.testing.servers.influxdb import ORG, TOKEN
from zhiwei.testing.servers.installed import missing
from zhiwei.types import Flag

TOPIC = "readings.test"
START = 1_750_000_000 * MICROS
SCHEMA = Schema(
    scenario="test",
    version=1,
    channels=(
        Channel(name="level", unit="m"),
        Channel(name="floor", dtype="int16"),
        Channel(name="open", dtype="bool"),
        Channel(name="mode", dtype="utf8"),
        Channel(name="codes", dtype="list"),
    ),
    open=True,
)


def at(seconds: float) -> int:
    return START + round(seconds * MICROS)


@dataclass(frozen=True)
class Row:
    """One reading, in seconds from the start."""

    ts: float
    values: dict[str, Any]
    entity: str = "a"
    device: str = "d"
    flags: int = 0
    arrived: float | None = None

    @property
    def came(self) -> int:
        return at(self.ts if self.arrived is None else self.arrived)

    @property
    def at(self) -> int:
        return self.came if self.flags & Flag.CLOCK else at(self.ts)


def frame(*rows: Row) -> bytes:
    names = sorted({name for row in rows for name in row.values}, key=SCHEMA.order)
    described = {name: SCHEMA.channel(name) for name in names}
    return frames.encode(
        SCHEMA,
        entity=[row.entity for row in rows],
        device=[row.device for row in rows],
        ts=[at(row.ts) for row in rows],
        arrived=[row.came for row in rows],
        flags=[row.flags for row in rows],
        channels={
            name: frames.arrow_column(channel, [row.values.get(name) for row in rows])
            for name, channel in described.items()
            if channel
        },
        clock="live",
    )


class Past(Protocol):
    """A log, and the history over it."""

    log: CommitLog
    history: History

    def written(self) -> None:
        """What is in the log can be asked for."""


class Segments:
    """In the data directory."""

    def __init__(self, folder: Path) -> None:
        self.log = CommitLog(folder / "log", "readings", writer=True)
        self.history: History = SegmentHistory(folder, log=self.log, schema_of=lambda _: SCHEMA)

    def written(self) -> None:
        pass


class InInflux:
    """On a real server."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.log = CommitLog(folder / "log", "readings", writer=True)
        bucket = server.create_bucket(f"t{uuid4().hex[:12]}")
        influx = Influx(InfluxSettings(url=server.url, token=TOKEN, org=ORG, bucket=bucket))
        positions = Positions(open_engine(sqlite_url(folder / "state.sqlite")))
        self.forwarder = Forwarder(self.log, positions, influx, SystemClock(), [SCHEMA])
        self.history: History = InfluxHistory(influx, positions, self.log, schema_of=lambda _: SCHEMA)

    def written(self) -> None:
        while self.forwarder.step():
            pass
        self.forwarder.send()


Beds = Callable[[], Past]


@pytest.fixture(scope="session", params=["segments", *([] if missing() else ["influx"])])
def beds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Beds:
    """Makes a bed in a place of its own each time."""

    def make() -> Past:
        folder = tmp_path_factory.mktemp("past")
        if request.param == "segments":
            made: Past = Segments(folder)
        else:
            made = InInflux(folder, request.getfixturevalue("influxdb"))
        made.log.create_topic(TOPIC, 1)
        return made

    return make


@pytest.fixture
def past(beds: Beds) -> Iterator[Past]:
    made = beds()
    yield made
    made.log.close()


def write(past: Past, *values: bytes, topic: str = TOPIC) -> None:
    past.log.append([Entry(topic, 0, value) for value in values])
    past.written()


def ask(past: Past, channel: str = "level", *, start: float = 0, end: float = 3600, step: float | None = None,
        entity: str = "a") -> Series:  # fmt: skip
    step_us = None if step is None else round(step * MICROS)
    return past.history.history("test", entity, channel, start_us=at(start), end_us=at(end), step_us=step_us)


def level(seconds: float, value: float = 1.0, **more: Any) -> bytes:
    return frame(Row(seconds, {"level": value}, **more))


# ------------------------------------------------------------------ a plain loop

FLAGS = st.sampled_from([0, 0, 0, int(Flag.CLOCK), int(Flag.NO_TS), int(Flag.OVER_RANGE)])
ROWS = st.builds(
    Row,
    ts=st.integers(-20, 100),
    values=st.fixed_dictionaries(
        {},
        optional={
            "level": st.sampled_from([0.0, 0.1, -2.25, 1e30]),
            "floor": st.integers(-3, 3),
            "mode": st.sampled_from(["auto", ""]),
        },
    ),
    entity=st.sampled_from(["a", "a", "b"]),
    device=st.sampled_from(["d", "e"]),
    flags=FLAGS,
    arrived=st.integers(0, 60),
)


def kept(rows: list[Row], channel: str, start: int, end: int) -> list[tuple[int, str, float]]:
    """(at, device, value): redeliveries once."""
    found, seen = [], set()
    for row in rows:
        value = row.values.get(channel)
        if row.entity == "a" and value is not None and start <= row.at < end:
            key = row.device, row.ts, value
            if row.flags & Flag.NO_TS or key not in seen:
                found.append((row.at, row.device, float(np.float32(value))))
            if not row.flags & Flag.NO_TS:
                seen.add(key)
    return sorted(found)


# Each example has a bucket of its own; which examples there are does not change by itself, as one pair in
# 1,000 of conflicting rows falls together in InfluxDB.
EXAMPLES = settings(
    max_examples=15, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@EXAMPLES
@given(
    rows=st.lists(st.lists(ROWS, min_size=1, max_size=6), min_size=1, max_size=4),
    start=st.integers(-30, 40),
    length=st.integers(1, 90),
    channel=st.sampled_from(["level", "floor"]),
    step=st.sampled_from([0.5, 7, 3600]),
)
def test_values_are_those_of_a_loop_over_all_rows(beds, rows, start, length, channel, step) -> None:
    past = beds()
    write(past, *(frame(*one) for one in rows))
    expected = kept([row for one in rows for row in one], channel, at(start), at(start + length))
    got = ask(past, channel, start=start, end=start + length).values
    devices = [got.devices[number] for number in got.device]
    assert np.all(np.diff(got.at) >= 0)
    assert sorted(zip(got.at.tolist(), devices, got.value.tolist(), strict=True)) == expected
    steps = ask(past, channel, start=start, end=start + length, step=step).values
    width = round(step * MICROS)
    buckets: dict[int, list[float]] = {}
    for moment, _, value in expected:
        buckets.setdefault(moment // width * width, []).append(value)
    assert steps.at.tolist() == sorted(buckets)
    assert steps.low.tolist() == [min(buckets[one]) for one in sorted(buckets)]
    assert steps.high.tolist() == [max(buckets[one]) for one in sorted(buckets)]
    past.log.close()


# ------------------------------------------------------------------ one by one


def test_a_step_has_its_lowest_mean_highest_and_last_value_of_all_devices(past: Past) -> None:
    write(past, frame(*(Row(s, {"level": v}, device=d) for s, v, d in [
        (1, 4.0, "d"), (2, 1.0, "e"), (3, 2.0, "d"), (12, 7.0, "e"),
    ])))  # fmt: skip
    got = ask(past, step=10).values
    assert (got.at.tolist(), got.count.tolist()) == ([at(0), at(10)], [3, 1])
    assert (got.low.tolist(), got.high.tolist()) == ([1.0, 7.0], [4.0, 7.0])
    assert (got.mean.tolist(), got.last.tolist()) == (pytest.approx([7 / 3, 7.0]), [2.0, 7.0])


def test_conflicting_rows_stand_beside_each_other_as_they_came_and_a_redelivery_counts_once(past) -> None:
    write(past, level(1, 6.0), level(1, 5.0, arrived=2), level(1, 5.0, arrived=3))
    answer = ask(past).values
    assert (answer.at.tolist(), answer.value.tolist()) == ([at(1)] * 2, [6.0, 5.0])
    assert ask(past, step=10).values.count.tolist() == [2]


def test_rows_without_a_time_of_their_own_are_never_taken_for_redeliveries(past: Past) -> None:
    row = Row(1, {"level": 5.0}, flags=int(Flag.NO_TS))
    write(past, frame(row, row))
    assert ask(past).values.value.tolist() == [5.0, 5.0]
    assert ask(past).values.flags.tolist() == [Flag.NO_TS] * 2


def test_an_implausible_clock_is_replaced_by_our_own(past: Past) -> None:
    write(past, level(1_000_000_000, flags=int(Flag.CLOCK), arrived=7))
    assert ask(past).values.at.tolist() == [at(7)]
    assert ask(past).values.flags.tolist() == [Flag.CLOCK]
    assert ask(past, start=999_999_000, end=1_000_001_000).values.at.tolist() == []


def test_a_row_on_the_backlog_stands_at_its_own_time(past: Past) -> None:
    past.log.create_topic("backlog.test", 1)
    write(past, level(1, 1.0), level(3, 3.0))
    write(past, level(2, 2.0, arrived=50), topic="backlog.test")
    assert ask(past).values.value.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("channel", "one", "other"),
    [("open", True, False), ("mode", 'a "b"\\ 楼\nc, d=e', ""), ("codes", ("x", "y,"), ())],
)
def test_what_a_switch_or_a_text_said_is_a_strip(past: Past, channel: str, one: Any, other: Any) -> None:
    said = [(10, one), (20, one), (30, other)]
    write(past, *(frame(Row(second, {channel: state})) for second, state in said))
    assert ask(past, channel, start=15).values == (
        Interval("d", one, at(15), at(20), at(30)),
        Interval("d", other, at(30), at(30), None),
    )
    beyond = CARRY_US / MICROS + 31
    assert ask(past, channel, start=beyond, end=beyond + 1).values == ()


def test_of_two_states_of_one_time_the_one_that_came_last_holds(past: Past) -> None:
    write(past, *(frame(Row(1, {"open": state}, arrived=n)) for n, state in [(3, False), (2, True)]))
    assert ask(past, "open").values[-1] == Interval("d", False, at(1), at(1), None)


@pytest.mark.parametrize("name", ["lift-1", "楼\\", 'a"b', "a,b=c", "$'{x}", "%5C", "a%"])
def test_any_name_finds_its_rows_and_no_others(past: Past, name: str) -> None:
    more = {"entity": f"{name}0"}
    write(past, level(1, 1.0, **more), level(2, 2.0, entity=name, device=name))
    got = ask(past, entity=name).values
    assert (got.at.tolist(), got.devices) == ([at(2)], (name,))


@pytest.mark.parametrize(
    "name", ["time", "flags", "arrived", "ts", "entity", "_time", "channel:ts", 'q"\\,= x']
)
def test_an_open_schema_may_call_a_channel_what_it_likes(past: Past, name: str) -> None:
    write(past, frame(Row(1, {name: 0.1, "level": 2.0}, flags=int(Flag.OVER_RANGE))))
    assert ask(past, name).values.value.tolist() == [0.1]
    assert ask(past).values.flags.tolist() == [Flag.OVER_RANGE]


def test_what_retention_took_first_is_a_named_gap(past: Past) -> None:
    write(past, level(10))
    past.log.append([Entry(TOPIC, 0, level(second)) for second in (20, 30)])
    if isinstance(past, Segments):  # these rows are in no segment: only the log's own end tells
        past.log.trim(TOPIC, 0, below=2)
        assert ask(past).gaps == (Gap(None, at(30), "overtaken", 2),)
        return
    past.log.trim(TOPIC, 0, below=2)
    past.written()
    assert ask(past).gaps == (Gap(at(10), at(30), "overtaken", 1),)
    assert ask(past).values.at.tolist() == [at(10), at(30)]
    assert ask(past, start=31).gaps == ()


def test_an_entity_or_a_channel_without_rows_has_an_empty_series(past: Past) -> None:
    write(past, level(1))
    assert len(ask(past, entity="nobody").values.at) == 0
    assert len(ask(past, "floor", step=60).values.at) == 0
    assert ask(past, "mode").values == ()


def test_questions_that_make_no_sense_are_refused_in_the_same_words(past: Past) -> None:
    with pytest.raises(HistoryRefused, match="start_us = 1750000005000000: expected a time before end_us"):
        ask(past, start=5, end=5)
    with pytest.raises(HistoryRefused, match="step_us = 100000: expected at least 180000"):
        ask(past, step=0.1)
    past.history.history("test", "a", "level", start_us=-(1 << 60), end_us=1 << 60)
