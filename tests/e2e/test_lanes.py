"""Lanes through the real bed: what is fresh does not wait for what is old, and nothing is lost on the way."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from zhiwei import frames, registry
from zhiwei.clock import MICROS, SystemClock
from zhiwei.mqtt import Publisher
from zhiwei.types import Finding, FindingRecord
from zhiwei.wiring.audit import audit

CLOCK = SystemClock()
CONFIG = """
site = "local"
[streams]
snapshot_s = 0.5
[[devices]]
scenario = "water"
entity = "fresh"
device = "sonde"
[[devices]]
scenario = "water"
entity = "old"
device = "sonde"
"""
LIFTS = """
site = "local"
[streams]
snapshot_s = 0.5
[[devices]]
scenario = "elevator"
entity = "seen-again"
device = "kit"
[[devices]]
scenario = "elevator"
entity = "silent-since"
device = "kit"
"""
OLD_ROWS = 20_000
HOUR_US = 3600 * MICROS
MakeBed = Callable[..., Any]
Message = tuple[str, bytes]


def row(ts: int, turbidity: float) -> bytes:
    return msgspec.json.encode({"ts": ts / 1000, "turbidity": round(turbidity, 3), "ph": 7.3})


def old_rows() -> Iterator[Message]:
    """A day's worth that comes twelve hours late; its water is turbid from the middle on."""
    began = CLOCK.now_us() - 36 * HOUR_US
    for number in range(OLD_ROWS):
        turbid = 1.1 if number > OLD_ROWS // 2 else 0.0
        body = row(began + number * 4 * MICROS, 0.3 + turbid + number % 7 * 0.01)
        yield "zw/v1/water/old/sonde", body


def fresh_rows() -> Iterator[Message]:
    """The last minute and a half of a station, whose water has become turbid just now."""
    now = CLOCK.now_us()
    for number in range(30):
        turbid = 1.1 if number >= 20 else 0.0
        body = row(now - (30 - number) * 3 * MICROS, 0.3 + turbid + number % 7 * 0.01)
        yield "zw/v1/water/fresh/sonde", body


def shut_in(entity: str, first_s: int, last_s: int) -> Iterator[Message]:
    """A lift that stands between floors with somebody in it; seconds before now."""
    now = CLOCK.now_us()
    for ago_s in range(first_s, last_s, -5):
        still = {
            "mode": "normal",
            "moving": False,
            "in_door_zone": False,
            "door_closed": True,
            "person": True,
        }
        body = msgspec.json.encode({"ts": (now - ago_s * MICROS) / 1000, **still})
        yield f"zw/v1/elevator/{entity}/kit", body


def publish(port: int, client_id: str, messages: Iterator[Message]) -> None:
    with Publisher(host="127.0.0.1", port=port, client_id=client_id) as publisher:
        for topic, body in messages:
            publisher.publish(topic, body, timeout_s=120.0)
        publisher.flush(120.0)


def findings(bed: Any) -> list[Finding]:
    """Everything on the findings log."""
    found = []
    with bed.log("findings") as log:
        for topic in ("findings", "findings.urgent"):
            offset, end = log.earliest(topic, 0), log.end(topic, 0)
            while offset < end:
                for record in log.read(topic, 0, offset):
                    finding = msgspec.json.decode(record.value, type=FindingRecord)
                    found += [finding] if isinstance(finding, Finding) else []
                    offset = record.offset + 1
    return found


def rows_on(bed: Any, topic: str) -> list[tuple[str, int]]:
    """(entity, time) of each row in the frames of a topic; one that came twice stands there twice."""
    schema, rows = registry.scenario("water").schema, []
    with bed.log("readings") as log:
        offset, end = log.earliest(topic, 0), log.end(topic, 0)
        while offset < end:
            for record in log.read(topic, 0, offset):
                offset = record.offset + 1
                if not record.value.startswith(b"{"):
                    frame = frames.decode(schema, record.value)
                    entities = [frame.entities[number] for number in frame.entity]
                    rows += zip(entities, frame.ts.tolist(), strict=True)
    return rows


def opened(bed: Any) -> list[tuple[str, str]]:
    """(entity, kind) of the incidents that the receiver was told of."""
    incidents = [e["data"]["incident"] for e in bed.events().values() if e["type"].endswith(".opened")]
    return sorted((one["entity"], one["kind"]) for one in incidents)


@pytest.mark.e2e
def test_a_fresh_event_reaches_the_receiver_while_a_backlog_drains_and_the_books_balance(
    make_bed: MakeBed,
) -> None:
    bed = make_bed(CONFIG)
    port = bed.settings.mqtt.port
    draining = threading.Thread(target=publish, args=(port, "old-gateway", old_rows()))
    draining.start()
    bed.until(lambda: len(rows_on(bed, "backlog.water")) > 1000, "the backlog is coming in")
    publish(port, "fresh-gateway", fresh_rows())
    bed.until(lambda: ("fresh", "water.turbidity_high") in opened(bed), "the fresh event has arrived")
    draining.join(300)
    assert not draining.is_alive()
    bed.until(lambda: len(set(rows_on(bed, "backlog.water"))) >= OLD_ROWS, "all old rows are on the log", 300)
    bed.drain(300)
    # On a busy machine ingest opens its second connection, and some rows come by both.
    old, fresh = rows_on(bed, "backlog.water"), rows_on(bed, "readings.water")
    assert len({row for row in old if row[0] == "old"}) == OLD_ROWS
    assert len({row for row in fresh if row[0] == "fresh"}) == len(set(fresh)) == 30
    said = {(f.entity, f.kind, f.historical, f.late) for f in findings(bed)}
    assert ("old", "water.turbidity_high", True, False) in said
    assert {entity for entity, _, historical, _ in said if not historical} == {"fresh"}
    assert {entity for entity, _ in opened(bed)} == {"fresh"}
    lines, balanced = audit(bed.settings)
    assert balanced, "\n".join(lines)
    assert any(line.startswith(f"backlog.water/0: {len(old)} rows appended") for line in lines)


@pytest.mark.e2e
def test_the_urgent_topic_level_of_a_scenario_without_triggers_stops_nothing(make_bed: MakeBed) -> None:
    assert not any(channel.trigger for channel in registry.scenario("water").schema.channels)
    bed = make_bed(CONFIG)
    publish(bed.settings.mqtt.port, "gateway", ((f"{topic}/urgent", body) for topic, body in fresh_rows()))
    bed.until(lambda: ("fresh", "water.turbidity_high") in opened(bed), "the event has arrived")
    bed.drain()
    assert bed.child("ingest").restarts == 0
    lines, balanced = audit(bed.settings)
    assert balanced, "\n".join(lines)


@pytest.mark.e2e
def test_an_entrapment_that_a_backlog_left_open_is_one_with_the_fresh_one_or_is_told_late(
    make_bed: MakeBed,
) -> None:
    """Both gateways bring old rows; after them one lift is seen to stand there still, the other is silent."""
    bed = make_bed(LIFTS)
    port, kind = bed.settings.mqtt.port, "elevator.entrapment"
    for entity in ("seen-again", "silent-since"):
        publish(port, entity, shut_in(entity, 900, 600))

    def left_open() -> bool:
        return {f.entity for f in findings(bed) if f.late and f.kind == kind} == {
            "seen-again",
            "silent-since",
        }

    bed.until(left_open, "both backlogs have ended")
    publish(port, "seen-again", shut_in("seen-again", 60, 0))
    both = [("seen-again", kind), ("silent-since", kind)]
    bed.until(lambda: [one for one in opened(bed) if one[1] == kind] == both, "both are told")
    bed.drain()
    told = {}
    for event in bed.events().values():
        data = event["data"]
        assert not event["type"].endswith(".held")
        if event["type"].endswith(".opened") and data["incident"]["kind"] == kind:
            assert data["incident"]["entity"] not in told, "one incident, told once"
            told[data["incident"]["entity"]] = data
    fresh, late = told["seen-again"], told["silent-since"]
    assert (fresh["finding"]["late"], late["finding"]["late"]) == (False, True)
    assert fresh["incident"]["findings"] == 2
    assert fresh["incident"]["onset"] < fresh["finding"]["onset"], "the older onset stands"
    (age,) = late["finding"]["evidence"]["observations"]
    assert (age["name"], age["unit"]) == ("age", "s")
    assert age["observed"] > 600
    lines, balanced = audit(bed.settings)
    assert balanced, "\n".join(lines)
