"""The kill campaign in short; and that it can fail."""

from pathlib import Path

import pytest

from bench.chaos.campaign import Campaign
from bench.chaos.faults import SHORT, WORKERS, Act, Fault
from bench.chaos.report import Report
from bench.chaos.servers import Servers
from zhiwei.testing.servers.influxdb import InfluxDB
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL

HASTY = Path(__file__).with_name("hasty.py")


@pytest.fixture
def servers(kafka: Kafka, mosquitto: Mosquitto, postgres: PostgreSQL, influxdb: InfluxDB) -> Servers:
    return Servers(kafka, mosquitto, postgres, influxdb)


def test_whatever_is_killed_nothing_is_lost_told_twice_or_out_of_order(
    tmp_path: Path, servers: Servers, fresh: str
) -> None:
    report = Campaign(tmp_path, servers, name=fresh, seed=5).run(len(SHORT), faults=SHORT)
    assert report.holds, "\n".join(report.lines())
    assert report.faults == {str(fault): 1 for fault in SHORT}
    assert report.homes > 10


def hasty(tmp_path: Path, servers: Servers, name: str, guard: str) -> Report:
    """A campaign of kills over workers whose source jumps ahead when they start again."""
    program = (str(HASTY), guard)
    campaign = Campaign(tmp_path, servers, name=name, seed=1, snapshot_s=5, program=program)
    kills = [Fault(Act.KILL, worker) for worker in WORKERS]
    return campaign.run(3, faults=kills, found_between=25)


@pytest.mark.soak
def test_a_source_that_jumps_ahead_is_sent_back(tmp_path: Path, servers: Servers, fresh: str) -> None:
    report = hasty(tmp_path, servers, fresh, "guarded")
    assert report.holds, "\n".join(report.lines())


def test_without_the_guard_of_continuity_the_campaign_shows_the_loss(
    tmp_path: Path, servers: Servers, fresh: str
) -> None:
    report = hasty(tmp_path, servers, fresh, "unguarded")
    shown = "\n".join(report.lines())
    assert report.unprocessed, shown
    assert report.lost, shown
