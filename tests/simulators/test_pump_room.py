"""Pump rooms: water that stays within what is usual, and leaves it where a label says so."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from simulators.pump_room import NOISE, Departure
from simulators.world import Label, Report
from zhiwei.clock import to_us

Lived = Callable[..., Any]
Stations = dict[str, list[Report]]


def by_entity(reports: list[Report]) -> Stations:
    found: Stations = defaultdict(list)
    for report in reports:
        found[report.entity].append(report)
    return found


@pytest.fixture(scope="module")
def quiet(lived: Lived) -> Stations:
    return by_entity(lived("water", 8, 4.0, 2, 0.0)[0])


@pytest.fixture(scope="module")
def busy(lived: Lived) -> tuple[Stations, list[Label]]:
    reports, labels = lived("water", 8, 6.0, 2, 0.8)
    return by_entity(reports), labels


def number(report: Report, channel: str) -> float:
    return float(str(report.values[channel]))


def spans(labels: list[Label], kind: str) -> Iterator[tuple[Label, int, int]]:
    found = [label for label in labels if label.kind == kind]
    assert found, f"the world has no {kind}"
    return iter([(label, to_us(label.onset) // 1000, to_us(label.end) // 1000) for label in found])


def within(stations: Stations, label: Label, start: int, end: int) -> list[Report]:
    return [report for report in stations[label.entity] if start <= report.ts < end]


def test_a_station_reports_every_minute_and_shows_so_many_digits(quiet: Stations) -> None:
    for reports in quiet.values():
        assert {b.ts - a.ts for a, b in pairwise(reports)} == {60_000}
        for report in reports[::50]:
            for channel, (_, digits) in NOISE.items():
                assert number(report, channel) == round(number(report, channel), digits)


@pytest.mark.parametrize(
    ("channel", "low", "high"),
    [
        ("free_chlorine", 0.12, 0.8),
        ("conductivity", 300, 700),
        ("temperature", 7, 21),
        ("outlet_pressure", 0.3, 0.6),
        ("inlet_pressure", 0.1, 0.3),
        ("tank_level", 0.5, 2.85),
        ("flow", 0, 60),
    ],
)
def test_ordinary_days_stay_within_usual_values(
    quiet: Stations, channel: str, low: float, high: float
) -> None:
    for reports in quiet.values():
        values = [number(report, channel) for report in reports]
        assert low <= min(values)
        assert max(values) <= high


def test_only_bubbles_and_calibration_leave_the_usual_on_ordinary_days(quiet: Stations) -> None:
    bubbles = 0
    for reports in quiet.values():
        for before, report, after in zip(reports, reports[1:], reports[2:], strict=False):
            if number(report, "turbidity") > 1:
                bubbles += 1
                assert number(before, "turbidity") < 1
                assert number(after, "turbidity") < 1
            if not 6.9 < number(report, "ph") < 8.1:
                assert report.values["flags"] == "C"
                assert report.values["door_open"]
    assert bubbles


def test_chlorine_stands_lower_at_the_end_of_the_night_than_in_the_evening(quiet: Stations) -> None:
    def mean(reports: list[Report], hour: int) -> float:
        values = [number(r, "free_chlorine") for r in reports if (r.ts // 3_600_000 + 8) % 24 == hour]
        return sum(values) / len(values)

    falls = [mean(reports, 5) - mean(reports, 21) for reports in quiet.values()]
    assert sum(falls) / len(falls) < -0.005


def test_a_departure_rises_holds_and_goes_back() -> None:
    departure = Departure(1000, 10, 20, 40)
    assert [departure.strength(t) for t in (999, 1000, 6000, 11_000, 31_000, 51_000, 71_000)] == [
        0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0,
    ]  # fmt: skip


def test_chlorine_is_lost_where_the_label_says_so(busy: tuple[Stations, list[Label]]) -> None:
    stations, labels = busy
    for label, start, end in spans(labels, "water.chlorine_low"):
        inside = [number(r, "free_chlorine") for r in within(stations, label, start, end)]
        assert min(inside) < 0.05
        assert sum(value < 0.05 for value in inside) >= 55
        before = [number(r, "free_chlorine") for r in within(stations, label, start - 600_000, start)]
        assert min(before) > 0.1


def test_turbidity_rises_where_the_label_says_so(busy: tuple[Stations, list[Label]]) -> None:
    stations, labels = busy
    for label, start, end in spans(labels, "water.turbidity_high"):
        assert sum(number(r, "turbidity") > 1 for r in within(stations, label, start, end)) >= 30
        opened = [r for r in within(stations, label, start - 3_600_000, end) if r.values["hatch_open"]]
        assert bool(opened) == label.detail["hatch_open"]
        hour_before = label.onset - timedelta(hours=1)
        mine = [x for x in labels if x.entity == label.entity and hour_before <= x.onset <= label.onset]
        also = {x.kind: x.life_safety for x in mine if x.kind != label.kind}
        both = {"water.hatch_open": False, "water.intrusion_with_quality_step": True}
        assert also == (both if label.detail["hatch_open"] else {})


def test_contamination_moves_several_channels_each_within_its_limit(
    busy: tuple[Stations, list[Label]],
) -> None:
    stations, labels = busy
    for label, start, end in spans(labels, "water.event"):
        before = within(stations, label, start - 900_000, start)
        middle = within(stations, label, start + 900_000, start + 60 * 60_000)

        def ratio(channel: str, of: list[Report] = middle, to: list[Report] = before) -> float:
            means = [sum(number(r, channel) for r in part) / len(part) for part in (of, to)]
            return means[0] / means[1]

        assert ratio("free_chlorine") < 0.75
        assert ratio("conductivity") > 1.08
        for report in within(stations, label, start, end):
            assert number(report, "free_chlorine") > 0.05
            assert report.values.get("flags") or 6.5 < number(report, "ph") < 8.5


def test_pressure_is_lost_where_the_label_says_so(busy: tuple[Stations, list[Label]]) -> None:
    stations, labels = busy
    for label, start, end in spans(labels, "water.pressure_low"):
        usual = number(within(stations, label, start - 120_000, start)[0], "outlet_pressure")
        inside = [
            number(r, "outlet_pressure") for r in within(stations, label, start + 120_000, end - 180_000)
        ]
        assert max(inside) < 0.8 * usual
