"""The distributed bed, chosen by settings alone, on real servers: what comes out is what a replay finds,
whatever is killed in between."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from alerts.api import access
from simulators.playback import messages, play
from zhiwei import recording, registry
from zhiwei.clock import SystemClock
from zhiwei.commitlog import STREAMS
from zhiwei.kafka import KafkaLog
from zhiwei.mqtt import Publisher
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL
from zhiwei.types import Finding
from zhiwei.wiring.repartition import repartition
from zhiwei.wiring.replay import replay
from zhiwei.wiring.trial import Revision, Trial

RECORDED = Path(__file__).parents[2] / "simulators" / "recorded"
FILE = RECORDED / "station_b.csv.gz"
MAP = recording.load_map(RECORDED / "station_b.toml")
WATER = registry.scenario("water")
CONFIG = """
site = "local"
[streams]
scenarios = ["water"]
snapshot_s = 0.5
[log]
partitions = {partitions}
[kafka]
servers = "{kafka}"
prefix = "{prefix}."
session_s = 3
[database]
url = "{database}"
[[sources]]
name = "station-b-2006"
topics = "zw/v1/water/+/#"
clock = "simulated"
[[devices]]
scenario = "water"
entity = "station-b"
device = "sonde"
"""
ROWS = 1500
PATIENCE_S = 240.0
MakeBed = Callable[..., Trial]


@pytest.fixture
def make_bed(
    tmp_path: Path, kafka: Kafka, mosquitto: Mosquitto, postgres: PostgreSQL, fresh: str
) -> Iterator[MakeBed]:
    """Start a bed of its own on the servers, or on those of one before it; each is stopped at the end.

    begin: with it the console is a process of its own; called before anything starts.
    """
    made = 0
    with ExitStack() as opened:

        def make(
            workers: tuple[str, ...] = (),
            config: str = CONFIG,
            begin: Callable[[Trial], object] | None = None,
            *,
            partitions: int = 2,
            after: Trial | None = None,
        ) -> Trial:
            nonlocal made
            made += 1
            name = f"{fresh}_{made}"
            folder = tmp_path / name
            folder.mkdir()
            database = after.settings.database.url if after else postgres.create_database(name)
            name = after.settings.mqtt.client_id if after else name
            chosen = config.format(
                kafka=kafka.bootstrap, prefix=name, database=database, partitions=partitions
            )
            bed = Trial(
                folder,
                chosen,
                mqtt_port=mosquitto.port,
                client_id=name,
                workers=workers,
                own_console=begin is not None,
            )
            if begin is not None:
                begin(bed)
            return opened.enter_context(bed)

        yield make


class Window:
    """Somebody at the console's API."""

    def __init__(self, port: int) -> None:
        self._port, self._cookie = port, ""

    def sign_in(self, password: str) -> bool:
        """Whether the console is there and lets us in."""
        form = urlencode({"name": "Wang", "password": password})
        try:
            answer, _ = self._send("POST", "/sign-in", form, "application/x-www-form-urlencoded")
        except OSError:
            return False
        self._cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        return answer.status == HTTPStatus.SEE_OTHER

    def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """The decoded answer, which must be a good one."""
        sent = msgspec.json.encode(body).decode() if body else ""
        answer, found = self._send(method, path, sent, "application/json")
        assert answer.status == HTTPStatus.OK, found
        return msgspec.json.decode(found)

    def acknowledge(self, incident: str) -> str:
        """The id of the event that comes of it."""
        return str(
            self.ask("POST", f"/api/v1/incidents/{incident}/commands", {"action": "acknowledge"})["event"]
        )

    def _send(self, method: str, path: str, body: str, kind: str) -> tuple[HTTPResponse, bytes]:
        headers = {"Cookie": self._cookie, "Content-Type": kind, "Idempotency-Key": path}
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


def rows(count: int) -> list[tuple[int, str, bytes]]:
    return list(islice(messages(FILE, WATER.schema, MAP), count))


def publish(bed: Trial, stream: list[tuple[int, str, bytes]], speed: float | None = None) -> None:
    with Publisher(host="127.0.0.1", port=bed.settings.mqtt.port, client_id="gateway") as publisher:
        play(iter(stream), publisher, speed=speed, clock=SystemClock(), stop=bed.supervisor.stop)
    bed.taken_in(stream[-1][1], PATIENCE_S)


def test_a_bed_goes_on_with_another_number_of_partitions(make_bed: MakeBed, tmp_path: Path) -> None:
    first = make_bed()
    publish(first, rows(ROWS // 2))
    first.drain(PATIENCE_S)
    first.retire("ingest")
    first.drain(PATIENCE_S)
    first.stop()
    moved = msgspec.structs.replace(first.settings, data_dir=str(tmp_path))
    with KafkaLog(moved.kafka) as log:
        first.until(lambda: log.members(STREAMS) == 0, "Kafka has forgotten the worker")
    list(repartition(moved, 3, SystemClock(), pause=time.sleep))
    second = make_bed(partitions=3, after=first)
    # The second half, and the first again: state that has moved knows it.
    publish(second, rows(ROWS))
    second.drain(PATIENCE_S)
    assert second.revisions() == replayed(tmp_path, ROWS)
    assert not first.events().keys() & second.events().keys()


def replayed(folder: Path, count: int) -> set[Revision]:
    source, out = folder / "first.jsonl", folder / "findings.jsonl"
    with source.open("wb") as stream:
        for _, topic, body in rows(count):
            entity = topic.split("/")[3]
            stream.write(msgspec.json.encode({**msgspec.json.decode(body), "entity": entity}) + b"\n")
    replay(source, scenario="water", table=None, policy=None, out=out)
    found = [msgspec.json.decode(line, type=Finding) for line in out.read_bytes().splitlines()]
    return {(f.id, f.rev, str(f.phase)) for f in found}


def disturbed(bed: Trial, faults: list[Callable[[], object]], seed: int) -> None:
    """Publish the station while these happen, one after the other."""
    chance = random.Random(seed)
    stream = rows(ROWS)
    span_s = 2.0 * len(faults)
    speed = (stream[-1][0] - stream[0][0]) / 1e6 / span_s
    publishing = threading.Thread(target=publish, args=(bed, stream, speed))
    publishing.start()
    chance.shuffle(faults)
    for fault in faults:
        time.sleep(chance.uniform(0.2, 2.0))
        fault()
    publishing.join(PATIENCE_S)
    assert not publishing.is_alive()
    bed.drain(PATIENCE_S)


def test_what_is_found_and_told_is_that_of_a_replay_whatever_is_killed(
    make_bed: MakeBed, tmp_path: Path, kafka: Kafka, postgres: PostgreSQL
) -> None:
    expected = replayed(tmp_path, ROWS)
    quiet = make_bed()
    publish(quiet, rows(ROWS))
    quiet.drain(PATIENCE_S)
    assert quiet.revisions() == expected
    events = quiet.events()
    opened = [event for event in events.values() if event["type"] == "zhiwei.incident.opened"]
    assert len(opened) == len({id_ for id_, _, _ in expected}) > 5

    bed = make_bed()
    roles = [lambda role=role: bed.kill(role) for role in ("ingest", "stream", "alerts")]
    disturbed(bed, [*roles, kafka.restart, postgres.restart], seed=1)
    assert bed.revisions() == expected
    told = bed.events()
    assert told.keys() == events.keys()
    assert [(told[key], events[key]) for key in events if told[key] != events[key]] == []


def test_drills_come_back_from_every_partition_by_way_of_all_servers(make_bed: MakeBed) -> None:
    live = CONFIG.replace('clock = "simulated"', 'clock = "live"') + "[drill]\nevery_s = 0.5\n"
    bed = make_bed(config=live.replace('"water"]', '"water", "elevator"]').replace("/water/+/#", "/#"))
    topics = ("readings.water", "readings.elevator", "urgent.elevator")

    def back() -> list[float]:
        return [
            bed.figure("alerts", "zhiwei_drill_seconds_count", topic=topic, partition=str(number))
            for topic in topics
            for number in range(2)
        ]

    bed.until(lambda: min(back()) >= 3, "drills came back from every partition", PATIENCE_S)
    assert bed.revisions() == set()
    assert bed.events() == {}


def test_a_console_of_its_own_process_shows_what_alerts_stores_and_its_commands_are_told(
    make_bed: MakeBed,
) -> None:
    passwords: list[str | None] = []
    bed = make_bed(begin=lambda made: passwords.append(access.prepare(made.settings.data)))
    window = Window(bed.settings.console.port)
    publish(bed, rows(ROWS))
    bed.drain(PATIENCE_S)
    bed.until(lambda: window.sign_in(passwords[0] or ""), "somebody is signed in")
    alerts = bed.child("alerts").process
    assert alerts is not None
    first, second = window.ask("GET", "/api/v1/incidents?live=true&limit=2")["incidents"]
    os.kill(alerts.pid, signal.SIGSTOP)
    try:
        event = window.acknowledge(first["id"])
    finally:
        os.kill(alerts.pid, signal.SIGCONT)
    bed.until(lambda: event in bed.events(), "what was decided while alerts stood still is told", PATIENCE_S)
    event = window.acknowledge(second["id"])
    bed.until(lambda: event in bed.events(), "what is decided while alerts runs is told", PATIENCE_S)
    (handling,) = {
        window.ask("GET", f"/api/v1/incidents/{one['id']}")["incident"]["handling"] for one in (first, second)
    }
    assert handling == "acknowledged"
