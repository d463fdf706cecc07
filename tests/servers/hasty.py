"""A worker of streams for the campaign's own test: it tells Kafka of each record at once, before a snapshot
has it, as many programs do. Started again it is given what comes later; if ``unguarded`` it takes that, too.
"""

import sys
from typing import Any

from streams.partition import Partition
from zhiwei.cli import main

_open, _put = Partition.open, Partition.put
_is_guarded = sys.argv.pop(1) == "guarded"


class Told:
    """The source of a partition, whose records are acked already."""

    def __init__(self, source: Any) -> None:
        self.seek, self.commit, self.ack_now = source.seek, source.commit, source.ack

    def ack(self, handle: object) -> None:
        """Done before."""


async def _open_told(self: Any) -> None:
    self._source = Told(self._source)
    await _open(self)


async def _put_hastily(self: Any, offset: int, value: bytes, handle: object) -> None:
    self._source.ack_now(handle)
    if not _is_guarded:
        self._expected = offset
    await _put(self, offset, value, handle)


Partition.open, Partition.put = _open_told, _put_hastily  # type: ignore[method-assign]
if __name__ == "__main__":
    main()
