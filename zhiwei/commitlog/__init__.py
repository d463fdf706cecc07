"""The embedded durable log: append-only topics in SQLite WAL files, shared by processes of one machine.

``readings.log`` is written by ingest, ``findings.log`` by streams; whoever consumes another's log only
reads it and keeps its offsets in ``groups/<group>.db``. Nothing of Faust or of the formats of records
is known here: a record is bytes at (topic, partition, offset).
"""

from zhiwei.commitlog.file import LogDamaged
from zhiwei.commitlog.groups import GroupLock, GroupOffsets
from zhiwei.commitlog.layout import PartitionStatus, file_of
from zhiwei.commitlog.log import CommitLog
from zhiwei.commitlog.retention import Retained, retain

__all__ = [
    "CommitLog",
    "GroupLock",
    "GroupOffsets",
    "LogDamaged",
    "PartitionStatus",
    "Retained",
    "file_of",
    "retain",
]
