"""What an operator sees of a whole bed: health that follows progress, of each role by itself."""

import json
import os
import shutil
import signal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alerts.store.tables import APPLIED, EVENTS, INCIDENTS
from tests.e2e.conftest import MakeBed
from tests.e2e.test_station_b import SOURCE, rows
from zhiwei.clock import SystemClock
from zhiwei.settings import Settings
from zhiwei.sql import open_database
from zhiwei.testing.servers.process import free_port, offspring
from zhiwei.wiring.audit import audit
from zhiwei.wiring.backup import backup, restore
from zhiwei.wiring.repartition import repartition

pytestmark = pytest.mark.e2e


def health(port: int) -> tuple[int, list[str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["reasons"]
    except OSError:
        return 0, []
    finally:
        connection.close()


def test_health_follows_progress_and_names_what_does_not_move(make_bed: MakeBed) -> None:
    ports = {role: free_port() for role in ("ingest", "stream", "alerts")}
    said = "\n".join(f"{role} = {port}" for role, port in ports.items())
    bed = make_bed(f"[health]\nidle_s = 5\n[metrics]\n{said}\n")
    bed.until(lambda: all(health(port)[0] == 200 for port in ports.values()), "all roles are good")
    broker = bed.child("broker").process
    assert broker is not None
    processes = (broker.pid, *offspring(broker.pid))
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        bed.until(lambda: health(ports["ingest"])[0] == 503, "ingest says that nothing comes")
        bed.until(lambda: health(ports["stream"])[0] == 503, "streams has no records")
        assert any("not proven live" in reason for reason in health(ports["ingest"])[1])
        assert any("look at ingest" in reason for reason in health(ports["stream"])[1])
        assert health(ports["alerts"])[0] == 200
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)
    bed.until(lambda: all(health(port)[0] == 200 for port in ports.values()), "all roles are good again")


def test_a_drill_goes_the_whole_way_to_every_partition_and_its_absence_is_bad_health(
    make_bed: MakeBed,
) -> None:
    port = free_port()
    bed = make_bed(
        "[log]\npartitions = 2\n[streams]\nsnapshot_s = 0.5\n[drill]\nevery_s = 0.5\n"
        f"[health]\ndrill_s = 5\nstalled_s = 600\n[metrics]\nalerts = {port}\n"
    )
    topics = ("readings.water", "readings.elevator", "readings.elderly", "urgent.elevator", "urgent.elderly")
    places = [{"topic": topic, "partition": str(n)} for topic in topics for n in range(2)]

    def back() -> list[float]:
        return [bed.figure("alerts", "zhiwei_drill_seconds_count", **place) for place in places]

    def reasons() -> list[str]:
        return [reason for reason in health(port)[1] if "no drill" in reason]

    bed.until(lambda: min(back()) >= 3, "drills came back from every partition")
    bed.until(lambda: health(port)[0] == 200, "alerts is good")
    stream = bed.child("stream").process
    assert stream is not None
    os.kill(stream.pid, signal.SIGSTOP)
    try:
        bed.until(lambda: bool(reasons()), "a drill that stays away is said")
    finally:
        os.kill(stream.pid, signal.SIGCONT)
    bed.until(lambda: health(port)[0] == 200, "alerts is good again")
    assert bed.receiver.events == {}
    assert kept(bed.settings)["incidents"] == []
    lines, balanced = audit(bed.settings)
    assert balanced, lines
    rows_appended = {line.split(": ")[1].split()[0] for line in lines if " rows appended" in line}
    assert rows_appended == {"0"}


def kept(settings: Settings) -> dict[str, list[object]]:
    """Cases, their events and how far the findings were read, as they are in the event store."""
    engine = open_database(settings, "events")
    try:
        with engine.connect() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table)).all()))
                for table in (EVENTS, INCIDENTS, APPLIED)
            }
    finally:
        engine.dispose()


def clockless(events: dict[str, Any]) -> dict[str, Any]:
    """Events but for the names of clocks, which tell of partitions and not of the world."""
    for event in events.values():
        event["data"]["incident"].pop("clock")
        if event["data"]["finding"]:
            event["data"]["finding"].pop("clock")
    return events


def test_a_bed_goes_on_with_another_number_of_partitions(make_bed: MakeBed, tmp_path: Path) -> None:
    count = 300
    first = make_bed(SOURCE)
    first.publish(rows(count))
    first.drain()
    first.retire("ingest")
    first.drain()
    first.stop()

    def moved(settings: Settings) -> None:
        shutil.copytree(first.settings.data, settings.data, ignore=shutil.ignore_patterns("run", "faust"))
        list(repartition(settings, 3, SystemClock(), pause=lambda _: None))

    second = make_bed(f"{SOURCE}\n[log]\npartitions = 3\n", begin=moved)
    # The second half, and the first again: state that has moved knows it.
    second.publish(rows(2 * count))
    second.drain()
    undisturbed = make_bed(SOURCE)
    undisturbed.publish(rows(2 * count))
    undisturbed.drain()
    assert second.revisions() == undisturbed.revisions()
    assert clockless(first.events() | second.events()) == clockless(undisturbed.events())
    assert not first.events().keys() & second.events().keys()
    assert audit(second.settings)[1]


def test_a_bed_goes_on_from_a_backup_that_was_taken_while_it_ran(make_bed: MakeBed, tmp_path: Path) -> None:
    clock, count = SystemClock(), 300
    undisturbed = make_bed(SOURCE)
    undisturbed.publish(rows(2 * count))
    undisturbed.drain()
    first = make_bed(SOURCE)
    first.publish(rows(count))
    first.drain()
    list(backup(first.settings, tmp_path / "set", clock))
    before = kept(first.settings)
    second = make_bed(SOURCE, begin=lambda settings: list(restore(settings, tmp_path / "set", clock)))
    restored = kept(Settings(data_dir=str(tmp_path / "set")))
    assert restored["events"] == before["events"]
    assert restored["incidents"] == before["incidents"]
    assert len(before["incidents"]) > 1
    # The second half, and the first again: what was restored knows it.
    second.publish(rows(2 * count))
    second.drain()
    assert first.events() | second.events() == undisturbed.events()
    assert not first.events().keys() & second.events().keys()
    assert audit(second.settings)[1]
    shutil.rmtree(tmp_path / "set")
