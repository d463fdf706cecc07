"""Who publishes: homes that each tell one story, smoke, none, still none; and the log as they see it.

Each message has a key of its own (home and time), so the truth is the publisher's own list. A message is sent
again only where the MQTT broker was killed, until it is seen on the log; the next message of a home follows
when the one before is on the log.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from zhiwei import frames, registry
from zhiwei.clock import MICROS, SystemClock, to_datetime
from zhiwei.contracts import LogRecord, TopicLog
from zhiwei.errors import Retryable
from zhiwei.lanes import Lane, log_topic
from zhiwei.mqtt import Publisher

SCENARIO = "elderly"
TOPIC = log_topic(Lane.READINGS, SCENARIO)
CHANNEL = "smoke"
START_US = 1_750_000_000 * MICROS
STORY_S = (0.0, 1.0, 62.0)
"""When a home's messages are, by its own clock: the last one is later than the alarm's release (60 s)."""
_HOMES_PER_S = 3.0
_PAUSE_S = 2.0
"""Between messages of a home: longer than Faust's commits are apart, so that kills meet stories half told."""
_LOOK_S = 0.05

Key = tuple[str, int]
"""Home and time (µs): of one message."""
Place = tuple[int, int]
"""Partition of TOPIC, and offset."""


def home(number: int) -> str:
    """Its name."""
    return f"home-{number:05}"


def key(number: int, step: int) -> Key:
    """Of one message of a home's story."""
    return home(number), START_US + number * 1000 + round(STORY_S[step] * MICROS)


class Homes(threading.Thread):
    """Publishes the stories, and follows the log to see what has arrived."""

    def __init__(self, port: int, log: TopicLog) -> None:
        super().__init__(daemon=True)
        self.ending = threading.Event()
        """No further homes; those that have begun are told to their end."""
        self.sent: dict[Key, int] = {}
        """Key → how often it was published and acknowledged by the broker."""
        self.seen: defaultdict[Key, list[Place]] = defaultdict(list)
        """Key → where it is on the log; more than once where it was sent or read again."""
        self._latest_s: dict[str, float] = {}
        """Home → when its latest message was seen on the log."""
        self.count = 0
        """Homes that have begun."""
        self.failure: Exception | None = None
        self._again = threading.Event()
        self._port, self._log = port, log
        self._schema = registry.scenario(SCENARIO).schema
        self._offsets: dict[int, int] = {}
        self._clock = SystemClock()

    def broker_died(self) -> None:
        """Publish again what is not on the log: the broker may have lost what it had acknowledged."""
        self._again.set()

    def unseen(self) -> list[Key]:
        """What is to come until every story that has begun is on the log to its end."""
        return [
            one
            for number in range(self.count)
            for step in range(len(STORY_S))
            if (one := key(number, step)) not in self.seen
        ]

    def run(self) -> None:
        try:
            with Publisher(host="127.0.0.1", port=self._port, client_id="homes") as publisher:
                began_s = self._clock.monotonic_s()
                while not (self.ending.is_set() and not self.unseen()):
                    self._look()
                    for one in self._due(self._clock.monotonic_s(), began_s):
                        self._publish(publisher, one)
                    time.sleep(_LOOK_S)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self.failure = error

    def _due(self, now_s: float, began_s: float) -> Sequence[Key]:
        if self._again.is_set():
            self._again.clear()
            return [one for one in self.sent if one not in self.seen]
        if not self.ending.is_set():
            self.count = max(self.count, int((now_s - began_s) * _HOMES_PER_S) + 1)
        due = []
        for number in range(self.count):
            step = next((n for n in range(len(STORY_S)) if key(number, n) not in self.seen), None)
            if step is None or (one := key(number, step)) in self.sent:
                continue
            if now_s >= self._latest_s.get(one[0], float("-inf")) + _PAUSE_S:
                due.append(one)
        return due

    def _publish(self, publisher: Publisher, one: Key) -> None:
        name, ts = one
        said = {"ts": to_datetime(ts), CHANNEL: ts == key(int(name.removeprefix("home-")), 0)[1]}
        while True:
            try:
                publisher.publish(f"zw/v1/{SCENARIO}/{name}/kit", msgspec.json.encode(said), timeout_s=5)
                self.sent[one] = self.sent.get(one, 0) + 1
                return
            except Retryable:
                continue

    def _look(self) -> None:
        """Take in what is new on the log. A cluster that is away is asked again the next time."""
        try:
            for partition in range(self._log.partitions(TOPIC)):
                for record in self._log.read(TOPIC, partition, self._offsets.get(partition, 0)):
                    self._offsets[partition] = record.offset + 1
                    self._take(partition, record)
        except Retryable:
            return

    def _take(self, partition: int, record: LogRecord) -> None:
        try:
            rows = frames.decode(self._schema, record.value)
        except frames.BadFrame:  # a tick, a control record
            return
        for number, ts in zip(rows.entity.tolist(), rows.ts.tolist(), strict=True):
            name = rows.entities[number]
            self.seen[name, ts].append((partition, record.offset))
            self._latest_s[name] = self._clock.monotonic_s()
