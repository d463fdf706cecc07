"""Hours of the day against the standard library, awake time against a plain count of minutes."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scenarios.elderly.localtime import DAY, MINUTE, Nights, offsets
from scenarios.elderly.policy import Night
from zhiwei.clock import MICROS, to_datetime

ZONES = ("Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe")
NIGHTS = Nights(Night(start="22:00", end="06:00", source="s", mark="D"))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4 * 10**15)), min_size=1, max_size=8))
def test_offsets_are_those_of_the_zone_whatever_is_beside(rows: list[tuple[int, int]]) -> None:
    zone, at = (np.array(column) for column in zip(*rows, strict=True))
    found = offsets(ZONES, zone, at).tolist()
    local = [to_datetime(a).astimezone(ZoneInfo(ZONES[z])).utcoffset() or timedelta() for z, a in rows]
    assert found == [offset // timedelta(microseconds=1) for offset in local]


def test_times_at_the_ends_of_the_calendar_have_an_offset() -> None:
    ends = np.array([-(1 << 62), 1 << 62])
    assert np.isfinite(offsets(ZONES[:1], np.zeros(2, np.int64), ends)).all()


@given(st.integers(0, 3 * 24 * 60), st.integers(1, 3 * 16 * 60))
def test_awake_time_is_counted_outside_the_night(start: int, wanted: int) -> None:
    passed, minute = 0, start
    while passed < wanted:
        passed += 6 * 60 <= minute % (24 * 60) < 22 * 60
        minute += 1
    found = NIGHTS.awake_after(np.array([start * MINUTE]), wanted * MINUTE)
    assert found.tolist() == [minute * MINUTE]


def test_the_night_begins_with_its_first_minute_and_ends_before_its_last() -> None:
    times = ["21:59", "22:00", "05:59", "06:00"]
    local = [(datetime.strptime(t, "%H:%M") - datetime.strptime("0", "%H")).seconds * MICROS for t in times]  # noqa: DTZ007
    assert NIGHTS.covers(np.array(local) + 40 * DAY).tolist() == [False, True, True, False]
