"""Frames: what is written is read again, and whatever else is read is refused."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiwei import frames
from zhiwei.frames import BadFrame, Columns
from zhiwei.schema import Channel, Schema

DTYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "int16": np.int16,
    "bool": np.bool_,
    "utf8": np.object_,
}
SCHEMA = Schema(
    scenario="test", version=3, channels=tuple(Channel(name=f"c_{dtype}", dtype=dtype) for dtype in DTYPES)
)
NAMES = [channel.name for channel in SCHEMA.channels]

micros = st.integers(-(1 << 63), (1 << 63) - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
cells = st.fixed_dictionaries(
    {
        "c_float32": st.none() | st.floats(width=32),
        "c_float64": st.none() | st.floats(),
        "c_int16": st.none() | st.integers(-(1 << 15), (1 << 15) - 1),
        "c_bool": st.none() | st.booleans(),
        "c_utf8": st.none() | text,
    }
)
Row = tuple[str, str, int, int, int, dict[str, float | bool | str | None]]
rows = st.lists(st.tuples(names, names, micros, micros, st.integers(0, (1 << 16) - 1), cells), max_size=12)


def written(given_rows: list[Row], schema: Schema = SCHEMA, *, clock: str = "live", **counts: int) -> bytes:
    entity, device, ts, arrived, flags, values = zip(*given_rows, strict=True) if given_rows else ([],) * 6
    return frames.encode(
        schema,
        entity=entity,
        device=device,
        ts=ts,
        arrived=arrived,
        flags=flags,
        channels={
            channel.name: frames.arrow_column(channel, [cell[channel.name] for cell in values])
            for channel in schema.channels
        },
        clock=clock,
        counts=counts,
    )


def rows_of(columns: Columns) -> list[Row]:
    """The plain reading of Columns, a row at a time."""
    return [
        (
            columns.entities[columns.entity[i]],
            columns.devices[columns.device[i]],
            int(columns.ts[i]),
            int(columns.arrived[i]),
            int(columns.flags[i]),
            {name: values[i] if valid[i] else None for name, (values, valid) in columns.channels.items()},
        )
        for i in range(len(columns))
    ]


def same(a: object, b: object) -> bool:
    """Equal, NaN equal to NaN, and -0.0 not to 0.0."""
    if isinstance(a, float) and isinstance(b, float | np.floating):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


def row(**values: float | bool | str | None) -> Row:
    return "e", "d", 1, 2, 0, {**dict.fromkeys(NAMES), **values}


FULL = written(
    [
        (
            "泵房-1",
            "probe",
            1,
            2,
            3,
            {"c_float32": 7.25, "c_float64": None, "c_int16": 3, "c_bool": True, "c_utf8": "é"},
        ),
        (
            "b",
            "probe",
            4,
            5,
            6,
            {"c_float32": None, "c_float64": 1.5, "c_int16": None, "c_bool": None, "c_utf8": None},
        ),
        (
            "c",
            "other",
            7,
            8,
            9,
            {"c_float32": 1.0, "c_float64": 2.0, "c_int16": -1, "c_bool": False, "c_utf8": ""},
        ),
    ],
    rejected=2,
)


# ------------------------------------------------------------------ round trip


@given(rows, st.sampled_from(["live", "sim-1"]))
def test_what_is_written_is_read_again(given_rows: list[Row], clock: str) -> None:
    columns = frames.decode(SCHEMA, written(given_rows, clock=clock))
    assert columns.clock == clock
    found = rows_of(columns)
    assert [r[:5] for r in found] == [r[:5] for r in given_rows]
    for (*_, have), (*_, want) in zip(found, given_rows, strict=True):
        assert have.keys() == want.keys()
        assert [name for name in want if not same(want[name], have[name])] == []


@given(rows)
def test_every_array_has_its_dtype_and_length_whatever_is_missing(given_rows: list[Row]) -> None:
    columns = frames.decode(SCHEMA, written(given_rows))
    fixed = (columns.entity, columns.device, columns.ts, columns.arrived, columns.flags)
    assert [a.dtype for a in fixed] == [np.int32, np.int32, np.int64, np.int64, np.uint16]
    for name, (values, valid) in columns.channels.items():
        assert (values.dtype, valid.dtype) == (DTYPES[name.removeprefix("c_")], np.dtype(bool))
        assert len(values) == len(valid) == len(columns) == len(given_rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", ["none", "some", "all"])
def test_dtype_does_not_depend_on_what_is_missing(dtype: str, missing: str) -> None:
    value: float | str = "x" if dtype == "utf8" else True if dtype == "bool" else 1
    given_cells = {"none": [value, value], "some": [value, None], "all": [None, None]}[missing]
    name = f"c_{dtype}"
    values, valid = frames.decode(SCHEMA, written([row(**{name: cell}) for cell in given_cells])).channels[
        name
    ]
    assert values.dtype == DTYPES[dtype]
    assert valid.tolist() == [cell is not None for cell in given_cells]


def test_zero_rows_are_a_frame_too() -> None:
    columns = frames.decode(SCHEMA, written([]))
    assert (len(columns), columns.entities, sorted(columns.channels)) == (0, [], sorted(NAMES))


def test_missing_is_not_zero_and_not_nan() -> None:
    columns = frames.decode(
        SCHEMA, written([row(c_float64=None), row(c_float64=0.0), row(c_float64=math.nan)])
    )
    assert columns.channels["c_float64"][1].tolist() == [False, True, True]


def test_a_frame_of_some_channels_gives_those_channels() -> None:
    some = Schema(scenario="test", version=3, channels=SCHEMA.channels[:2])
    assert list(frames.decode(SCHEMA, written([row()], some)).channels) == NAMES[:2]


def test_a_channel_may_be_called_like_a_column_of_the_frame() -> None:
    wild = Schema(scenario="generic", version=1, channels=(), open=True)
    columns = {name: Channel(name=name, dtype="float64") for name in ("ts", "entity", "flags", "flags_2")}
    value = frames.encode(
        wild,
        entity=["e"],
        device=["d"],
        ts=[1],
        arrived=[2],
        flags=[3],
        channels={name: frames.arrow_column(channel, [0.5]) for name, channel in columns.items()},
        clock="live",
    )
    assert rows_of(frames.decode(wild, value)) == [("e", "d", 1, 2, 3, dict.fromkeys(columns, 0.5))]


def test_counts_are_those_that_ingest_wrote_and_the_rows() -> None:
    assert frames.counts(FULL) == {"rejected": 2, "rows": 3}
    assert frames.counts(written([])) == {"rows": 0}


# ------------------------------------------------------------------ columns from values


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float32", "7.0"),
        ("float32", 1e39),
        ("float64", "x"),
        ("float64", 10**400),
        ("int16", 1.5),
        ("int16", 32768),
        ("int16", 10**30),
        ("int16", math.nan),
        ("bool", 1),
        ("bool", "true"),
        ("utf8", 1),
        ("utf8", True),
    ],
)
def test_a_value_that_does_not_fit_is_refused_not_bent(dtype: str, value: float | bool | str) -> None:
    with pytest.raises(pa.ArrowException):
        frames.arrow_column(Channel(name="c", dtype=dtype), [None, value])


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        frames.arrow_column(Channel(name="c", dtype="utf8"), ["\ud800"])


@pytest.mark.parametrize(
    ("dtype", "value", "held"),
    [
        ("float32", 16777217, 16777216.0),
        ("float64", 2**60 + 1, float(2**60)),
        ("float32", math.inf, math.inf),
        ("float32", True, 1.0),
        ("int16", 2.0, 2),
    ],
)
def test_a_number_is_rounded_to_its_channel(dtype: str, value: float, held: float) -> None:
    assert frames.arrow_column(Channel(name="c", dtype=dtype), [value, None]).to_pylist() == [held, None]


# ------------------------------------------------------------------ whatever else comes


def read_or_refused(value: bytes) -> None:
    """It is still a frame, or it is BadFrame and nothing else."""
    for read in (lambda: frames.decode(SCHEMA, value), lambda: frames.counts(value)):
        with suppress(BadFrame):
            read()


def test_a_frame_cut_at_any_byte_is_refused() -> None:
    whole = rows_of(frames.decode(SCHEMA, FULL))
    for end in range(len(FULL)):
        try:
            found = frames.decode(SCHEMA, FULL[:end])
        except BadFrame:
            continue
        # What is cut here is only the mark that ends an Arrow stream; the rows stand before it.
        assert end >= len(FULL) - 8
        assert rows_of(found) == whole


def test_a_frame_with_any_bit_turned_is_read_or_refused() -> None:
    for place, bit in product(range(len(FULL)), range(8)):
        turned = bytearray(FULL)
        turned[place] ^= 1 << bit
        read_or_refused(bytes(turned))


@given(st.lists(st.tuples(st.integers(0, len(FULL) - 1), st.integers(0, 255)), min_size=1, max_size=10))
@settings(max_examples=1000)
def test_a_frame_with_any_bytes_changed_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    value = bytearray(FULL)
    for place, byte in changes:
        value[place] = byte
    read_or_refused(bytes(value))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(BadFrame):
        frames.decode(SCHEMA, value)
    with pytest.raises(BadFrame):
        frames.counts(value)


META = {"zhiwei.frame": "1", "scenario": "test", "schema": "3", "clock": "live"}
TIME = pa.timestamp("us", tz="UTC")
Parts = dict[str, pa.Array]


def arrow(change: Callable[[Parts], object] = len, metadata: Mapping[str, object] = META) -> bytes:
    """A frame of two rows, built beside the module, with one thing changed."""
    parts: Parts = {
        "entity": pa.array(["a", "b"]).dictionary_encode(),
        "device": pa.array(["d", "d"]).dictionary_encode(),
        "ts": pa.array([1, 2], TIME),
        "arrived": pa.array([1, 2], TIME),
        "flags": pa.array([0, 0], pa.uint16()),
        "c_float32": pa.array([1, None], pa.float32()),
        "c_utf8": pa.array(["x", None]).dictionary_encode(),
    }
    change(parts)
    schema = pa.schema(
        [pa.field(name.split("#")[0], column.type) for name, column in parts.items()],
        metadata={key: str(value) for key, value in {**META, **metadata}.items()},
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(list(parts.values()), schema=schema))
    return bytes(sink.getvalue())


def put(name: str, column: pa.Array) -> Callable[[Parts], object]:
    return lambda parts: parts.update({name: column})


def test_the_frame_that_the_next_tests_change_is_one() -> None:
    columns = frames.decode(SCHEMA, arrow())
    assert (columns.entities, columns.channels["c_utf8"][0].tolist()) == (["a", "b"], ["x", None])


null_name = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", None]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("ts", pa.array([1, None], TIME)), "ts"),
        (put("ts", pa.array([1, 2], pa.timestamp("ns", tz="UTC"))), "ts"),
        (put("ts", pa.array([1, 2], pa.timestamp("us"))), "ts"),
        (put("arrived", pa.array([1, 2], pa.int64())), "arrived"),
        (put("flags", pa.array([0, 0], pa.int32())), "flags"),
        (put("flags", pa.array([0, None], pa.uint16())), "flags"),
        (put("entity", pa.array(["a", "b"])), "entity"),
        (put("entity", pa.array(["a", None]).dictionary_encode()), "entity"),
        (put("device", null_name), "device"),
        (put("c_utf8", null_name), "c_utf8"),
        (put("c_utf8", pa.array(["a", "b"])), "c_utf8"),
        (put("c_utf8", pa.array([1, 2]).dictionary_encode()), "c_utf8"),
        (put("c_float32", pa.array([1.0, 2.0])), "c_float32"),
        (put("c_float32", pa.nulls(2)), "c_float32"),
        (put("unknown", pa.array([1.0, 2.0])), "unknown"),
        (put("c_float32#again", pa.array([1, None], pa.float32())), "c_float32"),
        (lambda parts: parts.pop("flags"), "columns"),
        (lambda parts: [parts.pop(name) for name in list(parts)[1:]], "columns"),
    ],
)
def test_a_column_of_the_wrong_kind_is_refused_by_its_name(
    change: Callable[[Parts], object], says: str
) -> None:
    with pytest.raises(BadFrame, match=says):
        frames.decode(SCHEMA, arrow(change))


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"zhiwei.frame": 2}, "zhiwei.frame is '2', this reader knows '1'"),
        ({"scenario": "other"}, "scenario is 'other', this reader knows 'test'"),
        ({"schema": 4}, "schema is '4', this reader knows '3'"),
    ],
)
def test_another_version_is_refused_with_both(metadata: dict[str, object], says: str) -> None:
    with pytest.raises(BadFrame, match=f"^{says}$"):
        frames.decode(SCHEMA, arrow(metadata=metadata))


def test_counts_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(BadFrame):
        frames.counts(arrow(metadata={"count.rejected": "many"}))


def test_a_list_channel_comes_back_as_tuples_and_null_is_not_an_empty_list() -> None:
    schema = Schema(scenario="lift", version=1, channels=(Channel(name="codes", dtype="list"),))
    column = frames.arrow_column(schema.channels[0], [["04", "40"], None, []])
    value = frames.encode(
        schema, entity=["a"] * 3, device=["d"] * 3, ts=[1, 2, 3], arrived=[1, 2, 3], flags=[0] * 3,
        channels={"codes": column}, clock="live",
    )  # fmt: skip
    values, valid = frames.decode(schema, value).channels["codes"]
    assert (values.tolist(), valid.tolist()) == ([("04", "40"), None, ()], [True, False, True])


def test_a_family_takes_any_suffix_and_keeps_its_place() -> None:
    schema = Schema(
        scenario="home",
        version=1,
        channels=(Channel(name="sos", dtype="bool"), Channel(name="motion", dtype="bool", family=True)),
    )
    assert schema.channel("motion.kitchen") == Channel(name="motion.kitchen", dtype="bool", family=True)
    assert schema.channel("sos.kitchen") is None
    assert schema.order("motion.kitchen") == (1, "motion.kitchen")
