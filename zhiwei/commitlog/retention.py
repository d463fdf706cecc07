"""What may fall off the beginning of the log: by age or size, and never what a group still needs."""

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass

from zhiwei.clock import MICROS
from zhiwei.commitlog.groups import GroupOffsets
from zhiwei.commitlog.layout import PartitionStatus
from zhiwei.commitlog.log import CommitLog
from zhiwei.errors import LogMismatch
from zhiwei.generations import is_retired, split


@dataclass(frozen=True, slots=True)
class Retained:
    """What one call of ``retain`` deleted."""

    records: int
    bytes: int
    more: bool
    """There is more to delete: call again, after others had their turn at the log."""


def retain(
    log: CommitLog,
    *,
    older_than_us: int | None,
    max_bytes: int | None,
    required: Mapping[str, Collection[str]],
    topics_us: Mapping[str, int] | None = None,
) -> Retained:
    """Delete a little of what is older than this age, or beyond this size; oldest first.

    older_than_us: age by the time of appending. topics_us: topic → its own, in all its generations.
    max_bytes: payload bytes of all partitions of this log together. required: topic prefix
    (``readings.urgent``, ``readings``, or empty for every topic) → groups that must have read a record before
    it goes. A group that has committed nothing yet, or whose offsets belong to another log, holds all records
    of these topics, but no retired generation of them: that was read to its end. Each transaction is short.

    The file does not shrink: what was freed is used again. Raises what CommitLog raises.
    """
    status = [each for each in log.status() if each.oldest_us is not None]
    floors = _floors(log, status, required)
    records, size, more = 0, 0, False
    for each in status:
        age_us = (topics_us or {}).get(split(each.topic)[0], older_than_us)
        if age_us is not None:
            step = log.trim(
                each.topic,
                each.partition,
                below=floors[each.topic, each.partition],
                before_us=log.clock.now_us() - age_us,
            )
            records, size, more = records + step.records, size + step.bytes, more or step.more
    if max_bytes is not None:
        status = log.status()
        excess = sum(each.bytes for each in status) - max_bytes
        free = [each for each in status if each.earliest < floors.get((each.topic, each.partition), 0)]
        if excess > 0 and free:
            oldest = min(free, key=lambda each: each.oldest_us or 0)
            step = log.trim(
                oldest.topic,
                oldest.partition,
                below=floors[oldest.topic, oldest.partition],
                most_bytes=excess,
            )
            records, size = records + step.records, size + step.bytes
            more = more or (excess > step.bytes and (step.more or len(free) > 1))
    return Retained(records, size, more)


def keep_within(
    log: CommitLog,
    *,
    keep_s: float,
    keep_bytes: int,
    required: Mapping[str, Collection[str]],
    keep_hours: Mapping[str, float] | None = None,
) -> None:
    """``retain`` until there is no more to delete. Blocks; leaves the log to others between the steps.

    keep_hours: topic → its own, in place of ``keep_s``.
    """
    age_us = round(keep_s * MICROS)
    own = {topic: round(hours * 3600 * MICROS) for topic, hours in (keep_hours or {}).items()}
    while retain(log, older_than_us=age_us, max_bytes=keep_bytes, required=required, topics_us=own).more:
        continue


def _floors(
    log: CommitLog, status: list[PartitionStatus], required: Mapping[str, Collection[str]]
) -> dict[tuple[str, int], int]:
    """(topic, partition) → the lowest offset that a required group has not read."""
    floors = {(each.topic, each.partition): each.end for each in status}
    needed: dict[str, list[tuple[str, int]]] = {}
    for topic, partition in floors:
        for prefix, groups in required.items():
            if not is_retired(topic) and (not prefix or topic == prefix or topic.startswith(f"{prefix}.")):
                for group in groups:
                    needed.setdefault(group, []).append((topic, partition))
    for group, places in needed.items():
        with closing(GroupOffsets(log.file.parent, group)) as offsets:
            for place in places:
                try:
                    committed = offsets.committed(*place) or 0
                except LogMismatch:
                    committed = 0
                floors[place] = min(floors[place], committed)
    return floors
