"""Which lane a row takes: fresh or old, and whether it calls for help."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.json import JsonCodec
from ingest.intake import Closed, Intake
from ingest.quarantine import TOPIC
from zhiwei import frames
from zhiwei.clock import MICROS, to_datetime
from zhiwei.mqtt_packets import QOS_1, RETAIN
from zhiwei.mqtt_receiver import Block
from zhiwei.schema import Channel, Schema
from zhiwei.settings import Ingest, Settings, Source
from zhiwei.types import Flag, Reason, Rejection, Tick

NOW = 1_714_528_800 * MICROS
HOME = Schema(
    scenario="home",
    version=1,
    channels=(
        Channel(name="level"),
        Channel(name="daily"),
        Channel(name="codes", dtype="list"),
        Channel(name="motion", dtype="bool", family=True, amends=True),
        Channel(name="sos", dtype="bool", trigger=True, family=True),
    ),
)
PLAIN = Schema(scenario="plain", version=1, channels=(Channel(name="level"),))
SCHEMAS = {"home": HOME, "plain": PLAIN}
FRESH_S = 60.0
LATENCY_S = {"daily": 86_400, "level": 5, "sos": 0}


def latency_of(channel: str) -> int:
    return LATENCY_S.get(channel, 5) * MICROS


def intake(**more: Any) -> Intake:
    settings = Settings(ingest=Ingest(fresh_s=FRESH_S, unknown_devices="provisional"), **more)
    return Intake(settings, SCHEMAS, JsonCodec(), latencies=dict.fromkeys(SCHEMAS, latency_of))


def closed(*messages: tuple[str, str], one: Intake | None = None, arrived: int = NOW) -> Closed:
    one = one or intake()
    one.take(Block(1, arrived, [(topic.encode(), body.encode(), 1, QOS_1) for topic, body in messages]))
    return one.close()


def lanes(out: Closed) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Topic → (seconds before now, values) of its rows."""
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for entry in out.entries:
        if entry.topic != TOPIC and not entry.value.startswith(b"{"):  # no refusals, no ticks
            columns = frames.decode(SCHEMAS[entry.topic.partition(".")[2]], entry.value)
            found.setdefault(entry.topic, []).extend(
                (
                    (NOW - int(columns.ts[row])) // MICROS,
                    {name: data[row] for name, (data, valid) in columns.channels.items() if valid[row]},
                )
                for row in range(len(columns))
            )
    return found


def counts(out: Closed) -> dict[str, int]:
    """What the frames say for the ledger, together; without the rows, which copies have too."""
    total: dict[str, int] = {}
    for entry in out.entries:
        if entry.topic != TOPIC and not entry.value.startswith(b"{"):  # no refusals, no ticks
            for name, count in frames.counts(entry.value).items():
                total[name] = total.get(name, 0) + count
    del total["rows"]
    return total


def row(age_s: float, **values: Any) -> str:
    return msgspec.json.encode({"ts": NOW // 1000 - round(age_s * 1000), **values}).decode()


LIFT = "zw/v1/home/a/d"


# ------------------------------------------------------------------ old or fresh


@pytest.mark.parametrize(
    ("age_s", "values", "lane"),
    [
        (0, {"level": 1}, "readings"),
        (65, {"level": 1}, "readings"),
        (65.001, {"level": 1}, "backlog"),
        (86_400, {"level": 1}, "backlog"),
        (86_460, {"daily": 1}, "readings"),
        (86_460.001, {"daily": 1}, "backlog"),
        (86_460, {"daily": 1, "level": 1}, "readings"),  # the slowest channel decides
        (65, {}, "readings"),  # a heartbeat
        (65.001, {}, "backlog"),
        (-100, {"level": 1}, "readings"),
        (-86_400, {"level": 1}, "readings"),  # a day ahead: implausible
    ],
)
def test_a_row_later_than_its_slowest_channel_and_the_limit_goes_to_the_backlog(
    age_s: float, values: dict[str, float], lane: str
) -> None:
    out = closed((LIFT, row(age_s, **values)))
    assert list(lanes(out)) == [f"{lane}.home"]
    assert (dict(out.rows), counts(out)) == ({"home": 1}, {"packets": 1})


@pytest.mark.parametrize("ts", ["0", "null", "946684799999", "-1"])
def test_a_row_whose_time_is_absent_or_implausible_counts_as_fresh(ts: str) -> None:
    assert list(lanes(closed((LIFT, f'{{"ts":{ts},"level":1}}')))) == ["readings.home"]


def test_the_first_plausible_time_is_old() -> None:
    assert list(lanes(closed((LIFT, '{"ts":946684800000,"level":1}')))) == ["backlog.home"]


@pytest.mark.parametrize("topic", [LIFT, f"{LIFT}/urgent"])
def test_a_simulated_source_is_never_old(topic: str) -> None:
    one = intake(sources=(Source(name="tape", topics="zw/v1/#", clock="simulated"),))
    out = closed((topic, row(10**8, level=1)), (topic, row(10**8 - 1, level=2, sos=True)), one=one)
    assert lanes(out)["readings.home"] == [(10**8, {"level": 1.0}), (10**8 - 1, {"level": 2.0, "sos": True})]
    assert "backlog.home" not in lanes(out)
    rows = [entry.value for entry in out.entries if not entry.value.startswith(b"{")]
    assert {frames.decode(HOME, value).clock for value in rows} == {"tape"}


# ------------------------------------------------------------------ gone past by a second connection


@pytest.mark.parametrize(
    ("age_s", "values", "lane"),
    [
        (20.001, {"level": 1}, "backlog"),
        (20, {"level": 1}, "readings"),
        (20.001, {}, "backlog"),
        (20.001, {"daily": 1}, "readings"),  # uploaded once a day: no newer one of it came
        (86_460.001, {"daily": 1}, "backlog"),
    ],
)
def test_a_row_that_newer_ones_went_past_is_judged_among_the_old_ones(
    age_s: float, values: dict[str, float], lane: str
) -> None:
    one = intake()
    message = (LIFT.encode(), row(age_s, **values).encode(), 1, QOS_1)
    one.take(Block(1, NOW, [message]), overtaken=NOW - 20 * MICROS)
    assert list(lanes(one.close())) == [f"{lane}.home"]


def test_without_a_time_of_its_own_what_waited_does_not_pass_for_new() -> None:
    one = intake()
    one.take(Block(1, NOW, [(LIFT.encode(), b'{"level":1}', 1, QOS_1)]), overtaken=NOW)
    assert list(lanes(one.close())) == ["backlog.home"]


def test_of_a_simulated_source_nothing_goes_past_what_waits() -> None:
    one = intake(sources=(Source(name="tape", topics="zw/v1/home/tape/#", clock="simulated"),))
    tape = b"zw/v1/home/tape/d"
    block = Block(1, NOW, [(LIFT.encode(), row(0, level=1).encode(), 1, QOS_1), (tape, b"none", 2, QOS_1)])
    one.take(block, ahead=True)
    out = one.close()
    assert lanes(out) == {"readings.home": [(0, {"level": 1.0})]}
    assert not out.rejected
    one.take(block)
    assert one.close().rejected  # the session brings it


def test_what_is_on_the_log_already_is_passed_over_when_the_session_brings_it_once_more() -> None:
    one = intake()
    call, other = row(0, level=1).encode(), row(0, level=2).encode()
    one.take(Block(1, NOW, [(LIFT.encode(), call, 1, QOS_1)] * 2), ahead=True)
    out = one.close()
    session = Block(1, NOW, [(LIFT.encode(), each, 2, QOS_1) for each in (call, other, call, call)])
    one.take(session)
    assert sum(one.close().rows.values()) == 4  # nothing was said to be on the log
    one.repeats.expect(out.ahead)
    one.take(session)
    again = one.close()
    assert (again.packets, lanes(again)) == (4, {"readings.home": [(0, {"level": 2.0}), (0, {"level": 1.0})]})


def test_a_message_that_was_cut_off_or_kept_by_the_broker_is_never_passed_over() -> None:
    one = intake()
    kept = Block(1, NOW, [(LIFT.encode(), row(0, level=1).encode(), 1, QOS_1 | RETAIN)])
    one.take(kept, ahead=True)
    assert not one.close().ahead
    one.repeats.expect([(LIFT.encode(), row(0, level=1).encode())])
    one.take(kept)
    assert sum(one.close().rows.values()) == 1


def test_of_a_simulated_source_nothing_is_expected_twice() -> None:
    one = intake(sources=(Source(name="tape", topics="zw/v1/home/tape/#", clock="simulated"),))
    one.take(Block(1, NOW, [(b"zw/v1/home/tape/d", row(0, level=1).encode(), 2, QOS_1)]), ahead=True)
    assert not one.close().ahead


def test_a_scenario_without_latencies_has_no_backlog() -> None:
    settings = Settings(ingest=Ingest(unknown_devices="provisional"))
    one = Intake(settings, SCHEMAS, JsonCodec())
    assert list(lanes(closed((LIFT, row(10**8, level=1)), one=one))) == ["readings.home"]


def test_an_array_is_split_row_by_row_and_each_lane_keeps_its_order() -> None:
    body = f"[{row(200, level=1)},{row(3, level=2)},{row(150, level=3)},{row(1, level=4)}]"
    out = closed((LIFT, body))
    assert lanes(out) == {
        "readings.home": [(3, {"level": 2.0}), (1, {"level": 4.0})],
        "backlog.home": [(200, {"level": 1.0}), (150, {"level": 3.0})],
    }
    assert (dict(out.rows), counts(out)) == ({"home": 4}, {"packets": 1})


def test_old_and_fresh_rows_of_one_batch_go_apart_and_the_next_batch_starts_anew() -> None:
    one = intake()
    out = closed((LIFT, row(200, level=1)), (LIFT, row(0, level=2)), (LIFT, row(100, level=3)), one=one)
    assert lanes(out) == {
        "readings.home": [(0, {"level": 2.0})],
        "backlog.home": [(200, {"level": 1.0}), (100, {"level": 3.0})],
    }
    assert lanes(closed((LIFT, row(0, level=4)), one=one)) == {"readings.home": [(0, {"level": 4.0})]}


# ------------------------------------------------------------------ calls for help


@pytest.mark.parametrize("channel", ["sos", "sos.bathroom", "sos_2"])
@pytest.mark.parametrize("said", [True, 1])
@pytest.mark.parametrize(("age_s", "lane"), [(0, "readings"), (10_000, "backlog")])
@pytest.mark.parametrize("topic", [LIFT, f"{LIFT}/urgent"])
def test_a_trigger_goes_to_the_urgent_lane_and_where_its_age_belongs(
    topic: str, age_s: float, lane: str, said: bool | int, channel: str
) -> None:
    out = closed((topic, row(age_s, **{channel: said, "level": 1})))
    expected = [(age_s, {channel: True, "level": 1.0})]
    assert lanes(out) == {f"{lane}.home": expected, "urgent.home": expected}
    assert (dict(out.rows), counts(out)) == ({"home": 1}, {"packets": 1})


@pytest.mark.parametrize("value", [False, 0, None, "true", ["1"], 2])
def test_what_does_not_say_true_does_not_call(value: Any) -> None:
    assert list(lanes(closed((LIFT, row(0, sos=value, level=1))))) == ["readings.home"]


def test_of_an_array_only_the_rows_that_call_are_urgent() -> None:
    out = closed((LIFT, f"[{row(2, level=1)},{row(1, sos=True)},{row(0, sos=False)}]"))
    assert lanes(out)["urgent.home"] == [(1, {"sos": True})]
    assert len(lanes(out)["readings.home"]) == 3


def test_a_batch_knows_that_a_call_waits_in_it() -> None:
    one = intake()
    for body, calls in ((row(0, level=1), False), (row(0, sos=True), True)):
        one.take(Block(1, NOW, [(LIFT.encode(), body.encode(), 1, QOS_1)]))
        assert one.calls is calls
    one.close()
    assert not one.calls


def test_the_urgent_topic_level_makes_any_row_urgent() -> None:
    out = closed((f"{LIFT}/urgent", row(0, level=1)))
    assert lanes(out) == {"readings.home": [(0, {"level": 1.0})], "urgent.home": [(0, {"level": 1.0})]}


def test_a_scenario_without_triggers_has_no_urgent_lane_whatever_the_topic_says() -> None:
    out = closed(("zw/v1/plain/a/d/urgent", row(0, level=1)), ("zw/v1/plain/a/d/urgent", row(999, level=2)))
    assert lanes(out) == {"readings.plain": [(0, {"level": 1.0})], "backlog.plain": [(999, {"level": 2.0})]}


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("age_s", [0, 10_000])
@pytest.mark.parametrize("topic", [LIFT, f"{LIFT}/urgent"])
def test_a_refused_cell_and_a_refused_row_of_a_call_are_refused_once(topic: str, age_s: float) -> None:
    body = f"[{row(age_s, sos=True, level='x')},{row(age_s, level='y')},{row(age_s, sos=True)},7]"
    out = closed((topic, body))
    rejections = [msgspec.json.decode(e.value, type=Rejection) for e in out.entries if e.topic == TOPIC]
    assert sorted((r.reason, r.scope, r.rows) for r in rejections) == [
        (Reason.WRONG_TYPE, "cell", 0),
        (Reason.WRONG_TYPE, "row", 2),
    ]
    assert counts(out) == {"packets": 1, "cells.wrong_type": 1, "refused.wrong_type": 2}
    assert len(lanes(out)["urgent.home"]) == 2
    assert dict(out.rows) == {"home": 2}


def test_refusals_of_a_packet_on_two_lanes_are_counted_once_each() -> None:
    out = closed((LIFT, f"[{row(0, level=1)},{row(999, level='x')},{row(999, level=2, codes=True)},7]"))
    assert counts(out) == {"packets": 1, "cells.wrong_type": 1, "refused.wrong_type": 2}


# ------------------------------------------------------------------ copies that amend


def flagged(out: Closed, topic: str) -> list[tuple[int, int]]:
    """(seconds before now, flags) of its rows, in order of arrival."""
    columns = [frames.decode(HOME, entry.value) for entry in out.entries if entry.topic == topic]
    return [
        ((NOW - int(ts)) // MICROS, int(flags))
        for one in columns
        for ts, flags in zip(one.ts, one.flags, strict=True)
    ]


@pytest.mark.parametrize("channel", ["motion", "motion.hall"])
def test_an_old_row_that_may_amend_is_on_the_ordinary_lane_too_and_counted_once(channel: str) -> None:
    """Copies keep their place among the fresh rows: what is shown first does not depend on the batch."""
    said = row(200, **{channel: False})
    out = closed((LIFT, row(9, level=1)), (LIFT, f"[{said},{row(3, level=2)}]"), (LIFT, row(1, level=3)))
    assert flagged(out, "backlog.home") == [(200, 0)]
    assert flagged(out, "readings.home") == [(9, 0), (200, Flag.HISTORICAL), (3, 0), (1, 0)]
    assert (dict(out.rows), counts(out)) == ({"home": 4}, {"packets": 3})


def test_no_other_row_is_copied() -> None:
    out = closed((LIFT, row(200, level=1, motion=None)), (LIFT, row(0, motion=True)), (LIFT, row(200)))
    assert flagged(out, "readings.home") == [(0, 0)]


def test_what_is_refused_of_a_copied_row_is_refused_once() -> None:
    out = closed((LIFT, row(200, motion=True, level="x")), (LIFT, row(200, motion="x")))
    assert flagged(out, "readings.home") == [(200, Flag.HISTORICAL)]
    assert counts(out) == {"packets": 1, "cells.wrong_type": 1}
    assert sum(out.rejected.values()) == 2


def test_a_copy_does_not_tell_the_time_of_a_simulated_source() -> None:
    """A tick does, behind it."""
    one = intake(sources=(Source(name="tape", topics="zw/v1/#", clock="simulated"),))
    said = row(200, motion=True, arrived=NOW // 1000)
    on_topic = [e.value for e in closed((LIFT, said), one=one).entries if e.topic == "readings.home"]
    assert [value.startswith(b"{") for value in on_topic] == [False, True]
    assert msgspec.json.decode(on_topic[1], type=Tick).time == to_datetime(NOW)


ages = st.sampled_from([0, 64, 66, 86_000, 87_000])
rows_of_a_packet = st.lists(
    st.tuples(ages, st.sampled_from([{}, {"sos": True}, {"daily": 1}]), st.sampled_from([1, "x"])), min_size=1
)


@given(st.lists(st.tuples(rows_of_a_packet, st.booleans()), max_size=5))
def test_every_row_is_on_one_lane_or_refused_and_a_call_that_is_kept_is_urgent_too(
    packets: list[tuple[list[tuple[int, dict[str, Any], Any]], bool]],
) -> None:
    messages, wanted = [], {"readings.home": 0, "backlog.home": 0, "urgent.home": 0}
    refused = kept_packets = 0
    for rows, urgent in packets:
        body = ",".join(row(age, level=level, **values) for age, values, level in rows)
        messages.append((f"{LIFT}/urgent" if urgent else LIFT, f"[{body}]"))
        before = sum(wanted.values())
        for age, values, level in rows:
            if level == "x" and not values:
                refused += 1
                continue
            normal = 86_400 if "daily" in values else 5
            wanted["backlog.home" if age > normal + FRESH_S else "readings.home"] += 1
            wanted["urgent.home"] += urgent or "sos" in values
        kept_packets += sum(wanted.values()) > before
    out = closed(*messages)
    assert {topic: len(rows) for topic, rows in lanes(out).items()} == {t: n for t, n in wanted.items() if n}
    rejections = [msgspec.json.decode(e.value, type=Rejection) for e in out.entries if e.topic == TOPIC]
    assert sum(one.rows for one in rejections) == refused
    assert out.rows["home"] == wanted["readings.home"] + wanted["backlog.home"]
    assert (counts(out) if lanes(out) else {"packets": 0})["packets"] == kept_packets
