"""Drills: messages of our own to every partition, on the topics that readings come by.

A drill passes the broker, the subscription of readings, the partition of its name, the log, the engine and
the findings log, and ends in alerts, which counts it. On the log it is a record of its own kind: it has no
row, so no rule sees it, no state grows, and the books of rows do not know it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec

from ingest.topics import PREFIX, URGENT, filters_of, source_of
from zhiwei.clock import to_datetime
from zhiwei.contracts import Refusal
from zhiwei.ids import partition_of
from zhiwei.lanes import Lane, lanes_of, log_topic
from zhiwei.schema import Schema
from zhiwei.settings import Settings
from zhiwei.types import Drill, Reason

ENTITIES = "zhiwei.drill."
"""How names of entities begin that are none: reserved for drills."""

_DEVICE = "drill"


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sent: int
    """µs UTC."""


_decoder = msgspec.json.Decoder(_Message)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a drill goes."""

    topic: str
    """MQTT."""
    log_topic: str
    partition: int


def places(settings: Settings, schemas: Mapping[str, Schema]) -> tuple[Place, ...]:
    """Every partition of fresh and urgent readings whose messages a live source takes; none without drills.

    The backlog is not drilled: what is old may wait. Nor is a simulated source, whose clock is not ours.
    Raises ConfigError for a source's filter that is none.
    """
    if not settings.drill.every_s:
        return ()
    sources, found = filters_of(settings), []
    for scenario, schema in schemas.items():
        for lane in lanes_of(schema):
            if lane is Lane.BACKLOG:
                continue
            for partition, entity in enumerate(_entities(settings.log.partitions)):
                levels = (*PREFIX, scenario, entity, _DEVICE, *((URGENT,) if lane is Lane.URGENT else ()))
                source = source_of(sources, topic := "/".join(levels))
                if source is not None and source.clock == "live":
                    found.append(Place(topic, log_topic(lane, scenario), partition))
    return tuple(found)


def _entities(partitions: int) -> list[str]:
    """For each partition a name that belongs to it."""
    found: dict[int, str] = {}
    for number in count():
        if len(found) == partitions:
            break
        name = f"{ENTITIES}{number}"
        found.setdefault(partition_of(name, partitions), name)
    return [found[partition] for partition in range(partitions)]


class Rounds:
    """When a drill is due to each place. Pure: times are arguments."""

    def __init__(self, to: Sequence[Place], every_s: float) -> None:
        self._to, self._every_s = to, every_s
        self._due_s: float | None = None
        self._waiting: deque[Place] = deque()

    def waiting(self, now_s: float) -> deque[Place]:
        """Places to which one is to be sent now; the caller takes off what it has sent. What was not sent
        until the next round is due goes with that one. The first round is one interval after the start."""
        if self._due_s is None:
            self._due_s = now_s + self._every_s
        if self._to and now_s >= self._due_s:
            self._due_s = now_s + self._every_s
            self._waiting = deque(self._to)
        return self._waiting


def message(now_us: int) -> bytes:
    """The payload of a drill that is sent now."""
    return msgspec.json.encode(_Message(now_us))


def read(place: Place, payload: bytes, arrived_us: int) -> Drill | Refusal:
    """The record for the log. One that says it was sent later than it came was sent when it came: whoever
    may publish readings could otherwise make us believe in drills of tomorrow."""
    try:
        sent_us = _decoder.decode(payload).sent
        sent = to_datetime(min(sent_us, arrived_us))
    except (msgspec.MsgspecError, UnicodeError) as error:
        detail = f"entities that begin with {ENTITIES!r} are reserved for drills, and this is none: {error}"
        return Refusal(Reason.WRONG_TYPE, "payload", detail[:500])
    return Drill(topic=place.log_topic, partition=place.partition, sent=sent)
