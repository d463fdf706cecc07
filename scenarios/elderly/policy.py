"""The elderly policy: from TOML to checked structs. Every number has a unit, a source and a mark.

A mark says how sure the source is: V reproduced by running code, P primary text, C public code,
N news or abstract, G general knowledge (check the document before relying on it), D a choice of this project.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal
from zoneinfo import available_timezones

import msgspec

from scenarios.elderly.schema import SCHEMA
from zhiwei.clock import MICROS
from zhiwei.errors import ConfigError
from zhiwei.ids import digest
from zhiwei.types import Severity

Mark = Literal["V", "P", "C", "N", "G", "D"]

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
"""Units of a duration, in seconds."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Threshold(_Section, frozen=True):
    """One number with what stands behind it."""

    value: int | float
    unit: str
    source: str
    mark: Mark

    @property
    def us(self) -> int:
        """Of a duration, µs; its unit was checked."""
        return round(self.value * UNITS[self.unit] * MICROS)


class Night(_Section, frozen=True):
    """Local hours of sleep; they cross midnight."""

    start: str
    end: str
    source: str
    mark: Mark


class Site(_Section, frozen=True):
    """Where the policy applies. An entity's attribute ``zone`` goes before ``zone``."""

    zone: str
    night: Night


class Late(_Section, frozen=True):
    """Rows that come late in a burst."""

    after: Threshold
    settle: Threshold


class Severities(_Section, frozen=True):
    """By kind, without ``elderly.``."""

    sos: Severity
    smoke: Severity
    gas: Severity
    fall: Severity
    no_activity: Severity
    no_water: Severity
    long_stay: Severity
    night_out: Severity
    bed_absent: Severity
    leak: Severity
    heat: Severity
    cold: Severity
    device_silent: Severity
    device_battery: Severity
    not_back: Severity

    def of(self, kind: str) -> Severity:
        """``elderly.fall`` → its severity."""
        severity: Severity = getattr(self, kind.removeprefix("elderly."))
        return severity


class RoomWords(_Section, frozen=True):
    """Which words of a suffix mean which place."""

    entrance: tuple[str, ...]
    bathroom: tuple[str, ...]
    bedroom: tuple[str, ...]
    outdoor: tuple[str, ...]


class Trigger(_Section, frozen=True):
    """SOS, smoke and gas."""

    release: Threshold
    alarm_release: Threshold
    renew: Threshold
    alarm_renew: Threshold


class Fall(_Section, frozen=True):
    """A fall seen by radar."""

    hold: Threshold
    hold_bathroom: Threshold
    renew: Threshold


class Away(_Section, frozen=True):
    """Out by the door, then nothing."""

    settle: Threshold
    cap: Threshold


class NoActivity(_Section, frozen=True):
    """Personal line and caps."""

    cap_awake: Threshold
    cap: Threshold
    percentile: Threshold
    buffer: Threshold
    least: Threshold
    warm_up: Threshold
    fewest: Threshold


class NoWater(_Section, frozen=True):
    """A meter that shows no use."""

    dry: Threshold
    pulse: Threshold
    fresh: Threshold


class LongStay(_Section, frozen=True):
    """Too long in one room."""

    bathroom: Threshold
    bathroom_night: Threshold
    bedroom: Threshold


class NightOut(_Section, frozen=True):
    """Out at night and not back."""

    start: str
    end: str
    wait: Threshold
    wait_cold: Threshold
    cold_below: Threshold


class BedAbsent(_Section, frozen=True):
    """Out of bed at night and still."""

    wait: Threshold


class Leak(_Section, frozen=True):
    """Water that never stops, or too much of it."""

    steady: Threshold
    slot: Threshold
    coarsest: Threshold
    volume: Threshold
    stopped: Threshold
    most_flow: Threshold


class Climate(_Section, frozen=True):
    """Heat and cold in a room."""

    hot: Threshold
    cold: Threshold
    hold: Threshold
    hysteresis: Threshold


class Silence(_Section, frozen=True):
    """Devices that are no longer heard."""

    periods: Threshold
    at_least: Threshold
    learn: Threshold
    longest: Threshold
    after: dict[str, Threshold] = {}


class Battery(_Section, frozen=True):
    """Batteries to be changed."""

    low: Threshold
    hysteresis: Threshold


class Sections(_Section, frozen=True):
    """A policy as it stands in the file. Optional sections that are left out switch their rules off."""

    site: Site
    latency: dict[str, Threshold]
    late: Late
    severity: Severities
    rooms: RoomWords
    away: Away
    silence: Silence
    reorder: Threshold | None = None
    """How long a row waits for earlier ones; left out, rows are stepped as they come."""
    trigger: Trigger | None = None
    fall: Fall | None = None
    no_activity: NoActivity | None = None
    no_water: NoWater | None = None
    long_stay: LongStay | None = None
    night_out: NightOut | None = None
    bed_absent: BedAbsent | None = None
    leak: Leak | None = None
    climate: Climate | None = None
    battery: Battery | None = None


@dataclass(slots=True)
class ElderlyPolicy:
    """A validated policy."""

    sections: Sections
    text: str
    file: str
    """Where it came from, for errors."""
    version: str
    """A short hash of the text: another comment is another version."""
    latency_us: int
    """Of channels without an entry of their own."""

    def latency_of(self, channel: str) -> int:
        """Normal latency of a channel, µs: what a daily upload brings is not old."""
        family = channel.partition(".")[0]
        return self.sections.latency.get(family, self.sections.latency["default"]).us

    @property
    def reorder_us(self) -> int:
        """How long a row waits for earlier ones, µs."""
        return 0 if self.sections.reorder is None else self.sections.reorder.us


_BOUNDS: dict[str, tuple[str, float, float]] = {
    "no_activity.percentile": ("%", 50, 100),
    "no_activity.fewest": ("days", 1, 28),
    "no_water.pulse": ("m³", 1e-4, 1),
    "night_out.cold_below": ("°C", -40, 40),
    "leak.volume": ("m³", 0.1, 1000),
    "leak.most_flow": ("m³/h", 0.1, 1000),
    "climate.hot": ("°C", 20, 60),
    "climate.cold": ("°C", -20, 25),
    "climate.hysteresis": ("°C", 0, 10),
    "silence.periods": ("periods", 1, 1000),
    "battery.low": ("%", 0, 100),
    "battery.hysteresis": ("%", 0, 50),
}
"""Key → unit, least, most. Every other threshold is a duration."""
_LONGEST = {
    "reorder": 1 / 60,
    "no_activity.cap_awake": 48.0,
    "no_activity.cap": 48.0,
    "no_activity.least": 24.0,
}
"""Durations with a limit of their own, h: nobody may lie on the floor for a week by a slip of the pen."""


def parse(text: str, *, file: str) -> ElderlyPolicy:
    """Raises ConfigError naming file, key, value and what would be right."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file=file, key="(syntax)", value=str(error), expected="TOML") from None
    try:
        sections = msgspec.convert(tree, Sections)
    except msgspec.ValidationError as error:
        raise _explained(file, tree, str(error)) from None
    _check(sections, file)
    return ElderlyPolicy(
        sections=sections,
        text=text,
        file=file,
        version=digest("policy", text)[:12],
        latency_us=sections.latency["default"].us,
    )


@cache
def zones() -> frozenset[str]:
    """Names of the time zones known here; looking them up walks a file tree."""
    return frozenset(available_timezones())


def minutes_of(clock_time: str) -> int:
    """``HH:MM`` as minutes after midnight."""
    hours, _, minutes = clock_time.partition(":")
    return int(hours) * 60 + int(minutes)


def _check(policy: Sections, file: str) -> None:
    """What types alone cannot say."""

    def refuse(key: str, value: object, expected: str) -> None:
        raise ConfigError(file=file, key=key, value=value, expected=expected)

    if policy.site.zone not in zones():
        refuse("site.zone", policy.site.zone, "an IANA time zone such as 'Asia/Shanghai'")
    times = {"site.night.start": policy.site.night.start, "site.night.end": policy.site.night.end}
    if policy.night_out is not None:
        times |= {"night_out.start": policy.night_out.start, "night_out.end": policy.night_out.end}
    for key, said in times.items():
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", said):
            refuse(key, said, "a time of day 'HH:MM'")
    if minutes_of(policy.site.night.start) <= minutes_of(policy.site.night.end):
        refuse(
            "site.night.start", policy.site.night.start, "a time later than night.end: nights cross midnight"
        )
    if "default" not in policy.latency:
        refuse("latency", ", ".join(policy.latency), "an entry 'default' for all other channels")
    families = {channel.name for channel in SCHEMA.channels}
    for section, table in (("latency", policy.latency), ("silence.after", policy.silence.after)):
        for family in table:
            if family not in families and (section, family) != ("latency", "default"):
                refuse(f"{section}.{family}", family, f"one of {', '.join(sorted(families))}")
    for key, number in _thresholds(policy, ""):
        unit, least, most = _BOUNDS.get(key, ("", 0, 0))
        if unit and number.unit != unit:
            refuse(f"{key}.unit", number.unit, repr(unit))
        elif unit and not least <= number.value <= most:
            refuse(f"{key}.value", number.value, f"{least:g} to {most:g} {unit}")
        elif not unit and number.unit not in UNITS:
            refuse(f"{key}.unit", number.unit, f"one of {', '.join(UNITS)}")
        elif not unit and not 0 < number.us <= _LONGEST.get(key, 31 * 24) * 3600 * MICROS:
            refuse(f"{key}.value", number.value, f"a duration above 0 and up to {_LONGEST.get(key, 744):g} h")


def _thresholds(part: msgspec.Struct, path: str) -> Iterator[tuple[str, Threshold]]:
    for field in part.__struct_fields__:
        value, key = getattr(part, field), f"{path}{field}"
        if isinstance(value, Threshold):
            yield key, value
        elif isinstance(value, dict):
            yield from ((f"{key}.{name}", number) for name, number in value.items())
        elif isinstance(value, msgspec.Struct):
            yield from _thresholds(value, f"{key}.")


_PLACE = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<at>.*)`)?")
_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<field>[^`]*)`")


def _explained(file: str, tree: dict[str, object], message: str) -> ConfigError:
    """msgspec's words as key, value and what would be right."""
    match = _PLACE.fullmatch(message)
    what, at = (match["what"], match["at"] or "") if match else (message, "")
    key, expected = at or "(top)", what.replace("Expected ", "").replace("`", "")
    if field := _FIELD.fullmatch(what):
        key = f"{at}.{field['field']}" if at else field["field"]
        missing = field["what"].startswith("missing")
        expected = "this key to be given" if missing else "no such key; see the shipped policy.toml"
    value: object = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return ConfigError(file=file, key=key, value=value, expected=expected)
