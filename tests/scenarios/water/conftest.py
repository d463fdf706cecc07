"""A driver for the rules of this scenario: rows in, claims and scores out, one entity at a time.

It does what the engine promises, as plainly as can be: fires a deadline before the first row that is not
earlier, hands over one row, keeps the claims.
"""

import csv
import gzip
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios.water import SCENARIO
from zhiwei.clock import NEVER, to_us
from zhiwei.contracts import Claim, Out, Round, State
from zhiwei.types import QUALITY_LETTERS, Flag

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests/models/vectors"


def blank(rules: Any, channels: tuple[str, ...], entities: int) -> State:
    """State of entities that have seen nothing."""
    arrays: dict[str, Any] = {"timer": np.full((entities, len(rules.timers)), NEVER, np.int64)}
    for f in rules.fields:
        along = channels if f.channels is None else f.channels
        shape = [len(along) if axis == "channel" else axis for axis in f.axes]
        arrays[f.name] = np.full((entities, *shape), f.fill, f.dtype)
    return State(arrays)


@dataclass
class Station:
    """One entity under one policy."""

    channels: tuple[str, ...]
    text: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    claimed_at: list[int] = field(default_factory=list)
    """Row number of each claim."""

    def __post_init__(self) -> None:
        self.channels = tuple(sorted(self.channels, key=SCENARIO.schema.order))
        policy = SCENARIO.policy(self.text, file="policy")
        self.rules = SCENARIO.rules(policy, self.channels, {"station": self.attributes}, ["station"])
        self.state = blank(self.rules, self.channels, 1)

    def row(
        self, at: int, values: Mapping[str, float | str | None], flags: str = "", arrived: int | None = None
    ) -> Out:
        """One row; flags: letters of HJ 212. Texts are of text channels, which are not in ``channels``."""
        arrived = at if arrived is None else arrived
        self.pass_time(at, arrived)
        bits = 0
        for letter in flags:
            bits |= QUALITY_LETTERS[letter]
        out = Out()
        words = {name: np.array([said], object) for name, said in values.items() if isinstance(said, str)}
        cells: list[Any] = [values.get(name) for name in self.channels]
        rows = Round(
            entity=np.array([0]),
            at=np.array([at]),
            arrived=np.array([arrived]),
            flags=np.array([Flag(bits)], np.uint16),
            values=np.array([[np.nan if v is None else float(np.float32(v)) for v in cells]]),
            text=words,
        )
        self.rules.step(self.state, rows, out)
        self._keep(out)
        self.scores.append(np.nan if out.scores is None else float(out.scores[0]))
        return out

    def pass_time(self, at: int, arrived: int) -> None:
        """Fire what is due, earliest first."""
        timer = self.state["timer"][0]
        while True:
            due = [
                (int(when), number)
                for number, (name, when) in enumerate(zip(self.rules.timers, timer, strict=True))
                if when <= (arrived if name.startswith("silence") else at)
            ]
            if not due:
                return
            when, number = min(due)
            timer[number] = NEVER
            out = Out()
            self.rules.fire(self.state, self.rules.timers[number], np.array([0]), np.array([when]), out)
            self._keep(out)

    def _keep(self, out: Out) -> None:
        self.claims += out.claims
        self.claimed_at += [len(self.scores)] * len(out.claims)

    def kinds(self) -> list[tuple[str, str]]:
        """(rule, phase) of each claim."""
        return [(claim.rule, str(claim.phase)) for claim in self.claims]


@pytest.fixture(scope="session")
def station() -> type[Station]:
    return Station


@pytest.fixture(scope="session")
def state_of() -> Any:
    return blank


@pytest.fixture(scope="session")
def canary_text() -> str:
    """The reference settings that the scenario ships."""
    return (ROOT / "scenarios/water/canary.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def default_text() -> str:
    return (ROOT / "scenarios/water/policy.toml").read_text(encoding="utf-8")


@dataclass
class Case:
    """A golden case: rows, settings and the findings that must come of them, no more and no less."""

    rows: list[dict[str, Any]]
    expected: list[dict[str, Any]]
    settings: dict[str, Any]

    def run(self) -> Station:
        names = {name for row in self.rows for name in row} - {"ts", "flags"}
        station = Station(tuple(names), attributes=self.settings.get("entity_attributes", {}))
        for row in self.rows:
            at = to_us(datetime.fromisoformat(row["ts"]))
            station.row(at, row, row.get("flags", ""))
        return station


@pytest.fixture(scope="session")
def load_case() -> Any:
    def load(folder: Path) -> Case:
        def lines(name: str) -> list[dict[str, Any]]:
            text = (folder / name).read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines()]

        settings = tomllib.loads((folder / "settings.toml").read_text(encoding="utf-8"))
        return Case(lines("input.jsonl"), lines("expected.jsonl"), settings)

    return load


STATION_B = {
    "free_chlorine": "B_CL2_VAL",
    "ph": "B_PH_VAL",
    "turbidity": "B_TURB_VAL",
    "toc": "B_TOC_VAL",
    "conductivity": "B_COND_VAL",
    "temperature": "B_TEMP_VAL",
}


@pytest.fixture(scope="session")
def station_b() -> list[tuple[int, dict[str, float | None]]]:
    """(time, values) of each row of the golden station; temperature in °C."""
    rows: list[tuple[int, dict[str, float | None]]] = []
    with gzip.open(VECTORS / "canary_station_b.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = datetime.strptime(row["TimeStep"], "%m/%d/%Y %H:%M:%S").replace(tzinfo=UTC)
            values = {name: float(row[c]) if row[c] else None for name, c in STATION_B.items()}
            if (fahrenheit := values["temperature"]) is not None:
                values["temperature"] = (fahrenheit - 32) / 1.8
            rows.append((to_us(at), values))
    return rows
