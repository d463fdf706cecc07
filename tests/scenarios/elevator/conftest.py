"""A driver for the rules of this scenario: rows and time in, claims out, one lift.

It does what the engine promises, as plainly as can be: fires a deadline before the first row or tick that is
not earlier, hands over one row, keeps the claims.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from scenarios.elevator import SCENARIO
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Claim, Out, Round, State

START = 1_772_400_000 * MICROS
TEXT = ("mode", "direction", "door_state", "power", "codes", "ebike_class", "ebike_image")
NUMERIC = tuple(channel.name for channel in SCENARIO.schema.channels if channel.name not in TEXT)
STANDING = {"mode": "normal", "moving": False, "in_door_zone": False, "door_closed": True, "person": True}
"""Between floors with somebody inside."""


def blank(rules: Any, lifts: int) -> State:
    """State of lifts that have seen nothing."""
    arrays: dict[str, Any] = {"timer": np.full((lifts, len(rules.timers)), NEVER, np.int64)}
    for f in rules.fields:
        arrays[f.name] = np.full((lifts, *f.axes), f.fill, f.dtype)
    return State(arrays)


def as_round(
    rows: list[Mapping[str, Any]], at: list[int], arrived: list[int], entity: list[int] | None = None
) -> Round:
    """Rows of different lifts. A channel that a row does not name is missing."""
    n = len(rows)
    text: dict[str, Any] = {}
    for name in TEXT:
        if any(row.get(name) is not None for row in rows):
            text[name] = np.empty(n, object)
            text[name][:] = [row.get(name) for row in rows]
    cells = [[row.get(name) for name in NUMERIC] for row in rows]
    return Round(
        entity=np.array(range(n) if entity is None else entity, np.int64),
        at=np.array(at, np.int64),
        arrived=np.array(arrived, np.int64),
        flags=np.zeros(n, np.uint16),
        values=np.array(
            [[np.nan if v is None else float(np.float32(v)) for v in line] for line in cells]
        ).reshape(n, len(NUMERIC)),
        text=text,
    )


@dataclass
class Lift:
    """One lift under one policy; times are seconds from the start."""

    text: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    urgent: bool = False
    claims: list[Claim] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        policy = SCENARIO.policy(self.text, file="policy")
        make = SCENARIO.urgent if self.urgent else SCENARIO.rules
        self.rules = make(policy, NUMERIC, {"lift": self.attributes}, ["lift"])
        self.state = blank(self.rules, 1)

    def row(self, second: float, row: Mapping[str, Any], arrived: float | None = None) -> "Lift":
        """One row, exactly as given."""
        at = START + round(second * MICROS)
        arrived_us = at if arrived is None else START + round(arrived * MICROS)
        self._pass(at, arrived_us)
        out = Out()
        self.rules.step(self.state, as_round([row], [at], [arrived_us]), out)
        self.claims += out.claims
        if out.scores is not None:
            self.scores.append(float(out.scores[0]))
        return self

    def stand(self, *seconds: float, **differs: Any) -> "Lift":
        """Rows of a car between floors with somebody inside, but for what differs."""
        for second in seconds:
            self.row(second, {**STANDING, **differs})
        return self

    def tick(self, second: float) -> "Lift":
        """Time passes without rows."""
        time = START + round(second * MICROS)
        self._pass(time - 10 * MICROS, time)
        return self

    def _pass(self, event: int, engine: int) -> None:
        timer = self.state["timer"][0]
        while True:
            due = [
                (int(when), number)
                for number, (name, when) in enumerate(zip(self.rules.timers, timer, strict=True))
                if when <= (engine if name.startswith("silence") else event)
            ]
            if not due:
                return
            when, number = min(due)
            timer[number] = NEVER
            out = Out()
            self.rules.fire(self.state, self.rules.timers[number], np.array([0]), np.array([when]), out)
            self.claims += out.claims

    def said(self, kind: str = "entrapment") -> list[tuple[str, float, float]]:
        """(phase, onset, at) of the claims of a kind, in seconds."""
        return [
            (str(c.phase), (c.onset - START) / MICROS, (c.at - START) / MICROS)
            for c in self.claims
            if c.kind == f"elevator.{kind}"
        ]

    def kinds(self) -> list[tuple[str, str]]:
        """(kind, phase) of each claim."""
        return [(c.kind.removeprefix("elevator."), str(c.phase)) for c in self.claims]

    def observed(self, claim: int = -1) -> dict[str, Any]:
        """Observations of a claim by name."""
        return {one.name: one.observed for one in self.claims[claim].evidence.observations}


@pytest.fixture(scope="session")
def lift() -> type[Lift]:
    return Lift


@pytest.fixture(scope="session")
def state_of() -> Any:
    return blank


@pytest.fixture(scope="session")
def round_of() -> Any:
    return as_round


@pytest.fixture(scope="session")
def default_text() -> str:
    return SCENARIO.policy(None).text
