"""Homes: what sensors say follows from where somebody is, and labels from what happens to them."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from simulators.home import HEARTBEAT_MS
from simulators.home_events import spliced
from simulators.resident import Habits, Stay, day
from simulators.world import DAY_MS, Label, Report, World, midnight
from zhiwei.clock import to_us

Lived = Callable[..., Any]
WORLD = ("elderly", 30, 7.0, 4, 0.6)


@pytest.fixture(scope="module")
def homes(lived: Lived) -> dict[str, list[Report]]:
    found: dict[str, list[Report]] = defaultdict(list)
    for report in lived(*WORLD)[0]:
        found[report.entity].append(report)
    return found


@pytest.fixture(scope="module")
def labels(lived: Lived) -> list[Label]:
    found: list[Label] = lived(*WORLD)[1]
    return found


def ms(label: Label) -> tuple[int, int]:
    return to_us(label.onset) // 1000, to_us(label.end) // 1000


def of_kind(labels: list[Label], kind: str) -> Iterator[Label]:
    found = [label for label in labels if label.kind == kind]
    assert found, f"the world has no {kind}"
    return iter(found)


def during(homes: dict[str, list[Report]], label: Label) -> list[Report]:
    start, end = ms(label)
    return [report for report in homes[label.entity] if start <= report.ts < end]


def moves(report: Report) -> bool:
    """Whether it shows somebody who does something."""
    v = report.values
    return (
        any(name.startswith("motion") and value is True for name, value in v.items())
        or v.get("posture") == "upright"
    )


def world() -> World:
    return World("elderly", "home", 1, midnight(20_000), midnight(20_007), 9, 0.0)


@pytest.mark.parametrize("number", range(20_000, 20_030))
def test_a_day_is_without_gaps_and_without_overlaps(number: int) -> None:
    here = world()
    stays = day(here, "home-0001", Habits.drawn(here.chance("habits")), number)
    assert stays[0].start == midnight(number)
    assert stays[-1].end == midnight(number + 1)
    assert all(a.end == b.start for a, b in pairwise(stays))
    assert all(stay.start < stay.end for stay in stays)


def test_what_is_spliced_in_takes_its_time_and_no_more() -> None:
    stays = [Stay(0, 100, "bed", 0, 0), Stay(100, 200, "living", 9, 0)]
    change = [Stay(50, 120, "hall", 9, 0), Stay(120, 150, "out", 0, 0)]
    expected = [Stay(0, 50, "bed", 0, 0), *change, Stay(150, 200, "living", 9, 0)]
    assert spliced(stays, change) == expected


def test_what_is_spliced_over_midnight_is_cut_at_the_day() -> None:
    change = [Stay(-50, 30, "hall", 9, 0)]
    assert spliced([Stay(0, 100, "bed", 0, 0)], change) == [
        Stay(0, 30, "hall", 9, 0),
        Stay(30, 100, "bed", 0, 0),
    ]
    assert spliced([Stay(0, 100, "bed", 0, 0)], [Stay(200, 300, "hall", 9, 0)]) == [Stay(0, 100, "bed", 0, 0)]


def test_the_register_never_falls_and_counts_whole_pulses(homes: dict[str, list[Report]]) -> None:
    for reports in homes.values():
        values = [float(str(r.values["water_m3"])) for r in reports if "water_m3" in r.values]
        assert len(values) == 7 * 48
        assert all(a <= b for a, b in pairwise(values))
        assert all(abs(v * 100 - round(v * 100)) < 1e-6 for v in values)


def test_a_home_uses_as_much_water_as_one_person_does(
    homes: dict[str, list[Report]], labels: list[Label]
) -> None:
    leaking = {label.entity for label in labels if label.kind == "elderly.leak"}
    used = []
    for entity in homes.keys() - leaking:
        values = [float(str(r.values["water_m3"])) for r in homes[entity] if "water_m3" in r.values]
        used.append((values[-1] - values[0]) / 7 * 1000)
    assert 60 < sum(used) / len(used) < 180


def test_every_device_is_heard_every_hour(homes: dict[str, list[Report]]) -> None:
    for reports in homes.values():
        last: dict[str, int] = {}
        for report in reports:
            if f"battery.{report.device}" in report.values:
                assert report.ts - last.get(report.device, report.ts) <= HEARTBEAT_MS
                last[report.device] = report.ts
        assert len(last) == 14


def test_the_front_door_closes_each_time_that_it_was_opened(homes: dict[str, list[Report]]) -> None:
    for reports in homes.values():
        door = [
            (r.ts, r.values["door.front"]) for r in reports if r.device == "door-front" and len(r.values) == 1
        ]
        assert [state for _, state in door] == [True, False] * (len(door) // 2)


def test_bed_and_door_report_changes_only(homes: dict[str, list[Report]]) -> None:
    for reports in homes.values():
        said = [r.values["bed"] for r in reports if r.device == "bed" and len(r.values) == 1]
        assert all(a != b for a, b in pairwise(said))


def test_a_heartbeat_repeats_what_the_switch_last_said(homes: dict[str, list[Report]]) -> None:
    for reports in homes.values():
        last: dict[str, object] = {}
        for report in reports:
            for name in ("door.front", "bed"):
                if name in report.values:
                    if len(report.values) == 2 and name in last:
                        assert report.values[name] == last[name]
                    last[name] = report.values[name]


def test_after_a_collapse_nothing_is_seen_until_somebody_comes(
    homes: dict[str, list[Report]], labels: list[Label]
) -> None:
    for label in of_kind(labels, "elderly.no_activity"):
        shown = during(homes, label)
        assert shown
        assert not any(moves(report) for report in shown)
        assert not any(report.values.get("door.front") is True for report in shown)
        used = [float(str(r.values["water_m3"])) for r in shown if "water_m3" in r.values]
        assert used[-1] - used[1] < 0.011
        assert ms(label)[1] - ms(label)[0] >= DAY_MS


def test_after_a_fall_nobody_is_upright_until_somebody_comes(
    homes: dict[str, list[Report]], labels: list[Label]
) -> None:
    for label in of_kind(labels, "elderly.fall"):
        shown = during(homes, label)
        room = label.detail["room"]
        first = next(r for r in shown if r.device == f"radar-{room}")
        assert first.values == {f"fall.{room}": True, "posture": "lying"}
        assert first.ts == ms(label)[0]
        assert not any(moves(report) for report in shown)
        assert first.urgent


def test_triggers_are_urgent_and_say_what_their_label_says(
    homes: dict[str, list[Report]], labels: list[Label]
) -> None:
    for channel in ("sos", "smoke", "gas"):
        for label in of_kind(labels, f"elderly.{channel}"):
            shown = [r for r in during(homes, label) if r.values.get(channel) is True]
            assert shown[0].ts == ms(label)[0]
            assert all(report.urgent for report in shown)
            assert label.life_safety
    said = [x for x in labels if x.kind in ("elderly.sos", "elderly.smoke", "elderly.gas")]
    for reports in homes.values():
        for report in reports:
            if any(report.values.get(channel) is True for channel in ("sos", "smoke", "gas")):
                assert any(x.entity == report.entity and ms(x)[0] <= report.ts <= ms(x)[1] for x in said)


def test_a_leak_shows_in_every_half_hour(homes: dict[str, list[Report]], labels: list[Label]) -> None:
    for label in of_kind(labels, "elderly.leak"):
        used = [float(str(r.values["water_m3"])) for r in during(homes, label) if "water_m3" in r.values]
        assert all(b - a > 0.049 for a, b in pairwise(used))
        assert used[-1] - used[0] > 2


def test_who_wanders_is_out_at_night_and_back_before_the_end(
    homes: dict[str, list[Report]], labels: list[Label]
) -> None:
    for label in of_kind(labels, "elderly.night_out"):
        shown = during(homes, label)
        assert shown[0].values == {"door.front": True}
        assert not any(moves(report) for report in shown)
        assert ms(label)[1] - ms(label)[0] > 20 * 60_000


def test_a_near_fall_is_upright_again_within_20_s_and_has_no_label(
    homes: dict[str, list[Report]], labels: list[Label]
) -> None:
    near = 0
    fallen = {(x.entity, ms(x)[0]) for x in labels if x.kind == "elderly.fall"}
    for reports in homes.values():
        for place, report in enumerate(reports):
            if report.values.get("fall.living") is True and "posture" in report.values:
                if (report.entity, report.ts) in fallen:
                    continue
                near += 1
                up = next(r for r in reports[place:] if r.values.get("posture") == "upright")
                assert up.ts - report.ts <= 20_000
    assert near
