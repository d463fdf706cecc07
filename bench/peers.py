"""Runs the peer on the same packets over the same kind of broker, and reads its CPU."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.embedded import Saturated, cpu_of, load_on
from bench.tutorial import TOPIC
from ingest.broker import Broker
from zhiwei.commitlog import CommitLog
from zhiwei.settings import Mqtt
from zhiwei.testing.servers.process import free_port

Load = Callable[[], AbstractContextManager[Callable[[], None]]]
"""The publisher's process, its packets built; what it yields publishes them."""

_MOST_S = 120.0


@dataclass(frozen=True, slots=True)
class Tutorial:
    """Stock paho + one Faust message a reading."""

    messages: int
    seen: int
    found: int
    seconds: float
    cpu_us: float

    @property
    def rate(self) -> float:
        return self.seen / self.seconds


def tutorial(messages: int, stations: int) -> Tutorial:
    """Publish so many messages of water as fast as they are taken by the peer, on the embedded bed."""
    with tempfile.TemporaryDirectory(prefix="zw-bench-") as folder:
        port = free_port()
        with CommitLog(Path(folder), "readings", writer=True) as log:
            log.create_topic(TOPIC, 1)
        with Broker(Mqtt(port=port)):
            load = partial(load_on, port, "--messages", str(messages), "--stations", str(stations))
            return run(port, f"embedded://{folder}", Path(folder), load, messages)


def run(
    port: int,
    log: str,
    folder: Path,
    load: Load,
    messages: int,
    *options: str,
) -> Tutorial:
    """The peer between a broker and a log that run; its topic is there. options: of ``bench.tutorial``."""
    command = [sys.executable, "-m", "bench.tutorial", "--port", str(port), "--log", log]
    command += ["--folder", str(folder / "faust"), *options]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as peer,
        load() as go,
    ):
        _expect(peer, b"ready")
        before, began = cpu_of(peer.pid), time.monotonic()
        go()
        seen = 0
        while seen < messages and time.monotonic() - began < _MOST_S:
            time.sleep(0.1)
            seen, found = _ask(peer)
        seconds, after = time.monotonic() - began, cpu_of(peer.pid)
        peer.kill()
    return Tutorial(messages, seen, found, seconds, (after - before) / max(1, seen) * 1e6)


def ratio(ours: Saturated, theirs: Tutorial) -> float:
    """How many times less CPU a message costs us, from socket to finding."""
    return theirs.cpu_us / ours.ours_us


def _expect(peer: "subprocess.Popen[bytes]", word: bytes) -> None:
    assert peer.stdout is not None
    if (said := peer.stdout.readline().strip()) != word:
        raise RuntimeError(f"the peer said {said!r}, expected {word!r}")


def _ask(peer: "subprocess.Popen[bytes]") -> tuple[int, int]:
    """Readings seen, and findings."""
    assert peer.stdin is not None
    assert peer.stdout is not None
    peer.stdin.write(b"\n")
    peer.stdin.flush()
    seen, found = map(int, peer.stdout.readline().split())
    return seen, found
