"""From messages to log entries: each kind of bad input of the field, and what must stay right beside it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.json import JsonCodec
from ingest.intake import Closed, Intake
from ingest.quarantine import TOPIC
from zhiwei import frames
from zhiwei.clock import to_datetime
from zhiwei.contracts import Entry
from zhiwei.errors import ConfigError
from zhiwei.ids import partition_of
from zhiwei.mqtt_packets import OVERSIZE, QOS_1, RETAIN
from zhiwei.mqtt_receiver import Block
from zhiwei.schema import Channel, Schema
from zhiwei.settings import Device, Ingest, Log, Mqtt, Settings, Source
from zhiwei.testing.memory_log import MemoryLog
from zhiwei.types import Flag, Reason, Rejection, Tick

NOW = 1_714_528_800_000_000
WATER = Schema(
    scenario="water",
    version=1,
    channels=(Channel(name="ph"), Channel(name="turbidity"), Channel(name="on", dtype="bool")),
)
SCHEMAS = {"water": WATER, "generic": Schema(scenario="generic", version=1, channels=(), open=True)}
DEVICES = tuple(
    Device(scenario=scenario, entity=entity, device="p")
    for scenario in ("water", "generic")
    for entity in "abc"
)
GOOD = (b"zw/v1/water/a/p", b'{"ts":1714528800000,"ph":7.5}')


def intake(**more: Any) -> Intake:
    return Intake(Settings(**{"devices": DEVICES, **more}), SCHEMAS, JsonCodec(), b"zw/canary/rx")


def closed(one: Intake, *messages: tuple[bytes, bytes], flags: int = QOS_1, arrived: int = NOW) -> Closed:
    block = Block(1, arrived, [(topic, payload, 1, flags) for topic, payload in messages])
    one.take(block)
    return one.close()


def rejections(out: Closed) -> list[Rejection]:
    return [msgspec.json.decode(e.value, type=Rejection) for e in out.entries if e.topic == TOPIC]


def rows(out: Closed, topic: str = "readings.water") -> list[tuple[str, int, int, int, dict[str, Any]]]:
    found = []
    for entry in out.entries:
        if entry.topic == topic and not entry.value.startswith(b"{"):
            columns = frames.decode(SCHEMAS[topic.partition(".")[2]], entry.value)
            found += [
                (
                    columns.entities[columns.entity[row]],
                    int(columns.ts[row]),
                    int(columns.arrived[row]),
                    int(columns.flags[row]),
                    {name: data[row] for name, (data, valid) in columns.channels.items() if valid[row]},
                )
                for row in range(len(columns))
            ]
    return found


GOOD_ROW = ("a", NOW, NOW, 0, {"ph": 7.5})


def test_a_good_message_is_a_row_and_no_rejection() -> None:
    out = closed(intake(), GOOD)
    assert (rows(out), rejections(out)) == ([GOOD_ROW], [])
    assert (out.packets, out.bytes, dict(out.rows), dict(out.frames)) == (1, 29, {"water": 1}, {"water": 1})


@pytest.mark.parametrize(
    ("topic", "payload", "reason", "scope", "detail"),
    [
        (GOOD[0], b"hello", Reason.NOT_JSON, "payload", "no JSON from character 0"),
        (GOOD[0], b'{"ph":7', Reason.TRUNCATED, "payload", "ends early"),
        (GOOD[0], b'{"ph":NaN}', Reason.NOT_FINITE, "payload", "NaN is no JSON"),
        (GOOD[0], b'{"ph":"7"}', Reason.WRONG_TYPE, "row", "ph = '7': expected a number"),
        (GOOD[0], b'{"ph":true}', Reason.WRONG_TYPE, "row", "ph = True: expected a number"),
        (GOOD[0], b'{"ph":[7]}', Reason.WRONG_TYPE, "row", "ph = ['7']: expected a number"),
        (GOOD[0], b'{"ph":[[7]]}', Reason.WRONG_TYPE, "row", "ph is an array: expected a number"),
        (GOOD[0], b'{"ph":1e999}', Reason.OUT_OF_RANGE, "row", "ph: the number is beyond"),
        (GOOD[0], b'{"ph":1e12}', Reason.OUT_OF_RANGE, "row", "ph = 1000000000000.0: expected at most"),
        (GOOD[0], b'{"salt":7}', Reason.UNKNOWN_CHANNEL, "row", "'salt' is no channel of water"),
        (GOOD[0], b'{"ts":"noon","ph":7}', Reason.BAD_TIMESTAMP, "row", "ts 'noon'"),
        (GOOD[0], b"{}", Reason.EMPTY, "row", "neither ts nor a channel"),
        (GOOD[0], b"", Reason.EMPTY, "payload", "no bytes"),
        (b"zw/v1/fire/a/p", GOOD[1], Reason.UNKNOWN_SCENARIO, "payload", "scenario 'fire'"),
        (b"zw/v1/water/z/p", GOOD[1], Reason.UNKNOWN_ENTITY, "payload", "entity 'z'"),
        (b"zw/v1/water/a/z", GOOD[1], Reason.UNKNOWN_DEVICE, "payload", "device 'z'"),
        (b"zw/v1/water/+/p", GOOD[1], Reason.BAD_TOPIC, "payload", "entity '+'"),
        (b"zw/v1/water/#", GOOD[1], Reason.BAD_TOPIC, "payload", "expected zw/v1/"),
    ],
)
def test_bad_input_is_a_rejection_with_its_bytes_and_costs_its_neighbours_nothing(
    topic: bytes, payload: bytes, reason: Reason, scope: str, detail: str
) -> None:
    out = closed(intake(), GOOD, (topic, payload), GOOD)
    assert rows(out) == [GOOD_ROW, GOOD_ROW]
    (rejection,) = rejections(out)
    assert detail in rejection.detail
    assert (rejection.reason, rejection.scope, rejection.topic, rejection.payload, rejection.arrived) == (
        reason,
        scope,
        topic.decode(),
        payload,
        to_datetime(NOW),
    )
    assert rejection.rows == (1 if scope == "row" else 0)
    assert out.rejected == {(reason, scope): 1}


@pytest.mark.parametrize(
    ("stamp", "ts"),
    [("0", 0), ("2147483648000", (1 << 31) * 1_000_000), ("1714615200000", NOW + 86_400_000_000)],
)
def test_1970_2038_and_a_day_ahead_are_kept_and_flagged_and_never_quarantined(stamp: str, ts: int) -> None:
    out = closed(intake(), (GOOD[0], f'{{"ts":{stamp},"ph":7.5}}'.encode()))
    assert (rows(out), rejections(out)) == ([("a", ts, NOW, Flag.CLOCK, {"ph": 7.5})], [])


def test_duplicates_and_conflicting_values_are_all_kept_in_order_for_the_engine_to_judge() -> None:
    other = (GOOD[0], b'{"ts":1714528800000,"ph":8.5}')
    out = closed(intake(), GOOD, GOOD, other)
    assert rows(out) == [GOOD_ROW, GOOD_ROW, ("a", NOW, NOW, 0, {"ph": 8.5})]


def test_a_mebibyte_is_refused_by_its_size_and_its_first_part_is_kept() -> None:
    one = intake()
    one.take(Block(1, NOW, [(*GOOD, 1, QOS_1), (GOOD[0], b"x" * 4096, 2, QOS_1 | OVERSIZE)], {1: 1 << 20}))
    out = one.close()
    assert rows(out) == [GOOD_ROW]
    (rejection,) = rejections(out)
    assert (rejection.reason, rejection.payload) == (Reason.TOO_LARGE, b"x" * 4096)
    assert "payload has 1048576 bytes, expected at most 262144" in rejection.detail


def test_a_topic_that_is_no_text_is_quarantined_in_a_form_that_can_be_read() -> None:
    (rejection,) = rejections(closed(intake(), (b"zw/v1/water/\xff/p", b"x")))
    assert (rejection.reason, rejection.topic) == (Reason.BAD_TOPIC, "zw/v1/water/\\xff/p")


def test_the_bad_rows_of_an_array_are_refused_and_the_good_ones_kept() -> None:
    payload = b'[{"ts":1714528800000,"ph":7.5},{"ph":"x"},3,{"ts":"noon"},{"ts":1714528800000,"ph":7.5}]'
    out = closed(intake(), (GOOD[0], payload))
    assert rows(out) == [GOOD_ROW, GOOD_ROW]
    assert [(r.reason, r.scope, r.rows) for r in rejections(out)] == [
        (Reason.WRONG_TYPE, "row", 2),
        (Reason.BAD_TIMESTAMP, "row", 1),
    ]


def test_a_packet_of_many_bad_rows_makes_one_record_for_each_reason() -> None:
    (rejection,) = rejections(closed(intake(), (GOOD[0], b"[" + b'{"salt":1},' * 5000 + b'{"salt":1}]')))
    assert (rejection.reason, rejection.rows) == (Reason.UNKNOWN_CHANNEL, 5001)
    assert len(rejection.detail) < 500


def test_every_row_is_appended_or_quarantined_and_every_packet_framed_or_rejected() -> None:
    payloads = [b'[{"ph":7},{"ph":"x"},{},{"ph":8}]', b"nonsense", b'{"ph":7,"salt":1}', b'{"ph":"x"}']
    out = closed(intake(), *[(GOOD[0], payload) for payload in payloads])
    (frame,) = [entry.value for entry in out.entries if entry.topic == "readings.water"]
    counts = frames.counts(frame)
    lost = sum(rejection.rows for rejection in rejections(out))
    assert (counts["rows"] + lost, counts["packets"]) == (6, 2)
    assert counts == {
        "rows": 3,
        "packets": 2,
        "refused.wrong_type": 1,
        "refused.empty": 1,
        "cells.unknown_channel": 1,
    }
    whole = [rejection for rejection in rejections(out) if rejection.payload in (payloads[1], payloads[3])]
    assert counts["packets"] + len(whole) == out.packets


def test_urgent_rows_are_rows() -> None:
    assert rows(closed(intake(), (GOOD[0] + b"/urgent", GOOD[1]))) == [GOOD_ROW]


# ------------------------------------------------------------------ partitions, sources, clocks


def test_an_entity_has_one_partition_and_its_rows_keep_their_order() -> None:
    one = intake(log=Log(partitions=4))
    messages = [
        (f"zw/v1/water/{entity}/p".encode(), f'{{"ts":{number},"ph":7}}'.encode())
        for number, entity in enumerate("abcabcab")
    ]
    out = closed(one, *messages)
    for entity in "abc":
        mine = [
            (entry.partition, int(ts))
            for entry in out.entries
            for columns in [frames.decode(WATER, entry.value)]
            for row, ts in enumerate(columns.ts)
            if columns.entities[columns.entity[row]] == entity
        ]
        expected = [number * 1000 for number, one in enumerate("abcabcab") if one == entity]
        assert mine == [(partition_of(entity, 4), ts) for ts in expected]


def test_frames_of_one_batch_go_to_their_scenarios() -> None:
    out = closed(intake(), GOOD, (b"zw/v1/generic/a/p", b'{"ts":1714528800000,"anything":1}'))
    assert rows(out) == [GOOD_ROW]
    assert rows(out, "readings.generic") == [("a", NOW, NOW, 0, {"anything": 1.0})]


SOURCES = (
    Source(name="records", topics="zw/v1/+/b/#", clock="simulated"),
    Source(name="field", topics="zw/v1/#"),
)


def test_a_simulated_source_brings_its_own_time_and_is_not_mixed_with_others() -> None:
    one = intake(sources=SOURCES)
    old = (b"zw/v1/water/b/p", b'{"ts":1000,"ph":7.5}')
    out = closed(one, GOOD, old, GOOD)
    assert sorted(rows(out)) == [GOOD_ROW, GOOD_ROW, ("b", 1_000_000, 1_000_000, 0, {"ph": 7.5})]
    clocks = [frames.decode(WATER, e.value).clock for e in out.entries if e.topic == "readings.water"]
    assert sorted(clocks) == ["live", "records"]


def test_a_simulated_source_may_have_several_topic_filters() -> None:
    source = Source(name="records", topics=("zw/v1/+/b/#", "zw/v1/+/c/#"), clock="simulated")
    one = intake(sources=(source, Source(name="field", topics="zw/v1/#")))
    out = closed(one, GOOD, *((f"zw/v1/water/{x}/p".encode(), b'{"ts":1000,"ph":7.5}') for x in "bc"))
    assert sorted(entity for entity, ts, *_ in rows(out) if ts == 1_000_000) == ["b", "c"]
    assert one.filters == ["zw/v1/#"]


def test_a_row_of_a_simulated_source_that_says_when_it_arrived_takes_the_lane_that_follows() -> None:
    one = Intake(
        Settings(devices=DEVICES, sources=SOURCES), SCHEMAS, JsonCodec(), latencies={"water": lambda _: 0}
    )
    hour = 3_600_000
    said = [
        {"ts": NOW // 1000, "arrived": NOW // 1000 + hour, "ph": 7.5},
        {"ts": NOW // 1000 + hour, "arrived": NOW // 1000 + hour + 1000, "ph": 7.5},
        {"ts": NOW // 1000 + hour + 2000},
    ]
    out = closed(one, (b"zw/v1/water/b/p", msgspec.json.encode(said)))
    us = hour * 1000
    assert rows(out, "backlog.water") == [("b", NOW, NOW + us, 0, {"ph": 7.5})]
    assert rows(out) == [
        ("b", NOW + us, NOW + us + 1_000_000, 0, {"ph": 7.5}),
        ("b", NOW + us + 2_000_000, NOW + us + 2_000_000, 0, {}),
    ]
    assert rejections(out) == []


def test_a_device_clock_ahead_of_a_stated_arrival_is_implausible() -> None:
    out = closed(
        intake(sources=SOURCES), (b"zw/v1/water/b/p", b'{"ts":9999999999000,"arrived":1714528800000,"ph":7}')
    )
    assert rows(out) == [("b", 9_999_999_999_000_000, NOW, Flag.CLOCK, {"ph": 7.0})]


@pytest.mark.parametrize("arrived", [b'"yesterday"', b'"2024-05-01T02:00:00"', b"1e300", b"true"])
def test_a_stated_arrival_that_is_no_time_loses_its_row_only(arrived: bytes) -> None:
    body = b'[{"ts":1000,"ph":7.5},{"ts":2000,"arrived":' + arrived + b',"ph":7.5}]'
    out = closed(intake(sources=SOURCES), (b"zw/v1/water/b/p", body))
    assert rows(out) == [("b", 1_000_000, 1_000_000, 0, {"ph": 7.5})]
    (rejection,) = rejections(out)
    assert (rejection.reason, rejection.scope) == (Reason.BAD_TIMESTAMP, "row")
    assert rejection.detail.startswith("arrived ")


def test_a_live_source_cannot_say_when_its_rows_arrived() -> None:
    out = closed(intake(), (GOOD[0], b'{"ts":1714528800000,"arrived":1000,"ph":7.5}'))
    assert rows(out) == [GOOD_ROW]
    assert [one.reason for one in rejections(out)] == [Reason.UNKNOWN_CHANNEL]


def test_the_time_of_a_simulated_source_is_told_to_all_lanes_and_partitions() -> None:
    one = intake(sources=SOURCES, log=Log(partitions=3))
    out = closed(one, GOOD, *((b"zw/v1/water/b/p", b'{"ts":%d,"ph":7}' % ts) for ts in (9000, 5000)))
    own = ("readings.water", partition_of("b", 3))
    told = {
        (e.topic, e.partition): msgspec.json.decode(e.value, type=Tick)
        for e in out.entries
        if e.value.startswith(b"{")
    }
    assert set(told.values()) == {Tick(clock="records", time=to_datetime(9_000_000))}
    assert {*told, own} == {(f"{lane}.water", n) for lane in ("readings", "backlog") for n in range(3)}
    assert own not in told


def test_a_simulated_row_without_a_time_is_refused() -> None:
    out = closed(intake(sources=SOURCES), (b"zw/v1/water/b/p", b'[{"ph":7.5},{"ts":1000,"ph":7.5}]'))
    assert rows(out) == [("b", 1_000_000, 1_000_000, 0, {"ph": 7.5})]
    (rejection,) = rejections(out)
    assert (rejection.reason, rejection.scope, rejection.rows) == (Reason.NO_TIMESTAMP, "row", 1)


def test_a_retained_message_is_not_taken_for_news_unless_it_says_when_it_was() -> None:
    out = closed(intake(), GOOD, (GOOD[0], b'{"ph":7.5}'), flags=QOS_1 | RETAIN)
    assert rows(out) == [GOOD_ROW]
    assert [rejection.reason for rejection in rejections(out)] == [Reason.NO_TIMESTAMP]


def test_a_live_row_without_a_time_takes_the_time_of_its_own_block() -> None:
    one = intake()
    one.take(Block(1, NOW, [(GOOD[0], b'{"ph":1}', 1, QOS_1)]))
    one.take(Block(1, NOW + 7, [(GOOD[0], b'{"ph":2}', 2, QOS_1), (GOOD[0], b"x", 3, QOS_1)]))
    out = one.close()
    assert [(ts, arrived) for _, ts, arrived, _, _ in rows(out)] == [(NOW, NOW), (NOW + 7, NOW + 7)]
    assert [rejection.arrived for rejection in rejections(out)] == [to_datetime(NOW + 7)]


def test_filters_are_those_of_the_sources_without_what_another_covers() -> None:
    assert intake().filters == ["zw/v1/#"]
    assert intake(sources=SOURCES).filters == ["zw/v1/#"]
    twice = (Source(name="a", topics="zw/v1/water/#"), Source(name="b", topics="zw/v1/water/#"))
    assert intake(sources=twice).filters == ["zw/v1/water/#"]


@pytest.mark.parametrize(
    ("source", "key"),
    [
        (Source(name="live", topics="zw/v1/#", clock="simulated"), r"sources\[0\].name"),
        (Source(name="x", topics="zw/#/v1"), r"sources\[0\].topics"),
    ],
)
def test_a_source_that_cannot_be_is_an_error_that_names_it(source: Source, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        intake(sources=(source,))


# ------------------------------------------------------------------ batches


def test_our_own_messages_are_no_input() -> None:
    one = intake()
    out = closed(one, (b"zw/canary/rx", b"1"), GOOD, (b"zw/canary/rx", b"2"))
    assert (one.own, rows(out), rejections(out)) == ([b"1", b"2"], [GOOD_ROW], [])


def test_a_batch_is_full_by_rows_by_messages_or_by_bytes() -> None:
    def full(*messages: tuple[bytes, bytes]) -> bool:
        one = intake(ingest=Ingest(frame_rows=3), mqtt=Mqtt(max_payload_bytes=16 * 1024 * 1024))
        one.take(Block(1, NOW, [(topic, payload, 1, QOS_1) for topic, payload in messages]))
        return one.full()

    assert not full(GOOD, GOOD)
    assert full(GOOD, GOOD, GOOD)
    assert full((GOOD[0], b'[{"ph":1},{"ph":2},{"ph":3}]'))
    assert full(*[(GOOD[0], b"x")] * 3)
    assert full((GOOD[0], b"x" * 8_500_000))


def test_a_batch_that_was_forgotten_leaves_nothing_behind() -> None:
    one = intake()
    one.take(Block(1, NOW, [(*GOOD, 1, QOS_1), (GOOD[0], b"x", 2, QOS_1)]))
    one.forget()
    assert one.close() == Closed()


def test_topics_that_never_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.intake.TOPICS_MOST", 10)
    one = intake()
    out = closed(one, *[(f"zw/v1/water/x{n}/p".encode(), b"{}") for n in range(100)], GOOD)
    assert len(one._routes) <= 10
    assert (len(rejections(out)), rows(out)) == (100, [GOOD_ROW])


topics = st.sampled_from([GOOD[0], b"zw/v1/water/b/p", b"zw/v1/generic/c/p", b"zw/v1/water/z/p"]) | st.binary(
    max_size=30
)
bodies = st.sampled_from(
    [GOOD[1], b'{"ph":"x"}', b'[{"ph":1},{"on":7}]', b"{}", b'{"\xc3\xa9":1}']
) | st.binary(max_size=40)


@given(st.lists(st.tuples(topics, bodies, st.sampled_from([0, 1, 2, 3, 10])), max_size=15))
def test_any_messages_are_framed_or_quarantined_each(messages: list[tuple[bytes, bytes, int]]) -> None:
    one = intake()
    one.take(Block(1, NOW, [(topic, payload, 1, flags) for topic, payload, flags in messages]))
    out = one.close()
    log = MemoryLog()
    log.append(out.entries)
    framed = sum(
        frames.counts(entry.value)["packets"] for entry in out.entries if entry.topic.startswith("readings.")
    )
    packets = {(rejection.topic, rejection.payload) for rejection in rejections(out)}
    assert framed <= len(messages)
    bad = [m for m in messages if (m[0].decode(errors="backslashreplace"), m[1]) in packets]
    assert framed + len(bad) >= len(messages)
    assert all(isinstance(entry, Entry) for entry in out.entries)
