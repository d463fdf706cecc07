"""``python -m bench [quick|embedded|urgent|intake]``: prints figures; ``quick`` ends with flat JSON."""

import argparse
import json

from bench.embedded import Paced, Saturated, paced, saturated
from bench.intake import compare
from bench.peers import Tutorial, ratio, tutorial
from bench.urgent import say as say_urgent
from bench.urgent import urgent

STATIONS = 2000


def quick() -> None:
    """At most 45 s: ours, the peer, and the latency, on the embedded bed."""
    ours = saturated(100_000, STATIONS)
    _say_saturated(ours)
    theirs = tutorial(8_000, STATIONS)
    _say_tutorial(theirs, ours)
    timed = paced(1000, 8.0, 1000)
    _say_paced(timed)
    figures = {
        "ours_cpu_us": round(ours.ours_us, 2),
        "tutorial_cpu_us": round(theirs.cpu_us, 2),
        "cpu_ratio": round(ratio(ours, theirs), 2),
        "ours_msg_s": round(ours.rate),
        "p50_ms": round(timed.p50_ms, 1),
        "p99_ms": round(timed.p99_ms, 1),
    }
    print(json.dumps(figures))


def embedded() -> None:
    """The whole of what can be said of the embedded bed: three runs each, and a longer paced one."""
    for _ in range(3):
        ours = saturated(300_000, STATIONS)
        _say_saturated(ours)
        _say_tutorial(tutorial(20_000, STATIONS), ours)
    for rate in (200, 1000, 5000):
        _say_paced(paced(rate, 30.0, 1000))


def life_safety() -> None:
    """Life-safety findings at 2,000 msg/s: alone, and while 100,000 old readings drain."""
    say_urgent(urgent(2000, 75.0, 0))
    say_urgent(urgent(2000, 90.0, 100_000))


def _say_saturated(run: Saturated) -> None:
    each = ", ".join(f"{role} {us:.1f}" for role, us in run.cpu_us.items())
    print(
        f"ours, as fast as it goes: {run.messages} messages, {run.applied} stepped, {run.rate:,.0f} msg/s; "
        f"CPU µs per message: {each}; socket to finding {run.ours_us:.1f}"
    )


def _say_tutorial(run: Tutorial, ours: Saturated) -> None:
    print(
        f"stock paho + one Faust message a reading: {run.seen} of {run.messages} seen, "
        f"{run.rate:,.0f} msg/s; CPU µs per message {run.cpu_us:.1f}; "
        f"ours costs {ratio(ours, run):.1f} times less"
    )


def _say_paced(run: Paced) -> None:
    each = ", ".join(f"{role} {us:.0f}" for role, us in run.cpu_us.items())
    print(
        f"ours at {run.rate} msg/s: publish to webhook p50 {run.p50_ms:.1f} ms, p99 {run.p99_ms:.1f} ms "
        f"over {run.events} events; CPU µs per message: {each}"
    )


_RUNS = {"quick": quick, "embedded": embedded, "urgent": life_safety, "intake": compare}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="embedded", choices=tuple(_RUNS))
    _RUNS[parser.parse_args().what]()


if __name__ == "__main__":
    main()
