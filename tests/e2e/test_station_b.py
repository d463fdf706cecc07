"""The real station through the real bed: the same findings as a replay, whatever is cut or killed."""

import random
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from simulators.playback import messages
from streams.engine.engine import Engine
from streams.engine.snapshot import copy_head, copy_rows, restore
from zhiwei import recording, registry
from zhiwei.contracts import LogRecord
from zhiwei.types import Finding
from zhiwei.wiring.audit import audit
from zhiwei.wiring.replay import frame, replay

RECORDED = Path(__file__).parents[2] / "simulators" / "recorded"
FILE = RECORDED / "station_b.csv.gz"
MAP = recording.load_map(RECORDED / "station_b.toml")
WATER = registry.scenario("water")
SOURCE = """
site = "local"
[streams]
snapshot_s = 0.5
[[sources]]
name = "station-b-2006"
topics = "zw/v1/water/station-b/#"
clock = "simulated"
[[devices]]
scenario = "water"
entity = "station-b"
device = "sonde"
"""
MakeBed = Callable[..., object]


def rows(count: int) -> list[tuple[int, str, bytes]]:
    return list(islice(messages(FILE, WATER.schema, MAP), count))


def replayed(tmp_path: Path, count: int) -> list[Finding]:
    """Findings of the first rows, by ``zhiwei replay``."""
    lines = msgspec.json.Decoder(Finding)
    source, out = tmp_path / "first.jsonl", tmp_path / "findings.jsonl"
    with source.open("wb") as stream:
        for _, topic, body in rows(count):
            entity = topic.split("/")[3]
            stream.write(msgspec.json.encode({**msgspec.json.decode(body), "entity": entity}) + b"\n")
    replay(source, scenario="water", table=None, policy=None, out=out)
    return [lines.decode(line) for line in out.read_bytes().splitlines()]


def keys(findings: list[Finding]) -> set[tuple[str, int, str]]:
    return {(f.id, f.rev, str(f.phase)) for f in findings}


# ------------------------------------------------------------------ without servers


@pytest.mark.parametrize("seed", range(3))
def test_frames_cut_anywhere_and_a_restart_at_every_kth_record_find_the_same(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    good = [row for row in recording.rows(FILE, WATER.schema, MAP) if row.ts is not None][:1500]
    records, start = [], 0
    while start < len(good):
        end = start + chance.choice([1, 1, 2, 7, 40, 300])
        records.append(LogRecord(len(records), frame(WATER.schema, good[start:end])))
        start = end
    every = chance.randint(1, 9)
    place = {"site": "local", "topic": "readings.water", "partition": 0}
    engine = Engine(WATER, **place)
    chunks, found = [], []
    for record in records:
        found += engine.apply([record]).findings
        chunks.append(copy_rows(engine, everything=not chunks))
        if record.offset % every == 0:
            engine = restore(WATER, copy_head(engine), chunks, **place)
    assert keys(found) == keys(replayed(tmp_path, 1500))
    assert len({f.id for f in found}) > 5


# ------------------------------------------------------------------ over MQTT


@pytest.mark.e2e
@pytest.mark.parametrize("speed", [None, 30_000.0], ids=["full speed", "paced, a frame for each row"])
def test_over_mqtt_the_findings_are_those_of_the_replay(
    make_bed: MakeBed, tmp_path: Path, speed: float | None
) -> None:
    count = 1008 if speed is None else 420
    bed = make_bed(SOURCE)
    assert bed.publish(rows(count), speed) == count
    bed.drain()
    expected = replayed(tmp_path, count)
    assert bed.revisions() == keys(expected)
    events = bed.events()
    opened = [e for e in events.values() if e["type"] == "zhiwei.incident.opened"]
    assert len(opened) == len({f.id for f in expected})
    kinds = [e["data"]["incident"]["kind"] for e in opened]
    assert kinds.count("water.event") == 1


@pytest.mark.e2e
def test_a_minute_series_at_a_hundred_times_its_pace_finds_the_same(
    make_bed: MakeBed, tmp_path: Path
) -> None:
    case = Path(__file__).parents[1] / "cases" / "water" / "w2_turbidity"
    lines = [msgspec.json.decode(line) for line in (case / "input.jsonl").read_bytes().splitlines()]
    source = tmp_path / "w2.jsonl"
    source.write_bytes(b"".join(msgspec.json.encode({**one, "entity": "station-b"}) + b"\n" for one in lines))
    out = tmp_path / "w2.findings.jsonl"
    replay(source, scenario="water", table=None, policy=None, out=out)
    expected = [msgspec.json.decode(line, type=Finding) for line in out.read_bytes().splitlines()]
    bed = make_bed(SOURCE)
    played = recording.Map(device="sonde")
    bed.publish(messages(source, WATER.schema, played), 100.0)
    bed.drain()
    assert bed.revisions() == keys(expected)
    assert {f.kind for f in expected} == {"water.turbidity_high"}


# ------------------------------------------------------------------ kills


def undisturbed(make_bed: MakeBed, count: int) -> dict[str, object]:
    bed = make_bed(SOURCE)
    bed.publish(rows(count))
    bed.drain()
    return bed.events()


def disturbed(bed: object, count: int, kills: int, roles: list[str], seed: int) -> None:
    """Publish while processes are killed at random moments."""
    chance = random.Random(seed)
    span_s = kills * 1.2
    speed = (rows(count)[-1][0] - rows(1)[0][0]) / 1e6 / span_s
    publishing = threading.Thread(target=bed.publish, args=(rows(count), speed))
    publishing.start()
    done = 0
    while done < kills:
        time.sleep(chance.uniform(0.2, 2.0))
        done += bed.kill(chance.choice(roles))
    publishing.join(600)
    assert not publishing.is_alive()
    bed.drain(180)


def campaign(make_bed: MakeBed, count: int, kills: int, seed: int) -> None:
    expected = undisturbed(make_bed, count)
    bed = make_bed(SOURCE)
    disturbed(bed, count, kills, ["ingest", "stream", "alerts"], seed)
    assert bed.events() == expected
    assert len(expected) > 20
    lines, balanced = audit(bed.settings)
    assert balanced, "\n".join(lines)
    assert sum(child.restarts for child in bed.supervisor.children) >= kills


def broker_campaign(make_bed: MakeBed, count: int, kills: int, seed: int) -> None:
    bed = make_bed(SOURCE)
    disturbed(bed, count, kills, ["broker"], seed)
    assert bed.revisions() == bed.replayed()
    opened = {e["subject"] for e in bed.events().values() if e["type"] == "zhiwei.incident.opened"}
    assert len(opened) == len({id_ for id_, _, _ in bed.replayed()})
    bed.until(lambda: bed.figure("ingest", "zhiwei_ingest_sessions_lost") >= 1, "the lost session is shown")


@pytest.mark.e2e
def test_five_kills_lose_no_event_and_double_none(make_bed: MakeBed) -> None:
    campaign(make_bed, 2500, 5, seed=3)


@pytest.mark.e2e
def test_a_killed_broker_loses_a_session_which_is_shown_and_the_events_are_those_of_the_log(
    make_bed: MakeBed,
) -> None:
    broker_campaign(make_bed, 2500, 1, seed=4)


@pytest.mark.soak
@pytest.mark.e2e
@pytest.mark.parametrize("seed", [11, 12])
def test_twenty_five_kills_lose_no_event_and_double_none(make_bed: MakeBed, seed: int) -> None:
    campaign(make_bed, 7200, 25, seed)


@pytest.mark.soak
@pytest.mark.e2e
def test_five_kills_of_the_broker(make_bed: MakeBed) -> None:
    broker_campaign(make_bed, 7200, 5, seed=21)
