"""A golden case: a folder ``<scenario>/<case>/``, and what may be made of it.

- ``input.jsonl``: a native JSON reading a line (``ts`` and channels), beside it ``entity``, ``device``
  (default ``d``), ``arrived`` (default ``ts``) and ``flags`` (letters of HJ 212) where they matter. A line
  ``{"tick": "<time>"}`` is time that passes without rows.
- ``expected.jsonl``: the findings that must come of it and no other, a revision a line, in order for each
  entity. Only what a line names is compared; times as instants. ``observed`` compares observations by name,
  ``finding`` is a label: equal labels are one finding id, different labels are different ones.
- ``beside.jsonl``, where there is one: what the embedded bed finds beside that and no other, since ingest
  puts rows onto lanes: calls of the urgent lane, and what pages late. The same format.
- ``settings.toml``: what it shows, in a comment; ``scenario`` (default: the folder), ``entity`` of rows that
  name none, ``[entity_attributes]`` for all or ``[entity_attributes.<entity>]``, ``[policy]`` with numbers
  that differ from the shipped policy (``"intake.gap" = 20``); ``policy_file``, another of the scenario's own
  policies; ``lanes = true``: rows go to the lanes to which intake would send them, but for the urgent one,
  and what is found on the backlog lane stands behind what is found on the ordinary lane.
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

from ingest.lanes import Sorting
from streams.engine.engine import Engine, attributes_of
from streams.engine.lanes import LATE_US
from zhiwei import frames, registry
from zhiwei.clock import MICROS, to_us
from zhiwei.contracts import Decoded, LogRecord, Policy, Scenario
from zhiwei.lanes import Lane, log_topic
from zhiwei.types import QUALITY_LETTERS, Control, Flag, Tick

FOLDERS = sorted(folder.parent for folder in Path(__file__).parent.glob("*/*/input.jsonl"))
FIXED = {"ts", "entity", "device", "arrived", "flags", "tick"}
SITE = "test"
DEVICE = "d"

Item = dict[str, Any]
"""A line of ``input.jsonl``."""


@dataclass(frozen=True)
class Case:
    """See the head of this file."""

    name: str
    scenario: Scenario
    items: list[Item]
    expected: list[dict[str, Any]]
    beside: list[dict[str, Any]]
    policy: Policy
    attributes: dict[str, dict[str, str]]
    entity: str
    split: bool = False

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return (Lane.READINGS, Lane.BACKLOG) if self.split else (Lane.READINGS,)

    def topic(self, lane: Lane = Lane.READINGS) -> str:
        return log_topic(lane, self.scenario.name)

    def taken(self, row: Item) -> dict[Lane, Flag]:
        """Where intake would send the row, and with which flag, but for the urgent lane."""
        if not self.split:
            return {Lane.READINGS: Flag(0)}
        sorting = Sorting(self.scenario.schema, self.policy.latency_of, LATE_US / MICROS)
        values = {name: value for name, value in row.items() if name not in FIXED}
        decoded = Decoded(ts=[to_us(datetime.fromisoformat(row["ts"]))], flags=[0], values=[values])
        arrived = to_us(datetime.fromisoformat(row.get("arrived", row["ts"])))
        return {lane: flags for lane, _, flags in sorting.lanes(decoded, arrived)}

    @property
    def rows(self) -> list[Item]:
        return [item for item in self.items if "tick" not in item]

    @property
    def entities(self) -> list[str]:
        return list(dict.fromkeys(self.entity_of(row) for row in self.rows))

    @property
    def own_policy(self) -> bool:
        """Whether its thresholds are not those that the scenario ships."""
        return self.policy.version != self.scenario.policy(None).version

    def entity_of(self, row: Item) -> str:
        return str(row.get("entity", self.entity))

    def engine(self, partition: int = 0, lane: Lane = Lane.READINGS) -> Engine:
        return Engine(
            self.scenario,
            site=SITE,
            topic=self.topic(lane),
            partition=partition,
            policy=self.policy,
            lane=lane,
        )

    def registry(self) -> list[bytes]:
        """The control record of what is known of its entities."""
        body = attributes_of(self.attributes)
        control = Control(kind="registry", version="1", body=body)
        return [msgspec.json.encode(control)] if self.attributes else []

    def records(self, *, each: bool, lane: Lane = Lane.READINGS) -> list[LogRecord]:
        """Frames that end before each tick; with ``each``, also after every row."""
        values = self.registry()
        run: list[tuple[Item, Flag]] = []

        def close() -> None:
            if run:
                values.append(self.frame(run))
                run.clear()

        for item in self.items:
            if "tick" in item:
                close()
                values.append(ticked(item["tick"]))
            elif (flags := self.taken(item).get(lane)) is not None:
                run.append((item, flags))
                if each:
                    close()
        close()
        return [LogRecord(offset, value) for offset, value in enumerate(values)]

    def frame(self, taken: list[tuple[Item, Flag]]) -> bytes:
        """Rows, each with the flag that its lane puts on it."""
        rows = [row for row, _ in taken]
        channels = {}
        for name in dict.fromkeys(key for row in rows for key in row if key not in FIXED):
            channel = self.scenario.schema.channel(name)
            assert channel is not None, f"{name} is no channel of {self.scenario.name}"
            channels[name] = frames.arrow_column(channel, [row.get(name) for row in rows])
        times = [to_us(datetime.fromisoformat(row["ts"])) for row in rows]
        arrivals = [to_us(datetime.fromisoformat(row.get("arrived", row["ts"]))) for row in rows]
        return frames.encode(
            self.scenario.schema,
            entity=[self.entity_of(row) for row in rows],
            device=[row.get("device", DEVICE) for row in rows],
            ts=times,
            arrived=arrivals,
            flags=[
                int(reduce(or_, (QUALITY_LETTERS[letter] for letter in row.get("flags", "")), flag))
                for row, flag in taken
            ],
            channels=channels,
            clock="live",
        )


class ReadOnce:
    """A scenario that reads a policy text once: most of what a restart costs, and not what is tested here."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._read = scenario, cache(scenario.policy)

    def policy(self, text: str | None, *, file: str = "") -> Policy:
        return self._read(text, file=file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scenario, name)


def ticked(time: str) -> bytes:
    """A tick of the live clock, as ingest writes it."""
    return msgspec.json.encode(Tick(clock="live", time=datetime.fromisoformat(time)))


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


@cache
def load(folder: Path) -> Case:
    """The case in a folder; read once, and not to be changed."""
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
    beside = folder / "beside.jsonl"
    return Case(
        name=folder.name,
        scenario=scenario,
        items=items,
        expected=lines(folder / "expected.jsonl"),
        beside=lines(beside) if beside.exists() else [],
        policy=scenario.policy(text, file=str(folder)),
        attributes={name: one for name, one in attributes.items() if one},
        entity=entity,
        split=settings.get("lanes", False),
    )
