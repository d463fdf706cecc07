"""``zhiwei audit``: the books of the pipeline, from the files alone, whether it runs or not.

Ingest's side stands in the frames, the engine's in the snapshot, both as durable as what they count.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from streams.engine.batch import is_frame
from streams.engine.snapshot import head_of
from streams.engine.store import StateStore
from zhiwei import frames
from zhiwei.commitlog import CommitLog, PartitionStatus
from zhiwei.errors import ZhiweiError
from zhiwei.lanes import Lane
from zhiwei.settings import Settings
from zhiwei.sql import open_engine, sqlite_url

_TRIES = 100
"""At counting a partition between two appends to it."""


@dataclass(frozen=True, slots=True)
class _Appended:
    """What ingest put into a partition."""

    rows: int
    """In frames up to the snapshot."""
    waiting: int
    """In frames behind it."""
    unreadable: int
    """Records up to the snapshot that are neither frames nor control records."""


def audit(settings: Settings) -> tuple[list[str], bool]:
    """Lines for a person, and whether everything balances. Raises ZhiweiError where there is nothing yet."""
    if not (settings.data / "log" / "readings.log").exists():
        raise ZhiweiError(f"{settings.data} has no log yet; --data-dir names another place")
    lines: list[str] = []
    balanced = True
    with (
        CommitLog(settings.data / "log", "readings") as readings,
        CommitLog(settings.data / "log", "findings") as findings,
    ):
        for log in (readings, findings):
            for text, good in _dense(log):
                lines.append(text)
                balanced &= good
        store = StateStore(open_engine(sqlite_url(settings.data / "state.sqlite")))
        for topic, partitions in readings.topics().items():
            for partition in range(partitions):
                if topic.split(".")[0] in set(Lane):
                    text, good = _rows(readings, store, topic, partition)
                    lines.append(text)
                    balanced &= good
    lines.append("the books balance" if balanced else "THE BOOKS DO NOT BALANCE")
    return lines, balanced


def _dense(log: CommitLog) -> Iterator[tuple[str, bool]]:
    """Records kept and deleted are what was appended, in every partition."""
    for one, kept in _counted(log):
        good = one.end - one.earliest == kept and kept + one.deleted == one.appended
        said = f"{one.topic}/{one.partition}: {one.appended} records = {kept} kept + {one.deleted} deleted"
        yield (said if good else f"{said}: HOLE between {one.earliest} and {one.end}"), good


def _counted(log: CommitLog) -> Iterator[tuple[PartitionStatus, int]]:
    """Each partition with the records counted in it, at one moment: a running bed appends meanwhile."""
    for topic, partitions in sorted(log.topics().items()):
        for partition in range(partitions):
            for _ in range(_TRIES):
                before = _status(log, topic, partition)
                kept = log.count(topic, partition)
                if _status(log, topic, partition) == before:
                    break
            yield before, kept


def _status(log: CommitLog, topic: str, partition: int) -> PartitionStatus:
    return next(one for one in log.status() if (one.topic, one.partition) == (topic, partition))


def _rows(log: CommitLog, store: StateStore, topic: str, partition: int) -> tuple[str, bool]:
    """Rows appended = applied + duplicate + late + historical + set aside + waiting."""
    applied, head = store.look(topic, partition)
    place = f"{topic}/{partition}"
    earliest = log.earliest(topic, partition)
    if earliest > 0:
        return f"{place}: rows below offset {earliest} are gone with the log; not audited", True
    said = _appended(log, topic, partition, applied)
    if head is None:
        return f"{place}: {said.waiting} rows waiting, no snapshot yet", True
    bins = head_of(head).bins
    parts = {
        "applied": bins.applied,
        "duplicate": bins.duplicate,
        "late": bins.late,
        "historical": bins.historical,
        "set aside": bins.set_aside,
    }
    named = sum(parts.values()) + bins.waiting - bins.brought
    good = named == said.rows and bins.unreadable == said.unreadable
    text = " + ".join(f"{count} {name}" for name, count in parts.items())
    line = (
        f"{place}: {said.rows + said.waiting} rows appended = {text} + {said.waiting + bins.waiting} waiting"
    )
    return (line if good else f"{line}: {said.rows - named} ROWS WITHOUT A NAME"), good


def _appended(log: CommitLog, topic: str, partition: int, applied: int) -> _Appended:
    rows = waiting = unreadable = 0
    offset, end = log.earliest(topic, partition), log.end(topic, partition)
    while offset < end:
        for record in log.read(topic, partition, offset):
            offset = record.offset + 1
            if not is_frame(record.value):
                continue
            try:
                count = frames.counts(record.value)["rows"]
            except frames.BadFrame:
                unreadable += record.offset <= applied
                continue
            if record.offset <= applied:
                rows += count
            else:
                waiting += count
    return _Appended(rows, waiting, unreadable)
