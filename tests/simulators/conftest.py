"""Small worlds, made once."""

from collections.abc import Callable
from functools import cache

import pytest

from simulators.city import simulation
from simulators.world import Label, Report

MONDAY_MS = 1_767_542_400_000
"""2026-01-05 00:00 in Asia/Shanghai."""

Lived = tuple[list[Report], list[Label]]


@cache
def _lived(scenario: str, entities: int, days: float, seed: int, rate: float) -> Lived:
    world = simulation(scenario, entities=entities, start_ms=MONDAY_MS, days=days, seed=seed, event_rate=rate)
    return list(world.reports()), world.truth.labels()


@pytest.fixture(scope="session")
def lived() -> Callable[..., Lived]:
    """Reports and labels of a world: scenario, entities, days, seed, event rate."""
    return _lived
