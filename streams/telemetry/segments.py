"""Parquet segments of one lane: written whole or not at all, merged when small, listed by their names.

The name of a file says all that is needed to choose it: partition, offsets, event times, when it was closed,
how often it was merged. So a directory listing is the index, for the process that writes and for those that
only read. A segment whose offsets lie inside another's is a leftover of a merge, and is not read.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from streams.telemetry.layout import AT, Rows

VERSION = 1
FAN = 12
"""So many neighbours of the same rank become one of the next."""
MERGED_BYTES = 64 * 1024 * 1024
"""Neighbours that are larger together stay apart: bounds what one merge costs, in memory and in time."""

_GROUP_ROWS = 61_440
"""Rows of a Parquet row group. Segments are sorted by entity: one entity is in one or two groups.
With 20,480 a question over 14 million rows took 46 ms in place of 28, and a row 8.2 bytes in place of 6.7."""
_DRAFT = ".draft-"
_NAME = re.compile(r"(\d+)_(\d+)_(\d+)_(-?\d+)_(-?\d+)_(\d+)_(\d+)\.parquet")


@dataclass(frozen=True, slots=True)
class Segment:
    """One Parquet file, complete since it has its name, and never changed."""

    folder: Path
    partition: int
    first: int
    following: int
    """Holds every readable row of the offsets first … following - 1, and no other."""
    low: int
    high: int
    """Lowest and highest event time, µs UTC."""
    closed_us: int
    """Our clock when its newest row was written: what retention goes by."""
    rank: int
    """0 for what came from the log, one more with each merge."""

    @property
    def file(self) -> Path:
        """Where it is."""
        numbers = (
            self.partition, self.first, self.following, self.low, self.high, self.closed_us, self.rank,
        )  # fmt: skip
        return self.folder / ("_".join(map(str, numbers)) + ".parquet")


def listed(folder: Path) -> tuple[list[Segment], list[Segment]]:
    """Segments of a lane in order of partition and offset; and those that a merge has left behind."""
    names: list[str] = []
    with suppress(FileNotFoundError):
        names = os.listdir(folder)  # noqa: PTH208 - names are all we need, of thousands
    matches = filter(None, map(_NAME.fullmatch, names))
    found = [Segment(folder, *map(int, match.groups())) for match in matches]
    found.sort(key=lambda each: (each.partition, each.first, -each.following, -each.rank))
    current: list[Segment] = []
    superseded: list[Segment] = []
    for each in found:
        inside = current and current[-1].partition == each.partition
        covered = inside and each.following <= current[-1].following
        (superseded if covered else current).append(each)
    return current, superseded


def write(
    connection: duckdb.DuckDBPyConnection,
    rows: Rows,
    folder: Path,
    *,
    partition: int,
    first: int,
    following: int,
    closed_us: int,
) -> Segment:
    """Make a segment of these rows. When it returns, it survives a power cut.

    Raises duckdb.Error or OSError, and leaves at most a draft that nobody reads.
    """
    segment = Segment(folder, partition, first, following, rows.low, rows.high, closed_us, rank=0)
    relation = rows.relation(connection, "closing")
    try:
        _publish(connection, relation.sql, relation.parameters, segment)
    finally:
        connection.unregister("closing")
    return segment


def merge(connection: duckdb.DuckDBPyConnection, run: Sequence[Segment]) -> Segment:
    """One segment of several neighbours, in their order. They stay: remove them when nobody reads them.

    Errors as in ``write``.
    """
    merged = Segment(
        run[0].folder,
        run[0].partition,
        run[0].first,
        run[-1].following,
        min(each.low for each in run),
        max(each.high for each in run),
        max(each.closed_us for each in run),
        rank=1 + max(each.rank for each in run),
    )
    _publish(connection, f"FROM {SCAN}", {"files": scanned(run)}, merged)
    return merged


def mergeable(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Runs of neighbours that are to become one. segments: as ``listed``."""
    run: list[Segment] = []
    for each in segments:
        if run and (each.partition, each.rank) != (run[0].partition, run[0].rank):
            run = []
        run.append(each)
        if len(run) == FAN:
            if sum(one.file.stat().st_size for one in run) <= MERGED_BYTES:
                yield run
            run = []


SCAN = "read_parquet($files, union_by_name = true, hive_partitioning = false)"
"""The rows of several segments; a channel that one of them does not have is missing in its rows."""


def scanned(segments: Sequence[Segment]) -> list[str]:
    """The parameter ``files`` of SCAN. A data directory may have characters that DuckDB takes as patterns."""
    return [re.sub(r"([*?\[])", r"[\1]", str(each.file)) for each in segments]


def remove_drafts(folder: Path) -> None:
    """What a process left behind that died while it wrote. Only for the one that writes here."""
    for draft in folder.glob(f"{_DRAFT}*"):
        draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """A file's bytes, or a directory's names, survive a power cut from here on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, object], segment: Segment
) -> None:
    segment.folder.mkdir(parents=True, exist_ok=True)
    draft = segment.folder / f"{_DRAFT}{segment.file.name}"
    quoted = str(draft).replace("'", "''")
    # V2 has the delta encoding, which times need; snappy in place of zstd is 0.1 s a segment faster and 8 %
    # larger.
    connection.execute(
        f'COPY (FROM ({sql}) ORDER BY entity, {AT}, arrived_us, "offset", "row") TO \'{quoted}\''
        f" (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2, ROW_GROUP_SIZE {_GROUP_ROWS},"
        f" KV_METADATA {{'zhiwei.segment': '{VERSION}'}})",
        parameters,
    )
    sync(draft)
    draft.replace(segment.file)
    sync(segment.folder)
