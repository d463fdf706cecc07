"""Frames become points of a real InfluxDB, whatever happens to it or to whoever writes."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from streams.telemetry.forwarder import Forwarder
from streams.telemetry.influx import Influx
from streams.telemetry.positions import Positions
from zhiwei import frames, metrics
from zhiwei import settings as settings_of
from zhiwei.beds import open_log
from zhiwei.clock import MICROS, SystemClock
from zhiwei.contracts import Entry
from zhiwei.errors import Retryable
from zhiwei.history import Gap
from zhiwei.registry import scenario
from zhiwei.settings import Settings
from zhiwei.sql import open_database
from zhiwei.testing.servers.influxdb import ORG, TOKEN, InfluxDB
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.process import HOST, free_port
from zhiwei.wiring.sources import history_of

SCHEMA = scenario("water").schema
TOPIC = "readings.water"
START = 1_750_000_000 * MICROS
CLOCK = SystemClock()
DEADLINE_S = 120.0


def until(so: Callable[[], object]) -> None:
    deadline_s = CLOCK.monotonic_s() + DEADLINE_S
    while not so():
        assert CLOCK.monotonic_s() < deadline_s
        time.sleep(0.05)


def frame(second: int, **values: float) -> bytes:
    channels = {
        name: frames.arrow_column(channel, [value])
        for name, value in values.items()
        if (channel := SCHEMA.channel(name))
    }
    at = [START + second * MICROS]
    return frames.encode(
        SCHEMA, entity=["a"], device=["d"], ts=at, arrived=at, flags=[0], channels=channels, clock="live"
    )


class Bed:
    """A log in a folder, its writer, and as many forwarders as die."""

    def __init__(self, folder: Path, url: str, bucket: str, **more: object) -> None:
        self.file = folder / "settings.toml"
        self.file.write_text(
            f'[influx]\nurl = "{url}"\ntoken = "{TOKEN}"\norg = "{ORG}"\nbucket = "{bucket}"\ntimeout_s = 2\n'
        )
        self.settings: Settings = settings_of.load(
            self.file, environment={}, data_dir=str(folder / "data"), **more
        )
        self.log = open_log(self.settings, "readings", writer=True)
        self.log.create_topic(TOPIC, 1)
        self.history = history_of(self.settings)
        self.begin()

    def begin(self) -> None:
        """Another forwarder, which knows what is durable."""
        self.forwarder = Forwarder(
            open_log(self.settings, "readings"),
            Positions(open_database(self.settings, "state")),
            Influx(self.settings.influx),
            CLOCK,
            [SCHEMA],
        )

    def append(self, *values: bytes) -> None:
        self.log.append([Entry(TOPIC, 0, value) for value in values])

    def forward(self) -> None:
        while self.forwarder.step():
            pass
        self.forwarder.send()

    def values(self, channel: str = "turbidity") -> list[float]:
        """What the console would draw."""
        found = self.history.history("water", "a", channel, start_us=START, end_us=START + 86_400 * MICROS)
        self.gaps = found.gaps
        return found.values.value.tolist()

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[bytes]]:
        """``zhiwei telemetry``; killed at the end if it still runs."""
        data = str(self.settings.data)
        options = ["--supervised", "--config", str(self.file), "--data-dir", data]
        command = [sys.executable, "-m", "zhiwei.cli", "telemetry", *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as role:
            try:
                yield role
            finally:
                role.kill()


@pytest.fixture
def bed(tmp_path: Path, influxdb: InfluxDB, bucket: str) -> Iterator[Bed]:
    made = Bed(tmp_path, influxdb.url, bucket)
    yield made
    made.log.close()


def test_frames_appear_as_points_and_what_is_no_frame_is_passed_over(bed: Bed) -> None:
    bed.append(frame(1, turbidity=0.1), b"no frame", frame(2, turbidity=0.2, ph=7.0))
    bed.forward()
    assert bed.values() == pytest.approx([0.1, 0.2])
    assert bed.values("ph") == [7.0]
    assert bed.gaps == (Gap(START + MICROS, START + 2 * MICROS, "unreadable", 1),)


def test_what_a_dead_influxdb_missed_is_written_later_and_once(bed: Bed, influxdb: InfluxDB) -> None:
    bed.append(frame(1, turbidity=1))
    bed.forward()
    influxdb.kill()
    try:
        bed.append(frame(2, turbidity=2))
        for _ in range(3):
            with pytest.raises(Retryable, match="InfluxDB at http"):
                bed.forward()
        bed.append(frame(3, turbidity=3))  # nobody waits
        with pytest.raises(Retryable):
            bed.values()
    finally:
        influxdb.start()
    bed.forward()
    assert bed.values() == [1, 2, 3]
    assert bed.gaps == ()


def test_a_slow_influxdb_is_written_to_again_and_has_each_point_once(bed: Bed, influxdb: InfluxDB) -> None:
    influxdb.pause()
    bed.append(frame(1, turbidity=1), frame(2, turbidity=2))
    try:
        with pytest.raises(Retryable, match=r"[Tt]imed out"):
            bed.forward()
    finally:
        influxdb.resume()
    bed.forward()
    assert bed.values() == [1, 2]


def test_a_writer_that_dies_at_any_record_leaves_nothing_out_and_nothing_twice(bed: Bed) -> None:
    for number in range(6):
        bed.append(frame(number, turbidity=number))
        bed.forwarder.step()
        if number % 2:
            bed.forwarder.send()
        if number % 3 == 1:  # written, and dead before the position is
            bed.forwarder._write()
        bed.begin()
    bed.forward()
    assert bed.values() == [0, 1, 2, 3, 4, 5]


def test_conflicting_rows_are_both_there(bed: Bed) -> None:
    bed.append(frame(1, turbidity=1), frame(1, turbidity=2), frame(1, turbidity=1))
    bed.forward()
    assert sorted(bed.values()) == [1, 2]


def test_a_field_of_another_type_is_left_out_and_its_row_is_not(bed: Bed, bucket: str, caplog) -> None:
    bed.forwarder.influx.write(f'water,device=x,entity=x turbidity="clear" {START * 1000}'.encode())
    dropped = metrics.REGISTRY.get_sample_value
    before = dropped("zhiwei_influx_refused_total", {"reason": "type_conflict"}) or 0
    with caplog.at_level(logging.WARNING, "zhiwei"):
        for second in (1, 2):
            bed.append(frame(second, turbidity=1, ph=7), frame(second + 10, ph=8))
            bed.forward()
    assert sorted(bed.values("ph")) == [7, 7, 8, 8]
    assert bed.values() == []
    assert dropped("zhiwei_influx_refused_total", {"reason": "type_conflict"}) == before + 2
    assert len([one for one in caplog.records if "refuses" in one.message]) == 1


def test_a_poisoned_point_is_found_and_the_rest_goes_on(bed: Bed, monkeypatch) -> None:
    real, asked = bed.forwarder.influx.write, []

    def write(body: bytes) -> None:
        asked.append(body)
        # What this server would never refuse by itself: that of another version may.
        real(body.replace(b"turbidity=5", b"turbidity=") if b"=5" in body and body.count(b"\n") < 9 else
             b"nothing" if b"=5" in body else body)  # fmt: skip

    monkeypatch.setattr(bed.forwarder.influx, "write", write)
    bed.append(*(frame(second, turbidity=second) for second in range(10)))
    bed.forward()
    assert bed.values() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert len(asked) < 12


def test_a_wrong_bucket_drops_nothing(tmp_path: Path, influxdb: InfluxDB, fresh: str) -> None:
    bed = Bed(tmp_path, influxdb.url, f"{fresh}/autogen")
    bed.append(frame(1, turbidity=1))
    with pytest.raises(Retryable, match="404: database not found"):
        bed.forward()
    influxdb.create_bucket(fresh)
    bed.forward()
    assert bed.values() == [1]
    bed.log.close()


def test_far_behind_is_a_named_gap_until_it_is_written(bed: Bed) -> None:
    bed.append(frame(0, turbidity=0))
    bed.forward()
    bed.append(*(frame(second, turbidity=second) for second in range(1, 300)))
    assert bed.values() == [0]
    assert bed.gaps == (Gap(START, None, "unrecorded", 299),)
    bed.forward()
    assert len(bed.values()) == 300
    assert bed.gaps == ()


# ------------------------------------------------------------------ as a process


@pytest.mark.soak
def test_the_role_waits_for_an_influxdb_that_is_not_there_and_outlives_its_own_kill(
    tmp_path: Path, kafka: Kafka, fresh: str
) -> None:
    with_kafka = {"kafka": {"servers": kafka.bootstrap, "prefix": f"{fresh}."}, "log": {"partitions": 1}}
    server = InfluxDB(tmp_path / "influxdb")
    bed = Bed(tmp_path, server.url, f"{fresh}/autogen", **with_kafka)
    with bed.file.open("a") as file:
        file.write(f'[kafka]\nservers = "{kafka.bootstrap}"\nprefix = "{fresh}."\n[log]\npartitions = 1\n')
    bed.append(frame(1, turbidity=1))
    figures = bed.settings.data / "run" / "telemetry.prom"

    def figure(name: str) -> float:
        return metrics.total(metrics.read(figures), name)

    with bed.process():
        until(lambda: figure("zhiwei_influx_errors_total") >= 1)
        server.start()
        server.create_bucket(fresh)
        until(lambda: bed.values() == [1])
    bed.append(frame(2, turbidity=2))
    server.kill()
    with server, bed.process() as role:
        until(lambda: bed.values() == [1, 2])
        server.restart()
        bed.append(frame(3, turbidity=3))
        until(lambda: bed.values() == [1, 2, 3])
        role.terminate()
        assert role.wait(DEADLINE_S) == 0
    bed.log.close()


@pytest.mark.soak
def test_health_follows_what_is_written_and_waiting_for_a_dead_influxdb_is_no_hang(
    tmp_path: Path, fresh: str
) -> None:
    port = free_port()
    with InfluxDB(tmp_path / "own") as server:
        bed = Bed(tmp_path, server.url, server.create_bucket(fresh))
        limits = "[health]\nunwritten_s = 12\n[watchdog]\nstall_s = 3\n"
        bed.file.write_text(f"{bed.file.read_text()}[metrics]\ntelemetry = {port}\n{limits}")

        def health() -> tuple[int, str]:
            connection = HTTPConnection(HOST, port, timeout=10)
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except OSError:
                return 0, ""
            finally:
                connection.close()

        with bed.process() as role:
            bed.append(frame(1, turbidity=1))
            until(lambda: health()[0] == 200)
            server.kill()
            bed.append(frame(2, turbidity=2))
            until(lambda: "was not written to InfluxDB" in health()[1])
            assert health()[0] == 503
            server.start()
            until(lambda: health()[0] == 200)
            assert role.poll() is None
        assert bed.values() == [1, 2]
        bed.log.close()


def test_proxies_of_the_environment_are_not_asked(bed: Bed, monkeypatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{HOST}:{free_port()}")
    bed.begin()
    bed.append(frame(1, turbidity=1))
    bed.forward()
    assert bed.values() == [1]
