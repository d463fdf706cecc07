"""Life-safety findings on the embedded bed: from the completing reading to the webhook, with and without
a backlog that drains beside it."""

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.embedded import CONFIG, load_on, quantile, settled
from zhiwei.clock import to_us
from zhiwei.types import Finding
from zhiwei.wiring.trial import Trial

BACKLOG_AFTER_S = 44.0
"""When the old readings begin: just before the first entrapments are complete."""
_FIGURES_S = 2.0
"""The processes write their figures once a second."""
KINDS = ("elevator.entrapment", "elevator.alarm_button")


@dataclass(frozen=True, slots=True)
class Timed:
    """Latencies of one kind, ms, sorted."""

    kind: str
    during: tuple[float, ...]
    """Completed while old readings were coming in or being stepped; all of them without a backlog."""


@dataclass(frozen=True, slots=True)
class Urgent:
    """One run."""

    rate: int
    backlog: int
    drained_s: float
    """From the first old reading to the last one stepped; 0 without a backlog."""
    timed: tuple[Timed, ...]


def urgent(rate: int, seconds: float, backlog: int) -> Urgent:
    """Publish lifts at this rate, with so many old readings in the middle."""
    with tempfile.TemporaryDirectory(prefix="zw-bench-") as folder:
        config = f'{CONFIG}[streams]\nscenarios = ["elevator"]\n'
        with Trial(Path(folder), config) as trial:
            began_us, ended_us = _run(trial, rate, seconds, backlog)
            time.sleep(_FIGURES_S)
            trial.until(lambda: settled(trial), "everything is delivered")
            times = list(latencies(trial))
    timed = tuple(
        Timed(kind, tuple(sorted(ms for k, at, ms in times if k == kind and began_us <= at <= ended_us)))
        for kind in KINDS
    )
    return Urgent(rate, backlog, (ended_us - began_us) / 1e6 if backlog else 0.0, timed)


def _run(trial: Trial, rate: int, seconds: float, backlog: int) -> tuple[int, int]:
    """Publish; returns the time in which latencies count, µs."""
    port = str(trial.settings.mqtt.port)
    span = [0, 2**62]

    def old() -> None:
        with load_on(int(port), "--backlog", str(backlog), module="bench.lifts") as go:
            time.sleep(max(0.0, started + BACKLOG_AFTER_S - time.monotonic()))
            span[0] = time.time_ns() // 1000
            go()
            trial.until(lambda: _old_rows(trial) >= backlog, "old readings are stepped", 300)
            span[1] = time.time_ns() // 1000

    with load_on(int(port), "--rate", str(rate), "--seconds", str(seconds), module="bench.lifts") as go:
        started = time.monotonic()
        beside = threading.Thread(target=old) if backlog else None
        if beside:
            beside.start()
        go()
        if beside:
            beside.join()
    return span[0], span[1]


def _old_rows(trial: Trial) -> float:
    return sum(
        trial.figure("streams", "zhiwei_rows", bin=one, topic="backlog.elevator")
        for one in ("applied", "late", "duplicate")
    )


def opened(trial: Trial) -> Iterator[tuple[Finding, int]]:
    """(finding, when the receiver was told, µs) of every incident that was opened."""
    for received in list(trial.receiver.events.values()):
        event = msgspec.json.decode(received.body)
        if event["type"] == "zhiwei.incident.opened" and event["data"]["finding"]:
            yield msgspec.convert(event["data"]["finding"], Finding), received.arrived_us


def latencies(trial: Trial) -> Iterator[tuple[str, int, float]]:
    """(kind, completing reading's time in µs, ms to the receiver) of every incident that was opened."""
    for finding, told_us in opened(trial):
        yield finding.kind, to_us(finding.at), (told_us - to_us(finding.at)) / 1000


def say(run: Urgent) -> None:
    """A line for each kind."""
    beside = f", {run.backlog} old readings drained in {run.drained_s:.1f} s" if run.backlog else ""
    for one in run.timed:
        p50, p99 = quantile(list(one.during), 0.5), quantile(list(one.during), 0.99)
        worst = one.during[-1] if one.during else float("nan")
        print(
            f"{one.kind} at {run.rate} msg/s{beside}: reading to webhook p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
            f"worst {worst:.0f} ms over {len(one.during)} events"
        )
