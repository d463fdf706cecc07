from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.framing import Framed, Rows, frame
from ingest.quality import Channels
from zhiwei import frames
from zhiwei.contracts import Decoded, Refusal
from zhiwei.schema import Channel, Schema
from zhiwei.types import Flag, Reason

SCHEMA = Schema(
    scenario="water",
    version=3,
    channels=(
        Channel(name="ph"),
        Channel(name="turbidity"),
        Channel(name="on", dtype="bool"),
        Channel(name="starts", dtype="int16"),
        Channel(name="note", dtype="utf8"),
    ),
)
NOW = 1_714_528_800_000_000

Row = tuple[str, str, int | None, dict[str, Any]]


def gathered(rows: list[Row], arrived: int | None = NOW) -> Rows:
    """Each row a packet of its own."""
    out = Rows()
    for origin, (entity, device, ts, values) in enumerate(rows):
        out.add(entity, device, Decoded([ts], [0], [values]), arrived, origin)
    return out


def framed(rows: Rows, *, clock: str = "live", frame_rows: int = 1000) -> Framed:
    return frame(Channels(SCHEMA), rows, clock=clock, frame_rows=frame_rows, before={})


def read(value: bytes) -> list[tuple[str, str, int, int, int, dict[str, Any]]]:
    columns = frames.decode(SCHEMA, value)
    return [
        (
            columns.entities[columns.entity[row]],
            columns.devices[columns.device[row]],
            int(columns.ts[row]),
            int(columns.arrived[row]),
            int(columns.flags[row]),
            {name: data[row] for name, (data, valid) in columns.channels.items() if valid[row]},
        )
        for row in range(len(columns))
    ]


def test_rows_stand_in_the_frame_as_they_came() -> None:
    out = framed(
        gathered(
            [
                ("a", "p", NOW, {"ph": 7.5}),
                ("b", "q", NOW - 5, {"on": True, "note": "x"}),
                ("a", "p", NOW - 9, {}),
            ]
        )
    )
    (value,) = out.frames
    assert read(value) == [
        ("a", "p", NOW, NOW, 0, {"ph": 7.5}),
        ("b", "q", NOW - 5, NOW, 0, {"on": True, "note": "x"}),
        ("a", "p", NOW - 9, NOW, 0, {}),
    ]
    assert frames.counts(value) == {"packets": 3, "rows": 3}
    assert out.refused == {}


def test_a_row_without_a_time_gets_that_of_its_arrival_and_a_flag() -> None:
    (value,) = framed(gathered([("a", "p", None, {"ph": 7.0})])).frames
    assert read(value) == [("a", "p", NOW, NOW, Flag.NO_TS, {"ph": 7.0})]


@pytest.mark.parametrize(
    ("ts", "flag"),
    [
        (0, Flag.CLOCK),  # 1970
        ((1 << 31) * 1_000_000, Flag.CLOCK),  # 2038
        (NOW + 86_400_000_000, Flag.CLOCK),  # a day ahead
        (NOW - 86_400_000_000, Flag(0)),  # a day behind is an old row, not a wrong clock
    ],
)
def test_a_time_that_cannot_be_is_kept_and_flagged(ts: int, flag: Flag) -> None:
    (value,) = framed(gathered([("a", "p", ts, {"ph": 7.0})])).frames
    assert read(value) == [("a", "p", ts, NOW, flag, {"ph": 7.0})]


def test_a_simulated_source_arrives_when_it_says_and_is_believed() -> None:
    (value,) = framed(gathered([("a", "p", 5, {"ph": 7.0})], arrived=None), clock="sim").frames
    assert read(value) == [("a", "p", 5, 5, 0, {"ph": 7.0})]
    assert frames.decode(SCHEMA, value).clock == "sim"


def test_a_refused_cell_is_missing_and_the_rest_of_its_row_stays() -> None:
    out = framed(
        gathered([("a", "p", NOW, {"ph": "x", "turbidity": 0.5, "what": 1.0}), ("a", "p", NOW, {"ph": 7.0})])
    )
    (value,) = out.frames
    assert [row[5] for row in read(value)] == [{"turbidity": 0.5}, {"ph": 7.0}]
    assert out.refused == {
        0: [
            Refusal(Reason.WRONG_TYPE, "cell", "ph = 'x': expected a number"),
            Refusal(Reason.UNKNOWN_CHANNEL, "cell", "'what' is no channel of water"),
        ]
    }
    assert frames.counts(value) == {
        "packets": 2,
        "rows": 2,
        "cells.wrong_type": 1,
        "cells.unknown_channel": 1,
    }


@pytest.mark.parametrize("values", [{"ph": "x"}, {"ph": "x", "turbidity": None}, {"what": 1.0, "ph": True}])
def test_a_row_of_which_nothing_is_left_is_refused_as_a_row(values: dict[str, Any]) -> None:
    out = framed(gathered([("a", "p", NOW, values), ("b", "q", NOW, {"ph": 7.0})]))
    (value,) = out.frames
    assert read(value) == [("b", "q", NOW, NOW, 0, {"ph": 7.0})]
    ((refusal,),) = out.refused.values()
    assert (refusal.scope, refusal.rows) == ("row", 1)
    assert frames.counts(value) == {"packets": 1, "rows": 1}


def test_a_null_of_an_unknown_channel_costs_the_row_nothing() -> None:
    out = framed(gathered([("a", "p", NOW, {"what": None, "ph": 7.0})]))
    assert out.rows == 1
    assert [refusal.scope for refusal in out.refused[0]] == ["cell"]


def test_nothing_but_refused_rows_makes_no_frame() -> None:
    out = framed(gathered([("a", "p", NOW, {"what": 1.0})] * 3))
    assert (out.frames, out.rows, sorted(out.refused)) == ([], 0, [0, 1, 2])


def test_a_column_of_nothing_but_nulls_is_left_out() -> None:
    (value,) = framed(gathered([("a", "p", NOW, {"ph": None, "turbidity": 1.0})])).frames
    assert list(frames.decode(SCHEMA, value).channels) == ["turbidity"]


def test_channels_stand_in_the_order_of_the_schema() -> None:
    (value,) = framed(
        gathered([("a", "p", NOW, {"note": "x", "turbidity": 1.0, "ph_2": 7.0, "ph": 7.0})])
    ).frames
    assert list(frames.decode(SCHEMA, value).channels) == ["ph", "ph_2", "turbidity", "note"]


def test_packets_of_many_rows_are_counted_once_in_the_frame_of_their_first_row() -> None:
    rows = Rows()
    for origin in range(3):
        rows.add("a", "p", Decoded([NOW] * 4, [0] * 4, [{"ph": 7.0}] * 4), NOW, origin)
    before = {1: [Refusal(Reason.EMPTY, "row", "", 2)]}
    out = frame(Channels(SCHEMA), rows, clock="live", frame_rows=5, before=before)
    assert [frames.counts(value) for value in out.frames] == [
        {"packets": 2, "rows": 5, "refused.empty": 2},
        {"packets": 1, "rows": 5},
        {"packets": 0, "rows": 2},
    ]


def test_a_frame_never_grows_beyond_its_bytes() -> None:
    rows = [("a", f"p{number}", NOW, {"note": f"{number:04d}" + "字" * 1000}) for number in range(600)]
    out = framed(gathered(rows), frame_rows=5000)
    assert len(out.frames) > 1
    assert all(len(value) <= frames.MOST_BYTES for value in out.frames)
    assert [row for value in out.frames for row in read(value)] == [
        (entity, device, ts, NOW, 0, values) for entity, device, ts, values in rows
    ]


def test_one_row_that_no_frame_can_hold_is_refused() -> None:
    schema = Schema(
        scenario="generic", version=1, channels=tuple(Channel(name=f"t{n}", dtype="utf8") for n in range(250))
    )
    rows = gathered(
        [
            ("a", "p", NOW, {f"t{n}": f"{n:04d}" + "字" * 1000 for n in range(250)}),
            ("b", "q", NOW, {"t1": "x"}),
        ]
    )
    out = frame(Channels(schema), rows, clock="live", frame_rows=10, before={})
    assert [refusal.reason for refusal in out.refused[0]] == [Reason.TOO_LARGE]
    assert out.rows == 1


cells = st.dictionaries(
    st.sampled_from(["ph", "turbidity", "on", "starts", "note", "what"]),
    st.none() | st.booleans() | st.floats(width=32) | st.sampled_from([1.0, 7.0]) | st.text(max_size=2),
    max_size=4,
)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("pq"), st.integers(0, 2 * NOW), cells), max_size=12
    ),
    st.integers(1, 13),
)
def test_where_frames_are_cut_changes_no_row_and_every_row_is_somewhere(rows: list[Row], size: int) -> None:
    whole = framed(gathered(rows))
    parts = framed(gathered(rows), frame_rows=size)
    assert repr([row for value in parts.frames for row in read(value)]) == repr(
        [row for value in whole.frames for row in read(value)]
    )
    assert parts.refused == whole.refused
    lost = sum(refusal.rows for refusals in whole.refused.values() for refusal in refusals)
    assert whole.rows + lost == len(rows)
    assert sum(frames.counts(value)["packets"] for value in parts.frames) == whole.rows


def test_ten_thousand_unknown_names_are_no_ten_thousand_passes_over_the_rows() -> None:
    rows = gathered(
        [("a", "p", NOW, {f"x{n}": 1.0 for n in range(10_000)})] + [("a", "p", NOW, {"ph": 7.0})] * 2000
    )
    looked = 0

    class Counted(dict[str, Any]):
        def get(self, *key: Any) -> Any:
            nonlocal looked
            looked += 1
            return super().get(*key)

    rows.values = [Counted(values) for values in rows.values]
    framed(rows)
    assert 0 < looked <= 2 * len(rows)
