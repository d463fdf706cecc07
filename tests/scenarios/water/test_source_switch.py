"""An event that the operators have announced."""

from typing import Any

import numpy as np
import pytest

from zhiwei.contracts import Claim

MINUTE = 60_000_000
START = 1_772_400_000_000_000
CHANNELS = ("free_chlorine", "ph", "turbidity", "conductivity", "temperature")


@pytest.fixture(scope="session")
def short(default_text: str) -> str:
    """The default policy with a window of 24 rows, each learned."""
    text = default_text.replace("history = { value = 144", "history = { value = 24")
    return text.replace("learn_every = { value = 20", "learn_every = { value = 1")


def switched(
    station: Any,
    text: str,
    *,
    said: str | None = "Source switch ",
    said_at: int = 38,
    step: dict[str, float] | None = None,
) -> list[Claim]:
    """40 usual rows, then 15 in which the given channels have stepped by so much."""
    rng = np.random.default_rng(5)
    one = station(CHANNELS, text)
    usual = {"free_chlorine": 0.34, "ph": 7.3, "turbidity": 0.32, "conductivity": 410, "temperature": 14.5}
    noise = {"free_chlorine": 0.006, "ph": 0.012, "turbidity": 0.01, "conductivity": 1.5, "temperature": 0.08}
    moved = {"conductivity": 60.0, "temperature": 3.0} if step is None else step
    for row in range(55):
        values: dict[str, Any] = {
            name: usual[name] + noise[name] * rng.standard_normal() + (moved.get(name, 0) if row >= 40 else 0)
            for name in CHANNELS
        }
        if said is not None and row == said_at:
            values["operator_state"] = said
        one.row(START + row * MINUTE, values)
    return [claim for claim in one.claims if claim.kind in ("water.event", "water.source_switch")]


def kinds(claims: list[Claim]) -> list[tuple[str, str]]:
    return [(claim.kind, str(claim.severity)) for claim in claims]


def test_an_announced_switch_is_a_note(station: Any, short: str) -> None:
    assert kinds(switched(station, short)) == [("water.source_switch", "info")]


@pytest.mark.parametrize("said", [None, "normal", "pump start", ""])
def test_without_the_word_it_is_an_event(station: Any, short: str, said: str | None) -> None:
    assert kinds(switched(station, short, said=said)) == [("water.event", "major")]


def test_a_word_of_more_than_four_hours_ago_does_not_hold(station: Any, short: str) -> None:
    brief = short.replace("announced = { value = 4, unit", "announced = { value = 0.5, unit")
    assert kinds(switched(station, brief, said_at=5)) == [("water.event", "major")]


@pytest.mark.parametrize(
    "step",
    [
        {"conductivity": 60.0},
        {"temperature": 3.0, "free_chlorine": -0.12, "conductivity": 60.0},
        {"temperature": 3.0, "turbidity": 0.3, "conductivity": 60.0},
    ],
    ids=["no change of temperature", "chlorine", "turbidity"],
)
def test_what_a_switch_does_not_explain_is_an_event(station: Any, short: str, step: dict[str, float]) -> None:
    assert kinds(switched(station, short, step=step)) == [("water.event", "major")]
