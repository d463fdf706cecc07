"""What rules say of their terms is what they decide by: whoever explains a silence may not invent it."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from streams.engine.engine import Engine
from zhiwei import frames, registry
from zhiwei.clock import MICROS, to_datetime, to_us
from zhiwei.contracts import Explains, LogRecord, Scenario, Standing
from zhiwei.schema import Channel
from zhiwei.types import Finding, Phase, Tick

START = 1_750_000_000 * MICROS
SEEDS = range(3)
GAPS_S = {"elevator": (5, 5, 5, 5, 60), "elderly": (60, 600, 7200, 40_000), "water": (60, 60, 60, 600)}
MAIN = {
    "elevator": ("moving", "in_door_zone", "door_closed", "person", "alarm_button", "mode", "calls", "floor"),
    "elderly": ("motion.kitchen", "motion.bathroom", "door", "bed", "water_m3", "operator_state"),
    "water": ("free_chlorine", "turbidity", "ph", "conductivity"),
}


def drawn(channel: Channel, draw: np.random.Generator, row: int) -> object:
    if channel.name == "water_m3":
        return round(10 + 0.001 * row, 3)
    if channel.dtype == "bool":
        return bool(draw.random() < 0.5)
    if channel.dtype == "utf8":
        return str(draw.choice([*channel.values, "home", "away"]))
    if channel.dtype == "int16":
        return int(draw.integers(0, 9))
    return float(np.round((channel.low or 0.0) + draw.uniform(0, 2), 2))


def steps(scenario: Scenario, seed: int, rows: int) -> Iterator[tuple[LogRecord, int | None]]:
    """One row or tick a record, with the row's time. What a channel says stays for a while, as it does."""
    draw = np.random.default_rng(seed)
    channels = [scenario.schema.channel(name) for name in MAIN[scenario.name]]
    keeps = float(draw.choice([0.8, 0.9, 0.97]))
    said: dict[str, object] = {}
    at = START
    for row in range(rows):
        at += int(draw.choice(GAPS_S[scenario.name])) * MICROS + int(draw.integers(1, 1000))
        for channel in channels:
            if channel.name not in said or channel.name == "water_m3" or draw.random() > keeps:
                said[channel.name] = drawn(channel, draw, row)
        sent = [channel for channel in channels if draw.random() > 0.1]
        columns = {c.name: frames.arrow_column(c, [said[c.name]]) for c in sent}
        value = frames.encode(
            scenario.schema, entity=["e"], device=["d"], ts=[at], arrived=[at], flags=[0],
            channels=columns, clock="live",
        )  # fmt: skip
        yield LogRecord(2 * row, value), at
        if draw.random() < 0.3:
            at += int(draw.choice([20, 90, 30_000, 60_000])) * MICROS
        yield LogRecord(2 * row + 1, msgspec.json.encode(Tick(clock="live", time=to_datetime(at)))), None


def claimed(told: tuple[Standing, ...], kind: str) -> bool | None:
    """Whether all deciding terms of some way hold; None where nothing is told of the kind."""
    ways: dict[str, list[bool | None]] = {}
    for one in told:
        if one.kind == kind and one.decides:
            ways.setdefault(one.way, []).append(one.holds)
    return any(all(holds is True for holds in terms) for terms in ways.values()) if ways else None


def still_open(engine: Engine, kind: str) -> bool:
    page = engine.pages.get(engine.entities.number.get("e", -1), {})
    return any(one.open and one.kind == kind for one in page.values())


def new_here(finding: Finding, at: int | None) -> bool:
    """Begun by this very record: not by a deadline that had passed before its row."""
    begun = finding.phase in (Phase.RAISED, Phase.SUSPECTED)
    return begun and (at is None or to_us(finding.at) == at)


@pytest.mark.parametrize("name", sorted(MAIN))
def test_all_terms_of_the_main_kind_hold_exactly_when_it_is_claimed(name: str) -> None:
    scenario = registry.scenario(name)
    raised = 0
    for seed in SEEDS:
        engine = Engine(scenario, site="s", topic=f"readings.{name}", partition=0)
        for record, at in steps(scenario, seed, 200):
            outcome = engine.apply([record])
            assert outcome.set_aside == []
            told = engine.standing("e")
            where = (seed, record.offset, [one for one in told if one.kind == scenario.main_kind])
            if claimed(told, scenario.main_kind):
                assert still_open(engine, scenario.main_kind), where
            for finding in outcome.findings:
                if new_here(finding, at) and still_open(engine, finding.kind):
                    assert claimed(told, finding.kind) is not False, (finding.kind, where)
                    raised += finding.kind == scenario.main_kind
    assert raised > 0  # else the claim above says nothing


@pytest.mark.parametrize("name", sorted(MAIN))
def test_asking_changes_nothing(name: str) -> None:
    scenario = registry.scenario(name)
    engine, other = (Engine(scenario, site="s", topic=f"readings.{name}", partition=0) for _ in range(2))
    for record, _ in steps(scenario, 1, 60):
        asked, unasked = engine.apply([record]), other.apply([record])
        engine.standing("e")
        assert asked.findings == unasked.findings
    for field in engine.entities.fields:
        mine, its = engine.entities.column(field.name), other.entities.column(field.name)
        assert np.array_equal(mine, its, equal_nan=mine.dtype.kind == "f"), field.name


def test_rules_that_tell_nothing_are_asked_in_vain() -> None:
    scenario = registry.scenario("generic")
    engine = Engine(scenario, site="s", topic="readings.generic", partition=0)
    assert not isinstance(engine.rules, Explains)
    assert engine.standing("e") == ()
