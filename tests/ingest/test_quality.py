from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.quality import (
    AHEAD_MOST_US,
    EARLIEST_US,
    LARGEST,
    OPEN_CHANNELS_MOST,
    TEXT_MOST,
    Channels,
    _cell,
    column,
    implausible,
)
from zhiwei.clock import MICROS
from zhiwei.contracts import Refusal
from zhiwei.frames import arrow_column
from zhiwei.schema import Channel, Schema
from zhiwei.types import Flag, Reason

DTYPES = ["float32", "float64", "int16", "bool", "utf8"]

values = (
    st.none()
    | st.booleans()
    | st.integers(-40_000, 40_000).map(float)
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.sampled_from([0.0, 1.0, LARGEST, -LARGEST, LARGEST * 1.001, 1.5, 0, 1, 7])
    | st.text(max_size=3)
    | st.sampled_from(["x" * TEXT_MOST, "x" * (TEXT_MOST + 1), "\ud800"])
)


@given(st.sampled_from(DTYPES), st.lists(values, min_size=1, max_size=8))
def test_a_whole_column_is_what_its_cells_are_one_by_one(dtype: str, given: list[Any]) -> None:
    channel = Channel(name="c", dtype=dtype)
    array, refused = column(channel, given)
    cells = [_cell(channel, value) for value in given]
    assert refused == {row: cell for row, cell in enumerate(cells) if isinstance(cell, Refusal)}
    assert array.equals(arrow_column(channel, [None if isinstance(c, Refusal) else c for c in cells]))


@given(st.sampled_from(DTYPES), st.lists(values, min_size=1, max_size=8))
def test_a_bad_cell_changes_no_other(dtype: str, given: list[Any]) -> None:
    channel = Channel(name="c", dtype=dtype)
    alone = [column(channel, [value])[0].to_pylist()[0] for value in given]
    assert column(channel, given)[0].to_pylist() == alone


@pytest.mark.parametrize(
    ("dtype", "value", "reason", "detail"),
    [
        ("float32", "0.35", Reason.WRONG_TYPE, "c = '0.35': expected a number"),
        ("float32", True, Reason.WRONG_TYPE, "c = True: expected a number"),
        ("float64", float("nan"), Reason.NOT_FINITE, "c = nan: expected a finite number"),
        ("float32", 2e9, Reason.OUT_OF_RANGE, "c = 2000000000.0: expected at most ±1e+09"),
        ("float64", -1e300, Reason.OUT_OF_RANGE, "c = -1e+300: expected at most ±1e+09"),
        ("int16", 40_000.0, Reason.OUT_OF_RANGE, "c = 40000.0: expected -32768 to 32767"),
        ("int16", 1.5, Reason.WRONG_TYPE, "c = 1.5: expected a whole number"),
        ("int16", True, Reason.WRONG_TYPE, "c = True: expected a number"),
        ("bool", 2.0, Reason.WRONG_TYPE, "c = 2.0: expected true, false, 0 or 1"),
        ("bool", "true", Reason.WRONG_TYPE, "c = 'true': expected true, false, 0 or 1"),
        ("utf8", 3.0, Reason.WRONG_TYPE, "c = 3.0: expected a text"),
        *[
            (dtype, ["7"], Reason.WRONG_TYPE, f"c = ['7']: expected {limit}")
            for dtype, limit in [
                ("float32", "a number"),
                ("float64", "a number"),
                ("int16", "a number"),
                ("bool", "true, false, 0 or 1"),
                ("utf8", "a text"),
            ]
        ],
        ("list", True, Reason.WRONG_TYPE, "c = True: expected a list of codes"),
        (
            "list",
            ["x" * 1000, "y" * 24],
            Reason.TOO_LARGE,
            f"c = '{'x' * 79}: has 1025 characters, expected at most 1024",
        ),
        ("list", ["ok", "\ud800"], Reason.NOT_UTF8, "c = 'ok \\ud800': holds half of a surrogate pair"),
        (
            "utf8",
            "x" * 1025,
            Reason.TOO_LARGE,
            f"c = '{'x' * 79}: has 1025 characters, expected at most 1024",
        ),
    ],
)
def test_a_refused_cell_names_field_value_and_limit(
    dtype: str, value: Any, reason: Reason, detail: str
) -> None:
    array, refused = column(Channel(name="c", dtype=dtype), [None, value])
    assert array.null_count == 2
    assert refused == {1: Refusal(reason, "cell", detail)}


def test_zero_and_one_may_stand_for_a_boolean_and_nothing_else_is_converted() -> None:
    array, refused = column(Channel(name="c", dtype="bool"), [True, 0.0, 1.0, None])
    assert (array.to_pylist(), refused) == ([True, False, True, None], {})


# ------------------------------------------------------------------ channels


def test_further_probes_are_channels_and_others_are_not() -> None:
    channels = Channels(Schema(scenario="s", version=1, channels=(Channel(name="ph"),)))
    assert channels.find("ph") == Channel(name="ph")
    assert channels.find("ph_2") == Channel(name="ph_2")
    refusal = channels.find("ph_10")
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.detail) == (Reason.UNKNOWN_CHANNEL, "'ph_10' is no channel of s")


@pytest.mark.parametrize("name", ["", "entity", "device", "ts", "arrived", "flags", "a\nb", "x" * 65])
def test_an_open_schema_takes_no_channel_that_would_break_a_frame(name: str) -> None:
    channels = Channels(Schema(scenario="s", version=1, channels=(), open=True))
    assert isinstance(channels.find(name), Refusal)


def test_an_open_schema_takes_a_bounded_number_of_channels() -> None:
    channels = Channels(Schema(scenario="s", version=1, channels=(), open=True))
    for number in range(OPEN_CHANNELS_MOST):
        assert isinstance(channels.find(f"c{number}"), Channel)
    assert isinstance(channels.find("one more"), Refusal)
    assert isinstance(channels.find("c0"), Channel)


# ------------------------------------------------------------------ clocks


def test_a_clock_is_implausible_from_two_minutes_ahead_on_and_before_2000() -> None:
    now = 1_714_528_800 * MICROS
    ts = [now, now + AHEAD_MOST_US, now + AHEAD_MOST_US + 1, now - 10**15, EARLIEST_US, EARLIEST_US - 1, 0]
    flags = implausible(np.array(ts), np.full(len(ts), now))
    late = now - 10**15 < EARLIEST_US
    assert flags.tolist() == [0, 0, Flag.CLOCK, Flag.CLOCK * late, 0, Flag.CLOCK, Flag.CLOCK]


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        (["E1", "E2"], ["E1", "E2"]),
        ([], []),
        ("E1", ["E1"]),
        (7.0, ["7"]),
        (1234567.0, ["1234567"]),
        (0.1, ["0.1"]),
        (None, None),
    ],
)
def test_a_list_channel_holds_codes_and_a_single_one_stands_for_a_list(given: Any, codes: Any) -> None:
    array, refused = column(Channel(name="c", dtype="list"), [given])
    assert (array.to_pylist(), refused) == ([codes], {})
