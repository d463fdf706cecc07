"""A home under test: rows and ticks through the real engine, findings out."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scenarios.elderly import SCENARIO
from streams.engine.engine import Engine, Outcome, attributes_of
from zhiwei import frames
from zhiwei.clock import to_datetime, to_us
from zhiwei.contracts import LogRecord
from zhiwei.types import Control, Finding, Flag, Tick

Row = dict[str, Any]
START = datetime.fromisoformat("2026-03-02T00:00:00+08:00")
"""A Monday, local midnight."""


def moment(text: str | datetime) -> datetime:
    """``"0 06:40"``: day 0, local time; anything else is ISO 8601."""
    if isinstance(text, datetime):
        return text
    day, _, time = text.partition(" ")
    if not time:
        return datetime.fromisoformat(text)
    parts = [int(part) for part in time.split(":")]
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return START + timedelta(days=int(day), hours=hours, minutes=minutes, seconds=seconds)


def shown(time: datetime) -> str:
    """The inverse of ``moment``, to the second where there are any."""
    passed = time - START
    rest = passed.seconds
    text = f"{passed.days} {rest // 3600:02d}:{rest % 3600 // 60:02d}"
    return f"{text}:{rest % 60:02d}" if rest % 60 else text


def frame(rows: Sequence[Row]) -> bytes:
    """Rows with ``ts``, ``entity`` and perhaps ``device``, ``arrived`` and ``flags`` as one frame."""
    own = {"ts", "entity", "device", "arrived", "flags"}
    names = sorted({name for row in rows for name in row} - own)
    columns = {}
    for name in names:
        channel = SCENARIO.schema.channel(name)
        assert channel is not None, name
        columns[name] = frames.arrow_column(channel, [row.get(name) for row in rows])
    return frames.encode(
        SCENARIO.schema,
        entity=[row["entity"] for row in rows],
        device=[row.get("device", "gateway") for row in rows],
        ts=[to_us(moment(row["ts"])) for row in rows],
        arrived=[to_us(moment(row.get("arrived", row["ts"]))) for row in rows],
        flags=[row.get("flags", 0) for row in rows],
        channels=columns,
        clock="live",
    )


def records(items: Iterable[Row], cut: int = 1) -> list[LogRecord]:
    """Frames of at most ``cut`` rows, and ticks between them."""
    values: list[bytes] = []
    run: list[Row] = []
    for item in items:
        if "tick" in item or len(run) == cut:
            values += [frame(run)] if run else []
            run = []
        if "tick" in item:
            values.append(msgspec.json.encode(Tick(clock="live", time=moment(item["tick"]))))
        else:
            run.append(item)
    values += [frame(run)] if run else []
    return [LogRecord(offset, value) for offset, value in enumerate(values, start=1)]


@dataclass
class Home:
    """One home, or several, under one policy."""

    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    text: str | None = None
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        policy = SCENARIO.policy(self.text, file="policy")
        self.engine = Engine(SCENARIO, site="s", topic="readings.elderly", partition=0, policy=policy)
        self.offset = 0
        if self.attributes:
            self.registry(self.attributes)

    def registry(self, attributes: Mapping[str, Mapping[str, str]]) -> None:
        """What the registry says from now on."""
        body = attributes_of(attributes)
        control = msgspec.json.encode(Control(kind="registry", version=body, body=body))
        self.engine.apply([LogRecord(self.offset, control)])
        self.offset += 1

    def say(self, ts: str, *, arrived: str | None = None, device: str = "gateway", **channels: Any) -> None:
        """One row; ``motion_hall`` stands for ``motion.hall`` where the first word is a family."""
        families = {channel.name for channel in SCENARIO.schema.channels}
        row: Row = {"ts": ts, "entity": "home-1", "device": device}
        for name, value in channels.items():
            family = next((f for f in families if name.startswith(f"{f}_") and name not in families), None)
            row[f"{family}.{name[len(family) + 1 :]}" if family else name] = value
        if arrived:
            row["arrived"] = arrived
        self.feed([row])

    def say_late(self, ts: str, arrived: str, **channels: Any) -> None:
        """A row on the backlog, of which the ordinary lane gets a copy."""
        row = {"ts": ts, "arrived": arrived, "entity": "home-1", "flags": int(Flag.HISTORICAL)}
        self.feed([{**row, **{name.replace("_", ".", 1): value for name, value in channels.items()}}])

    def tick(self, ts: str) -> None:
        """Time has passed."""
        self.feed([{"tick": ts}])

    def feed(self, items: Iterable[Row], cut: int = 1) -> Outcome:
        """Rows with all their keys, and ticks; all records in one call."""
        waiting = [
            LogRecord(self.offset + number, record.value) for number, record in enumerate(records(items, cut))
        ]
        self.offset += len(waiting)
        outcome = self.engine.apply(waiting)
        assert not outcome.set_aside, outcome.set_aside
        assert not outcome.unreadable, outcome.unreadable
        self.findings += outcome.findings
        return outcome

    def said(self, kind: str = "") -> list[tuple[str, str, str, str]]:
        """(rule, phase, onset, at) of each revision, of a kind or of all."""
        return [
            (f.rule, str(f.phase), shown(f.onset), shown(f.at))
            for f in self.findings
            if f.kind.endswith(kind)
        ]


@pytest.fixture
def home() -> Home:
    return Home()


@pytest.fixture(scope="session")
def make_home() -> type[Home]:
    return Home


@pytest.fixture(scope="session")
def default_text() -> str:
    return (Path(__file__).parents[3] / "scenarios/elderly/policy.toml").read_text(encoding="utf-8")


def usual_day(day: int, entity: str = "home-1") -> list[Row]:
    """Up at 06:10, out of sight 07:20-10:00, then a sign every hour until 22:00; at night one visit."""
    times = [("02:00", "bathroom"), ("02:10", "bedroom"), ("06:10", "bedroom"), ("06:40", "kitchen")]
    times += [("07:20", "living"), ("10:00", "kitchen")]
    times += [(f"{hour}:00", ("living", "kitchen", "hall")[hour % 3]) for hour in range(11, 22)]
    times += [("22:00", "bedroom")]
    return [{"ts": f"{day} {time}", "entity": entity, f"motion.{room}": True} for time, room in times]


@pytest.fixture(scope="session")
def usual() -> Any:
    return usual_day


@dataclass(frozen=True)
class Case:
    """A golden case: rows, settings and the findings that must come of them, no more and no less."""

    items: list[Row]
    expected: list[dict[str, Any]]
    settings: dict[str, Any]

    def run(self, cut: int = 1) -> list[Finding]:
        home = Home(attributes=self.settings.get("entity_attributes", {}))
        home.feed(self.items, cut)
        return home.findings


@pytest.fixture(scope="session")
def load_case() -> Any:
    def load(folder: Path) -> Case:
        def lines(name: str) -> list[dict[str, Any]]:
            text = (folder / name).read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines()]

        settings = tomllib.loads((folder / "settings.toml").read_text(encoding="utf-8"))
        return Case(lines("input.jsonl"), lines("expected.jsonl"), settings)

    return load


@pytest.fixture(scope="session")
def to_time() -> Any:
    return to_datetime
