"""What must hold for any rows: no company and no input changes or breaks a verdict."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.elevator import SCENARIO
from scenarios.elevator.holds import FIELDS, Hold
from scenarios.elevator.holds import step as hold_step
from scenarios.elevator.schema import DIRECTIONS, DOOR_STATES, MODES, POWERS
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Claim, Out, State

START = 1_772_400_000 * MICROS
TEXT = ("mode", "direction", "door_state", "power", "codes", "ebike_class", "ebike_image")
NUMERIC = tuple(channel.name for channel in SCENARIO.schema.channels if channel.name not in TEXT)
ATTRIBUTES = {
    "lift-1": {"code_table": "provincial", "rated_speed": "1.5"},
    "lift-2": {"code_table": "kit_cloud", "travel_time": "30", "report_interval": "20"},
    "lift-3": {"rated_speed": "none"},
}
BUDGET = 1024
"""Bytes of state a lift, timers included."""


def of_switch(chance: float) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, False, True, True] if chance > 0.5 else [None, False, False, True])


ROW = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from([*MODES, "normal", "normal", "nonsense", None]),
        "moving": of_switch(0.3),
        "in_door_zone": of_switch(0.3),
        "door_closed": of_switch(0.7),
        "person": of_switch(0.7),
        "direction": st.sampled_from([*DIRECTIONS, None]),
        "door_state": st.sampled_from([*DOOR_STATES, None]),
        "power": st.sampled_from([*POWERS, None]),
        "floor": st.sampled_from([None, -2, 1, 2, 30]),
        "speed": st.sampled_from([None, 0.0, 0.2, -1.5, 5.0]),
        "alarm_button": of_switch(0.3),
        "calls": st.sampled_from([None, 0, 2]),
        "run_count": st.sampled_from([None, 7, 7, 8, 1e12]),
        "run_hours": st.sampled_from([None, 3.5]),
        "codes": st.sampled_from([None, (), ("00",), ("05",), ("8", "90"), ("43",), ("11", "?"), ("0317",)]),
        "up_limit": of_switch(0.3),
        "down_limit": of_switch(0.3),
        "level_offset": st.sampled_from([None, 3.0, -15.0, 40.0]),
        "ebike": st.sampled_from([None, 0.1, 0.9]),
        "ebike_image": st.sampled_from([None, "a.jpg"]),
        "work_order": of_switch(0.3),
        "acc_z": st.sampled_from([None, 9.81]),
    },
)


def stepped(rules: Any, state: State, rows: Any) -> tuple[list[Claim], Any]:
    """Deadlines due before the rows, then the rows."""
    claims: list[Claim] = []
    for number, name in enumerate(rules.timers):
        limit = rows.arrived if name.startswith("silence") else rows.at
        due = state["timer"][rows.entity, number] <= limit
        if due.any():
            when = state["timer"][rows.entity[due], number]
            state["timer"][rows.entity[due], number] = NEVER
            out = Out()
            rules.fire(state, name, rows.entity[due], when, out)
            claims += out.claims
    out = Out()
    rules.step(state, rows, out)
    return claims + out.claims, out.scores


def said(claims: list[Claim], entity: int) -> list[tuple[Any, ...]]:
    return [
        (c.kind, c.rule, c.phase, c.at, c.onset, c.score, c.severity, c.evidence)
        for c in claims
        if c.entity == entity
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rules_take_any_rows_and_many_lifts_together_equal_each_alone(
    state_of: Any, round_of: Any, data: st.DataObject
) -> None:
    """Warnings are errors here: nothing overflows or divides by nothing either."""
    lifts = 4
    names = [f"lift-{n}" for n in range(lifts)]
    policy = SCENARIO.policy(None)
    rules = SCENARIO.rules(policy, NUMERIC, ATTRIBUTES, names)
    alone = [SCENARIO.rules(policy, NUMERIC, ATTRIBUTES, [name]) for name in names]
    state, single = state_of(rules, lifts), [state_of(one, 1) for one in alone]
    at = START
    opened: set[tuple[int, str]] = set()
    for _ in range(data.draw(st.integers(1, 25))):
        at += data.draw(st.sampled_from([0, 1, 5, 5, 5, 14, 40, 90, 400])) * MICROS
        here = sorted(data.draw(st.sets(st.integers(0, lifts - 1), min_size=1)))
        rows = [data.draw(ROW) for _ in here]
        late = [at - data.draw(st.sampled_from([0, 0, 0, 3])) * MICROS for _ in here]
        claims, scores = stepped(rules, state, round_of(rows, late, [at] * len(here), entity=here))
        for place, lift in enumerate(here):
            one, score = stepped(alone[lift], single[lift], round_of([rows[place]], [late[place]], [at]))
            assert said(claims, lift) == said(one, 0)
            assert scores[place : place + 1].tobytes() == score.tobytes()
        for claim in claims:
            key = (claim.entity, claim.rule)
            assert claim.onset <= claim.at
            assert 0 <= claim.score <= 1
            assert (claim.phase == "cleared") <= (key in opened)
            (opened.discard if claim.phase == "cleared" else opened.add)(key)
        known = scores[~np.isnan(scores)]
        assert ((known >= 0) & (known <= 1)).all()
    for name, array in state.arrays.items():
        for lift in range(lifts):
            assert array[lift].tobytes() == single[lift][name][0].tobytes(), name


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=12))
def test_the_urgent_rules_take_any_rows(state_of: Any, round_of: Any, rows: list[Any]) -> None:
    rules = SCENARIO.urgent(SCENARIO.policy(None), NUMERIC, {}, ["a"])
    state, open_ = state_of(rules, 1), False
    for n, row in enumerate(rows):
        claims, _ = stepped(rules, state, round_of([row], [START + n * MICROS], [START + n * MICROS]))
        for claim in claims:
            assert (claim.phase == "cleared") == open_
            open_ = not open_


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([-2, 0, 1, 5, 15, 16, 60]), st.sampled_from([0, 1, 2, 2, 2]), st.booleans()
        ),
        max_size=30,
    )
)
def test_timers_are_those_of_a_plain_loop(rows: list[tuple[int, int, bool]]) -> None:
    state = State({f.name: np.full((1, *[int(axis) for axis in f.axes]), f.fill, f.dtype) for f in FIELDS})
    at = held = last = 0
    onset: int | None = None
    for step, value, restart in rows:
        at += step
        if restart or value == 0:
            onset, held = None, 0
        if value == 2:
            if onset is None:
                onset, held, last = at, 0, at
            elif 0 < at - last <= 15:
                held += at - last
            last = max(last, at)
        found = hold_step(
            state,
            np.array([0]),
            np.array([at]),
            np.full((1, len(Hold)), value, np.int8),
            another_run=np.array([restart]),
            turned=np.array([False]),
            gap_us=np.array([15]),
        )
        assert found.us[0, Hold.OUT_OF_ZONE] == held
        assert found.onset[0, Hold.OUT_OF_ZONE] == (NEVER if onset is None else onset)


def test_the_engines_numbers_say_whose_attributes_apply(state_of: Any, round_of: Any) -> None:
    rules = SCENARIO.rules(SCENARIO.policy(None), NUMERIC, ATTRIBUTES, [f"lift-{n}" for n in range(4)])
    state = state_of(rules, 1)
    state.arrays["number"] = np.array([1])  # the rows at hand are those of lift-1, whose table knows 09
    claims, _ = stepped(rules, state, round_of([{"codes": ("09",)}], [START], [START]))
    assert [claim.kind for claim in claims] == ["elevator.overrun"]


def test_the_state_of_a_lift_stays_within_its_budget(
    state_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = SCENARIO.rules(SCENARIO.policy(None), NUMERIC, {}, [])
    size = sum(array.nbytes for array in state_of(rules, 1).arrays.values())
    with capsys.disabled():
        print(f"\nstate of a lift: {size} bytes of {BUDGET}, timers included")
    assert size <= BUDGET
