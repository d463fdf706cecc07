"""At the rate of a city: from the reading that completes a condition to the webhook, with all that runs."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench.city.bed import city, pacing
from bench.embedded import load_on, quantile
from bench.lifts import PRESSES
from bench.urgent import KINDS, latencies


@dataclass(frozen=True, slots=True)
class Paced:
    """A run at a fixed rate."""

    rate: int
    workers: int
    messages: int
    stepped: float
    cpu_us: dict[str, float]
    ms: dict[str, list[float]]
    """From publish to webhook by kind, sorted."""


def paced(lifts: int, rate: int, seconds: float, workers: int = 1, presses: float = PRESSES) -> Paced:
    """Publish so many messages a second, evenly, and so many alarm buttons."""
    with city(workers=workers) as bed:
        load = pacing(lifts, rate, seconds, presses)
        bed.warm_up(lifts)
        before = bed.applied()
        with load_on(bed.port, *load, module="bench.lifts") as go:
            meter = bed.meter()
            go()
            messages = int(rate * seconds)
            _, cpu_us = meter.read(messages)
        bed.wait_applied(before + messages, 120)
        time.sleep(2.0)  # figures are written once a second
        bed.trial.until(
            lambda: bed.trial.figure("alerts", "zhiwei_dispatch_pending") == 0, "all is delivered"
        )
        ms = by_kind(latencies(bed.trial))
        return Paced(rate, workers, messages, bed.applied() - before, cpu_us, ms)


def by_kind(found: Iterable[tuple[str, int, float]]) -> dict[str, list[float]]:
    """Sorted ms of each life-safety kind."""
    ms: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind, _, each in found:
        if kind in ms:
            ms[kind].append(each)
    return {kind: sorted(each) for kind, each in ms.items()}


def say(run: Paced) -> None:
    """Lines for people."""
    each = ", ".join(f"{name} {us:.1f}" for name, us in run.cpu_us.items())
    print(
        f"ours at {run.rate} msg/s, {run.workers} worker(s): {run.messages} messages, "
        f"{run.stepped:.0f} stepped; CPU µs per message: {each}"
    )
    for kind, ms in run.ms.items():
        worst = ms[-1] if ms else float("nan")
        print(
            f"{kind}: reading to webhook p50 {quantile(ms, 0.5):.0f} ms, p90 {quantile(ms, 0.9):.0f}, "
            f"p99 {quantile(ms, 0.99):.0f}, p99.9 {quantile(ms, 0.999):.0f}, worst {worst:.0f} "
            f"over {len(ms)} events"
        )
