"""What the URL says, and the log files behind it; shared by consumer and producer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zlib import crc32

from yarl import URL

from zhiwei.commitlog import CommitLog, file_of
from zhiwei.errors import ConfigError
from zhiwei.ids import BUCKETS


@dataclass(frozen=True, slots=True)
class Source:
    """A log directory and the disk space to keep free."""

    directory: Path
    reserve_bytes: int = 0

    @classmethod
    def of(cls, urls: Sequence[URL]) -> Self:
        """From ``embedded:///absolute/directory``, for writers with ``?reserve_bytes=268435456``.

        Raises ConfigError for anything else: with two slashes the first part would be a host, with four
        the path would begin with two.
        """
        url = urls[0]
        reserve = url.query.get("reserve_bytes", "0")
        path = url.path
        if (
            url.host
            or not path.startswith("/")
            or path.startswith("//")
            or path == "/"
            or not reserve.isdigit()
        ):
            raise ConfigError(
                file="Faust", key="broker", value=str(url), expected="embedded:///absolute/directory"
            )
        return cls(Path(path), int(reserve))


class Logs:
    """Both logs of a directory, opened when first asked for, one object for each."""

    def __init__(self, source: Source, *, writer: bool) -> None:
        self._source, self._writer = source, writer
        self._open: dict[str, CommitLog] = {}

    def of(self, topic: str) -> CommitLog:
        """The log that holds the topic. A writer makes the file when there is none."""
        name = file_of(topic)
        if name not in self._open:
            self._open[name] = CommitLog(
                self._source.directory,
                name,
                writer=self._writer,
                reserve_bytes=self._source.reserve_bytes,
            )
        return self._open[name]

    def close(self) -> None:
        for log in self._open.values():
            log.close()


def partition_for(key: bytes | None, partitions: int) -> int:
    """The partition of a key where the sender names none: as ``zhiwei.ids.partition_of``, in bytes."""
    return crc32(key) % BUCKETS * partitions // BUCKETS if key else 0
