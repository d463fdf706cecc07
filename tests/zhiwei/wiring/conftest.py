"""A data directory made of a golden case: its rows on the log, its findings beside them."""

import json
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alerts.store import folding
from alerts.store.folding import LogState, Run
from alerts.store.store import Store
from streams.engine.engine import Engine, attributes_of
from zhiwei import frames, registry
from zhiwei.clock import MICROS, to_datetime, to_us
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Entry, LogRecord
from zhiwei.settings import Settings
from zhiwei.types import Control, Finding, Rejection, Tick

CASES = Path(__file__).parents[2] / "cases"
FIXED = {"ts", "entity", "device", "tick"}


class Bed:
    """A log that was written by ingest and streams, as far as ``explain`` can tell."""

    def __init__(self, data: Path, clock: Any) -> None:
        self.settings = Settings(data_dir=str(data))
        self._readings, self._findings = (
            CommitLog(data / "log", name, writer=True, clock=clock, reserve_bytes=0)
            for name in ("readings", "findings")
        )
        self._readings.create_topic("quarantine", 1)
        self._findings.create_topic("findings", 1)

    def case(self, name: str, *, ticks: bool = True) -> "Bed":
        """Rows of tests/cases/<name>, a frame each, with a tick before each second or minute between them."""
        folder = CASES / name
        scenario = registry.scenario(name.split("/")[0])
        said = tomllib.loads((folder / "settings.toml").read_text(encoding="utf-8"))
        entity = said.get("entity", f"{scenario.name}-1")
        values: list[bytes] = []
        if attributes := said.get("entity_attributes"):
            body = attributes_of({entity: attributes})
            values.append(msgspec.json.encode(Control(kind="registry", version="1", body=body)))
        last = None
        for line in (folder / "input.jsonl").read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            at = to_us(datetime.fromisoformat(item.get("tick") or item["ts"]))
            if ticks and last is not None:
                step = max(1, (at - last) // MICROS // 600) * MICROS
                values += [make_tick(time) for time in range(last + step, at, step)]
            values.append(make_tick(at) if "tick" in item else make_frame(scenario, item, entity, at))
            last = at
        return self.rows(scenario.name, values)

    def rows(self, scenario: str, values: list[bytes]) -> "Bed":
        """Records on the log, and the findings that the engine makes of them."""
        topic, part = f"readings.{scenario}", registry.scenario(scenario)
        self._readings.create_topic(topic, 1)
        self._readings.append([Entry(topic, 0, value) for value in values])
        engine = Engine(part, site="local", topic=topic, partition=0)
        found = engine.apply([LogRecord(offset, value) for offset, value in enumerate(values)]).findings
        self._findings.append([Entry("findings", 0, msgspec.json.encode(finding)) for finding in found])
        return self

    def refuse(self, rejection: Rejection) -> "Bed":
        self._readings.append([Entry("quarantine", 0, msgspec.json.encode(rejection))])
        return self

    def fold(self) -> list[Finding]:
        """The event store of these findings; gives them."""
        store, log = Store.open(self.settings.data), self._findings
        records = log.read("findings", 0, 0)

        def call(connection: Any) -> None:
            folding.start(connection, LogState(log.id, "findings", ((0, 0),)), 1)
            limits = {"close_after_us": 1, "late_hold_us": 1, "now_us": 1}
            folding.apply(connection, "findings", {0: Run(0, records)}, sinks=["hook"], **limits)

        store.transact_here(call)
        store.close()
        return [msgspec.json.decode(record.value, type=Finding) for record in records]

    def close(self) -> None:
        self._readings.close()
        self._findings.close()


def make_tick(at: int) -> bytes:
    return msgspec.json.encode(Tick(clock="live", time=to_datetime(at)))


def make_frame(scenario: Any, item: dict[str, Any], entity: str, at: int) -> bytes:
    channels = {
        name: frames.arrow_column(scenario.schema.channel(name), [value])
        for name, value in item.items()
        if name not in FIXED
    }
    return frames.encode(
        scenario.schema,
        entity=[item.get("entity", entity)],
        device=[item.get("device", "kit")],
        ts=[at],
        arrived=[at],
        flags=[0],
        channels=channels,
        clock="live",
    )


@pytest.fixture
def bed(tmp_path: Path, manual_clock: Any) -> Any:
    made: list[Bed] = []

    def make(data: Path = tmp_path) -> Bed:
        made.append(Bed(data, manual_clock))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def manual_clock() -> Any:
    class Stopped:
        def now_us(self) -> int:
            return to_us(datetime.fromisoformat("2026-03-02T12:00:00+08:00"))

        def monotonic_s(self) -> float:
            return 0.0

    return Stopped()


@pytest.fixture
def tick() -> Any:
    return make_tick


@pytest.fixture
def frame() -> Any:
    return make_frame
