"""Multi-parameter events: what counts, what does not, and how one ends."""

from typing import Any

import numpy as np
import pytest

from scenarios.water import SCENARIO
from zhiwei.contracts import State

MINUTE = 60_000_000
START = 1_772_409_600_000_000
CHANNELS = ("free_chlorine", "ph", "conductivity", "flow")


@pytest.fixture
def short(default_text: str) -> str:
    return default_text.replace("history = { value = 144", "history = { value = 20")


def usual(rng: np.random.Generator) -> dict[str, float]:
    return {
        "free_chlorine": rng.uniform(0.33, 0.35),
        "ph": rng.uniform(7.28, 7.32),
        "conductivity": rng.uniform(408, 412),
        "flow": rng.uniform(0, 40),
    }


def polluted(rng: np.random.Generator) -> dict[str, float]:
    values = usual(rng)
    return values | {
        "free_chlorine": values["free_chlorine"] - 0.13,
        "conductivity": 1.12 * values["conductivity"],
    }


def events(one: Any) -> list[tuple[int, str, str]]:
    """(row, phase, note)"""
    return [
        (row, str(claim.phase), claim.evidence.note)
        for row, claim in zip(one.claimed_at, one.claims, strict=True)
        if claim.kind == "water.event"
    ]


def play(
    one: Any, rng: np.random.Generator, rows: int, of: Any = usual, flags: str = "", every: int = 1
) -> None:
    for _ in range(rows):
        one.clock = getattr(one, "clock", START) + every * MINUTE
        one.row(one.clock, of(rng), flags)


def test_an_event_of_minute_data_lasts_four_hours_before_it_is_the_usual(station: Any, short: str) -> None:
    rng = np.random.default_rng(0)
    one = station(CHANNELS, short)
    play(one, rng, 60)
    play(one, rng, 400, polluted)
    assert events(one) == [(63, "raised", ""), (63 + 239, "cleared", "timeout")]
    assert one.claims[-1].through


def test_an_event_of_20_minute_data_ends_with_its_twelfth_row_as_in_the_reference(
    station: Any, short: str
) -> None:
    rng = np.random.default_rng(0)
    one = station(CHANNELS, short)
    play(one, rng, 60, every=20)
    play(one, rng, 40, polluted, every=20)
    assert events(one) == [(63, "raised", ""), (63 + 11, "cleared", "timeout")]


def test_what_timed_out_is_the_usual_also_when_it_was_shorter_than_the_learning_interval(
    station: Any, short: str
) -> None:
    rng = np.random.default_rng(0)
    one = station(CHANNELS, short.replace("timeout = { value = 10000", "timeout = { value = 3"))
    play(one, rng, 66)
    play(one, rng, 12, polluted)
    assert events(one) == [(69, "raised", ""), (71, "cleared", "timeout")]


def test_operational_channels_make_no_event(station: Any, short: str) -> None:
    rng = np.random.default_rng(1)
    one = station(CHANNELS, short)
    play(one, rng, 60)
    play(one, rng, 60, lambda rng: usual(rng) | {"flow": 900 + rng.uniform(0, 40)})
    assert events(one) == []


def test_values_that_are_not_normal_are_neither_scored_nor_learned(station: Any, short: str) -> None:
    rng = np.random.default_rng(2)
    one = station(CHANNELS, short)
    play(one, rng, 60)
    before = {name: array.copy() for name, array in one.state.arrays.items() if name.startswith("event.")}
    play(one, rng, 30, polluted, flags="D")
    assert np.isnan(one.scores[60:]).all()
    for name, array in before.items():
        np.testing.assert_array_equal(one.state[name], array, err_msg=name)


def test_a_step_of_one_channel_after_calibration_becomes_the_usual_at_once(station: Any, short: str) -> None:
    rng = np.random.default_rng(3)
    stepped: Any = lambda rng: usual(rng) | {"ph": rng.uniform(7.78, 7.82)}  # noqa: E731
    serviced, plain = station(CHANNELS, short), station(CHANNELS, short)
    for one in (serviced, plain):
        play(one, rng, 60)
        play(one, rng, 5, usual, flags="C" if one is serviced else "")
        play(one, rng, 100, stepped)
    assert events(plain)[0][1] == "raised"
    assert events(serviced) == []


def test_a_calibration_shorter_than_the_learning_interval_is_learned_too(station: Any, short: str) -> None:
    rng = np.random.default_rng(3)
    text = short.replace("settling = { value = 30", "settling = { value = 5")
    one = station(CHANNELS, text)
    play(one, rng, 66)  # the last row that was learned is some minutes ago
    play(one, rng, 2, usual, flags="C")
    play(one, rng, 60, lambda rng: usual(rng) | {"ph": rng.uniform(7.78, 7.82)})
    assert events(one) == []


def test_two_channels_after_calibration_are_an_event_all_the_same(station: Any, short: str) -> None:
    rng = np.random.default_rng(4)
    one = station(CHANNELS, short)
    play(one, rng, 60)
    play(one, rng, 5, usual, flags="M")
    play(one, rng, 10, polluted)
    assert [phase for _, phase, _ in events(one)] == ["raised"]


def test_no_data_codes_are_no_event(station: Any, short: str) -> None:
    rng = np.random.default_rng(5)
    one = station(CHANNELS, short)
    play(one, rng, 60)
    play(one, rng, 20, lambda rng: usual(rng) | {"ph": -9999.0})
    assert events(one) == []


def test_a_stuck_channel_stays_in_the_detector(station: Any, short: str) -> None:
    rng = np.random.default_rng(6)
    one = station(CHANNELS, short)
    play(one, rng, 60)
    play(one, rng, 30, lambda rng: usual(rng) | {"free_chlorine": 0.34})
    assert "fault.stuck.free_chlorine" in [rule for rule, _ in one.kinds()]
    play(one, rng, 6, lambda rng: polluted(rng) | {"free_chlorine": 0.2})
    assert "free_chlorine" in [o.name for o in one.claims[-1].evidence.observations]


def test_an_event_that_is_open_is_closed_when_another_discriminator_knows_nothing_of_it(
    station: Any, short: str
) -> None:
    rng = np.random.default_rng(7)
    text = short.replace("window = { value = 6", "window = { value = 7")
    one, other = station(CHANNELS, short), station(CHANNELS, text)
    play(one, rng, 60)
    play(one, rng, 10, polluted)
    # As the engine carries state over: what has another shape, or is another's, holds its fill.
    kept = {
        name: array
        for name, array in one.state.arrays.items()
        if not name.startswith("binomial.") and array.shape == other.state[name].shape
    }
    one.rules, one.state = other.rules, State(other.state.arrays | kept)
    play(one, rng, 3)
    assert [(phase, note) for _, phase, note in events(one)] == [("raised", ""), ("cleared", "returned")]


def test_the_window_of_minute_data_reaches_back_for_hours_not_minutes(station: Any, short: str) -> None:
    """Two sources in turn, an hour each: both are known once the second has been told of, and stay known."""
    raised = {}
    for every in (20, 0):
        rng = np.random.default_rng(8)
        text = short.replace("learn_every = { value = 20", f"learn_every = {{ value = {every}")
        one = station(CHANNELS, text)
        play(one, rng, 60)
        play(one, rng, 250, polluted)
        for hour in range(12):
            play(one, rng, 60, polluted if hour % 2 else usual)
        raised[every] = len([phase for _, phase, _ in events(one) if phase == "raised"])
    assert raised[20] == 1
    assert raised[0] > 5


def test_event_channels_keep_their_names_for_the_engine_to_carry_state_by() -> None:
    rules = SCENARIO.rules(SCENARIO.policy(None), ("free_chlorine", "ph", "flow", "flood"), {}, ())
    carried = {
        field.channels for field in rules.fields if field.name.startswith("mvnn.") and "channel" in field.axes
    }
    assert carried == {("free_chlorine", "ph")}
