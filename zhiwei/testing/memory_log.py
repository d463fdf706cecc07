"""A log in memory: LogWriter and LogReader for tests of those who write or read frames."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from zhiwei.contracts import Entry, LogRecord
from zhiwei.errors import StorageFull


class MemoryLog:
    """Dense offsets per (topic, partition); ``durable`` only in the sense that tests need.

    Set ``full`` to make every append raise StorageFull. ``before_append`` is called with the entries before
    they are kept: a test may look around, or raise as a dying process would.
    """

    def __init__(self, id: str = "memory") -> None:
        self._id = id
        self.records: dict[tuple[str, int], list[LogRecord]] = defaultdict(list)
        self.appends: list[list[Entry]] = []
        """Every append that succeeded."""
        self.full = False
        self.before_append: Callable[[Sequence[Entry]], None] | None = None

    @property
    def id(self) -> str:
        """What ``identity`` says of every topic."""
        return self._id

    def identity(self, topic: str) -> str:  # noqa: ARG002 - one log, one identity
        return self._id

    def generations(self, topic: str) -> tuple[int, ...]:
        return (0,) if self.partitions(topic) else ()

    def append(self, entries: Sequence[Entry]) -> list[int]:
        """All or nothing, as the contract says."""
        if self.before_append is not None:
            self.before_append(entries)
        if self.full:
            raise StorageFull("the disk reserve is reached")
        offsets = []
        for entry in entries:
            records = self.records[entry.topic, entry.partition]
            offsets.append(len(records))
            records.append(LogRecord(len(records), entry.value))
        self.appends.append(list(entries))
        return offsets

    def read(self, topic: str, partition: int, offset: int, *, most: int = 500) -> list[LogRecord]:
        return self.records.get((topic, partition), [])[offset : offset + most]

    def earliest(self, topic: str, partition: int) -> int:  # noqa: ARG002 - nothing is ever deleted
        return 0

    def end(self, topic: str, partition: int) -> int:
        return len(self.records.get((topic, partition), []))

    def partitions(self, topic: str) -> int:
        return 1 + max((p for t, p in self.records if t == topic), default=-1)

    async def changed(self, timeout_s: float) -> None:
        await asyncio.sleep(min(timeout_s, 0.001))

    def values(self, topic: str, partition: int = 0) -> list[bytes]:
        """The values of a partition, in order."""
        return [record.value for record in self.records.get((topic, partition), [])]
