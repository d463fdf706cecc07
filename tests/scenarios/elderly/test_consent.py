"""Without consent nothing runs, and nothing is kept."""

from typing import Any

import numpy as np
import pytest

from scenarios.elderly import SCENARIO
from zhiwei.clock import NEVER
from zhiwei.contracts import Out, Round, State

ALARMS: dict[str, Any] = {"sos": True, "smoke": True, "fall_living": True, "battery_hall": 3.0}


@pytest.mark.parametrize("consent", ["withdrawn", "2026-03-01T00:00:00+08:00", "2026-03-01", "jein"])
def test_nothing_runs_without_a_clear_consent(make_home: Any, consent: str) -> None:
    home = make_home(attributes={"home-1": {"consent": consent}})
    home.say("0 08:00", motion_hall=True, **ALARMS)
    home.tick("2 00:00")
    assert home.said() == []


def test_withdrawal_ends_what_is_open_at_the_next_deadline_even_without_a_row(make_home: Any) -> None:
    home = make_home(attributes={"home-1": {"consent": "2026-03-02T14:00:00+08:00"}})
    home.say("0 08:00", motion_hall=True, sos=True)
    home.tick("1 00:00")
    assert [(rule, phase) for rule, phase, *_ in home.said()] == [("sos", "raised"), ("sos", "cleared")]
    assert home.findings[-1].evidence.note == "consent_withdrawn"


def test_nothing_of_the_home_is_kept_after_withdrawal(make_home: Any, usual: Any) -> None:
    home = make_home()
    for day in range(16):
        home.feed(usual(day), cut=100)
    home.registry({"home-1": {"consent": "withdrawn"}})
    home.say("16 08:00", motion_hall=True)
    kept = [
        f.name
        for f in home.engine.rules.fields
        if not np.array_equal(
            home.engine.entities.column(f.name)[0],
            np.full_like(home.engine.entities.column(f.name)[0], f.fill),
            equal_nan=f.dtype.startswith("float"),
        )
    ]
    assert kept == []
    assert (home.engine.entities.column("timer")[0] == NEVER).all()


def test_consent_is_that_of_the_home_whatever_homes_are_at_hand() -> None:
    """The engine hands over copies of the rows it touches and says in ``number`` whose they are."""
    names = ["a", "b", "c"]
    rules = SCENARIO.rules(SCENARIO.policy(None), ("sos",), {"c": {"consent": "withdrawn"}}, names)
    arrays: dict[str, Any] = {"timer": np.full((2, len(rules.timers)), NEVER), "number": np.array([1, 2])}
    for f in rules.fields:
        along = ("sos",) if f.channels is None else f.channels
        shape = [len(along) if axis == "channel" else axis for axis in f.axes]
        arrays[f.name] = np.full((2, *shape), f.fill, f.dtype)
    out = Out()
    two = np.array([0, 1])
    at = np.array([10**15, 10**15])
    rules.step(State(arrays), Round(two, at, at, np.zeros(2, np.uint16), np.ones((2, 1))), out)
    assert [(claim.entity, claim.kind) for claim in out.claims] == [(0, "elderly.sos")]
    assert out.scores is not None
    assert len(out.scores) == 2
