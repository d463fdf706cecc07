"""Waking readers: after a commit, one byte to a datagram socket of each that waits.

A lost byte costs one time-out, never a record: whoever wakes up asks the file. The sockets are in a
private directory named after the log's path, since a socket's own path may have about 100 characters.
"""

import asyncio
import errno
import hashlib
import os
import secrets
import select
import socket
import stat
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PATH_MOST = 100  # bytes; sun_path has 104 on macOS and 108 on Linux, with the final zero


def rendezvous(file: Path) -> Path:
    """The directory where those who wait for this log have their sockets."""
    name = f"zw-{os.getuid()}-{hashlib.blake2b(os.fsencode(file.absolute()), digest_size=8).hexdigest()}"
    place = Path(tempfile.gettempdir()) / name
    return place if len(os.fsencode(place)) < _PATH_MOST - 32 else Path("/tmp") / name


def _ours(place: Path) -> bool:
    """Whether the directory exists and nobody else can put anything into it."""
    try:
        found = place.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


class Bell:
    """What a writer rings."""

    def __init__(self, file: Path) -> None:
        self._place = rendezvous(file)
        self._socket: socket.socket | None = None

    def ring(self) -> None:
        """Wake all who wait; never fails and never blocks."""
        if not _ours(self._place):
            return
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            weakref.finalize(self, self._socket.close)
        with suppress(OSError):
            for waiter in os.scandir(self._place):
                try:
                    self._socket.sendto(b"\0", waiter.path)
                except OSError as error:
                    # Full means that bytes wait there already; refused, that its process is gone.
                    if error.errno == errno.ECONNREFUSED:
                        Path(waiter.path).unlink(missing_ok=True)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Waiter:
    """One who waits. Each call returns when the bell rang since the last one, or at the time-out.

    The first call returns at once: what came before the socket existed could not ring it. Several tasks
    may wait at the same time, all wake up; a task that was busy then learns of it by its time-out, so
    give each task a log object of its own.
    """

    def __init__(self, file: Path) -> None:
        self._place = rendezvous(file)
        self._socket: socket.socket | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._close: Callable[[], object] = lambda: None

    async def changed(self, timeout_s: float) -> None:
        bell = self._socket
        if bell is None:
            self._socket = self._bind()
            return
        if _drain(bell):
            return
        loop = asyncio.get_running_loop()
        handle = bell.fileno()  # the number, since close() may come while we wait
        woken: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.add_reader(handle, self._rang)
        self._waiting.add(woken)
        try:
            await asyncio.wait((woken,), timeout=timeout_s)
        finally:
            self._waiting.discard(woken)
            if not self._waiting:
                loop.remove_reader(handle)

    def wait(self, timeout_s: float) -> None:
        """The same for code without an event loop."""
        if self._socket is None:
            self._socket = self._bind()
            return
        if not _drain(self._socket):
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.poll(timeout_s * 1000)
            _drain(self._socket)

    def close(self) -> None:
        """Whoever waits goes on. From any thread."""
        if self._socket is not None:
            for woken in tuple(self._waiting):
                with suppress(RuntimeError):  # its loop is closed
                    woken.get_loop().call_soon_threadsafe(_go_on, woken)
            self._close()
            self._socket = None

    def _rang(self) -> None:
        if self._socket is not None:
            _drain(self._socket)
        for woken in self._waiting:
            _go_on(woken)

    def _bind(self) -> socket.socket:
        """A socket that the bell finds; where that cannot be, there is only the time-out."""
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        bell.setblocking(False)
        path = self._place / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._close = weakref.finalize(self, _discard, bell, path)
        for _ in range(3):  # the last one to leave may take the directory away under our hands
            with suppress(OSError):
                self._place.mkdir(mode=0o700)
            if _ours(self._place):
                with suppress(OSError):
                    bell.bind(os.fspath(path))
                    break
        return bell


def _go_on(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


def _drain(bell: socket.socket) -> bool:
    """Take all bytes that wait; whether there were any."""
    rang = False
    with suppress(BlockingIOError):
        while True:
            bell.recv(16)
            rang = True
    return rang


def _discard(bell: socket.socket, path: Path) -> None:
    bell.close()
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()  # unless others wait there
