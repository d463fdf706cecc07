"""A whole bed on trial: real processes, a receiver, ways to look in. For tests and benchmarks."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from alerts.store.tables import APPLIED, OUTBOX
from ingest.quarantine import TOPIC as QUARANTINE
from streams.engine.store import StateStore
from streams.telemetry.lane import LANES
from streams.telemetry.positions import Positions
from zhiwei import metrics, settings
from zhiwei.beds import open_log
from zhiwei.clock import SystemClock
from zhiwei.commitlog import file_of
from zhiwei.contracts import LogRecord, TopicLog
from zhiwei.errors import Retryable
from zhiwei.generations import all_of
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT, Lane
from zhiwei.mqtt import Publisher
from zhiwei.settings import Settings
from zhiwei.sql import open_database
from zhiwei.testing.servers.process import free_port, offspring
from zhiwei.types import Finding, FindingRecord, Rejection
from zhiwei.wiring.receiver import Receiver
from zhiwei.wiring.supervisor import Child, Supervisor
from zhiwei.wiring.up import children

SECRET = "whsec_c2VjcmV0LW9mLXRoZS10cmlhbA=="
_LOOK_S = 0.02
_MARK_AGAIN_S = 5.0

Place = tuple[str, int]
"""Topic and partition."""
Revision = tuple[str, int, str]
"""Id, revision and phase of a finding."""


class Trial:
    """Broker, ingest, streams and alerts under a supervisor, on a free port, and a receiver of webhooks.

    A context manager: entered when intake is proven live.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        mqtt_port: int | None = None,
        client_id: str = "zhiwei-ingest",
        workers: Sequence[str] = (),
        own_console: bool = False,
    ) -> None:
        """folder: empty, for data and logs. config: settings in TOML, without [mqtt] and without sinks.

        mqtt_port: of a broker that runs already; None: the embedded one is started. client_id: of ingest,
        whose session a broker keeps. workers: names of further workers of streams, on a log that several may
        share. own_console: the console is a process of its own.
        """
        self._clock = clock = SystemClock()
        self.receiver = Receiver(port=free_port(), secret=SECRET, now_us=clock.now_us)
        file = folder / "settings.toml"
        file.write_text(
            f"{config}\n[mqtt]\nembedded = {'true' if mqtt_port is None else 'false'}\n"
            f'port = {mqtt_port or free_port()}\nclient_id = "{client_id}"\n'
            f"[console]\nport = {free_port()}\nin_alerts = {'false' if own_console else 'true'}\n"
            '[[sinks]]\nkind = "webhook"\nname = "receiver"\n'
            f'url = "http://127.0.0.1:{self.receiver.port}/"\nsecret = "{SECRET}"\n',
            encoding="utf-8",
        )
        self.settings: Settings = settings.load(file, environment={}, data_dir=str(folder / "data"))
        self.supervisor = Supervisor(children(self.settings, file, workers), clock)
        self._logs: dict[str, TopicLog] = {}
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._failure: BaseException | None = None

    def _supervise(self) -> None:
        try:
            self.supervisor.run()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, whatever it is
            self._failure = error

    def __enter__(self) -> Self:
        self.receiver.__enter__()
        self._thread.start()
        self.until(lambda: self.figure("ingest", "zhiwei_ingest_live") == 1, "intake is proven live")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.receiver.__exit__()
        for log in self._logs.values():
            log.close()
        for name in ("_state_database", "_events"):
            if name in self.__dict__:
                getattr(self, name).dispose()

    def stop(self) -> None:
        """Stop all roles, in order; what was received stays."""
        self.supervisor.stop.set()
        self._thread.join(90)

    def retire(self, role: str) -> None:
        """kill -9 of a role that is not to be started again."""
        self.child(role).done = True
        self.kill(role)

    def child(self, role: str) -> Child:
        """The process of a role."""
        return next(one for one in self.supervisor.children if one.name == role)

    def kill(self, role: str) -> bool:
        """kill -9 of a role and of what it started; whether there was a process to kill."""
        process = self.child(role).process
        if process is None or process.poll() is not None:
            return False
        for pid in (*offspring(process.pid), process.pid):
            with suppress(ProcessLookupError):  # it ends by itself meanwhile
                os.kill(pid, signal.SIGKILL)
        return True

    def figure(self, role: str, name: str, **labels: str) -> float:
        """Sum of a metric of a role (``ingest``, ``streams``, ``alerts``); at most a second old."""
        return metrics.total(metrics.read(self.settings.data / "run" / f"{role}.prom"), name, **labels)

    def log(self, name: str) -> TopicLog:
        """A reader of a log; the caller closes it."""
        return open_log(self.settings, name)

    def until(
        self,
        so: Callable[[], bool],
        what: str | Callable[[], str],
        most_s: float = 120.0,
        *,
        look_s: float = _LOOK_S,
    ) -> None:
        """Wait for something to be so; while a server does not answer it is not. look_s: between two looks.

        Raises AssertionError, saying what and with the logs, if it does not come to be so.
        """
        deadline = self._clock.monotonic_s() + most_s
        while not _is(so):
            if self._failure is not None:
                raise AssertionError(f"waiting until {_text(what)}: {self._failure}")
            if self._clock.monotonic_s() > deadline:
                logs = sorted((self.settings.data / "run").glob("*.log"))
                said = "\n".join(f"--- {one.name}\n{one.read_text(errors='replace')[-2000:]}" for one in logs)
                raise AssertionError(f"not within {most_s:g} s: {_text(what)}\n{said}")
            time.sleep(look_s)

    def revisions(self) -> set[Revision]:
        """Of everything on the findings log."""
        return {(finding.id, finding.rev, str(finding.phase)) for finding in self.findings()}

    def findings(self) -> list[Finding]:
        """Everything on the findings log; what was sent again is there again."""
        found = []
        with self.log("findings") as log:
            for topic in (*all_of(log, FINDINGS), *all_of(log, FINDINGS_URGENT)):
                for partition in range(log.partitions(topic)):
                    for record in _all(log, topic, partition):
                        finding = msgspec.json.decode(record.value, type=FindingRecord)
                        if isinstance(finding, Finding):
                            found.append(finding)
        return found

    def events(self) -> dict[str, Any]:
        """id → event, without the log coordinates, which tell of cuts and not of the world.

        Raises AssertionError for one whose signature or id is not right.
        """
        found = {}
        for key, received in list(self.receiver.events.items()):
            assert received.signed, f"event {key} is not signed"
            event = msgspec.json.decode(received.body)
            assert event["id"] == key, f"event {event['id']} came under the key {key}"
            if event["data"]["finding"]:
                del event["data"]["finding"]["coordinates"]
            found[key] = event
        return found

    def taken_in(self, topic: str, most_s: float = 180.0) -> None:
        """Wait until intake has had all that was published before: a mark behind it is in the quarantine.

        topic: of a source. The mark is sent again, as a broker that died may have lost it. Raises
        AssertionError when it does not come.
        """
        mark = f"mark {self._clock.now_us()}".encode()
        deadline_s = self._clock.monotonic_s() + most_s
        with (
            Publisher(host=self.settings.mqtt.host, port=self.settings.mqtt.port, client_id="mark") as out,
            self.log("readings") as log,
        ):
            while True:
                with suppress(Retryable):
                    out.publish(topic, mark, timeout_s=_MARK_AGAIN_S)
                again_s = self._clock.monotonic_s() + _MARK_AGAIN_S
                while self._clock.monotonic_s() < again_s:
                    if _refused(log, mark):
                        return
                    time.sleep(_LOOK_S)
                assert self._clock.monotonic_s() < deadline_s, (
                    f"not within {most_s:g} s: intake has had it all"
                )

    def drain(self, most_s: float = 120.0) -> None:
        """Wait until everything that is on the logs now is stepped, saved, folded, delivered and written.

        most_s: for each of the two halves, up to the findings and behind them. What comes meanwhile (ticks
        do) is not waited for. Raises AssertionError, naming who has not done what and where.
        """
        readings = self._ends_soon("readings", most_s)
        self._until_none(lambda: self._unread(readings), most_s)
        # Only now: findings are on their log before a snapshot tells of their readings.
        findings = self._ends_soon("findings", most_s)
        self._until_none(lambda: self._undelivered(findings), most_s)

    def _ends_soon(self, name: str, most_s: float) -> dict[Place, int]:
        """See ``_ends``; a server that is away is waited for."""
        ends: dict[Place, int] = {}
        self.until(lambda: ends.update(self._ends(name)) is None, f"the log of {name} answers", most_s)
        return ends

    def _until_none(self, waiting: Callable[[], Iterator[str]], most_s: float) -> None:
        def named() -> str:
            try:
                return f"nothing waits; waiting: {'; '.join(waiting())}"
            except (Retryable, OperationalError) as error:
                return f"nothing waits; not known what does: {error}"

        self.until(lambda: next(waiting(), None) is None, named, most_s)

    def _unread(self, readings: Mapping[Place, int]) -> Iterator[str]:
        yield from _behind("streams", self._saved(readings), readings)
        if self.settings.influx.url:
            recorded = {place: end for place, end in readings.items() if place[0].split(".")[0] in LANES}
            yield from _behind("telemetry", self._written(recorded), recorded)

    def _undelivered(self, findings: Mapping[Place, int]) -> Iterator[str]:
        yield from _behind("alerts", self._folded(), findings)
        with self._events.connect() as connection:
            unsettled = select(OUTBOX.c.id).where(OUTBOX.c.settled_us.is_(None))
            yield from (f"event {id_} is not delivered" for (id_,) in connection.execute(unsettled))

    def _ends(self, name: str) -> dict[Place, int]:
        """The end of each partition of a log that has a consumer."""
        log = self._logs.setdefault(name, self.log(name))
        return {one: log.end(*one) for one in _consumed(log, name)}

    def _written(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset behind what InfluxDB surely has, by partition."""
        found: dict[Place, int] = {}
        for topic, partition in places:
            for place, progress in self._positions.of(topic).items():
                if place.partition == partition:
                    found[topic, partition] = progress.stands[partition].following
        return found

    @cached_property
    def _positions(self) -> Positions:
        return Positions(self._state_database)

    def _saved(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset behind the last snapshot of each partition."""
        return {place: self._state.look(*place)[0] + 1 for place in places}

    @cached_property
    def _state(self) -> StateStore:
        return StateStore(self._state_database)

    @cached_property
    def _state_database(self) -> Engine:
        return open_database(self.settings, "state")

    @cached_property
    def _events(self) -> Engine:
        return open_database(self.settings, "events")

    def _folded(self) -> dict[Place, int]:
        """The offset behind the last finding that is in the event store, by partition."""
        with self._events.connect() as connection:
            rows = connection.execute(select(APPLIED.c.topic, APPLIED.c.partition, APPLIED.c.next_offset))
            return {(topic, partition): following for topic, partition, following in rows}


def _is(so: Callable[[], bool]) -> bool:
    """While a server does not answer it is not."""
    try:
        return so()
    except (Retryable, OperationalError):
        return False


def _text(what: str | Callable[[], str]) -> str:
    return what if isinstance(what, str) else what()


def _behind(who: str, reached: Mapping[Place, int], ends: Mapping[Place, int]) -> Iterator[str]:
    for (topic, partition), end in ends.items():
        if (at := reached.get((topic, partition), 0)) < end:
            yield f"{who}: {topic}/{partition} is done to {at} of {end}"


def _all(log: TopicLog, topic: str, partition: int) -> Iterator[LogRecord]:
    offset, end = log.earliest(topic, partition), log.end(topic, partition)
    while offset < end:
        for record in log.read(topic, partition, offset):
            yield record
            offset = record.offset + 1


def _refused(log: TopicLog, payload: bytes) -> bool:
    """Whether the quarantine has this payload; not known while the log is away."""
    try:
        if not log.partitions(QUARANTINE):
            return False
        return any(
            msgspec.json.decode(record.value, type=Rejection).payload == payload
            for record in _all(log, QUARANTINE, 0)
        )
    except Retryable:
        return False


def _consumed(log: TopicLog, name: str) -> list[Place]:
    """Partitions of this log that have a consumer."""
    return [
        (topic, partition)
        for topic, partitions in log.topics().items()
        for partition in range(partitions)
        if topic.split(".")[0] in {*Lane, FINDINGS} and file_of(topic) == name
    ]
