"""Every golden case of every scenario, through frames and the engine, cut and interrupted in several ways.

A case is a folder ``<scenario>/<case>/``:

- ``input.jsonl``: a native JSON reading a line (``ts`` and channels), beside it ``entity``, ``device``
  (default ``d``), ``arrived`` (default ``ts``) and ``flags`` (letters of HJ 212) where they matter. A line
  ``{"tick": "<time>"}`` is time that passes without rows.
- ``expected.jsonl``: the findings that must come of it and no other, a revision a line, in order for each
  entity. Only what a line names is compared; times as instants. ``observed`` compares observations by name,
  ``finding`` is a label: equal labels are one finding id, different labels are different ones.
- ``settings.toml``: what it shows, in a comment; ``scenario`` (default: the folder), ``entity`` of rows that
  name none, ``[entity_attributes]`` for all or ``[entity_attributes.<entity>]``, ``[policy]`` with numbers
  that differ from the shipped policy (``"intake.gap" = 20``); ``policy_file``, another of the scenario's own
  policies; ``lanes = true``: old rows go to the backlog lane, as intake would send them, and what is found
  there stands behind what is found on the ordinary lane.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cache, reduce
from importlib.resources import files
from operator import or_
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest.lanes import Sorting
from streams.engine.engine import Engine, attributes_of
from streams.engine.lanes import LATE_US
from streams.engine.snapshot import copy_head, copy_rows, restore
from zhiwei import frames, registry
from zhiwei.clock import MICROS, to_us
from zhiwei.contracts import Decoded, LogRecord, Policy, Scenario
from zhiwei.lanes import Lane, log_topic
from zhiwei.types import QUALITY_LETTERS, Control, Finding, Tick

FOLDERS = sorted(folder.parent for folder in Path(__file__).parent.glob("*/*/input.jsonl"))
FIXED = {"ts", "entity", "device", "arrived", "flags", "tick"}
SITE = "test"


@dataclass(frozen=True)
class Case:
    scenario: Scenario
    items: list[dict[str, Any]]
    expected: list[dict[str, Any]]
    policy: Policy
    attributes: dict[str, dict[str, str]]
    entity: str
    split: bool = False

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return (Lane.READINGS, Lane.BACKLOG) if self.split else (Lane.READINGS,)

    def topic(self, lane: Lane) -> str:
        return log_topic(lane, self.scenario.name)

    def engine(self, lane: Lane) -> Engine:
        return Engine(
            self.scenario, site=SITE, topic=self.topic(lane), partition=0, policy=self.policy, lane=lane
        )

    def lane_of(self, row: dict[str, Any]) -> Lane:
        """Where intake would send the row."""
        if not self.split:
            return Lane.READINGS
        sorting = Sorting(self.scenario.schema, self.policy.latency_of, LATE_US / MICROS)
        values = {name: value for name, value in row.items() if name not in FIXED}
        decoded = Decoded(ts=[to_us(datetime.fromisoformat(row["ts"]))], flags=[0], values=[values])
        arrived = to_us(datetime.fromisoformat(row.get("arrived", row["ts"])))
        return Lane.BACKLOG if sorting.old(decoded, arrived) else Lane.READINGS

    def records(self, lane: Lane, *, each: bool) -> list[LogRecord]:
        """Frames that end before each tick; with ``each``, also after every row."""
        values: list[bytes] = []
        run: list[dict[str, Any]] = []
        if self.attributes:
            body = attributes_of(self.attributes)
            values.append(msgspec.json.encode(Control(kind="registry", version="1", body=body)))

        def close() -> None:
            if run:
                values.append(self.frame(run))
                run.clear()

        for item in self.items:
            if "tick" in item:
                close()
                tick = Tick(clock="live", time=datetime.fromisoformat(item["tick"]))
                values.append(msgspec.json.encode(tick))
            elif self.lane_of(item) is lane:
                run.append(item)
                if each:
                    close()
        close()
        return [LogRecord(offset, value) for offset, value in enumerate(values)]

    def frame(self, rows: list[dict[str, Any]]) -> bytes:
        channels = {}
        for name in dict.fromkeys(key for row in rows for key in row if key not in FIXED):
            channel = self.scenario.schema.channel(name)
            assert channel is not None, f"{name} is no channel of {self.scenario.name}"
            channels[name] = frames.arrow_column(channel, [row.get(name) for row in rows])
        times = [to_us(datetime.fromisoformat(row["ts"])) for row in rows]
        arrivals = [to_us(datetime.fromisoformat(row.get("arrived", row["ts"]))) for row in rows]
        return frames.encode(
            self.scenario.schema,
            entity=[row.get("entity", self.entity) for row in rows],
            device=[row.get("device", "d") for row in rows],
            ts=times,
            arrived=arrivals,
            flags=[
                int(reduce(or_, (QUALITY_LETTERS[letter] for letter in row.get("flags", "")), 0))
                for row in rows
            ],
            channels=channels,
            clock="live",
        )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def with_numbers(text: str, numbers: dict[str, float]) -> str:
    """A policy text with other values; each key must be there once."""
    for key, value in numbers.items():
        section, _, name = key.rpartition(".")
        pattern = rf"(?ms)(^\[{re.escape(section)}\]$(?:(?!^\[).)*?^{re.escape(name)} = {{ value = )[^,]+"
        text, count = re.subn(pattern, rf"\g<1>{value}", text)
        assert count == 1, f"{key} is not in the shipped policy"
    return text


def load(folder: Path) -> Case:
    settings = tomllib.loads((folder / "settings.toml").read_text(encoding="utf-8"))
    scenario = registry.scenario(settings.get("scenario", folder.parent.name))
    entity = settings.get("entity", f"{scenario.name}-1")
    items = lines(folder / "input.jsonl")
    said = settings.get("entity_attributes", {})
    for_all = {key: value for key, value in said.items() if not isinstance(value, dict)}
    entities = dict.fromkeys(item.get("entity", entity) for item in items if "tick" not in item)
    attributes = {name: {**for_all, **said.get(name, {})} for name in entities}
    shipped = scenario.policy(None).text
    if "policy_file" in settings:
        own = files(f"scenarios.{scenario.name}").joinpath(settings["policy_file"])
        shipped = own.read_text(encoding="utf-8")
    text = with_numbers(shipped, settings.get("policy", {}))
    return Case(
        scenario=scenario,
        items=items,
        expected=lines(folder / "expected.jsonl"),
        policy=scenario.policy(text, file=str(folder)),
        attributes={name: one for name, one in attributes.items() if one},
        entity=entity,
        split=settings.get("lanes", False),
    )


# ------------------------------------------------------------------ ways to run it


def together(case: Case, lane: Lane) -> list[Finding]:
    return stepped(case.engine(lane), case.records(lane, each=False), at_once=True)


def row_by_row(case: Case, lane: Lane) -> list[Finding]:
    return stepped(case.engine(lane), case.records(lane, each=True), at_once=False)


def frames_of_one_row_at_once(case: Case, lane: Lane) -> list[Finding]:
    return stepped(case.engine(lane), case.records(lane, each=True), at_once=True)


class ReadOnce:
    """A scenario that reads a policy text once: most of what a restart costs, and not what is tested here."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._read = scenario, cache(scenario.policy)

    def policy(self, text: str | None, *, file: str = "") -> Policy:
        return self._read(text, file=file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scenario, name)


def restarted_after_every_record(case: Case, lane: Lane) -> list[Finding]:
    engine, found = case.engine(lane), []
    scenario: Any = ReadOnce(case.scenario)
    for record in case.records(lane, each=True):
        found += stepped(engine, [record], at_once=True)
        engine = restore(
            scenario,
            copy_head(engine),
            [copy_rows(engine, everything=True)],
            site=SITE,
            topic=case.topic(lane),
            partition=0,
            lane=lane,
        )
    return found


def stepped(engine: Engine, records: list[LogRecord], *, at_once: bool) -> list[Finding]:
    found: list[Finding] = []
    for batch in [records] if at_once else [[record] for record in records]:
        outcome = engine.apply(batch)
        assert (outcome.set_aside, outcome.unreadable) == ([], [])
        found += outcome.findings
    return found


WAYS = (together, row_by_row, frames_of_one_row_at_once, restarted_after_every_record)


# ------------------------------------------------------------------ comparing


def reduced(found: Any, expected: Any) -> Any:
    """What was found, cut down to what the expectation speaks of."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {key: reduced(found.get(key), value) for key, value in expected.items()}
    if isinstance(expected, list) and isinstance(found, list | tuple) and len(expected) == len(found):
        return [reduced(f, e) for f, e in zip(found, expected, strict=True)]
    if isinstance(found, datetime) and isinstance(expected, str):
        return expected if found == datetime.fromisoformat(expected) else found.isoformat()
    return found


def plain(finding: Finding) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(finding, builtin_types=(datetime,))
    observed: dict[str, Any] = {}
    for one in finding.evidence.observations:
        observed.setdefault(one.name, one.observed)
    return {**said, "observed": observed}


def by_entity(found: list[dict[str, Any]], entity: str) -> list[dict[str, Any]]:
    """In order for each entity; the order between entities follows the cuts."""
    return sorted(found, key=lambda one: str(one.get("entity", entity)))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_case_gives_its_findings_and_no_other(folder: Path, way: Any) -> None:
    case = load(folder)
    found = by_entity([plain(finding) for lane in case.lanes for finding in way(case, lane)], case.entity)
    expected = by_entity(case.expected, case.entity)
    ids: dict[str, str] = {}
    for one, line in zip(found, expected, strict=False):
        one["finding"] = next((label for label, id in ids.items() if id == one["id"]), None)
        if one["finding"] is None and (label := line.get("finding")) not in ids:
            ids[str(label)], one["finding"] = one["id"], label
    short = [{key: str(one[key]) for key in ("entity", "kind", "phase", "onset", "at")} for one in found]
    reached = [reduced(f, e) for f, e in zip(found, expected, strict=False)]
    assert reached + short[len(expected) :] == expected


def test_the_cases_are_found() -> None:
    assert {folder.parent.name for folder in FOLDERS} >= {"water", "elevator"}
