"""A server as a process of ours: started, waited for, killed, paused, started again. What all share."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from zhiwei.clock import SystemClock

HOST = "127.0.0.1"

TOOLS = Path(__file__).parents[3] / ".tools" / "servers"
"""Where ``make servers`` puts what is no Debian package."""

_PORTS = range(15_000, 32_000)
"""Below those that the system gives to clients: one that tries again and again to reach a server that is away
could be given the server's own port, would reach itself, and the server could not come back."""
_chance = random.SystemRandom()
_LOOK_S = 0.05
_STOP_WITHIN_S = 30.0

_KEEPER = 'cat >/dev/null; kill -9 "$0"'
"""Kills the server when the pipe closes whose other end only we hold: also when we are killed."""


class Missing(Exception):  # noqa: N818 - not an error of the code that asks
    """The server is not installed here. The text says what is missing."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom to run a server as that refuses to be root."""

    uid: int
    gid: int


class Server(ABC):
    """A context manager: entered when the server answers, left when it has ended."""

    name: ClassVar[str]
    environment: ClassVar[Mapping[str, str]] = {}
    """What it finds there besides ours."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    within_s: ClassVar[float] = 120.0
    """So long it may take to answer; a start on a busy machine is slow."""

    def __init__(self, folder: Path) -> None:
        """folder: its own, made if need be; data, settings and the log of the server go there.

        Raises Missing if it is not installed.
        """
        self.find()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_file = folder / f"{self.name}.log"
        self.work_dir = folder
        self.account: Account | None = None
        self._clock = SystemClock()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @classmethod
    @abstractmethod
    def find(cls) -> None:
        """Raises Missing, saying what is not there, if it is not installed."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What to run, for ever, in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work now."""

    # ------------------------------------------------------------------ its life

    def start(self) -> None:
        """Start, and return when it answers. Raises AssertionError, with the log's end, if it does not."""
        assert not self.running, f"{self.name} runs already"
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.work_dir,
                env={**without_proxies(os.environ), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop it
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )
        self._keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = self._clock.monotonic_s() + self.within_s
        while not self.answers():
            code = self._process.poll()
            if code is not None or self._clock.monotonic_s() > deadline:
                self.kill()
                what = (
                    f"ended with {code}" if code is not None else f"did not answer within {self.within_s} s"
                )
                raise AssertionError(f"{self.name} {what}\n{self.said()[-3000:]}")
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """Ask it to end, and wait; kill it if it does not."""
        if self._process is not None and self.running:
            self.resume()
            self._process.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_WITHIN_S)
        self.kill()

    def kill(self) -> None:
        """kill -9 of it and all that it started, and wait. Nothing if it does not run."""
        if self._process is not None:
            killed = self._signal(signal.SIGKILL) if self.running else []
            self._process.wait()
            self._process = None
            while not _ended(killed):
                time.sleep(_LOOK_S)
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.communicate()
            self._keeper = None

    def restart(self) -> None:
        """Start again on the same port and data; killed first if it runs."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it in mid-work: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a pause."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ looking at it

    @property
    def running(self) -> bool:
        """Whether there is a process; it may be paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that was started. Raises AssertionError if there is none."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def said(self) -> str:
        """What it logged since its last start."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _signal(self, sign: signal.Signals) -> list[int]:
        """Signal it, then what it started; whom that was."""
        # While we look who they are, it must not start another: that one would keep the server's data.
        os.kill(self.pid, signal.SIGSTOP)
        pids = [self.pid, *offspring(self.pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        return pids


def free_port() -> int:
    """A port that was free a moment ago, and that no client is given by chance."""
    while True:
        port = _chance.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def accepts(port: int) -> bool:
    """Whether somebody takes connections at this port of the machine."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def program(name: str, *folders: Path) -> str:
    """The path of a program: on PATH or in one of the folders. Raises Missing."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, folders)])
    if found := shutil.which(name, path=places):
        return found
    raise Missing(f"no {name}")


def without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without proxies: whom we talk to is this machine."""
    return {key: value for key, value in environment.items() if not key.lower().endswith("_proxy")}


def offspring(pid: int) -> list[int]:
    """Processes that a process started, and theirs, that run now."""
    found, running = [pid], list(_processes())
    for one in found:
        found += [child for child, parent, _ in running if parent == one]
    return found[1:]


def _ended(pids: Sequence[int]) -> bool:
    return not any(pid in pids and not state.startswith("Z") for pid, _, state in _processes())


def _processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent's pid, state) of all processes."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True
    )
    for line in listed.stdout.splitlines():
        pid, parent, state = line.split()[:3]
        yield int(pid), int(parent), state
