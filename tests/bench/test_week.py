"""The simulated week: everything that happens is found, and nobody is called in vain."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.week.campaign import DAYS, FAULTS, START, WEEK, run
from simulators.city import simulation
from simulators.fault_kinds import KINDS
from simulators.faults import load
from zhiwei.wiring.evaluate import evaluate

SMALL = {"elevator": (12, 0.5), "water": (6, 1.0), "elderly": (8, 1.5)}
"""Entities and days."""
SEED = 20


@pytest.mark.parametrize("scenario", SMALL)
def test_in_a_small_world_all_that_happens_is_found_and_nobody_is_called_in_vain(
    tmp_path: Path, scenario: str
) -> None:
    entities, days = SMALL[scenario]
    scored = run(scenario, tmp_path, entities=entities, days=days, seed=SEED, event_rate=1.0)
    assert scored.card.all.found.of >= 3
    assert scored.card.missed == ()
    assert scored.card.life_safety.false.count == 0, scored.card.false
    assert scored.passed

    nothing = tmp_path / "nothing.jsonl"
    nothing.touch()
    card = evaluate(nothing, tmp_path / f"{scenario}.labels.jsonl", scenario=scenario)
    assert not replace(scored, card=card).passed


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("scenario", WEEK)
def test_in_the_whole_week_all_that_happens_is_found_and_nobody_is_called_in_vain(
    tmp_path: Path, scenario: str, seed: int
) -> None:
    scored = run(scenario, tmp_path, entities=WEEK[scenario], seed=seed)
    assert scored.card.all.found.of >= 20
    assert scored.card.missed == ()
    assert scored.card.life_safety.false.count == 0, scored.card.false


@pytest.mark.parametrize("scenario", WEEK)
def test_the_weeks_faults_are_all_that_there_are(scenario: str) -> None:
    start_ms = round(START.timestamp() * 1000)
    world = simulation(
        scenario, entities=WEEK[scenario], start_ms=start_ms, days=DAYS, seed=1, faults=load(FAULTS)
    )
    every = {name for name, kind in KINDS.items() if scenario in (kind.scenarios or WEEK)}
    assert {fault.name for fault in world.faults} == every
