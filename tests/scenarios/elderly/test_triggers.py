"""SOS, smoke, gas on the ordinary lane; and the urgent lane."""

from typing import Any

import numpy as np
import pytest

from scenarios.elderly import SCENARIO
from zhiwei.clock import NEVER
from zhiwei.contracts import Out, Round, State


@pytest.mark.parametrize("channel", ["sos", "sos_bathroom", "smoke_kitchen", "gas"])
def test_a_trigger_is_raised_with_its_row(home: Any, channel: str) -> None:
    home.say("0 10:00:00", **{channel: True})
    rule = channel.replace("_", ".")
    assert home.said() == [(rule, "raised", "0 10:00", "0 10:00")]
    assert home.findings[0].severity == "critical"


def test_a_trigger_that_says_no_is_nothing(home: Any) -> None:
    home.say("0 10:00", sos=False, smoke=False, gas=False)
    home.tick("0 11:00")
    assert home.said() == []


def test_smoke_that_falls_back_for_seconds_is_one_finding(home: Any) -> None:
    for second, smoke in ((0, True), (20, False), (40, True), (50, False)):
        home.say(f"0 10:00:{second:02d}", smoke_kitchen=smoke)
    home.tick("0 10:03")
    assert home.said() == [
        ("smoke.kitchen", "raised", "0 10:00", "0 10:00"),
        ("smoke.kitchen", "cleared", "0 10:00", "0 10:01:50"),
    ]


def test_a_press_long_after_one_that_was_never_released_is_another_call(home: Any) -> None:
    home.say("0 10:00", sos=True)
    home.say("0 10:05", sos=True)
    home.say("0 17:00", sos=True)
    assert home.said() == [
        ("sos", "raised", "0 10:00", "0 10:00"),
        ("sos", "cleared", "0 10:00", "0 17:00"),
        ("sos", "raised", "0 17:00", "0 17:00"),
    ]
    assert len({f.id for f in home.findings}) == 2


def test_an_answer_by_a_device_whose_clock_is_behind_does_not_end_before_the_beginning(home: Any) -> None:
    home.say("0 10:00", sos=True, device="button")
    home.say("0 09:59", operator_state="false_press", device="call", arrived="0 10:01")
    assert home.said()[-1] == ("sos", "cleared", "0 10:00", "0 10:00")


def test_a_trigger_does_not_ask_who_is_home(make_home: Any) -> None:
    home = make_home(attributes={"home-1": {"operator_state": "away"}})
    home.say("0 10:00", smoke=True)
    assert home.said() == [("smoke", "raised", "0 10:00", "0 10:00")]


# ------------------------------------------------------------------ urgent lane


class Lane:
    """The urgent rules over one home each row."""

    def __init__(
        self, channels: tuple[str, ...], attributes: dict[str, dict[str, str]] | None = None
    ) -> None:
        self.channels = channels
        names = ["home-1", "home-2"]
        self.rules = SCENARIO.urgent(SCENARIO.policy(None), channels, attributes or {}, names)
        arrays: dict[str, Any] = {"timer": np.full((2, len(self.rules.timers)), NEVER)}
        for f in self.rules.fields:
            along = channels if f.channels is None else f.channels
            arrays[f.name] = np.full(
                (2, *(len(along) if a == "channel" else a for a in f.axes)), f.fill, f.dtype
            )
        self.state = State(arrays)

    def say(self, at: int, entity: int = 0, **values: float) -> list[tuple[str, str, int]]:
        out = Out()
        for timer in np.flatnonzero(self.state["timer"][entity] <= at).tolist():
            when = self.state["timer"][[entity], timer]
            self.state["timer"][entity, timer] = NEVER
            self.rules.fire(self.state, self.rules.timers[timer], np.array([entity]), when, out)
        cells = [[values.get(name, np.nan) for name in self.channels]]
        rows = Round(
            entity=np.array([entity]),
            at=np.array([at]),
            arrived=np.array([at]),
            flags=np.zeros(1, np.uint16),
            values=np.array(cells, np.float64),
        )
        self.rules.step(self.state, rows, out)
        return [(c.rule, str(c.phase), c.at) for c in out.claims]


SECOND = 1_000_000


def test_the_urgent_lane_claims_every_row_and_ends_for_itself() -> None:
    lane = Lane(("gas", "smoke", "sos"))
    assert lane.say(0, sos=1.0) == [("urgent.sos", "raised", 0)]
    assert lane.say(3 * SECOND, sos=1.0) == [("urgent.sos", "raised", 3 * SECOND)]
    assert lane.say(4 * SECOND, smoke=1.0, gas=1.0) == [
        ("urgent.gas", "raised", 4 * SECOND),
        ("urgent.smoke", "raised", 4 * SECOND),
    ]
    end = 603 * SECOND
    assert lane.say(end + 1, sos=1.0) == [("urgent.sos", "cleared", end), ("urgent.sos", "raised", end + 1)]


def test_the_urgent_lane_is_silent_without_a_trigger_or_without_consent() -> None:
    assert Lane(("sos",)).say(0, sos=0.0) == []
    assert Lane(("sos",)).say(0) == []
    withdrawn = {"home-2": {"consent": "withdrawn"}}
    assert Lane(("sos",), withdrawn).say(0, entity=1, sos=1.0) == []
    assert Lane(("sos",), withdrawn).say(0, entity=0, sos=1.0) != []


def test_the_triggers_of_the_schema_are_those_of_the_urgent_lane() -> None:
    assert [c.name for c in SCENARIO.schema.channels if c.trigger] == ["sos", "smoke", "gas"]
