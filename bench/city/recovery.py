"""How soon streams tell again after kill -9 of a worker: its own new process, or another that takes over."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench.city.bed import City, city, pacing
from bench.embedded import load_on
from bench.lifts import PRESSES
from bench.urgent import KINDS, opened
from zhiwei.clock import MICROS, to_us
from zhiwei.ids import partition_of
from zhiwei.types import Finding

PARTITIONS = 4
_FIRST = "stream"
"""The process of the first worker."""
SESSION_S = 10.0
_LIVE_S = 140.0
_KILL_AFTER_S = 80.0
"""Entrapments are complete from 55 s on, in every partition."""
_LOOK_S = 0.005


@dataclass(frozen=True, slots=True)
class Recovery:
    """One kill."""

    lifts: int
    workers: int
    told_s: dict[str, dict[int, float]]
    """Kind → partition → when the first webhook came of what was published after the kill. Counted from the
    start of the new process; with several workers from the moment at which the dead one's session ends."""


def recovery(lifts: int, rate: int, workers: int) -> Recovery:
    """Kill a worker that knows so many lifts, under a city's load.

    With one worker its supervisor starts it again; of several the first stays dead.
    """
    with city(partitions=PARTITIONS, workers=workers, session_s=SESSION_S) as bed:
        bed.warm_up(lifts)
        load = pacing(lifts, rate, _LIVE_S, PRESSES)
        with load_on(bed.port, *load, module="bench.lifts") as go:
            beside = threading.Thread(target=go)
            beside.start()
            time.sleep(_KILL_AFTER_S)
            killed_us = _now_us()
            if workers == 1:
                counted_us = _started_again(bed)
            else:
                bed.trial.retire(_FIRST)
                counted_us = killed_us + int(SESSION_S * MICROS)
            beside.join()
        bed.trial.until(
            lambda: bed.trial.figure("alerts", "zhiwei_dispatch_pending") == 0, "all is delivered"
        )
        return Recovery(lifts, workers, first_told(opened(bed.trial), killed_us, counted_us))


def _started_again(bed: City) -> int:
    """Kill the worker; when its new process started, µs."""
    before = bed.trial.child(_FIRST).process
    bed.trial.kill(_FIRST)
    while bed.trial.child(_FIRST).process in (before, None):
        time.sleep(_LOOK_S)
    return _now_us()


def _now_us() -> int:
    return time.time_ns() // 1000


def first_told(
    opened: Iterable[tuple[Finding, int]], killed_us: int, counted_us: int
) -> dict[str, dict[int, float]]:
    """Kind → partition → seconds from ``counted_us`` to the first that was told of what was published after
    the kill. opened: findings, and when they were told."""
    told: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
    for finding, told_us in opened:
        if finding.kind in told and to_us(finding.at) >= killed_us:
            partitions, partition = told[finding.kind], partition_of(finding.entity, PARTITIONS)
            seconds = (told_us - counted_us) / MICROS
            partitions[partition] = min(seconds, partitions.get(partition, seconds))
    return told


def say(run: Recovery) -> None:
    """Lines for people."""
    since = "its new process's start" if run.workers == 1 else "the end of its session"
    print(f"a worker of {run.workers} killed, {run.lifts} lifts known; seconds from {since} to the webhook:")
    for kind, partitions in run.told_s.items():
        each = sorted(partitions.values())
        said = (
            f"first {each[0]:.1f}, in the last of {len(each)} partitions {each[-1]:.1f}" if each else "none"
        )
        print(f"{kind}: {said}")
