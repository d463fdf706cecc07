"""Rows as line protocol: what each point says, and which points fall together."""

from typing import Any

import pytest

from streams.telemetry.lines import Lines, coded, decoded, field_of, lines, present
from streams.telemetry.piece import Piece, places
from zhiwei import frames
from zhiwei.types import Flag

AT = 1_750_000_001_000_000


def piece(bed: Any, *rows: Any, place: str = "readings.test/0/0") -> Piece:
    columns = frames.decode(bed.schema, bed.frame(rows))
    return Piece("test", columns, present(columns), places(place, len(columns)))


def points(bed: Any, *rows: Any, place: str = "readings.test/0/0", without: Any = frozenset()) -> Lines:
    return lines([piece(bed, *rows, place=place)], without)[0]


def test_a_point_has_a_field_for_each_value_and_none_for_what_is_missing(bed) -> None:
    rows = [
        bed.row(AT, {"level": 0.1, "floor": -3, "open": False, "mode": 'a "b"', "codes": ("x",)}),
        bed.row(AT, {"exact": 0.1}, entity="b c", flags=int(Flag.OVER_RANGE)),
    ]
    made = points(bed, *rows)
    text = [made[number : number + 1].body().decode() for number in range(len(made))]
    assert text[0].rpartition(" ")[0] == (
        f"test,device=d,entity=a arrived={AT}i,level=0.1,floor=-3i,open=false"
        ',mode="a \\"b\\"",codes="[\\"x\\"]"'
    )
    assert text[1].rpartition(" ")[0] == f"test,device=d,entity=b%20c arrived={AT}i,flags=1024i,exact=0.1"
    assert made.body().decode() == "".join(text)
    assert all(int(one.rpartition(" ")[2]) // 1000 == AT for one in text)


def test_rows_without_a_value_or_without_a_time_that_can_be_held_are_no_points(bed) -> None:
    rows = [bed.row(AT, {}), bed.row(1 << 60, {"level": 1.0}), bed.row(AT, {"level": 1.0})]
    made, untimely = lines([piece(bed, *rows)])
    assert (len(made), untimely) == (1, 1)
    assert lines([]) [0].body() == b""  # fmt: skip


def test_a_redelivered_row_is_the_same_point_and_one_with_other_values_is_not(bed) -> None:
    def time(values: dict[str, Any], **more: Any) -> bytes:
        return points(bed, bed.row(AT, values, **more)).body().rpartition(b" ")[2]

    row = {"level": 1.0, "mode": "auto"}
    assert time(row) == time(row, arrived=AT + 5, flags=int(Flag.LATE))
    assert time({"level": 0.0}) == time({"level": -0.0})
    others = [{"level": 1.5, "mode": "auto"}, {"level": 1.0}, {"level": 1.0, "mode": "off"}, {"exact": 1.0}]
    assert len({time(one) for one in (row, *others)}) == 5


def test_rows_without_a_time_of_their_own_are_told_apart_by_their_place_and_keep_it(bed) -> None:
    rows = [bed.row(AT, {"level": 1.0}, flags=int(Flag.NO_TS))] * 500
    assert len(set(points(bed, *rows).body().splitlines())) == 500
    assert points(bed, *rows).body() == points(bed, *rows).body()
    assert points(bed, *rows).body() != points(bed, *rows, place="readings.test/0/1").body()


def test_frames_written_together_are_the_points_that_each_alone_would_be(bed) -> None:
    no_ts = int(Flag.NO_TS)
    parts = [
        [bed.row(AT, {"level": 1.0, "codes": ("x",)}), bed.row(AT, {"floor": 2}, entity="b")],
        [bed.row(AT + 1, {"open": True, "mode": "auto"}, entity="b"), bed.row(AT, {})],
        [bed.row(AT + 2, {"level": 2.0}, flags=no_ts), bed.row(AT + 2, {"level": 2.0}, flags=no_ts)],
    ]
    pieces = [piece(bed, *rows, place=f"readings.test/0/{offset}") for offset, rows in enumerate(parts)]
    alone = b"".join(lines([each])[0].body() for each in pieces)
    assert len(alone.splitlines()) == 5
    assert lines(pieces)[0].body() == alone


def test_a_field_can_be_left_out_with_the_rows_that_have_no_other(bed) -> None:
    rows = [bed.row(AT, {"level": 1.0, "floor": 2}), bed.row(AT + 1, {"level": 1.0})]
    made = points(bed, *rows, without={("test", "level")})
    assert len(made) == 1
    assert b"level" not in made.body()


@pytest.mark.parametrize("name", ["", "%", "a\\", 'a"$b', "%5C", "a b\n", "楼,1=2"])
def test_a_name_is_found_again_in_what_stands_for_it(name: str) -> None:
    assert decoded(coded(name)) == name
    assert not set(' \\"$\n') & set(coded(name))


def test_no_two_channels_share_a_field() -> None:
    names = ["time", "channel:time", "flags", "_x", "channel:_x", "level", "x"]
    assert len({field_of(name) for name in names}) == len(names)
    assert not {"time", "flags", "_x"} & {field_of(name) for name in names}
