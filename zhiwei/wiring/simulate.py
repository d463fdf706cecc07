"""``zhiwei simulate``: a world to a broker or into a file, and its labels beside it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from simulators import script
from simulators.city import simulation
from simulators.faults import load
from simulators.gateway import connect
from simulators.output import label_lines, write
from simulators.world import Label, Report
from zhiwei.clock import SystemClock, to_us
from zhiwei.errors import ZhiweiError
from zhiwei.wiring.roles import stop_event

SCRIPT = "script"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which world."""

    scenario: str
    entities: int
    days: float
    seed: int
    start: datetime | None
    """None: now."""
    event_rate: float | None
    faults: Path | None


@dataclass(frozen=True, slots=True)
class _Show:
    """Reports to be read to the end, and labels that are complete then."""

    reports: Iterator[Report]
    scenario: Callable[[Report], str]
    labels: Callable[[], list[Label]]


def simulate(
    wish: Wish,
    *,
    url: str | None,
    out: Path | None,
    speed: float | None,
    labels: Path | None,
    supervised: bool = False,
) -> list[str]:
    """Run it; returns what to tell the person who started it. Raises ZhiweiError."""
    clock = SystemClock()
    start_us = clock.now_us() if wish.start is None else to_us(wish.start)
    if wish.scenario == SCRIPT and wish.start is None and speed is not None and speed > 1:
        start_us -= int(script.LASTS_MS * 1000 * (1 - 1 / speed))  # it ends now: nothing lies in the future
    show = _show(wish, start_us // 1000)
    try:
        if out is not None:
            if wish.scenario == SCRIPT:
                raise ZhiweiError("the script has three scenarios and a file has one: give --mqtt")
            with out.open("wb") as stream:
                told = [f"{write(show.reports, stream)} reports written"]
        else:
            told = _publish(show, str(url), speed, clock, stop_event(supervised=supervised))
        if labels is not None:
            found = show.labels()
            labels.write_bytes(label_lines(found))
            told.append(f"{sum(label.fault is None for label in found)} events and "
                        f"{sum(label.fault is not None for label in found)} faults labelled")  # fmt: skip
    except OSError as error:
        raise ZhiweiError(f"{error.filename}: cannot be written: {error.strerror}") from None
    return told


def _show(wish: Wish, start_ms: int) -> _Show:
    if wish.scenario == SCRIPT:
        if wish.faults is not None:
            raise ZhiweiError("the script is fixed: --faults goes with a scenario")
        truths = script.truths(start_ms)
        return _Show(
            script.reports(start_ms, truths),
            lambda report: script.SCENARIO_OF[report.entity],
            lambda: [label for truth in truths.values() for label in truth.labels()],
        )
    world = simulation(
        wish.scenario,
        entities=wish.entities,
        start_ms=start_ms,
        days=wish.days,
        seed=wish.seed,
        event_rate=wish.event_rate,
        faults=load(wish.faults) if wish.faults else (),
    )
    return _Show(world.reports(), lambda _: wish.scenario, world.truth.labels)


def _publish(
    show: _Show, url: str, speed: float | None, clock: SystemClock, stop: threading.Event
) -> list[str]:
    with connect(url, clock) as gateway:
        sent = gateway.run(show.reports, show.scenario, speed, stop)
        left = gateway.waiting
    told = [f"{sent.reports} reports in {sent.messages} messages, {left} of them not acknowledged"]
    return told + [f"refused: {text}" for text in sent.refused]
