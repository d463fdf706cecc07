import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.json import JsonCodec
from zhiwei import registry
from zhiwei.clock import to_us
from zhiwei.contracts import Decoded
from zhiwei.types import Flag, Reason

MOMENT_US = 1_714_528_800_123_000  # 2024-05-01T02:00:00.123Z
codec = JsonCodec()


def refusals(payload: bytes) -> list[tuple[str, str, int]]:
    return [(str(r.reason), r.scope, r.rows) for r in codec.decode(payload).refused]


def test_the_registry_finds_it() -> None:
    assert registry.codec("json") is JsonCodec


def test_an_object_is_a_row_with_time_and_flags_taken_out() -> None:
    payload = b'{"ts":1714528800123,"flags":"MD","ph":7,"on":true,"text":"ok","none":null}'
    assert codec.decode(payload) == Decoded(
        ts=[MOMENT_US],
        flags=[Flag.MAINTENANCE | Flag.FAULT],
        values=[{"ph": 7.0, "on": True, "text": "ok", "none": None}],
    )


def test_an_array_is_a_row_each_in_order() -> None:
    decoded = codec.decode(b'[{"ts":1,"a":1},{"a":2},{"ts":3,"a":3}]')
    assert (decoded.ts, decoded.values) == ([1000, None, 3000], [{"a": 1.0}, {"a": 2.0}, {"a": 3.0}])


@pytest.mark.parametrize(
    "stamp",
    [
        "1714528800123",
        "1714528800123.0",
        '"2024-05-01T02:00:00.123Z"',
        '"2024-05-01T10:00:00.123+08:00"',
        '"2024-05-01 10:00:00.123000+0800"',
        '"2024-04-30T21:30:00.123-04:30"',
    ],
)
def test_time_is_unix_milliseconds_or_iso_8601_with_an_offset(stamp: str) -> None:
    assert codec.decode(f'{{"ts":{stamp},"a":1}}'.encode()).ts == [MOMENT_US]


@pytest.mark.parametrize("stamp", ["", ',"ts":null'])
def test_no_time_is_no_time_and_not_an_error(stamp: str) -> None:
    assert codec.decode(f'{{"a":1{stamp}}}'.encode()) == Decoded(ts=[None], flags=[0], values=[{"a": 1.0}])


@given(
    st.datetimes(),
    st.integers(-14 * 60, 14 * 60),
)
def test_any_time_with_an_offset_is_exact_to_the_microsecond(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    us = to_us(aware)
    decoded = codec.decode(json.dumps({"ts": aware.isoformat(), "a": 1}).encode())
    inside = to_us(datetime.min.replace(tzinfo=UTC)) <= us <= to_us(datetime.max.replace(tzinfo=UTC))
    assert decoded.ts == ([us] if inside else [])


@pytest.mark.parametrize(
    "stamp",
    [
        '"2024-05-01T02:00:00"',
        '"yesterday"',
        '""',
        "true",
        "[1]",
        "{}",
        "1e300",
        "-1e15",
        "253402300800000",
        '"2024-02-30T00:00:00Z"',
        '"2024-05-01T02:00:60Z"',
        '"0001-01-01T00:00:00+10:00"',
    ],
)
def test_a_time_that_is_none_refuses_the_row_and_no_other(stamp: str) -> None:
    payload = f'[{{"ts":{stamp},"a":1}},{{"a":2}}]'.encode()
    assert refusals(payload) == [("bad_timestamp", "row", 1)]
    assert codec.decode(payload).values == [{"a": 2.0}]


def test_times_far_from_ours_are_left_to_others_to_judge() -> None:
    assert codec.decode(b'{"ts":0,"a":1}').ts == [0]
    assert codec.decode(b'{"ts":"2038-01-19T03:14:08Z","a":1}').ts == [(1 << 31) * 1_000_000]


def test_a_time_alone_is_a_heartbeat_and_nothing_at_all_is_empty() -> None:
    assert codec.decode(b'{"ts":1}') == Decoded(ts=[1000], flags=[0], values=[{}])
    assert refusals(b"{}") == [("empty", "row", 1)]
    assert refusals(b"[]") == [("empty", "payload", 0)]
    assert refusals(b"[{},{},{}]") == [("empty", "row", 3)]
    assert refusals(b"") == refusals(b" \n") == [("empty", "payload", 0)]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"hello", "not_json"),
        (b'{"a":1}x', "not_json"),
        (b"{'a':1}", "not_json"),
        (b'{"a":tru}', "not_json"),
        (b'{"a":01}', "not_json"),
        (b'\xef\xbb\xbf{"a":1}', "not_json"),
        (b'{"a":NaN}', "not_finite"),
        (b'{"a":Infinity}', "not_finite"),
        (b'{"a":-Infinity}', "not_finite"),
        (b'{"a":"\xff"}', "not_utf8"),
        (b'{"\xc3\x28":1}', "not_utf8"),
        (b'{"a":"\\ud800"}', "not_utf8"),
        (b"[" * 200_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b'{"a":1,"b":', "truncated"),
        (b"3", "wrong_type"),
        (b'"x"', "wrong_type"),
        (b"null", "wrong_type"),
    ],
)
def test_a_payload_that_cannot_be_read_is_refused_as_a_whole(payload: bytes, reason: str) -> None:
    decoded = codec.decode(payload)
    assert [(str(r.reason), r.scope, r.rows) for r in decoded.refused] == [(reason, "payload", 0)]
    assert decoded.ts == []


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400])
def test_a_number_beyond_float64_refuses_its_cell(number: str) -> None:
    decoded = codec.decode(f'{{"a":{number},"b":1}}'.encode())
    assert (decoded.values, [r.reason for r in decoded.refused]) == ([{"b": 1.0}], [Reason.OUT_OF_RANGE])
    assert refusals(f'{{"a":{number}}}'.encode()) == [("out_of_range", "row", 1)]


def test_a_large_whole_number_is_a_number_for_others_to_judge() -> None:
    assert codec.decode(b'{"a":123456789012345678901234567890}').values == [{"a": 1.2345678901234568e29}]


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ('["E1","E2"]', ["E1", "E2"]),
        ("[]", []),
        ("[1,2.5,-3]", ["1", "2.5", "-3"]),
        ('["E1",7,7.0]', ["E1", "7", "7"]),
        ("[1234567,12345678901234567890]", ["1234567", "12345678901234567890"]),
    ],
)
def test_a_list_of_texts_or_numbers_is_a_value_and_loses_no_digit(given: str, codes: list[str]) -> None:
    assert codec.decode(f'{{"a":{given}}}'.encode()) == Decoded(ts=[None], flags=[0], values=[{"a": codes}])


@pytest.mark.parametrize("given", ["[[1]]", "[null]", "[true]", '["x",{}]', "[1e999]"])
def test_lists_of_anything_else_are_refused(given: str) -> None:
    decoded = codec.decode(f'{{"a":{given},"b":1}}'.encode())
    assert decoded.values == [{"b": 1.0}]
    assert [(r.reason, r.scope) for r in decoded.refused] == [(Reason.WRONG_TYPE, "cell")]


def test_nested_lists_and_objects_refuse_their_cell_and_a_row_of_nothing_else() -> None:
    decoded = codec.decode(b'[{"a":[[1]],"b":1},{"a":{"x":1}},{"b":2}]')
    assert decoded.values == [{"b": 1.0}, {"b": 2.0}]
    assert [(r.reason, r.scope, r.rows) for r in decoded.refused] == [
        (Reason.WRONG_TYPE, "cell", 0),
        (Reason.WRONG_TYPE, "row", 1),
    ]
    assert "a is an array: expected a number" in decoded.refused[0].detail


def test_elements_that_are_no_objects_are_refused_as_rows_and_counted_in_one_refusal() -> None:
    payload = b'[3,{"a":1},"x",[{"a":2}],null]'
    assert refusals(payload) == [("wrong_type", "row", 4)]
    assert codec.decode(payload).values == [{"a": 1.0}]


@pytest.mark.parametrize(
    ("flags", "bits", "reason"),
    [
        ('""', 0, []),
        ('"N"', 0, []),
        ("null", 0, []),
        ('"MXD"', Flag.MAINTENANCE | Flag.FAULT, [Reason.UNKNOWN_FLAG]),
        ("7", 0, [Reason.WRONG_TYPE]),
        ('["M"]', 0, [Reason.WRONG_TYPE]),
    ],
)
def test_flags_that_are_not_known_are_reported_and_the_row_stays(
    flags: str, bits: int, reason: list[Reason]
) -> None:
    decoded = codec.decode(f'{{"flags":{flags},"a":1}}'.encode())
    assert (decoded.flags, decoded.values) == ([bits], [{"a": 1.0}])
    assert [r.reason for r in decoded.refused] == reason


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert codec.decode(b'{"a":1,"a":2}').values == [{"a": 2.0}]


scalars = (
    st.lists(st.text(max_size=3), max_size=3)
    | st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
rows = st.dictionaries(st.text(max_size=6).filter(lambda k: k not in ("ts", "flags")), scalars, min_size=1)


@given(st.lists(rows, min_size=1, max_size=5))
def test_what_was_written_is_what_is_read(written: list[dict[str, Any]]) -> None:
    decoded = codec.decode(json.dumps(written).encode())
    assert (decoded.values, decoded.refused) == (written, [])


@given(rows | st.lists(rows, min_size=1, max_size=3), st.booleans(), st.data())
def test_json_that_ends_early_is_truncated_wherever_it_was_cut(
    document: Any, ascii: bool, data: st.DataObject
) -> None:
    payload = json.dumps(document, ensure_ascii=ascii).encode()
    cut = data.draw(st.integers(1, len(payload) - 1))
    assert refusals(payload[:cut]) == [("truncated", "payload", 0)]


mangled = st.builds(
    lambda document, place, junk: document[: place % (len(document) + 1)] + junk + document[place % 7 :],
    st.builds(lambda d: json.dumps(d).encode(), st.recursive(scalars, lambda s: st.lists(s) | rows)),
    st.integers(0, 1000),
    st.binary(max_size=6) | st.sampled_from([b"NaN", b"1e999", b"\\ud800", b"[[", b'"', b"{}", b"\xff"]),
)


@given(st.binary(max_size=200) | mangled)
def test_any_bytes_give_rows_or_refusals_and_never_raise(payload: bytes) -> None:
    decoded = codec.decode(payload)
    assert len(decoded.ts) == len(decoded.flags) == len(decoded.values)
    assert decoded.ts or decoded.refused
    for row in decoded.values:
        for value in row.values():
            assert value is None or isinstance(value, float | bool | str | list)
            assert not isinstance(value, list) or all(isinstance(code, str) for code in value)
    assert len({(r.reason, r.scope) for r in decoded.refused}) == len(decoded.refused)
