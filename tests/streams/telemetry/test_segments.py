"""What is written is what was in the frames, in files that are whole or not there."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.telemetry import segments
from streams.telemetry.layout import column_of
from zhiwei.schema import Channel
from zhiwei.types import Flag

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
CELLS = {
    "level": st.floats(width=32, allow_nan=False),
    "exact": st.floats(allow_nan=False),
    "floor": st.integers(-(1 << 15), (1 << 15) - 1),
    "open": st.booleans(),
    "mode": TEXT,
    "codes": st.lists(TEXT, max_size=3),
    "Level": st.floats(allow_nan=False),
    "水 'x\"": st.floats(allow_nan=False),
}
"""Of each type; and names that an open schema may hold although SQL has trouble with them."""
TIMES = st.integers(-(1 << 63), (1 << 63) - 1)
"""A device may say any time."""
FLAGS = st.integers(0, 65535).map(lambda bits: bits & ~int(Flag.HISTORICAL))
"""Any but the mark of a copy: its row is recorded on the lane where it counts."""


@settings(max_examples=60, deadline=None)
@given(
    frames=st.lists(
        st.lists(
            st.tuples(
                TIMES, TEXT, FLAGS,
                st.fixed_dictionaries({}, optional={name: st.none() | of for name, of in CELLS.items()}),
            ),
            min_size=1, max_size=4,
        ),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_every_type_and_every_null_comes_back_as_it_was(beds, frames) -> None:
    bed = beds()
    rows = [
        [
            bed.row(ts, values, device=device, flags=flags, arrived=bed.start)
            for ts, device, flags, values in one
        ]
        for one in frames
    ]
    bed.write(*(bed.frame(one) for one in rows))
    bed.close_segment()
    (segment,) = bed.segments()
    table = pq.ParquetFile(segment.file).read().to_pylist()
    table.sort(key=lambda row: (row["offset"], row["row"]))
    names = {column_of(bed.schema.channel(name)): name for name in CELLS}
    fixed = ("offset", "row", "entity", "device", "ts_us", "arrived_us", "flags")
    written = [(offset, number, row) for offset, one in enumerate(rows) for number, row in enumerate(one)]
    assert [tuple(row[name] for name in fixed) for row in table] == [
        (offset, number, "a", row.device, row.ts, bed.start, row.flags) for offset, number, row in written
    ]
    assert [
        {names[column]: value for column, value in row.items() if column in names and value is not None}
        for row in table
    ] == [{name: value for name, value in row.values.items() if value is not None} for _, _, row in written]
    bed.log.close()


def test_columns_have_the_width_of_their_channel(bed) -> None:
    values = {"level": 0.1, "exact": 0.1, "floor": 1, "open": True, "mode": "m", "codes": ["c"]}
    bed.write(bed.frame([bed.row(bed.start, values)]))
    bed.close_segment()
    types = {field.name: str(field.type) for field in pq.read_schema(bed.segments()[0].file)}
    assert types == {
        "entity": "string",
        "device": "string",
        "ts_us": "int64",
        "arrived_us": "int64",
        "flags": "uint16",
        "offset": "int64",
        "row": "int32",
        "n.level": "float",
        "n.exact": "double",
        "n.floor": "int16",
        "b.open": "bool",
        "t.mode": "string",
        "l.codes": "list<element: string>",
    }


def test_not_a_number_is_missing(bed) -> None:
    bed.write(bed.frame([bed.row(bed.start, {"level": float("nan"), "floor": 2})]))
    bed.close_segment()
    assert bed.stored('"n.level", "n.floor"') == [(None, 2)]


@given(
    st.lists(st.tuples(TEXT.filter(bool), st.sampled_from(["float32", "bool", "utf8", "list"])), unique=True)
)
def test_two_channels_never_share_a_column_whatever_their_case(channels) -> None:
    columns = [column_of(Channel(name=name, dtype=dtype)) for name, dtype in channels]
    assert len({column.lower() for column in columns}) == len(channels)
    assert not any('"' in column for column in columns)


def test_a_merge_holds_the_rows_of_all_and_what_is_left_behind_is_not_read_twice(bed) -> None:
    for second in range(segments.FAN):
        channel = "exact" if second % 2 else "level"
        bed.write(bed.frame([bed.row(bed.at(second), {channel: float(second)})]))
        bed.close_segment()
    (merged,) = bed.segments()
    _, left_behind = segments.listed(merged.folder)
    assert [each.first for each in left_behind] == list(range(segments.FAN))
    assert all(each.file.exists() for each in left_behind)
    assert len(bed.ask().values.at) == segments.FAN // 2
    assert bed.stored('"n.level", "n.exact"') == [
        (None, float(second)) if second % 2 else (float(second), None) for second in range(segments.FAN)
    ]
    assert (merged.low, merged.high, merged.rank) == (bed.start, bed.at(segments.FAN - 1), 1)


def test_only_full_runs_of_one_rank_and_partition_are_merged(bed, monkeypatch) -> None:
    def segment(first: int, *, rank: int = 0, partition: int = 0) -> segments.Segment:
        made = segments.Segment(bed.data, partition, first, first + 1, 0, 0, 0, rank)
        made.file.write_bytes(b"12345")
        return made

    fan = segments.FAN
    run = [segment(first) for first in range(fan)]
    others = [segment(first, rank=1) for first in range(100, 99 + fan)]
    apart = [segment(first, partition=1 + first % 2) for first in range(2 * fan - 2)]
    apart.sort(key=lambda each: (each.partition, each.first))
    assert list(segments.mergeable([*run, *others, *apart])) == [run]
    monkeypatch.setattr(segments, "MERGED_BYTES", 5 * fan - 1)
    assert list(segments.mergeable(run)) == []


def test_a_folder_with_characters_of_patterns_and_quotes_is_written_and_read(tmp_path, bed) -> None:
    odd = type(bed)(tmp_path / "it's [a] *new? folder")
    odd.write(odd.level(1, 1.0))
    odd.close_segment()
    (file,) = [each.file for each in odd.segments()]
    # What the pattern would match must not be taken for it.
    decoy = tmp_path / "it's a brand newx folder" / file.relative_to(odd.data)
    decoy.parent.mkdir(parents=True)
    bed.write(bed.level(1, 2.0))
    bed.close_segment()
    decoy.write_bytes(bed.segments()[0].file.read_bytes())
    assert odd.ask().values.value.tolist() == [1.0]
    odd.log.close()


@pytest.mark.parametrize(
    "name", ["0_0_1_0_0_0.parquet", ".draft-0_0_1_0_0_0_0.parquet", "a.txt", "0_0_1_0_0_0_0"]
)
def test_other_files_in_a_folder_are_no_segments(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"")
    assert segments.listed(tmp_path) == ([], [])


def test_rows_are_sorted_so_that_an_entity_is_in_few_groups(bed) -> None:
    entities = [f"e{number}" for number in np.random.default_rng(1).permutation(50)]
    bed.write(*(bed.level(second, entity=name) for second in range(3) for name in entities))
    bed.close_segment()
    table = pq.ParquetFile(bed.segments()[0].file).read(["entity", "ts_us"]).to_pylist()
    assert table == sorted(table, key=lambda row: (row["entity"], row["ts_us"]))
