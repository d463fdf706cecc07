"""The embedded bed under load: sustained rate, CPU of each process, and the time to the webhook."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zhiwei.clock import to_us
from zhiwei.testing.servers.process import offspring
from zhiwei.types import Finding
from zhiwei.wiring.trial import Trial

CONFIG = 'site = "bench"\n[ingest]\nunknown_devices = "provisional"\n'
ROLES = ("broker", "ingest", "stream", "alerts")
_METRICS_S = 1.0
_TICKS = 3
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Saturated:
    """A run as fast as it goes."""

    messages: int
    applied: int
    """Rows that reached the rules; fewer than messages means loss."""
    seconds: float
    """From the first packet to the last row's findings."""
    cpu_us: dict[str, float]
    """CPU µs per message of each process."""

    @property
    def rate(self) -> float:
        return self.messages / self.seconds

    @property
    def ours_us(self) -> float:
        """Socket to finding: ingest and streams; broker and dispatch apart."""
        return self.cpu_us["ingest"] + self.cpu_us["stream"]


@dataclass(frozen=True, slots=True)
class Paced:
    """A run at a fixed rate: latency from a completing reading's own time to the webhook, ms."""

    rate: int
    events: int
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]


@contextmanager
def bed(snapshot_s: float = 30.0) -> Iterator[Trial]:
    """A bed in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="zw-bench-") as folder:
        config = f'{CONFIG}[streams]\nscenarios = ["water"]\nsnapshot_s = {snapshot_s}\n'
        with Trial(Path(folder), config) as trial:
            yield trial


def saturated(messages: int, stations: int) -> Saturated:
    """Publish so many messages as fast as they are taken."""
    with bed() as trial:
        with load_on(
            trial.settings.mqtt.port, "--messages", str(messages), "--stations", str(stations)
        ) as go:
            before, began = cpu(trial), time.monotonic()
            go()
            trial.until(lambda: _applied(trial) >= messages, "all rows are stepped", 60 + messages / 500)
            seconds, after = time.monotonic() - began, cpu(trial)
        spent = {role: (after[role] - before[role]) / messages * 1e6 for role in after}
        return Saturated(messages, int(_applied(trial)), seconds, spent)


def paced(rate: int, seconds: float, stations: int) -> Paced:
    """Publish at a rate and time what completes a condition."""
    with bed() as trial:
        pacing = ("--rate", str(rate), "--seconds", str(seconds), "--stations", str(stations))
        with load_on(trial.settings.mqtt.port, *pacing) as go:
            before = cpu(trial)
            go()
            after = cpu(trial)
        time.sleep(2 * _METRICS_S)  # figures are written once a second
        trial.until(lambda: settled(trial), "everything is delivered")
        spent = {role: (after[role] - before[role]) / (rate * seconds) * 1e6 for role in after}
        times = sorted(_latencies(trial))
        return Paced(rate, len(times), quantile(times, 0.5), quantile(times, 0.99), spent)


@contextmanager
def load_on(port: int, *arguments: str, module: str = "bench.load") -> Iterator["Go"]:
    """The publisher's process, its packets built; ``go()`` starts it and returns when it is done."""
    command = [sys.executable, "-m", module, "--port", str(port), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        go = Go(process)
        go.expect("built")
        yield go


class Go:
    """Starts the load when called."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __call__(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()
        self.expect("done")

    def expect(self, word: str) -> None:
        """Wait for a word. Raises RuntimeError if the process ends without it."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline().decode().strip()
        if said != word:
            raise RuntimeError(f"the publisher said {said!r}, expected {word!r}")


def cpu(trial: Trial) -> dict[str, float]:
    """CPU seconds that each role has used, with what it started."""
    spent = {}
    for role in ROLES:
        process = trial.child(role).process
        assert process is not None
        spent[role] = cpu_of_tree(process.pid)
    return spent


def cpu_of_tree(pid: int) -> float:
    """CPU seconds of a process and of what it started."""
    return sum(cpu_of(one) for one in (pid, *offspring(pid)) if Path(f"/proc/{one}").exists())


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _applied(trial: Trial) -> float:
    return sum(trial.figure("streams", "zhiwei_rows", bin=b) for b in ("applied", "late", "duplicate"))


def settled(trial: Trial) -> bool:
    """Nothing waits but the ticks of the last moment."""
    lag = trial.figure("streams", "zhiwei_lag_records")
    return lag <= _TICKS and trial.figure("alerts", "zhiwei_dispatch_pending") == 0


def _latencies(trial: Trial) -> Iterator[float]:
    """ms from the completing reading's ``ts`` to the receiver, of everything that was opened."""
    for received in list(trial.receiver.events.values()):
        event = msgspec.json.decode(received.body)
        if event["type"] == "zhiwei.incident.opened" and event["data"]["finding"]:
            finding = msgspec.convert(event["data"]["finding"], Finding)
            if finding.kind == "water.turbidity_high":
                yield (received.arrived_us - to_us(finding.at)) / 1000


def quantile(ordered: list[float], share: float) -> float:
    """The value below which this share lies; NaN of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
