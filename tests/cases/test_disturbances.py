"""The same readings, however they come, give the same findings: over all cases and over simulated worlds.

The whole finding: id, revision, phase, times, score to the last bit, evidence. Only its place in the log may
differ.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from random import Random

import pytest

from simulators.city import simulation
from tests.cases.case import FOLDERS, Case, Item, load
from tests.cases.disturbance import Disturbance, findings, same
from tests.cases.lanes import differing
from zhiwei import registry
from zhiwei.contracts import Policy
from zhiwei.types import Finding

START_MS = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp() * 1000)
WORLDS = {"elevator": (4, 0.15), "elderly": (2, 1.0), "water": (2, 0.25)}
"""Scenario → entities and days."""
BLOCK_S = 60
"""Rows of a minute come in one go: between them arrival says nothing of their order."""

ALL_AT_ONCE = Disturbance(times=3, array=4, partitions=4, restart_every=5, seed=3)
ALONE = {
    "three_times": Disturbance(times=3),
    "in_arrays": Disturbance(array=5),
    "on_four_partitions": Disturbance(partitions=4),
    "moved_from_one_to_four_partitions": Disturbance(partitions=1, moved_to=4),
    "moved_from_four_to_one": Disturbance(partitions=4, moved_to=1, seed=4),
    "moved_from_two_to_three": Disturbance(partitions=2, moved_to=3, seed=5),
    "framed_otherwise_and_restarted": Disturbance(frame=15, restart_every=3, seed=2),
}


def text(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@cache
def world(scenario: str) -> Case:
    """A seeded world as a case that expects nothing in particular; each minute's rows arrive together.

    Of its entities two, first of all those that something happens to.
    """
    entities, days = WORLDS[scenario]
    run = simulation(scenario, entities=entities, start_ms=START_MS, days=days, seed=7, event_rate=1.0)
    part = registry.scenario(scenario)
    reports = list(run.reports())
    wanted = list(dict.fromkeys([*(label.entity for label in run.truth.labels()), *run.world.names()]))[:2]
    items: list[Item] = []
    end_ms = START_MS
    for report in (one for one in reports if one.entity in wanted):
        end_ms = report.sent // 1000 // BLOCK_S * BLOCK_S * 1000 + BLOCK_S * 1000
        said = {"ts": text(report.ts), "arrived": text(end_ms)}
        items.append({**said, "entity": report.entity, "device": report.device, **report.values})
    items.append({"tick": text(end_ms + 3_600_000)})
    return Case(
        name=scenario,
        scenario=part,
        items=items,
        expected=[],
        beside=[],
        policy=part.policy(None),
        attributes={},
        entity="",
    )


@cache
def undisturbed(scenario: str) -> list[Finding]:
    return same(findings(world(scenario), Disturbance()))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_case_gives_its_findings_on_lanes_and_the_same_when_all_comes_at_once(folder: Path) -> None:
    case = load(folder)
    found = findings(case, Disturbance())
    assert differing(case, found) == {}
    assert same(findings(case, ALL_AT_ONCE)) == same(found)
    assert same(findings(case, replace(ALL_AT_ONCE, moved_to=3))) == same(found)


@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize("scenario", WORLDS)
def test_a_world_is_the_same_however_it_comes(scenario: str, way: str) -> None:
    assert same(findings(world(scenario), ALONE[way])) == undisturbed(scenario)


@pytest.mark.parametrize("scenario", WORLDS)
def test_a_world_is_the_same_however_its_entities_are_interleaved(scenario: str) -> None:
    """The engine reorders nothing: rows of one entity keep their order, those of others may come anyhow."""
    chance = Random(11)
    items: list[Item] = []
    for _, block in groupby(world(scenario).items, key=lambda item: item.get("arrived")):
        items += interleaved(list(block), chance)
    case = world(scenario)
    assert items != case.items
    assert same(findings(replace(case, items=items), Disturbance())) == undisturbed(scenario)


def interleaved(rows: list[Item], chance: Random) -> list[Item]:
    """The rows in another order that keeps that of each entity."""
    waiting: dict[str, list[Item]] = {}
    for row in rows:
        waiting.setdefault(row.get("entity", ""), []).append(row)
    order = [entity for entity, own in waiting.items() for _ in own]
    chance.shuffle(order)
    return [waiting[entity].pop(0) for entity in order]


@pytest.mark.parametrize("scenario", WORLDS)
def test_a_world_is_the_same_however_its_rows_are_shuffled_within_the_reorder_limit(scenario: str) -> None:
    """Rows of one device too: a block is no longer than the limit. Cut and restarted anyhow besides."""
    chance = Random(13)
    items: list[Item] = []
    for _, block in groupby(world(scenario).items, key=lambda item: item.get("arrived")):
        rows = list(block)
        chance.shuffle(rows)
        items += rows
    case = replace(world(scenario), policy=reordering(scenario))
    want = same(findings(case, Disturbance()))
    assert len(want) == len(undisturbed(scenario))
    for how in (
        Disturbance(frame=15, restart_every=3, seed=2),
        Disturbance(frame=1, partitions=2, moved_to=3),
    ):
        assert same(findings(replace(case, items=items), how)) == want


def reordering(scenario: str) -> Policy:
    """The scenario's policy, under which rows of a block wait for each other."""
    part = registry.scenario(scenario)
    text = part.policy(None).text
    said = f'{{ value = {BLOCK_S}, unit = "s", source = "a block of rows", mark = "D" }}'
    if "reorder = {" in text:
        return part.policy(re.sub(r"reorder = \{.*\}", f"reorder = {said}", text))
    return part.policy(f"reorder = {said}\n{text}")


@pytest.mark.parametrize("scenario", WORLDS)
def test_the_worlds_have_something_to_be_found(scenario: str) -> None:
    assert len({one.kind for one in undisturbed(scenario)}) >= 2
