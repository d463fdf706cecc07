"""Worlds as a whole: what a seed fixes, what an entity shares with others, what goes out."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from simulators.city import MODELS, simulation
from simulators.output import label_lines, write
from simulators.world import Report
from zhiwei import registry
from zhiwei.errors import ZhiweiError

MONDAY_MS = 1_767_542_400_000
Lived = Callable[..., Any]


def bytes_of(scenario: str, seed: int) -> bytes:
    world = simulation(scenario, entities=3, start_ms=MONDAY_MS, days=2, seed=seed, event_rate=1.0)
    out = io.BytesIO()
    write(world.reports(), out)
    return out.getvalue() + label_lines(world.truth.labels())


@pytest.mark.parametrize("scenario", MODELS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(scenario: str) -> None:
    assert bytes_of(scenario, 1) == bytes_of(scenario, 1)
    assert bytes_of(scenario, 1) != bytes_of(scenario, 2)


@pytest.mark.parametrize("scenario", MODELS)
def test_more_entities_change_nothing_for_those_that_are_there(scenario: str, lived: Lived) -> None:
    few, few_labels = lived(scenario, 3, 2.0, 1, 1.0)
    many, many_labels = lived(scenario, 7, 2.0, 1, 1.0)
    names = {report.entity for report in few}
    assert [report for report in many if report.entity in names] == few
    kept = [label for label in many_labels if label.entity in names]
    assert [(x.entity, x.kind, x.onset, x.end) for x in kept] == [
        (x.entity, x.kind, x.onset, x.end) for x in few_labels
    ]


@pytest.mark.parametrize("scenario", MODELS)
def test_reports_are_in_order_of_sending_and_within_the_world(scenario: str, lived: Lived) -> None:
    reports, _ = lived(scenario, 7, 2.0, 1, 1.0)
    sent = [report.sent for report in reports]
    assert sent == sorted(sent)
    assert sent[0] >= MONDAY_MS
    assert sent[-1] < MONDAY_MS + 2 * 86_400_000


@pytest.mark.parametrize("scenario", MODELS)
def test_without_events_nothing_is_labelled(scenario: str, lived: Lived) -> None:
    reports, labels = lived(scenario, 3, 2.0, 1, 0.0)
    assert reports
    assert labels == []


def test_the_channels_of_water_are_those_of_its_schema(lived: Lived) -> None:
    schema = registry.scenario("water").schema
    reports, _ = lived("water", 3, 2.0, 1, 1.0)
    names = {name for report in reports for name in report.values} - {"flags"}
    assert {name for name in names if schema.channel(name) is None} == set()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scenario": "parking"}, "no simulator 'parking'; there are: elderly, elevator, water"),
        ({"entities": 0}, "--entities 0: expected 1 to 100000"),
        ({"days": 0.0}, "--days 0: expected more than 0"),
        ({"days": float("nan")}, "--days nan: expected more than 0"),
        ({"event_rate": 1.5}, "--event-rate 1.5: expected 0 to 1"),
    ],
)
def test_a_world_that_cannot_be_is_refused_by_name(change: dict[str, Any], text: str) -> None:
    wish: dict[str, Any] = {"scenario": "water", "entities": 1, "days": 1.0, "event_rate": None} | change
    with pytest.raises(ZhiweiError) as refused:
        simulation(wish.pop("scenario"), start_ms=MONDAY_MS, seed=1, **wish)
    assert text in str(refused.value)


def test_a_world_that_begins_later_in_the_day_has_the_same_afternoon(lived: Lived) -> None:
    noon = MONDAY_MS + 12 * 3_600_000
    later = simulation("elderly", entities=1, start_ms=noon, days=0.5, seed=1, event_rate=0.0)
    whole, _ = lived("elderly", 1, 1.0, 1, 0.0)
    motions = lambda reports: [r for r in reports if r.device.startswith("pir") and r.sent >= noon]  # noqa: E731
    only: Callable[[Report], tuple[int, str]] = lambda r: (r.sent, r.device)  # noqa: E731
    assert [only(r) for r in motions(later.reports())] == [only(r) for r in motions(whole)]
