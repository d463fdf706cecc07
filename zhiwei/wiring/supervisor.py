"""Keeps the processes of the embedded bed running: starts them, starts them again, stops them in order.

Each role is a process of its own and can be killed at any moment; it goes on where its files say. A role
that ends because a person must act (exit status 78) stops the whole, with its words.
"""

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zhiwei.clock import Clock
from zhiwei.errors import ZhiweiError
from zhiwei.logs import logger, say

NEEDS_A_PERSON = 78  # EX_CONFIG of sysexits.h
_LIVED_S = 10.0
"""A process that lived so long is started again at once; otherwise after a growing pause."""
_PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_STOP_S = 15.0
_LOOK_S = 0.1

_log = logger.getChild("supervisor")


@dataclass(slots=True)
class Child:
    """One role."""

    name: str
    arguments: Sequence[str]
    log: Path
    """Where its standard error goes."""
    once: bool = False
    """Ends by itself when its work is done, and is then not started again."""
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    failures: int = 0
    due_s: float = 0.0
    restarts: int = 0
    done: bool = False
    """Not started (again)."""
    program: Sequence[str] = ("-m", "zhiwei.cli")
    """What Python runs with the arguments."""


@dataclass(slots=True)
class Supervisor:
    """See the head of this file. Children are started in order and stopped in order."""

    children: list[Child]
    clock: Clock
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, each_look: Callable[[], None] = lambda: None) -> None:
        """Until ``stop`` is set. each_look is called about ten times a second.

        Raises ZhiweiError with the words of a child that cannot go on without a person.
        """
        try:
            while not self.stop.is_set():
                for child in self.children:
                    self._look_after(child)
                each_look()
                self.stop.wait(_LOOK_S)
        finally:
            self._stop_all()

    def _look_after(self, child: Child) -> None:
        now_s = self.clock.monotonic_s()
        if child.process is None:
            if not child.done and now_s >= child.due_s:
                self._start(child)
            return
        status = child.process.poll()
        if status is None:
            return
        _forget(child)
        if status == NEEDS_A_PERSON:
            raise ZhiweiError(_last_words(child))
        if child.once and status == 0:
            child.done = True
            return
        child.failures = 0 if now_s - child.started_s > _LIVED_S else child.failures + 1
        pause_s = _PAUSES_S[min(child.failures, len(_PAUSES_S) - 1)]
        child.due_s, child.restarts = now_s + pause_s, child.restarts + 1
        say(
            _log,
            logging.WARNING,
            "process ended, starting it again",
            role=child.name,
            status=status,
            in_s=pause_s,
        )

    def _start(self, child: Child) -> None:
        child.log.parent.mkdir(parents=True, exist_ok=True)
        with child.log.open("ab") as output:
            child.process = subprocess.Popen(
                [sys.executable, *child.program, *child.arguments],
                stdin=subprocess.PIPE,  # its end tells the child that we are gone, however we went
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C is for us; we stop the children in order
            )
        child.started_s = self.clock.monotonic_s()

    def _stop_all(self) -> None:
        for child in self.children:
            if child.process is None:
                continue
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                say(_log, logging.WARNING, "process did not stop in time, killing it", role=child.name)
                child.process.kill()
                child.process.wait()
            _forget(child)


def _forget(child: Child) -> None:
    """The process has ended; close our end of its standard input."""
    if child.process is not None and child.process.stdin is not None:
        child.process.stdin.close()
    child.process = None


def _last_words(child: Child) -> str:
    lines = child.log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.removeprefix("zhiwei: ") for line in lines if line.startswith("zhiwei: ")]
    return f"{child.name}: {said[-1] if said else f'ended; see {child.log}'}"
