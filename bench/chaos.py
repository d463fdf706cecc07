"""``python -m bench.chaos``: faults by a seed over the distributed bed on real servers, and what they cost.

Each message has a key of its own (home and time), and each home tells one story: smoke, none, still none. So
the truth is the publisher's own list: of every home the receiver must hear of its smoke, and of its end.
A message is sent again only where the MQTT broker was killed, until it is seen on the log; the next message
of a home follows when the one before is on the log.
"""

import argparse
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zhiwei import frames, registry
from zhiwei.clock import MICROS, SystemClock, to_datetime
from zhiwei.contracts import TopicLog
from zhiwei.errors import Retryable
from zhiwei.lanes import Lane, log_topic
from zhiwei.mqtt import Publisher
from zhiwei.testing.servers.installed import missing
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL
from zhiwei.testing.servers.process import Server
from zhiwei.wiring.receiver import Fault
from zhiwei.wiring.trial import Trial, offspring

SESSION_S = 3.0
"""Of the workers in Kafka's group: short, so that a pause beyond it is short too."""
WORKER = "stream-b"
_WORKERS = ("stream", WORKER)
SCENARIO = "elderly"
TOPIC = log_topic(Lane.READINGS, SCENARIO)
STORY_S = (0.0, 1.0, 62.0)
"""When a home's messages are, by its own clock: the last one is later than the alarm's release (60 s)."""
_CONFIG = """
site = "local"
[streams]
scenarios = ["elderly"]
snapshot_s = {snapshot_s}
[log]
partitions = 4
[ingest]
unknown_devices = "provisional"
[kafka]
servers = "{kafka}"
prefix = "{name}."
session_s = {session_s}
[database]
url = "{database}"
[[sources]]
name = "homes"
topics = "zw/v1/elderly/#"
clock = "simulated"
"""
_STORY = (("smoke", "opened"), ("smoke", "cleared"), ("urgent.smoke", "opened"))
"""What the receiver hears of a home: rule and event. The urgent lane makes an incident of its own, which is
open as long as another call would belong to it."""
_START_US = 1_750_000_000 * MICROS
_HOMES_PER_S = 3.0
_PAUSE_S = 2.0
"""Between messages of a home: longer than Faust's commits are apart, so that kills meet stories half told."""
_LOOK_S = 0.05
_MOST_S = 1200.0

Key = tuple[str, int]
"""Home and time (µs): of one message."""


@dataclass(slots=True)
class Servers:
    """What the bed runs on."""

    kafka: Kafka
    mosquitto: Mosquitto
    postgres: PostgreSQL

    def all(self) -> tuple[Server, ...]:
        return self.kafka, self.mosquitto, self.postgres


@dataclass(slots=True)
class Report:
    """What was done and what it cost; the four counts are to be 0."""

    faults: Counter[str]
    messages: int
    homes: int
    unprocessed: int
    """On the log, acknowledged by ingest, without their finding."""
    lost: int
    """Events that the receiver never got."""
    doubled: int
    """Events told twice under different ids."""
    disordered: int
    """Events that came before an earlier one of their incident."""
    resent: int
    """Messages published again because the MQTT broker was killed."""
    gap: int
    """Of these, those whose first copy the broker had acknowledged and lost."""
    redelivered: int
    """Attempts beyond one an event: the same id again, which is allowed."""

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or out of order."""
        return not (self.unprocessed or self.lost or self.doubled or self.disordered)

    def lines(self) -> Iterator[str]:
        """A table for people."""
        for name, count in sorted(self.faults.items()):
            yield f"  {name:<36}{count:>6}"
        yield f"faults {self.faults.total()}, homes {self.homes}, messages {self.messages}"
        yield f"acknowledged by ingest and not processed  {self.unprocessed}"
        yield f"events lost at the receiver               {self.lost}"
        yield f"events told twice (two ids)               {self.doubled}"
        yield f"events out of order within an incident    {self.disordered}"
        yield f"published again after the broker's death  {self.resent} (gap: {self.gap} it had acknowledged)"
        yield f"delivered again under the same id         {self.redelivered} (allowed)"


class Homes(threading.Thread):
    """Publishes the stories, and follows the log to see what has arrived."""

    def __init__(self, port: int, log: TopicLog) -> None:
        super().__init__(daemon=True)
        self.ending = threading.Event()
        """No further homes; those that have begun are told to their end."""
        self.sent: dict[Key, int] = {}
        """Key → how often it was published and acknowledged by the broker."""
        self.seen: Counter[Key] = Counter()
        """Key → how often it is on the log."""
        self._latest_s: dict[str, float] = {}
        """Home → when its latest message was seen on the log."""
        self.homes = 0
        self.failure: Exception | None = None
        self._again = threading.Event()
        self._port, self._log = port, log
        self._schema = registry.scenario(SCENARIO).schema
        self._offsets: dict[int, int] = {}
        self._clock = SystemClock()

    def broker_died(self) -> None:
        """Publish again what is not on the log: the broker may have lost what it had acknowledged."""
        self._again.set()

    @property
    def told(self) -> bool:
        """Whether every story that has begun is on the log to its end."""
        return all(_key(home, len(STORY_S) - 1) in self.seen for home in range(self.homes))

    def run(self) -> None:
        try:
            with Publisher(host="127.0.0.1", port=self._port, client_id="homes") as publisher:
                began_s = self._clock.monotonic_s()
                while not (self.ending.is_set() and self.told):
                    self._look()
                    for key in self._due(self._clock.monotonic_s(), began_s):
                        self._publish(publisher, key)
                    time.sleep(_LOOK_S)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self.failure = error

    def _due(self, now_s: float, began_s: float) -> list[Key]:
        if self._again.is_set():
            self._again.clear()
            return [key for key in self.sent if key not in self.seen]
        if not self.ending.is_set():
            self.homes = max(self.homes, int((now_s - began_s) * _HOMES_PER_S) + 1)
        due = []
        for home in range(self.homes):
            step = next((n for n in range(len(STORY_S)) if _key(home, n) not in self.seen), None)
            if step is None or (key := _key(home, step)) in self.sent:
                continue
            if now_s >= self._latest_s.get(key[0], float("-inf")) + _PAUSE_S:
                due.append(key)
        return due

    def _publish(self, publisher: Publisher, key: Key) -> None:
        home, ts = key
        said = {"ts": to_datetime(ts), "smoke": ts == _key(int(home.removeprefix("home-")), 0)[1]}
        while True:
            try:
                publisher.publish(f"zw/v1/{SCENARIO}/{home}/kit", msgspec.json.encode(said), timeout_s=5)
                self.sent[key] = self.sent.get(key, 0) + 1
                return
            except Retryable:
                continue

    def _look(self) -> None:
        """Take in what is new on the log. A cluster that is away is asked again the next time."""
        try:
            for partition in range(self._log.partitions(TOPIC)):
                for record in self._log.read(TOPIC, partition, self._offsets.get(partition, 0)):
                    self._offsets[partition] = record.offset + 1
                    self._take(record.value)
        except Retryable:
            return

    def _take(self, value: bytes) -> None:
        try:
            rows = frames.decode(self._schema, value)
        except frames.BadFrame:  # a tick, a control record
            return
        names = rows.entities
        for place, ts in zip(rows.entity.tolist(), rows.ts.tolist(), strict=True):
            self.seen[names[place], ts] += 1
            self._latest_s[names[place]] = self._clock.monotonic_s()


def _key(home: int, step: int) -> Key:
    return f"home-{home:05}", _START_US + home * 1000 + round(STORY_S[step] * MICROS)


class Campaign:
    """One bed, its publisher, and faults one after the other, chosen by a seed."""

    def __init__(
        self,
        folder: Path,
        servers: Servers,
        *,
        name: str,
        seed: int,
        snapshot_s: float = 0.5,
        program: Sequence[str] = (),
    ) -> None:
        """folder: empty. name: of topics, database and session; no other campaign on these servers has it.

        program: what Python runs as workers of streams, where it is not ours.
        """
        self._servers, self._chance, self._clock = servers, random.Random(seed), SystemClock()
        config = _CONFIG.format(
            kafka=servers.kafka.bootstrap,
            database=servers.postgres.create_database(name),
            name=name,
            session_s=SESSION_S,
            snapshot_s=snapshot_s,
        )
        self.bed = Trial(folder, config, mqtt_port=servers.mosquitto.port, client_id=name, workers=(WORKER,))
        self.done: Counter[str] = Counter()
        for child in self.bed.supervisor.children:
            if program and child.name in _WORKERS:
                child.program = program

    def run(
        self,
        faults: int,
        say: Callable[[str], None] = lambda _: None,
        *,
        only: Callable[[str], bool] | None = None,
        found_between: int = 0,
    ) -> Report:
        """Publish, disturb so many times, wait until all has arrived, and count.

        only: faults by name. found_between: before each fault so many revisions of findings must be new.
        """
        with self.bed, self.bed.log("readings") as log:
            homes = Homes(self._servers.mosquitto.port, log)
            homes.start()
            for number in range(1, faults + 1):
                if found_between:
                    self._wait_for(len(self.bed.revisions()) + found_between)
                time.sleep(self._chance.uniform(0.3, 1.5))
                name, act = self._pick(homes)
                while only is not None and not only(name):
                    name, act = self._pick(homes)
                say(f"{number:>4} {name}")
                act()
                self.done[name] += 1
            self._restore()
            homes.ending.set()
            self._finish(homes, say)
            return self._count(homes)

    def _wait_for(self, revisions: int) -> None:
        self.bed.until(lambda: len(self.bed.revisions()) >= revisions, f"{revisions} revisions", _MOST_S)

    def _finish(self, homes: Homes, say: Callable[[str], None]) -> None:
        def told() -> bool:
            assert homes.failure is None, f"the publisher failed: {homes.failure!r}"
            return not homes.is_alive()

        say("all faults done; waiting until everything has arrived")
        self.bed.until(told, "every story is on the log", _MOST_S)
        self.bed.until(self.bed.drained, "everything is delivered", _MOST_S)

    # ------------------------------------------------------------------ faults

    def _pick(self, homes: Homes) -> tuple[str, Callable[[], None]]:
        roles = [child.name for child in self.bed.supervisor.children]
        role, worker = self._chance.choice(roles), self._chance.choice(_WORKERS)
        server = self._chance.choice(self._servers.all())
        pause_s = self._chance.uniform(0.5, SESSION_S - 1)
        fault = self._chance.choice([Fault.UNAVAILABLE, Fault.SILENT])
        choices: list[tuple[str, Callable[[], None]]] = [
            (f"kill -9 {role}", lambda: self._kill(role)),
            (f"kill -9 {role}", lambda: self._kill(role)),
            (f"pause {role}", lambda: self._pause(role, pause_s)),
            (f"pause {worker} beyond its session", lambda: self._pause(worker, 2 * SESSION_S)),
            (f"kill -9 {server.name}", lambda: self._restart(server, homes)),
            (f"pause {server.name}", lambda: self._pause_server(server, pause_s)),
            (f"webhook {fault.value}", lambda: self._fail_receiver(fault, pause_s)),
            ("add or remove a worker", self._resize),
        ]
        return self._chance.choice(choices)

    def _kill(self, role: str) -> None:
        """As soon as there is a process; a removed worker has none."""
        child = self.bed.child(role)
        self.bed.until(lambda: child.done or self.bed.kill(role), f"{role} runs")

    def _pause(self, role: str, pause_s: float) -> None:
        self._signal(role, signal.SIGSTOP)
        time.sleep(pause_s)
        self._signal(role, signal.SIGCONT)

    def _signal(self, role: str, number: signal.Signals) -> None:
        process = self.bed.child(role).process
        for pid in (process.pid, *offspring(process.pid)) if process and process.poll() is None else ():
            os.kill(pid, number)

    def _restart(self, server: Server, homes: Homes) -> None:
        server.restart()
        if isinstance(server, Mosquitto):
            homes.broker_died()

    def _pause_server(self, server: Server, pause_s: float) -> None:
        server.pause()
        time.sleep(pause_s)
        server.resume()

    def _fail_receiver(self, fault: Fault, pause_s: float) -> None:
        self.bed.receiver.fault = fault
        time.sleep(pause_s)
        self.bed.receiver.fault = Fault.NONE

    def _resize(self) -> None:
        """Take the second worker away, or bring it back."""
        child = self.bed.child(WORKER)
        if child.done:
            child.done = False
            return
        child.done = True
        process = child.process
        if process is not None and process.poll() is None:
            process.terminate()

    def _restore(self) -> None:
        self.bed.child(WORKER).done = False

    # ------------------------------------------------------------------ what it cost

    def _count(self, homes: Homes) -> Report:
        told: dict[tuple[str, str], list[str]] = defaultdict(list)
        sequences: dict[str, list[int]] = defaultdict(list)
        for event in self.bed.events().values():
            incident, finding = event["data"]["incident"], event["data"]["finding"]
            kind = event["type"].rpartition(".")[2]
            told[incident["entity"], finding["rule"]].append(kind)
            sequences[incident["id"]].append(incident["sequence"])
        wanted = [(_key(home, 0)[0], *claim) for home in range(homes.homes) for claim in _STORY]
        lost = sum(kind not in told[home, rule] for home, rule, kind in wanted)
        doubled = sum(len(kinds) - len(set(kinds)) for kinds in told.values())
        disordered = sum(a > b for order in sequences.values() for a, b in itertools.pairwise(order))
        phases = Counter(phase for _, _, phase in self.bed.revisions())
        missing_raised, missing_cleared = 2 * homes.homes - phases["raised"], homes.homes - phases["cleared"]
        twice = sum(1 for key, count in homes.sent.items() if count > 1 and homes.seen[key] < count)
        return Report(
            faults=self.done,
            messages=len(homes.sent),
            homes=homes.homes,
            unprocessed=max(0, missing_raised) + max(0, missing_cleared),
            lost=lost,
            doubled=doubled,
            disordered=disordered,
            resent=sum(count - 1 for count in homes.sent.values()),
            gap=twice,
            redelivered=self.bed.receiver.attempts - len(self.bed.receiver.events),
        )


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Real servers of the campaign's own."""
    with ExitStack() as opened:
        enter = opened.enter_context
        yield Servers(
            enter(Kafka(folder / "kafka")),
            enter(Mosquitto(folder / "mosquitto")),
            enter(PostgreSQL(folder / "postgres")),
        )


def main() -> int:
    """Run a campaign and print what it showed; 1 where anything was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=200)
    options = parser.parse_args()
    if missing():
        print(f"not installed: {', '.join(missing())}; make servers installs them", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="zhiwei-chaos-") as place, servers(Path(place)) as running:
        folder = Path(place) / "bed"
        folder.mkdir()
        campaign = Campaign(folder, running, name=f"chaos{options.seed}", seed=options.seed)
        report = campaign.run(options.faults, lambda line: print(line, flush=True))
    print(f"seed {options.seed}")
    print(*report.lines(), sep="\n")
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
