"""Times as whole microseconds, and the one clock."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiwei.clock import NEVER, SystemClock, to_datetime, to_us

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@given(st.integers(to_us(FIRST), to_us(LAST)))
def test_a_time_comes_back_to_the_microsecond(us: int) -> None:
    assert to_us(to_datetime(us)) == us


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-12))])
    )
)
def test_the_offset_is_taken_into_account(moment: datetime) -> None:
    seconds = (
        moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC) - (moment.utcoffset() or timedelta())
    )
    assert to_us(moment) == seconds // timedelta(microseconds=1)


@given(st.integers())
def test_any_integer_is_cut_to_what_a_datetime_can_hold(us: int) -> None:
    assert to_datetime(us) == to_datetime(min(max(us, to_us(FIRST)), to_us(LAST)))


def test_never_is_after_every_time() -> None:
    assert to_us(datetime.max.replace(tzinfo=UTC)) < NEVER == np.iinfo(np.int64).max
    assert to_datetime(NEVER) == LAST


def test_numpy_times_are_times() -> None:
    assert to_datetime(np.int64(1_500_000)) == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


def test_a_time_without_offset_names_no_instant() -> None:
    with pytest.raises(TypeError):
        to_us(datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_system_clock_counts_microseconds_and_never_goes_back() -> None:
    clock = SystemClock()
    first, then = clock.now_us(), clock.monotonic_s()
    assert to_datetime(first) > datetime(2020, 1, 1, tzinfo=UTC)
    assert clock.monotonic_s() >= then
