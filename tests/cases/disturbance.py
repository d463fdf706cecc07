"""Ways in which the same readings may come: again, in other payloads, interleaved otherwise, on more
partitions, on another number of them from the middle on, with restarts in between. None of them may change a
finding.

Rows take the way of life up to the log, through ingest's decoder, lanes and framing, as a simulated source
that says when each arrived; then the engine of each lane and partition steps them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import Any

import msgspec

from ingest.codecs.json import JsonCodec
from ingest.intake import Intake
from streams.engine.engine import Engine
from streams.engine.regroup import regrouped
from streams.engine.snapshot import copy_head, copy_rows, restore
from tests.cases.case import DEVICE, SITE, Case, Item, ReadOnce
from tests.cases.lanes import WATCH
from zhiwei.contracts import Entry, LogRecord
from zhiwei.lanes import Lane, lanes_of, log_topic
from zhiwei.mqtt_packets import QOS_1
from zhiwei.mqtt_receiver import Block
from zhiwei.settings import Ingest, Log, Settings, Source
from zhiwei.types import Coordinates, Finding

TOGETHER = 5
"""Rows that are delivered again together: fewer than the engine remembers of a device."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """How the rows come. The default: once each, in order, one to a payload, without interruption."""

    times: int = 1
    """How often each row is delivered."""
    array: int = 1
    """At most so many rows of one device in a payload."""
    partitions: int = 1
    moved_to: int = 0
    """Partitions for the second half of the payloads; 0 = as for the first."""
    restart_every: int = 0
    """Records after which an engine is made anew from its snapshot; 0 = never."""
    frame: int = 40
    """At most so many payloads in a frame; the number is drawn each time."""
    seed: int = 1


def findings(case: Case, how: Disturbance) -> list[Finding]:
    """Everything that all lanes and partitions find of the case, in order for each entity and lane."""
    found: list[Finding] = []
    halves = halves_of(case, how)
    for lane in lanes_of(case.scenario.schema):
        engines: list[Engine] = []
        for partitions, entries in halves:
            engines = _moved(case, lane, engines, partitions)
            for number, engine in enumerate(engines):
                place = (log_topic(lane, case.scenario.name), number)
                values = [entry.value for entry in entries if (entry.topic, entry.partition) == place]
                engines[number] = _stepped(case, engine, values, how.restart_every, found)
    return sorted((one for one in found if one.entity != WATCH), key=lambda one: one.entity)


def same(found: list[Finding]) -> list[Finding]:
    """The findings as they are compared: whole, but for partition, offset and the clock's name."""
    return [
        msgspec.structs.replace(
            one, coordinates=Coordinates(topic=one.coordinates.topic, partition=0, offset=0), clock=""
        )
        for one in found
    ]


def halves_of(case: Case, how: Disturbance) -> list[tuple[int, list[Entry]]]:
    """What ingest appends to the log, with the number of partitions."""
    messages = _messages(case, how)
    if not how.moved_to:
        return [(how.partitions, _entries(case, how, how.partitions, messages))]
    half = len(messages) // 2
    return [
        (partitions, _entries(case, how, partitions, part))
        for partitions, part in ((how.partitions, messages[:half]), (how.moved_to, messages[half:]))
    ]


def _entries(
    case: Case, how: Disturbance, partitions: int, messages: list[tuple[bytes, bytes]]
) -> list[Entry]:
    chance = Random(how.seed)
    intake = Intake(
        Settings(
            sources=(Source(name="world", topics="zw/v1/#", clock="simulated"),),
            ingest=Ingest(unknown_devices="provisional"),
            log=Log(partitions=partitions),
        ),
        {case.scenario.name: case.scenario.schema},
        JsonCodec(),
        latencies={case.scenario.name: case.policy.latency_of},
    )
    entries: list[Entry] = []
    while messages:
        size = chance.randint(1, how.frame)
        part, messages = messages[:size], messages[size:]
        intake.take(Block(1, 0, [(topic, payload, 1, QOS_1) for topic, payload in part]))
        entries += intake.close().entries
    return entries


def _messages(case: Case, how: Disturbance) -> list[tuple[bytes, bytes]]:
    """(topic, payload) of all rows, each as often as it is delivered."""
    rows = [_addressed(case, item) for item in case.items]
    runs = [list(run) for _, run in groupby(rows, key=itemgetter(0))]
    return [
        (topic.encode(), _payload(part))
        for run in runs
        for start in range(0, len(run), TOGETHER)
        for _ in range(how.times)
        for topic, part in _parts(run[start : start + TOGETHER], how.array)
    ]


def _parts(run: Sequence[tuple[str, Item]], most: int) -> list[tuple[str, list[Item]]]:
    return [(run[n][0], [row for _, row in run[n : n + most]]) for n in range(0, len(run), most)]


def _payload(rows: list[Item]) -> bytes:
    return msgspec.json.encode(rows[0] if len(rows) == 1 else rows)


def _addressed(case: Case, item: Item) -> tuple[str, Item]:
    place = f"zw/v1/{case.scenario.name}"
    if "tick" in item:
        return f"{place}/{WATCH}/{WATCH}", {"ts": item["tick"]}
    row = {key: value for key, value in item.items() if key not in ("entity", "device")}
    return f"{place}/{case.entity_of(item)}/{item.get('device', DEVICE)}", row


def _moved(case: Case, lane: Lane, engines: list[Engine], partitions: int) -> list[Engine]:
    """New engines at the beginning; later those that the present ones are moved to, by way of snapshots."""
    if engines:
        moved = regrouped(engines, partitions)
        return [_restarted(case, engine) for engine in moved]
    topic, scenario = log_topic(lane, case.scenario.name), ReadOnce(case.scenario)
    return [
        Engine(scenario, policy=case.policy, site=SITE, topic=topic, partition=number, lane=lane)
        for number in range(partitions)
    ]


def _restarted(case: Case, engine: Engine) -> Engine:
    scenario: Any = ReadOnce(case.scenario)
    place: dict[str, Any] = {"topic": engine.topic, "partition": engine.partition, "lane": engine.lane}
    return restore(scenario, copy_head(engine), [copy_rows(engine, everything=True)], site=SITE, **place)


def _stepped(case: Case, engine: Engine, values: list[bytes], every: int, found: list[Finding]) -> Engine:
    for number, value in enumerate([*case.registry(), *values]):
        outcome = engine.apply([LogRecord(number, value)])
        assert (outcome.set_aside, outcome.unreadable) == ([], [])
        found += outcome.findings
        if every and number % every == every - 1:
            engine = _restarted(case, engine)
    return engine
