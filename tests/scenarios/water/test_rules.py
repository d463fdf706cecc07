"""What must hold for any rows: no company, no cut and no input changes or breaks a verdict."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.water import SCENARIO
from zhiwei.clock import NEVER
from zhiwei.contracts import Claim, Floats, Out, Round, State
from zhiwei.types import Phase

CHANNELS = ("free_chlorine", "ph", "turbidity", "turbidity_2", "conductivity", "temperature", "hatch_open")
MINUTE = 60_000_000
START = 1_772_400_000_000_000
LETTERS = [0, 0, 0, 0, 32, 64, 256, 512, 1024, 1, 2, 16]  # bits of Flag; mostly none


@pytest.fixture(scope="session")
def short(default_text: str) -> str:
    """The default policy with a window that a test can fill."""
    return default_text.replace("history = { value = 144", "history = { value = 12")


def stream(rng: np.random.Generator, rows: int) -> Floats:
    """(rows, channels) water with everything that happens to it: noise, gaps, flat lines, steps, spikes."""
    usual = np.array([0.3, 7.3, 0.3, 0.4, 410.0, 15.0, 0.0])
    noise = np.array([0.02, 0.02, 0.02, 0.02, 1.0, 0.1, 0.0])
    values = usual + noise * rng.standard_normal((rows, len(CHANNELS)))
    for _ in range(rows // 12):
        first, length = int(rng.integers(rows)), int(rng.integers(1, 30))
        channel = int(rng.integers(len(CHANNELS)))
        span = values[first : first + length, channel]
        match rng.integers(6):
            case 0:
                span[:] = np.nan
            case 1:
                span[:] = span[0] if len(span) else 0
            case 2:
                span *= rng.choice([0.1, 0.2, 10.0])
            case 3:
                span[:1] = -9999
            case 4:
                span += 5 * noise[channel]
            case _:
                values[first : first + length] *= 0.7
    return values.astype(np.float32).astype(np.float64)


def stepped(
    rules: Any, state: State, entity: Any, at: Any, flags: Any, values: Floats
) -> tuple[list[Claim], Floats]:
    """Deadlines due before the rows, then the rows, as a round."""
    claims: list[Claim] = []
    for number, name in enumerate(rules.timers):
        due = state["timer"][entity, number] <= at
        if due.any():
            when = state["timer"][entity[due], number]
            state["timer"][entity[due], number] = NEVER
            out = Out()
            rules.fire(state, name, entity[due], when, out)
            claims += out.claims
    out = Out()
    rules.step(state, Round(entity=entity, at=at, arrived=at, flags=flags, values=values), out)
    assert out.scores is not None
    return claims + out.claims, out.scores


def of_entity(claims: list[Claim], entity: int) -> list[tuple[Any, ...]]:
    return [
        (c.kind, c.rule, c.phase, c.at, c.onset, c.score, c.evidence) for c in claims if c.entity == entity
    ]


@pytest.mark.parametrize("seed", range(4))
def test_many_stations_together_equal_each_alone_bit_for_bit(seed: int, state_of: Any, short: str) -> None:
    rng = np.random.default_rng(seed)
    stations, rows = 9, 150
    policy = SCENARIO.policy(short)
    attributes = {"s1": {"disinfectant": "total"}, "s2": {"zone": "UTC"}}
    names = [f"s{number}" for number in range(stations)]
    rules = SCENARIO.rules(policy, CHANNELS, attributes, names)
    values = np.stack([stream(rng, rows) for _ in names])
    flags = rng.choice(np.array(LETTERS, np.uint16), (stations, rows))
    gaps = rng.choice([0, 1, 1, 1, 1, 1, 1, 20], (stations, rows)) * MINUTE
    at = START + np.cumsum(gaps, axis=1)
    here = rng.random((stations, rows)) < 0.8

    together = state_of(rules, CHANNELS, stations)
    claims: list[Claim] = []
    scores = np.full((stations, rows), np.nan)
    for row in range(rows):
        entity = np.flatnonzero(here[:, row])
        found, scores[entity, row] = stepped(
            rules, together, entity, at[entity, row], flags[entity, row], values[entity, row]
        )
        claims += found
    assert {c.kind for c in claims} >= {"water.event", "water.sensor_fault", "water.offline"}

    for number in range(stations):
        alone = state_of(rules, CHANNELS, stations)
        own: list[Claim] = []
        for row in np.flatnonzero(here[number]).tolist():
            one = np.array([number])
            found, score = stepped(rules, alone, one, at[one, row], flags[one, row], values[one, row])
            own += found
            np.testing.assert_array_equal(score, scores[one, row])
        assert of_entity(own, number) == of_entity(claims, number)
        for name, array in alone.arrays.items():
            np.testing.assert_array_equal(array[number], together[name][number], err_msg=name)


def test_channels_that_a_station_lacks_change_nothing(station: Any, short: str) -> None:
    rng = np.random.default_rng(7)
    few = ("free_chlorine", "ph", "turbidity", "conductivity", "temperature")
    alone, among = (
        station(few, short),
        station((*few, "toc", "ph_2", "flow", "total_chlorine", "flood"), short),
    )
    for row, values in enumerate(stream(rng, 400)):
        sample = dict(zip(CHANNELS, values.tolist(), strict=True))
        for one in (alone, among):
            one.row(START + row * MINUTE, sample)
    assert alone.claims
    assert among.claims == alone.claims
    np.testing.assert_array_equal(among.scores, alone.scores)


def test_attributes_are_those_of_the_entity_whatever_its_place_in_the_state(state_of: Any) -> None:
    """The engine hands over copies of the rows it touches, with ``number`` saying whose they are."""
    channels = ("free_chlorine", "total_chlorine")
    attributes = {"b": {"disinfectant": "total"}}
    rules = SCENARIO.rules(SCENARIO.policy(None), channels, attributes, ["b", "a"])
    for number, expected in ((0, set()), (1, {"limit.low.free_chlorine", "limit.prealarm.free_chlorine"})):
        state = state_of(rules, channels, 1)
        state.arrays["number"] = np.array([number])
        claims: list[Claim] = []
        for row in range(3):
            at, values = np.array([START + row * MINUTE]), np.array([[0.02, 0.6 + row / 100]])
            claims += stepped(rules, state, np.array([0]), at, np.zeros(1, np.uint16), values)[0]
        assert {claim.rule for claim in claims} == expected


def test_a_finding_does_not_begin_after_it_was_made(station: Any) -> None:
    one = station(("conductivity", "hatch_open"))
    for seconds in (0, 1, -30):
        one.row(START + seconds * 1_000_000, {"conductivity": 0.0})
    (claim,) = one.claims
    assert claim.rule == "fault.range.conductivity"
    assert claim.onset == claim.at == START - 30_000_000


cells = st.one_of(
    st.none(),
    st.sampled_from([0.0, 0.03, 0.3, 0.3, 7.3, 41.2, 412.0, -9999.0, 1e30]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
rows = st.tuples(
    st.lists(cells, min_size=len(CHANNELS), max_size=len(CHANNELS)),
    st.sampled_from([0, 1_000_000, MINUTE, MINUTE, MINUTE, -30_000_000, 20 * MINUTE, 86_400_000_000]),
    st.text("NFMSDCTB", max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, max_size=40))
def test_any_stream_gives_well_formed_claims_and_never_raises_or_warns(
    station: Any, short: str, content: list[tuple[list[float | None], int, str]]
) -> None:
    one = station(CHANNELS, short.replace("value = 12, unit", "value = 3, unit"))
    at = START
    for values, step, letters in content:
        at += step
        one.row(at, dict(zip(CHANNELS, values, strict=True)), letters)
    assert all(np.isnan(s) or 0 <= s <= 1 for s in one.scores)
    standing: set[str] = set()
    for claim in one.claims:
        assert 0 <= claim.score <= 1
        if claim.phase is Phase.RAISED:
            assert claim.rule not in standing
            assert claim.onset <= claim.at
            standing.add(claim.rule)
        else:
            assert claim.phase is Phase.CLEARED
            standing.remove(claim.rule)


def test_state_of_a_station_with_eight_channels_fits_in_8_kib(station: Any) -> None:
    one = station((*CHANNELS[:3], *CHANNELS[4:6], "flow", "outlet_pressure", "tank_level"))
    assert sum(array.nbytes for array in one.state.arrays.values()) <= 8192
