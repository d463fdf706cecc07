"""Appends each event to a JSONL file, one line each, synced to the disk before it counts as delivered."""

import asyncio
import os
import stat
from pathlib import Path

import msgspec

from zhiwei.clock import Clock
from zhiwei.contracts import Delivery
from zhiwei.errors import Retryable
from zhiwei.settings import File

TAIL_BYTES = 4 * 1024 * 1024
"""How much of the file's end is looked through for events that it has already."""


class _Line(msgspec.Struct):
    id: str


_LINE = msgspec.json.Decoder(_Line)


class FileSink:
    """Idempotent: an event that stands in the last 4 MiB of the file is not appended again.

    A line that a crash cut off is ended, so that the next one begins on its own; a reader skips it. The
    file is opened for each event: it may be moved away at any time (log rotation).
    """

    def __init__(self, settings: File, clock: Clock) -> None:  # noqa: ARG002 - every sink is given a clock
        self.name = settings.name
        self._path = Path(settings.path)
        self._lock = asyncio.Lock()
        self._seen: set[str] = set()
        self._looked_at = 0
        self._known: tuple[int, int, int] | None = None
        """Device, inode and size that ``_seen`` is true for; a write that failed half way changes it."""

    async def open(self) -> None:
        """Nothing to acquire: the file is opened for each event."""

    async def deliver(self, delivery: Delivery) -> None:
        """Append, or find that it is there. Raises Retryable whatever the disk says: it may be mended."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._append, delivery)
            except OSError as error:
                raise Retryable(f"{self._path}: {error.strerror or error}") from None

    async def close(self) -> None:
        """Nothing is held open."""

    def _append(self, delivery: Delivery) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self._path.exists()
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError("not a regular file")
            head = b"" if self._known == _identity(handle) else self._look(handle)
            is_there = delivery.id in self._seen
            _write(handle, head if is_there else head + delivery.body + b"\n")
            # Also where it is there already: the crash may have come before the sync.
            os.fsync(handle)
            if is_new:
                _sync_directory(self._path.parent)
            self._seen.add(delivery.id)
            known = _identity(handle)
            # Look again once so much was written: keeps ``_seen`` bounded.
            self._known = known if known[2] - self._looked_at <= TAIL_BYTES else None
        finally:
            os.close(handle)

    def _look(self, handle: int) -> bytes:
        """Learn which events the file's end holds. Returns what must come before the next line."""
        size = os.fstat(handle).st_size
        start = max(0, size - TAIL_BYTES)
        tail = _read(handle, start, size - start)
        self._looked_at = size
        self._seen = set()
        for line in tail.split(b"\n"):
            try:
                self._seen.add(_LINE.decode(line).id)
            except msgspec.MsgspecError:
                continue  # cut off, by a crash or by where the tail begins
        return b"\n" if tail and not tail.endswith(b"\n") else b""


def _identity(handle: int) -> tuple[int, int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino, found.st_size


def _read(handle: int, start: int, count: int) -> bytes:
    parts = []
    while count > 0 and (part := os.pread(handle, count, start)):
        parts.append(part)
        start, count = start + len(part), count - len(part)
    return b"".join(parts)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _sync_directory(directory: Path) -> None:
    """The new name itself must survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
