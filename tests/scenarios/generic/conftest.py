"""A driver for the rules of this scenario: rows in, claims and scores out, without an engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios.generic import SCENARIO
from zhiwei.contracts import Claim, Floats, Out, Round, State

SHIPPED = (Path(__file__).parents[3] / "scenarios/generic/policy.toml").read_text(encoding="utf-8")
MINUTE = 60_000_000


@dataclass
class Station:
    """Entities under one policy; each call of ``step`` is one round a minute after the last."""

    text: str
    channels: tuple[str, ...]
    entities: int = 1
    claims: list[tuple[int, Claim]] = field(default_factory=list)
    """(step, claim)"""
    scores: list[Any] = field(default_factory=list)
    steps: int = 0

    def __post_init__(self) -> None:
        names = [f"e{number}" for number in range(self.entities)]
        self.rules = SCENARIO.rules(SCENARIO.policy(self.text, file="p.toml"), self.channels, {}, names)
        self.state = State({})
        for f in self.rules.fields:
            along = self.channels if f.channels is None else f.channels
            shape = [len(along) if axis == "channel" else axis for axis in f.axes]
            self.state.arrays[f.name] = np.full((self.entities, *shape), f.fill, f.dtype)

    def step(self, values: Sequence[Sequence[float]] | Floats, flags: int = 0) -> list[Claim]:
        """values: (entities, channels)."""
        at = np.full(self.entities, self.steps * MINUTE)
        out = Out()
        rows = Round(
            entity=np.arange(self.entities),
            at=at,
            arrived=at,
            flags=np.full(self.entities, flags, np.uint16),
            values=np.asarray(values, np.float64),
        )
        self.rules.step(self.state, rows, out)
        self.claims += [(self.steps, claim) for claim in out.claims]
        self.scores.append(out.scores)
        self.steps += 1
        return out.claims

    def under(self, text: str) -> "Station":
        """The same entities under another policy: fields of the same name and shape are carried over."""
        other = Station(text, self.channels, self.entities)
        other.steps = self.steps
        for name, array in self.state.arrays.items():
            if name in other.state.arrays and other.state[name].shape == array.shape:
                other.state.arrays[name] = array
        return other


@pytest.fixture(scope="session")
def shipped() -> str:
    """The text of the policy that the scenario ships."""
    return SHIPPED


@pytest.fixture(scope="session")
def station() -> type[Station]:
    return Station
