"""``zhiwei tap TOPIC``: what is on a topic of the log, one line a row, as it comes."""

import threading
from collections.abc import Iterator

import msgspec
import numpy as np

from streams.engine.batch import is_frame
from zhiwei import frames, registry
from zhiwei.beds import open_log
from zhiwei.clock import to_datetime
from zhiwei.commitlog import file_of
from zhiwei.contracts import LogRecord
from zhiwei.errors import ZhiweiError
from zhiwei.generations import split
from zhiwei.lanes import Lane
from zhiwei.settings import Settings
from zhiwei.types import Drill, Finding, Rejection, Tick

_WAIT_S = 0.5
_record = msgspec.json.Decoder(Finding | Rejection | Tick | Drill)


def tap(settings: Settings, topic: str, *, last: int, stop: threading.Event) -> Iterator[str]:
    """The last records of a topic and then each new one, until told to stop.

    Raises ZhiweiError, naming those that exist, for a topic that does not.
    """
    with open_log(settings, file_of(topic)) as log:
        partitions = log.partitions(topic)
        if not partitions:
            known = ", ".join(sorted(log.topics())) or "none yet"
            raise ZhiweiError(
                f"no topic {topic!r} in {settings.kafka.servers or settings.data}; this log has: {known}"
            )
        following = [
            max(log.earliest(topic, number), log.end(topic, number) - last) for number in range(partitions)
        ]
        while not stop.is_set():
            for number in range(partitions):
                for record in log.read(topic, number, following[number]):
                    following[number] = record.offset + 1
                    yield from _lines(topic, number, record)
            log.wait(_WAIT_S)


def _lines(topic: str, partition: int, record: LogRecord) -> Iterator[str]:
    place = f"{partition}:{record.offset}"
    lane, _, scenario = split(topic)[0].partition(".")
    if lane in set(Lane) and is_frame(record.value):
        try:
            columns = frames.decode(registry.scenario(scenario).schema, record.value)
        except frames.BadFrame as error:
            yield f"{place} unreadable: {error}"
            return
        for row in range(len(columns)):
            values = " ".join(
                f"{name}={_shown(cells[row])}"
                for name, (cells, valid) in columns.channels.items()
                if valid[row]
            )
            who = f"{columns.entities[columns.entity[row]]}/{columns.devices[columns.device[row]]}"
            yield f"{place} {_time(int(columns.ts[row]))} {who} {values or '(no values)'}"
        return
    try:
        said = _record.decode(record.value)
    except msgspec.DecodeError:
        yield f"{place} {record.value[:200]!r}"  # a control record
        return
    if isinstance(said, Finding):
        yield f"{place} {said.at.isoformat()} {said.kind} {said.phase} at {said.entity} ({said.id[:8]})"
    elif isinstance(said, Rejection):
        yield f"{place} {said.arrived.isoformat()} {said.topic} {said.reason}: {said.detail}"
    elif isinstance(said, Drill):
        yield f"{place} {said.sent.isoformat()} drill for {said.topic}/{said.partition}"


def _shown(value: object) -> str:
    plain = value.item() if isinstance(value, np.generic) else value
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def _time(us: int) -> str:
    return to_datetime(us).isoformat(timespec="seconds").replace("+00:00", "Z")
