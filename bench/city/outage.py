"""The burst after an outage of ingest: what gathered drains while new entrapments are told."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bench.city.bed import LOOK_S, City, city, pacing
from bench.city.paced import by_kind
from bench.embedded import load_on, quantile
from bench.urgent import KINDS, latencies
from zhiwei.clock import MICROS

_LAG_RECORDS = 50
"""A second's frames and ticks of a bed that keeps up."""
_LATE_MS = 1000.0
_SPAN_S = 15
"""In the first the process starts, connects and meets the flood; the first button is pressed after 10 s."""
_LIVE_S = 180.0
"""How long new readings are published, from the moment at which ingest starts again."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage."""

    gathered: int
    rate: int
    """New messages a second while it drains."""
    live: int
    """New messages that were published in all."""
    drained_s: float
    """From the start of ingest until nothing waits any more."""
    stepped: float
    """Rows stepped in that time, new ones and those that came by both ways included."""
    ms: dict[str, list[float]]
    """From publish to webhook by kind, of new readings that completed a condition while it drained."""
    late_s: dict[str, list[float]]
    """By kind, how long after ingest's start those were published that took more than a second."""


def outage(lifts: int, rate: int, outage_s: float, presses: float) -> Outage:
    """So many seconds of messages gather at the broker; then ingest starts again. presses: of alarm buttons,
    a second, among the new messages."""
    gathered, live = int(rate * outage_s), int(rate * _LIVE_S)
    with city() as bed:
        trial = bed.trial
        bed.warm_up(lifts)
        trial.retire("ingest")
        with load_on(
            bed.port, "--lifts", str(lifts), "--gathered", str(gathered), module="bench.lifts"
        ) as go:
            go()
        before = bed.applied()
        live_load = pacing(lifts, rate, _LIVE_S, presses)
        with load_on(bed.port, *live_load, module="bench.lifts") as go:
            trial.child("ingest").done = False
            began, began_us = time.monotonic(), time.time_ns() // 1000
            beside = threading.Thread(target=go)
            beside.start()
            most_s = 120 + gathered / 2000
            bed.wait_applied(before + gathered, most_s)
            what = "nothing waits at the broker or on the log"
            trial.until(lambda: _caught_up(bed), what, most_s, look_s=LOOK_S)
            drained_s, ended_us = time.monotonic() - began, time.time_ns() // 1000
            stepped = bed.applied() - before
            beside.join()
            bed.wait_applied(before + gathered + live, 300)
        trial.until(lambda: trial.figure("alerts", "zhiwei_dispatch_pending") == 0, "all is delivered")
        found = [one for one in latencies(trial) if began_us <= one[1] <= ended_us]
    late_s = {
        kind: [(at - began_us) / MICROS for k, at, ms in found if k == kind and ms > _LATE_MS]
        for kind in KINDS
    }
    return Outage(gathered, rate, live, drained_s, stepped, by_kind(found), late_s)


def _caught_up(bed: City) -> bool:
    """Our own message comes back through the session at once, and what is on the log is stepped."""
    lag = sum(bed.trial.figure(worker, "zhiwei_lag_records") for worker in bed.workers)
    return bed.trial.figure("ingest", "zhiwei_ingest_live") == 1 and lag <= _LAG_RECORDS


def spans(late_s: Iterable[float]) -> str:
    """When the late ones were published, in words: a standstill shows as one span, full cores as many."""
    counted = Counter(int(at // _SPAN_S) for at in late_s)
    each = [f"{n * _SPAN_S}-{(n + 1) * _SPAN_S} s: {count}" for n, count in sorted(counted.items())]
    return f"; published after ingest's start at {', '.join(each)}" if each else ""


def say(run: Outage) -> None:
    """Lines for people."""
    print(
        f"outage: {run.gathered} messages gathered; with {run.rate} new ones a second nothing waited "
        f"{run.drained_s:.0f} s after ingest's start, {run.stepped / run.drained_s:,.0f} rows/s in all"
    )
    for kind, ms in run.ms.items():
        late_s = run.late_s[kind]
        worst = ms[-1] if ms else float("nan")
        print(
            f"new {kind} meanwhile: p50 {quantile(ms, 0.5):.0f} ms, p99 {quantile(ms, 0.99):.0f}, "
            f"worst {worst:.0f}; {len(late_s)} of {len(ms)} later than 1 s{spans(late_s)}"
        )
