"""The scripted minute: all three things begin within it, and each shows as its label says."""

from itertools import pairwise

from simulators import script
from simulators.world import MINUTE_MS, Report
from zhiwei.clock import to_us

START = 1_767_542_400_000


def played() -> tuple[list[Report], list[tuple[str, str, int, int]]]:
    truths = script.truths(START)
    reports = list(script.reports(START, truths))
    labels = [label for truth in truths.values() for label in truth.labels()]
    return reports, [
        (x.entity, x.kind, to_us(x.onset) // 1000 - START, to_us(x.end) // 1000 - START) for x in labels
    ]


def test_three_things_begin_within_the_minute_and_end_before_the_script_does() -> None:
    _, labels = played()
    assert sorted(kind for _, kind, _, _ in labels) == [
        "elderly.fall", "elevator.entrapment", "water.chlorine_low",
    ]  # fmt: skip
    for _, _, onset, end in labels:
        assert script.MINUTE_BEGINS_MS <= onset < script.MINUTE_BEGINS_MS + MINUTE_MS / 6
        assert onset + MINUTE_MS < end < script.LASTS_MS


def test_the_script_is_the_same_each_time_and_moves_with_its_start() -> None:
    assert played() == played()
    later = list(script.reports(START + 60_000, script.truths(START + 60_000)))
    assert [(r.sent - 60_000, r.device) for r in later] == [(r.sent, r.device) for r in played()[0]]


def test_the_car_stands_between_two_floors_with_somebody_inside() -> None:
    reports, labels = played()
    onset, end = next((a, b) for _, kind, a, b in labels if kind == "elevator.entrapment")
    inside = [r.values for r in reports if r.entity == script.LIFT and onset <= r.ts - START < end - 40_000]
    assert len(inside) >= 30
    for values in inside[:30]:
        assert (values["moving"], values["in_door_zone"], values["person"], values["door_closed"]) == (
            False, False, True, True,
        )  # fmt: skip


def test_chlorine_is_below_the_limit_within_half_a_minute() -> None:
    reports, _ = played()
    at = script.MINUTE_BEGINS_MS
    chlorine = {r.ts - START: r.values["free_chlorine"] for r in reports if r.entity == script.STATION}
    assert all(float(str(v)) > 0.1 for t, v in chlorine.items() if t < at)
    assert all(float(str(v)) < 0.05 for t, v in chlorine.items() if at + 20_000 <= t <= at + 240_000)


def test_nobody_is_upright_for_a_minute_after_the_fall() -> None:
    reports, labels = played()
    onset = next(a for _, kind, a, _ in labels if kind == "elderly.fall")
    home = [r for r in reports if r.entity == script.HOME]
    [fall] = [r for r in home if r.urgent]
    assert fall.ts - START == onset
    after = [r for r in home if onset < r.ts - START <= onset + 60_000]
    assert {name for r in after for name in r.values} == {"temperature"}
    assert max(b.ts - a.ts for a, b in pairwise(home)) <= script.STEP_MS
