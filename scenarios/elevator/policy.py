"""The elevator policy: from TOML to checked numbers. Every number has a unit, a source and a mark.

A mark says how sure the source is: V reproduced by running code, P primary text, C public code,
N news or abstract, G general knowledge (check the document before relying on it), D a choice of this project.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from zhiwei.clock import MICROS
from zhiwei.errors import ConfigError
from zhiwei.ids import digest
from zhiwei.types import Severity

S = TypeVar("S", bound=msgspec.Struct)
Mark = Literal["V", "P", "C", "N", "G", "D"]
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Units of a duration, in seconds."""
_TIME = "s"


@dataclass(frozen=True, slots=True)
class Number:
    """What a setting may be. Unit ``s`` stands for any unit of a duration; limits are in seconds then."""

    unit: str
    low: float
    high: float
    whole: bool = False


_DURATION = Number(_TIME, 0, 31 * 86_400)
_SCORE = Number("1", 0, 1)

NUMBERS: dict[str, Number] = {
    "intake.latency": Number(_TIME, 0, 3600),
    "intake.reorder": Number(_TIME, 0, 60),
    "intake.gap": Number(_TIME, 0, 3600),
    "intake.mode_event": _DURATION,
    "entrapment.out_of_zone": Number(_TIME, 1, 3600),
    "entrapment.in_zone": Number(_TIME, 1, 3600),
    "entrapment.in_zone_without_evidence": Number(_TIME, 1, 7200),
    "entrapment.contact_lost": Number(_TIME, 1, 3600),
    "entrapment.clear": Number(_TIME, 0, 3600),
    "entrapment.press": Number(_TIME, 0, 3600),
    "score.out_of_zone": _SCORE,
    "score.in_zone": _SCORE,
    "score.in_zone_without_evidence": _SCORE,
    "score.alarm_button": _SCORE,
    "score.contact_lost": _SCORE,
    "score.person_unknown": _SCORE,
    "score.mode_unknown_factor": _SCORE,
    "score.work_order_factor": _SCORE,
    "score.vendor_agrees": _SCORE,
    "alarm_button.ends": _DURATION,
    "stopped_outside_zone.hold": _DURATION,
    "door_open_moving.hold": _DURATION,
    "door_open_moving.speed": Number("m/s", 0, 20),
    "door_cycling.attempts": Number("attempts", 2, 8, whole=True),
    "door_cycling.window": _DURATION,
    "door_blocked.hold": _DURATION,
    "overspeed.ratio": Number("1", 1, 10),
    "overspeed.samples": Number("samples", 1, 100, whole=True),
    "unintended_movement.hold": _DURATION,
    "not_level.stopping": Number("mm", 0, 1000),
    "not_level.keeping": Number("mm", 0, 1000),
    "not_level.keeping_hold": _DURATION,
    "not_level.stops": Number("stops", 1, 100, whole=True),
    "run_timeout.most": _DURATION,
    "run_timeout.margin": _DURATION,
    "run_timeout.least": _DURATION,
    "ebike.confidence": _SCORE,
    "ebike.ends": _DURATION,
    "offline.intervals": Number("intervals", 1, 1000),
    "offline.at_least": _DURATION,
    "person_fault.constant": _DURATION,
    "person_fault.trips": Number("trips", 1, 10_000, whole=True),
    "level_fault.share": Number("%", 0, 100),
    "level_fault.stops": Number("stops", 1, 10_000, whole=True),
    "level_fault.period": _DURATION,
}
"""Every number of a policy: key → what it may be."""

GRADED = (
    "entrapment", "entrapment_suspected", "alarm_button", "door_open_moving", "door_cycling",
    "door_blocked", "overrun", "hit_bottom", "overspeed", "unintended_movement", "not_level",
    "run_timeout", "ebike", "power_loss", "stopped_outside_zone", "sensor_fault", "vendor_claim",
    "offline",
)  # fmt: skip
"""What has a severity."""

EVIDENCE = ("alarm_button", "calls", "door_state", "codes")
"""Channels that can show that somebody asks in vain: a registered call, an opening that fails, a press."""


class Threshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number with what stands behind it."""

    value: int | float
    unit: str
    source: str
    mark: Mark

    @property
    def canonical(self) -> float:
        """In seconds for a duration, else as it stands."""
        return self.value * UNITS.get(self.unit, 1.0)


class _Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    channels: tuple[str, ...]
    source: str
    mark: Mark


class Override(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other numbers for some lifts; a later one goes before an earlier one."""

    entities: tuple[str, ...]
    set: dict[str, Threshold]


@dataclass(slots=True)
class ElevatorPolicy:
    """A validated policy."""

    numbers: dict[str, Threshold]
    """By key of ``NUMBERS``."""
    severity: dict[str, Severity]
    """By name of ``GRADED``."""
    evidence: tuple[str, ...]
    overrides: tuple[Override, ...]
    text: str
    version: str
    """A short hash of the text: another comment is another version."""
    latency_us: int

    def latency_of(self, channel: str) -> int:  # noqa: ARG002 - a kit sends all its channels at once
        """Normal latency of a channel, µs."""
        return self.latency_us

    @property
    def reorder_us(self) -> int:
        """How long a row waits for earlier ones, µs."""
        return self.us("intake.reorder")

    def value(self, key: str) -> float:
        """Seconds for a duration, else the number as it stands."""
        return self.numbers[key].canonical

    def us(self, key: str) -> int:
        """A duration in µs."""
        return round(self.value(key) * MICROS)

    def source(self, key: str) -> str:
        """Why it is that number."""
        return self.numbers[key].source


def parse(text: str, *, file: str) -> ElevatorPolicy:
    """Raises ConfigError naming file, key, value and what would be right."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file=file, key="(syntax)", value=str(error), expected="TOML") from None
    read = _Reader(file)
    severity = read.severities(tree.pop("severity", {}))
    evidence = read.evidence(tree.pop("evidence", {}))
    overrides = read.overrides(tree.pop("override", []))
    numbers = read.numbers(tree)
    return ElevatorPolicy(
        numbers=numbers,
        severity=severity,
        evidence=evidence,
        overrides=overrides,
        text=text,
        version=digest("policy", text)[:12],
        latency_us=round(numbers["intake.latency"].canonical * MICROS),
    )


class _Reader:
    """Sections of the file to values, each error naming its place."""

    def __init__(self, file: str) -> None:
        self._file = file

    def _refused(self, key: str, value: object, expected: str) -> ConfigError:
        shown = type(value).__name__ if isinstance(value, dict | list) else value
        return ConfigError(file=self._file, key=key, value=shown, expected=expected)

    def severities(self, table: object) -> dict[str, Severity]:
        if not isinstance(table, dict):
            raise self._refused("severity", table, "a table")
        for name, value in table.items():
            if name not in GRADED:
                raise self._refused(f"severity.{name}", value, f"one of {', '.join(GRADED)}")
            if value not in tuple(Severity):
                raise self._refused(f"severity.{name}", value, f"one of {', '.join(Severity)}")
        for name in GRADED:
            if name not in table:
                raise self._refused(f"severity.{name}", None, "this key to be given")
        return {name: Severity(value) for name, value in table.items()}

    def evidence(self, table: object) -> tuple[str, ...]:
        found = self._struct("evidence", table, _Evidence)
        for place, name in enumerate(found.channels):
            if name not in EVIDENCE:
                raise self._refused(f"evidence.channels[{place}]", name, f"one of {', '.join(EVIDENCE)}")
        return found.channels

    def numbers(self, tree: dict[str, object]) -> dict[str, Threshold]:
        found: dict[str, Threshold] = {}
        for section, table in tree.items():
            if not isinstance(table, dict):
                raise self._refused(section, table, "a section")
            for name, entry in table.items():
                key = f"{section}.{name}"
                found[key] = self._number(key, key, entry)
        for key in NUMBERS:
            if key not in found:
                raise self._refused(key, None, "this key to be given")
        if found["run_timeout.least"].canonical > found["run_timeout.most"].canonical:
            raise self._refused(
                "run_timeout.least.value", found["run_timeout.least"].value, "no more than run_timeout.most"
            )
        return found

    def overrides(self, entries: object) -> tuple[Override, ...]:
        if not isinstance(entries, list):
            raise self._refused("override", entries, "[[override]] entries")
        found = []
        for place, entry in enumerate(entries):
            at = f"override[{place}]"
            if not isinstance(entry, dict) or set(entry) != {"entities", "set"}:
                raise self._refused(at, entry, "the keys entities and set")
            if not isinstance(entry["set"], dict):
                raise self._refused(f"{at}.set", entry["set"], "a table of keys such as 'entrapment.in_zone'")
            numbers = {key: self._number(f"{at}.set.{key}", key, said) for key, said in entry["set"].items()}
            for same in ("intake.latency", "intake.reorder"):
                if same in numbers:
                    raise self._refused(f"{at}.set.{same}", None, "a key that differs between lifts")
            entities = self._struct(f"{at}.entities", {"names": entry["entities"]}, _Names).names
            found.append(Override(entities=entities, set=numbers))
        return tuple(found)

    def _number(self, at: str, key: str, entry: object) -> Threshold:
        number = NUMBERS.get(key)
        if number is None:
            raise self._refused(at, entry, "no such key; see the shipped policy.toml")
        said = self._struct(at, entry, Threshold)
        units = tuple(UNITS) if number.unit == _TIME else (number.unit,)
        if said.unit not in units:
            raise self._refused(f"{at}.unit", said.unit, " or ".join(map(repr, units)))
        if not number.low <= said.canonical <= number.high:
            per = " s" if number.unit == _TIME else ""
            raise self._refused(f"{at}.value", said.value, f"{number.low:g} to {number.high:g}{per}")
        if number.whole and said.value != int(said.value):
            raise self._refused(f"{at}.value", said.value, "a whole number")
        return said

    def _struct(self, at: str, table: object, kind: type[S]) -> S:
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            message = str(error)
        if match := _FIELD.search(message):
            missing = match["what"].startswith("missing")
            expected = "this key to be given" if missing else "no such key"
            raise self._refused(f"{at}.{match['field']}", None, expected)
        what, _, where = message.partition(" - at `$")
        key = at + where.rstrip("`")
        raise self._refused(key, table, what.replace("Expected ", "").replace("`", ""))


class _Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    names: tuple[str, ...]


_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<field>[^`]*)`")
