"""Doubles for alerts: a clock and a log that a test holds in its hand, and a builder of findings."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from alerts.store.store import Store
from zhiwei.contracts import LogRecord
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT
from zhiwei.types import Coordinates, Evidence, Finding, Observation, Phase, Severity, Tick

TOPICS = (FINDINGS, FINDINGS_URGENT)
START = datetime(2025, 6, 1, tzinfo=UTC)


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.us = 1_750_000_000_000_000

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return self.us / 1_000_000

    def advance(self, seconds: float) -> None:
        self.us += int(seconds * 1_000_000) + 1


class MemoryLog:
    """A LogReader of the two topics of findings, over a list a partition."""

    def __init__(self, partitions: int = 1, log_id: str = "log-a") -> None:
        self.id = log_id
        self.make(partitions)
        self._bell = asyncio.Event()

    def identity(self, topic: str) -> str:  # noqa: ARG002 - one log, one identity
        return self.id

    def make(self, partitions: int) -> None:
        """Both topics, with so many partitions; empty."""
        self._parts = {topic: [list[bytes]() for _ in range(partitions)] for topic in TOPICS}
        self._first = {topic: [0] * partitions for topic in TOPICS}

    def append(self, *records: Any, partition: int = 0, topic: str = FINDINGS) -> None:
        """Findings and ticks are encoded, bytes are taken as they are."""
        for record in records:
            value = record if isinstance(record, bytes) else msgspec.json.encode(record)
            self._parts[topic][partition].append(value)
        self._bell.set()

    def trim(self, count: int, partition: int = 0) -> None:
        """Forget everything before this offset."""
        self._first[FINDINGS][partition] = count

    def read(self, topic: str, partition: int, offset: int, *, most: int = 500) -> list[LogRecord]:
        start = max(offset, self._first[topic][partition])
        values = self._parts[topic][partition][start : start + most]
        return [LogRecord(start + place, value) for place, value in enumerate(values)]

    def earliest(self, topic: str, partition: int) -> int:
        return self._first[topic][partition]

    def end(self, topic: str, partition: int) -> int:
        return len(self._parts[topic][partition])

    def partitions(self, topic: str) -> int:
        return len(self._parts[topic])

    async def changed(self, timeout_s: float) -> None:  # noqa: ARG002
        await self._bell.wait()
        self._bell.clear()


def make_finding(
    finding: str = "f1", rev: int = 1, phase: str = "raised", at: float = 0, **other: Any
) -> Finding:
    """A finding; ``at`` and ``onset`` are seconds after the start."""
    values: dict[str, Any] = {
        "site": "local",
        "scenario": "water",
        "entity": "station-1",
        "kind": "water.chlorine_low",
        "rule": "limit.low.free_chlorine",
        "severity": "major",
        "score": 0.5,
        "onset": 0,
        "coordinates": Coordinates(topic="readings.water", partition=0, offset=7),
        **other,
    }
    values["severity"] = Severity(values["severity"])
    values["onset"] = at_s(values["onset"])
    return Finding(
        id=finding,
        rev=rev,
        phase=Phase(phase),
        at=at_s(at),
        evidence=Evidence(
            observations=(Observation(name="free_chlorine", observed=0.02, expected=0.3, limit="≥ 0.05"),),
            start=START,
            samples=3,
        ),
        versions={"rules": "1", "policy": "2025.1"},
        **values,
    )


def make_late(
    finding: str = "late", rev: int = 1, phase: str = "raised", at: float = 0, **other: Any
) -> Finding:
    """What a lift's backlog has left open; ``lane`` = urgent: a late call for help."""
    lane = other.pop("lane", "backlog")
    own = {"late": True, "clock": f"{lane}/elevator/0/live"}
    own["coordinates"] = Coordinates(topic=f"{lane}.elevator", partition=0, offset=7)
    return make_trapped(finding, rev, phase, at, **own, **other)


def make_trapped(
    finding: str = "fresh", rev: int = 1, phase: str = "raised", at: float = 0, **other: Any
) -> Finding:
    """The same of a fresh row."""
    values = {
        "scenario": "elevator",
        "entity": "lift-1",
        "kind": "elevator.entrapment",
        "rule": "entrapment",
        "severity": "critical",
        "clock": "elevator/0/live",
        "coordinates": Coordinates(topic="readings.elevator", partition=0, offset=7),
    }
    return make_finding(finding, rev, phase, at, **(values | other))


def make_tick(at: float, clock: str = "live") -> Tick:
    """A tick, ``at`` seconds after the start."""
    return Tick(clock=clock, time=at_s(at))


def at_s(seconds: float) -> datetime:
    """The time so many seconds after the start."""
    return START + timedelta(seconds=seconds)


@pytest.fixture(scope="session")
def finding() -> Any:
    return make_finding


@pytest.fixture(scope="session")
def late() -> Any:
    return make_late


@pytest.fixture(scope="session")
def trapped() -> Any:
    return make_trapped


@pytest.fixture(scope="session")
def tick() -> Any:
    return make_tick


@pytest.fixture(scope="session")
def at() -> Any:
    return at_s


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def new_log() -> type[MemoryLog]:
    return MemoryLog


@pytest.fixture
def store(tmp_path: Any) -> Any:
    opened = Store.open(tmp_path)
    yield opened
    opened.close()
