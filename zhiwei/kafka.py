"""The durable log on Apache Kafka: the only importer of confluent-kafka.

A ``LogReader`` and ``LogWriter`` (zhiwei/contracts.py) like the embedded log, so that nothing else knows
which of the two it has. Topics are made here, before anybody consumes; offsets that are applied are not
Kafka's business but are kept with the state they belong to.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.cimpl import NewTopic

from zhiwei.contracts import Entry, LogRecord
from zhiwei.errors import ConfigError, Retryable, ZhiweiError
from zhiwei.generations import named, split
from zhiwei.logs import logger, say
from zhiwei.settings import Kafka

_log = logger.getChild("kafka")

_ASK_S = 10.0
"""How long an answer of the cluster is waited for."""
_LOOK_S = 0.05
"""How often a topic that was made is looked for."""
_DELIVER_S = 15.0
"""How long an append may take before it counts as failed; it may have happened all the same."""
_FIRST_S = 2.0
"""How long a read waits for records that are known to be there."""
_ANEW = "--"
"""Between a topic and its generation: Kafka takes no ``@``."""
_ALERT = 1
"""Of syslog's levels: its client says by itself only what is worse."""
_MOST_BYTES = 1_000_000
"""Of one record: frames are cut well below (frames.MOST_BYTES)."""
_PREFETCH = {"queued.min.messages": 200, "queued.max.messages.kbytes": 8192}
"""Of each partition that is read; the defaults would hold 64 MB of each."""
_FETCH_MS = 100
"""How long a broker keeps a fetch that finds nothing."""
_GATHER_BYTES = 256 * 1024
"""What a reader in no hurry waits for, at most so long as it said."""

T = TypeVar("T")


@dataclass(slots=True)
class _Fetch:
    """A partition that is being read."""

    following: int
    """Offset of the first record that was not handed out."""
    records: deque[LogRecord] = field(default_factory=deque)
    """Fetched and not handed out; the first one is at ``following`` or, over a gap, above it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A cluster as it is."""

    brokers: int
    topics: dict[str, tuple[int, ...]]
    """Topic, without our prefix → copies of each of its partitions."""


class KafkaLog:
    """Topics of one cluster under a common prefix. Calls block: use a thread where a loop runs.

    Appending, reading and asking may go on side by side; each of them is for one thread at a time.
    Errors of all calls: Retryable (the cluster does not answer, or not in time), ZhiweiError.
    """

    def __init__(
        self,
        settings: Kafka,
        *,
        keep_hours: float = 168.0,
        keep_topics: Mapping[str, float] | None = None,
        gather_s: float = 0.0,
    ) -> None:
        """settings: where the cluster is. keep_hours: retention of topics that are made here.

        keep_topics: topic → its own; told to a topic that is there already as well. gather_s: a reader
        in no hurry lets the brokers gather records so long; each answer costs them as much as many records.
        """
        self._settings, self._keep_hours, self._keep_topics = settings, keep_hours, keep_topics or {}
        self._gather_ms = round(gather_s * 1000)
        self._write_lock, self._read_lock, self._admin_lock = (threading.Lock() for _ in range(3))
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None
        self._admin: AdminClient | None = None
        self._ends: Consumer | None = None
        self._fetches: dict[tuple[str, int], _Fetch] = {}
        self._names: dict[str, str] = {}
        """Topic → its name in the cluster, of topics that are there."""
        self._ids: dict[str, str] = {}
        self._known: dict[str, int] = {}
        """Topic → partitions, of those that were appended to."""
        self._said_down = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections; a later call opens them again."""
        with self._write_lock, self._read_lock, self._admin_lock:
            for consumer in (self._consumer, self._ends):
                if consumer is not None:
                    consumer.close()
            self._producer = self._consumer = self._admin = self._ends = None
            self._fetches.clear()

    def physical(self, topic: str) -> str:
        """The topic's name in the cluster: of its newest generation, where it was begun anew."""
        if topic not in self._names:
            bare, number = split(topic)
            if number is not None:
                return self._name_of(bare, number)
            if not (there := self.generations(topic)):
                return self._name_of(topic, 0)
            self._names[topic] = self._name_of(topic, there[-1])
        return self._names[topic]

    def _name_of(self, topic: str, generation: int) -> str:
        name = self._settings.prefix + topic
        return f"{name}{_ANEW}{generation}" if generation else name

    def generations(self, topic: str) -> tuple[int, ...]:
        """See ``contracts.LogReader``. On Kafka retired ones may be deleted; the numbers go on."""
        prefix = self._settings.prefix
        found = [_told_apart(name.removeprefix(prefix)) for name in self._described()
                 if name.startswith(prefix + topic)]  # fmt: skip
        return tuple(sorted(number for bare, number in found if bare == topic))

    # ------------------------------------------------------------------ topics

    def create_topic(self, topic: str, partitions: int) -> None:
        """Make the topic; where it exists with as many partitions, only a retention of its own is told.

        Raises ConfigError when it has another number, or cannot be made so.
        """
        have = self.partitions(topic)
        if have == partitions and topic in self._keep_topics:
            self._configure(self.physical(topic), "retention.ms", self._retention_ms(topic))
        if not have:
            self._make(self._name_of(topic, 0), topic, partitions)
            have = self._appeared(topic)
        if have != partitions:
            raise ConfigError(
                file="Kafka",
                key=f"topic {self.physical(topic)!r}",
                value=f"{have} partitions",
                expected=f"{partitions}, as [log] partitions says: set it to {have}, as state belongs to "
                f"its partition, or stop everything and run: zhiwei repartition {partitions}",
            )

    def begin_anew(self, topic: str, partitions: int) -> None:
        """See ``contracts.TopicLog``. Kafka can only add partitions: another topic takes its place."""
        there = self.generations(topic)
        if self.partitions(topic) != partitions:
            name = self._name_of(topic, there[-1] + 1 if there else 0)
            self._make(name, topic, partitions)
            for _ in range(int(_ASK_S / _LOOK_S)):
                if self._described(name).get(name):
                    break
                threading.Event().wait(_LOOK_S)
            self._names[topic] = name
            self._ids.pop(topic, None)
            self._known.pop(topic, None)
            there = (*there, self.generations(topic)[-1])
        for number in there[:-1]:
            # It takes no record any more: one of 0 bytes there is not.
            self._configure(self._name_of(topic, number), "max.message.bytes", "0")

    def _configure(self, name: str, key: str, value: str) -> None:
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry])
        try:
            with self._admin_lock:
                done = self._asked().incremental_alter_configs([resource], request_timeout=_ASK_S)
            done[resource].result(_ASK_S)
        except KafkaException as error:
            raise _told(error, f"topic {name!r} does not take {key} = {value}") from None

    def members(self, group: str) -> int:
        """How many consumers a group has; those that died lately among them."""
        name = self._settings.prefix + group
        try:
            with self._admin_lock:
                asked = self._asked().describe_consumer_groups([name], request_timeout=_ASK_S)
            return len(asked[name].result(_ASK_S).members)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return 0
            raise _told(error, f"group {name!r} cannot be asked for") from None

    def _retention_ms(self, topic: str) -> str:
        return str(int(self._keep_topics.get(topic, self._keep_hours) * 3_600_000))

    def _make(self, name: str, topic: str, partitions: int) -> None:
        described = NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=self._settings.replication,
            config={
                "retention.ms": self._retention_ms(topic),
                "cleanup.policy": "delete",  # offsets must stay dense: no compaction
                "max.message.bytes": str(_MOST_BYTES),
                "min.insync.replicas": str(max(1, self._settings.replication - 1)),
            },
        )
        try:
            with self._admin_lock:
                made = self._asked().create_topics([described], operation_timeout=_ASK_S)
            made[described.topic].result(_ASK_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _told(error, f"topic {described.topic!r} cannot be made") from None

    def _appeared(self, topic: str) -> int:
        """Partitions of a topic that was made just now: brokers hear of it a moment later."""
        for _ in range(int(_ASK_S / _LOOK_S)):
            if have := self.partitions(topic):
                return have
            threading.Event().wait(_LOOK_S)
        return 0

    def topics(self) -> dict[str, int]:
        """Topic → partitions, of those under our prefix."""
        prefix = self._settings.prefix
        found = self._described()
        return _by_generation(
            {name.removeprefix(prefix): n for name, n in found.items() if name.startswith(prefix)}
        )

    def layout(self) -> Layout:
        """What the cluster is made of, and how our topics lie in it."""
        prefix = self._settings.prefix
        found = self._listed()
        topics = {
            name.removeprefix(prefix): tuple(len(part.replicas) for part in topic.partitions.values())
            for name, topic in found.topics.items()
            if name.startswith(prefix) and topic.error is None
        }
        return Layout(len(found.brokers), _by_generation(topics))

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; 0 if there is no such topic."""
        name = self.physical(topic)
        return self._described(name).get(name, 0)

    def _described(self, name: str | None = None) -> dict[str, int]:
        found = self._listed(name)
        return {name: len(each.partitions) for name, each in found.topics.items() if not each.error}

    def _listed(self, name: str | None = None) -> ClusterMetadata:
        """What the cluster says of all topics, or of one. A client that has got no answer is given up: one
        found no broker for six minutes, though the only one had long been back from its restart."""
        with self._admin_lock:
            asked = self._asked()
            try:
                return asked.list_topics(name, timeout=_ASK_S) if name else asked.list_topics(timeout=_ASK_S)
            except KafkaException as error:
                self._admin = None
                raise _told(error, "the cluster does not answer") from None

    def identity(self, topic: str) -> str:
        """The cluster's id of this topic: one made again has another. Empty: there is none."""
        if topic not in self._ids:
            name = self.physical(topic)
            try:
                with self._admin_lock:
                    asked = self._asked().describe_topics(TopicCollection([name]), request_timeout=_ASK_S)
                self._ids[topic] = str(asked[name].result(_ASK_S).topic_id)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return ""
                raise _told(error, f"topic {name!r} cannot be asked for") from None
        return self._ids[topic]

    def _asked(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient(self._common("admin"))
        return self._admin

    # ------------------------------------------------------------------ writing

    def append(self, entries: Sequence[Entry]) -> list[int]:
        """Offsets given, in order. When it returns, every in-sync replica has the records.

        Not all or nothing: when it raises Retryable, some may be there, or may come yet; whoever reads
        knows repeated records by what is in them. Raises ZhiweiError for a topic that does not exist.
        """
        if not entries:
            return []
        self._refuse_unknown(entries)
        with self._write_lock:
            producer = self._producing()
            offsets = [-1] * len(entries)
            errors: list[KafkaError] = []
            try:
                for place, entry in enumerate(entries):
                    self._produce(producer, entry, partial(_delivered, place, offsets, errors))
                left = producer.flush(_DELIVER_S)
            except KafkaException as error:
                self._producer = None
                raise _told(error, "records were not appended") from None
            if left or errors:
                # What is still under way must not come after what is appended next.
                self._producer = None
                producer.purge()
                first = errors[0].str() if errors else f"{left} records without an answer in {_DELIVER_S:g} s"
                raise Retryable(f"Kafka at {self._settings.servers}: records were not appended: {first}")
        self._said_down = False
        return offsets

    def _refuse_unknown(self, entries: Sequence[Entry]) -> None:
        """The client itself would wait for a topic that is not there until the delivery times out."""
        for topic, partition in {(entry.topic, entry.partition) for entry in entries}:
            if partition >= self._known.get(topic, 0):
                self._known[topic] = self.partitions(topic)
            if partition >= self._known[topic]:
                where = f"partition {partition} of topic {self.physical(topic)!r}"
                raise ZhiweiError(f"Kafka at {self._settings.servers}: there is no {where}")

    def _produce(self, producer: Producer, entry: Entry, told: Any) -> None:
        while True:
            try:
                producer.produce(
                    self.physical(entry.topic), entry.value, partition=entry.partition, on_delivery=told
                )
            except BufferError:
                producer.poll(0.1)
            else:
                return

    def _producing(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                self._common("writer")
                | {
                    "enable.idempotence": True,
                    "acks": "all",
                    "linger.ms": 0,
                    "message.max.bytes": _MOST_BYTES,
                    "delivery.timeout.ms": int(_DELIVER_S * 1000) - 1000,
                    "queue.buffering.max.messages": 200_000,
                }
            )
        return self._producer

    # ------------------------------------------------------------------ reading

    def read(self, topic: str, partition: int, offset: int, *, most: int = 500) -> list[LogRecord]:
        """Records from offset on, in order, at most so many; none at the end.

        Below ``earliest`` it begins there. What is not fetched yet is waited for a moment.
        """
        with self._read_lock:
            fetch = self._fetch(topic, partition, offset)
            self._take_in(0.0)
            if not fetch.records and self._more(topic, partition, fetch):
                self._take_in(_FIRST_S, wanted=fetch)
            out: list[LogRecord] = []
            while fetch.records and len(out) < most:
                out.append(fetch.records.popleft())
            if out:
                fetch.following = out[-1].offset + 1
            return out

    def earliest(self, topic: str, partition: int) -> int:
        """The lowest offset that is kept (retention moves it)."""
        return self.bounds(topic, partition)[0]

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will get."""
        return self.bounds(topic, partition)[1]

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """``earliest`` and ``end``; (0, 0) for an unknown partition."""
        place = TopicPartition(self.physical(topic), partition)
        try:
            with self._admin_lock:
                found = self._asked_for_ends().get_watermark_offsets(place, timeout=_ASK_S)
        except KafkaException as error:
            if error.args[0].code() in _UNKNOWN:
                return 0, 0
            self._ends = None  # see _listed
            raise _told(error, f"{place.topic}/{partition} cannot be asked for its end") from None
        return found or (0, 0)

    async def changed(self, timeout_s: float) -> None:
        """Returns when something may have been appended to what was read, at the latest after so long."""
        await asyncio.to_thread(self.wait, timeout_s)

    def wait(self, timeout_s: float) -> None:
        """``changed`` for code without an event loop."""
        with self._read_lock:
            if not any(fetch.records for fetch in self._fetches.values()):
                self._take_in(timeout_s)

    def _fetch(self, topic: str, partition: int, offset: int) -> _Fetch:
        """The partition's fetch, at this offset: asked for anew where it stands elsewhere."""
        name = self.physical(topic)
        key = name, partition
        fetch = self._fetches.get(key)
        if fetch is not None and fetch.following == offset:
            return fetch
        consumer = self._reading()
        if fetch is not None:
            consumer.incremental_unassign([TopicPartition(name, partition)])
        consumer.incremental_assign([TopicPartition(name, partition, offset)])
        self._fetches[key] = _Fetch(offset)
        return self._fetches[key]

    def _more(self, topic: str, partition: int, fetch: _Fetch) -> bool:
        """Whether there are records behind what was handed out."""
        place = TopicPartition(self.physical(topic), partition)
        known = self._reading().get_watermark_offsets(place, cached=True)
        if known is None or known[1] < 0:
            return self.end(topic, partition) > fetch.following
        return bool(known[1] > fetch.following)

    def _take_in(self, timeout_s: float, *, wanted: _Fetch | None = None) -> None:
        """What the client has fetched, into its partitions; waits for the first, or for a wanted one."""
        consumer = self._reading()
        while True:
            first = consumer.poll(timeout_s)
            if first is None:
                return
            for message in (first, *consumer.consume(1000, 0)):
                self._keep(message)
            self._said_down = False
            if wanted is None or wanted.records:
                return

    def _keep(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.code() in _UNKNOWN:
                raise ZhiweiError(f"Kafka at {self._settings.servers}: {error.str()}")
            return  # the client goes on by itself; a lasting one shows as a time-out of whoever asks
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        fetch = self._fetches.get((topic, partition))
        if fetch is not None and offset >= fetch.following:
            fetch.records.append(LogRecord(offset, message.value() or b""))

    def _asked_for_ends(self) -> Consumer:
        """A client that fetches nothing. Behind a fetch that finds nothing the question waits as long as that
        does, and what is fetched waits for the answer (0.75 s for those of eight partitions, measured)."""
        if self._ends is None:
            self._ends = Consumer(self._common("ends") | {"group.id": f"{self._settings.prefix}zhiwei-ends"})
        return self._ends

    def _reading(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(
                self._common("reader")
                | {
                    "group.id": f"{self._settings.prefix}zhiwei-reader",  # never joined
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",  # an offset that retention took
                    "fetch.wait.max.ms": max(_FETCH_MS, self._gather_ms),
                    "fetch.min.bytes": _GATHER_BYTES if self._gather_ms else 1,
                    "fetch.error.backoff.ms": 100,
                    "allow.auto.create.topics": False,
                    **_PREFETCH,
                }
            )
        return self._consumer

    def _say_down(self, error: KafkaError) -> None:
        if not self._said_down and (error.fatal() or error.code() == KafkaError._ALL_BROKERS_DOWN):
            self._said_down = True
            text = "Kafka does not answer; trying again"
            say(_log, logging.WARNING, text, servers=self._settings.servers, why=error.str())

    def _common(self, what: str) -> dict[str, Any]:
        return {
            "bootstrap.servers": self._settings.servers,
            "client.id": f"zhiwei-{what}",
            "topic.metadata.refresh.interval.ms": 10_000,
            "socket.keepalive.enable": True,
            "socket.nagle.disable": True,
            "reconnect.backoff.max.ms": 1_000,
            "error_cb": self._say_down,
            "log_level": _ALERT,  # what matters comes by error_cb; the rest would be a line each 100 ms
        }


_UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


def _told_apart(name: str) -> tuple[str, int]:
    """Topic and generation of a name in the cluster, without our prefix."""
    bare, mark, number = name.rpartition(_ANEW)
    return (bare, int(number)) if mark and number.isdecimal() else (name, 0)


def _by_generation(found: Mapping[str, T]) -> dict[str, T]:
    """What is known of names in the cluster, by topic; retired generations by their own names."""
    places = {_told_apart(name): value for name, value in found.items()}
    newest: dict[str, int] = {}
    for topic, number in places:
        newest[topic] = max(number, newest.get(topic, 0))
    return {
        topic if number == newest[topic] else named(topic, number): value
        for (topic, number), value in places.items()
    }


def _delivered(
    place: int, offsets: list[int], errors: list[KafkaError], error: KafkaError | None, message: Message
) -> None:
    if error is not None:
        errors.append(error)
    else:
        offsets[place] = message.offset() or 0


def _told(error: KafkaException, what: str) -> ZhiweiError:
    inner = error.args[0]
    text = f"Kafka: {what}: {inner.str()}"
    final = (
        KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.INVALID_PARTITIONS, KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION, *_UNKNOWN,
    )  # fmt: skip
    return ZhiweiError(text) if inner.code() in final else Retryable(text)
