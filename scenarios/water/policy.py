"""The water policy: from TOML to checked structs. Every number has a unit, a source and a mark.

A mark says how sure the source is: V reproduced by running code, P primary text, C public code,
N news or abstract, G general knowledge (check the document before relying on it), D a choice of this project.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import Annotated, Literal
from zoneinfo import available_timezones

import msgspec

from scenarios.water.room import settings as room
from scenarios.water.schema import SCHEMA
from scenarios.water.threshold import UNITS, Mark, Section, Threshold
from zhiwei import registry
from zhiwei.clock import MICROS
from zhiwei.errors import ConfigError
from zhiwei.ids import digest
from zhiwei.types import Severity

Side = Literal["low", "high", "prealarm"]
Disinfectant = Literal["free", "total", "chlorine_dioxide"]


class Night(Section, frozen=True):
    """Local hours in which water stands; may cross midnight."""

    start: str
    end: str
    source: str
    mark: Mark

    @property
    def minutes(self) -> tuple[int, int]:
        """Start and end, minutes after midnight."""
        return _minutes(self.start), _minutes(self.end)


class Site(Section, frozen=True):
    """Where the policy applies. An entity's attribute ``zone`` goes before ``zone``."""

    zone: str
    night: Night | None = None


class Severities(Section, frozen=True):
    """Of the kinds that are no limits."""

    event: Severity
    sensor_fault: Severity
    offline: Severity


class Decision(Section, frozen=True):
    """k of the last n valid samples beyond a limit; the same k beyond the hysteresis end it."""

    slow_from: Threshold
    """Usual interval from which the slow pair is used."""
    fast_k: Threshold
    fast_n: Threshold
    slow_k: Threshold
    slow_n: Threshold
    hysteresis: Threshold
    """Percent of the limit, where the limit gives no absolute one."""
    night_hold: Threshold
    """How long a pre-alarm must last at night."""


class Faults(Section, frozen=True):
    """Instrument or water? Without this section no sample is doubted."""

    spike_deviations: Threshold
    settling: Threshold
    stuck_samples: Threshold
    stuck_chance: Threshold
    stuck_channels: tuple[str, ...]
    slow_quantities: tuple[str, ...]
    """Expected to rest at one value until the channel has shown otherwise."""
    missing_intervals: Threshold
    scale_factors: tuple[Annotated[int, msgspec.Meta(ge=2)], ...]
    scale_tolerance: Threshold
    scale_channels: tuple[str, ...]


class Offline(Section, frozen=True):
    """Silence of a whole station."""

    intervals: Threshold
    at_least: Threshold


class Limit(Section, frozen=True):
    """A limit of one quantity; a later one for named entities goes before an earlier one."""

    channel: str
    side: Side
    value: float
    unit: str
    severity: Severity
    source: str
    mark: Mark
    disinfectant: Disinfectant | None = None
    """Applies only where the supply zone is disinfected so."""
    hysteresis: float | None = None
    """Absolute, in the channel's unit."""
    entities: tuple[str, ...] = ()
    """Applies to these only; empty = to all."""


class Event(Section, frozen=True):
    """The multi-parameter detector and its discriminator, by name."""

    channels: tuple[str, ...]
    detector: str
    discriminator: str
    learn_every: Threshold
    """Rows between two that are learned are judged only; the first ones are all learned."""
    lasting: Threshold | None = None
    """An event that lasts so long has become the usual; beside the discriminator's own limit in rows."""
    pass_precision: bool = False
    """Hand [precision] to the detector as its setting ``precision``."""
    detector_settings: dict[str, Threshold] = msgspec.field(default_factory=dict)
    discriminator_settings: dict[str, Threshold] = msgspec.field(default_factory=dict)


class SourceSwitch(Section, frozen=True):
    """An event that the operators have announced: another source of water."""

    states: tuple[str, ...]
    """What ``operator_state`` says of it, in lower case."""
    announced: Threshold
    """How long the word holds where none comes after it."""
    steps: tuple[str, ...]
    """All of these must step."""
    together: Threshold
    """How long before the event's first outlier a step may be."""
    may_move: tuple[str, ...]
    """What else may contribute; anything more makes it an event."""
    severity: Severity


class Sections(Section, frozen=True):
    """A policy as it stands in the file. Sections that are left out switch their rules off."""

    site: Site
    latency: Threshold
    """Normal latency of a row."""
    severity: Severities
    precision: dict[str, Threshold]
    """Quantity → resolution of its probe; ``default`` for all others."""
    reorder: Threshold | None = None
    """How long a row waits for earlier ones; left out, rows are stepped as they come."""
    decision: Decision | None = None
    faults: Faults | None = None
    offline: Offline | None = None
    limit: tuple[Limit, ...] = ()
    event: Event | None = None
    source_switch: SourceSwitch | None = None
    pressure: room.Pressure | None = None
    tank: room.Tank | None = None
    flood: room.Flood | None = None
    hatch: room.Hatch | None = None
    intrusion: room.Intrusion | None = None
    uv: room.Uv | None = None
    cycling: room.Cycling | None = None

    def precision_of(self, quantity: str) -> float:
        """Resolution of a quantity's probe, in its unit."""
        return float(self.precision.get(quantity, self.precision["default"]).value)


@dataclass(slots=True)
class WaterPolicy:
    """A validated policy."""

    sections: Sections
    text: str
    file: str
    """Where it came from, for errors."""
    version: str
    """A short hash of the text: another comment is another version."""
    latency_us: int

    def latency_of(self, channel: str) -> int:  # noqa: ARG002 - a station sends all its values at once
        """Normal latency of a channel, µs."""
        return self.latency_us

    @property
    def reorder_us(self) -> int:
        """How long a row waits for earlier ones, µs."""
        reorder = self.sections.reorder
        return 0 if reorder is None else round(reorder.seconds * MICROS)


def parse(text: str, *, file: str) -> WaterPolicy:
    """Raises ConfigError naming file, key, value and what would be right."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file=file, key="(syntax)", value=str(error), expected="TOML") from None
    try:
        sections = msgspec.convert(tree, Sections)
    except msgspec.ValidationError as error:
        raise _explained(file, tree, str(error)) from None
    _Check(file).sections(sections)
    return WaterPolicy(
        sections=sections,
        text=text,
        file=file,
        version=digest("policy", text)[:12],
        latency_us=round(sections.latency.seconds * MICROS),
    )


class _Check:
    """What types alone cannot say."""

    def __init__(self, file: str) -> None:
        self._file = file

    def sections(self, policy: Sections) -> None:
        self._duration("latency", policy.latency)
        if policy.reorder is not None:
            self._number("reorder", policy.reorder, "s", 0, 60)
        if policy.site.zone not in available_timezones():
            self._refuse("site.zone", policy.site.zone, "an IANA time zone such as 'Asia/Shanghai'")
        if policy.site.night is not None:
            for key in ("start", "end"):
                self._clock_time(f"site.night.{key}", getattr(policy.site.night, key))
        if "default" not in policy.precision:
            self._refuse(
                "precision", ", ".join(policy.precision), "an entry 'default' for all other quantities"
            )
        for quantity, precision in policy.precision.items():
            if quantity != "default":
                self._known(f"precision.{quantity}", quantity, precision.unit)
            self._positive(f"precision.{quantity}", precision)
        if policy.decision is not None:
            self._decision(policy.decision)
        if policy.faults is not None:
            self._faults(policy.faults)
        if policy.offline is not None:
            self._number("offline.intervals", policy.offline.intervals, "intervals", 1, 1000)
            self._duration("offline.at_least", policy.offline.at_least)
        self._limits(policy)
        if policy.event is not None:
            self._event(policy.event)
        if policy.source_switch is not None:
            self._source_switch(policy, policy.source_switch)
        self._room(policy)

    def _room(self, policy: Sections) -> None:
        for name, numbers in room.BOUNDS.items():
            section = getattr(policy, name)
            for key, (unit, least, most) in numbers.items() if section is not None else ():
                number: Threshold = getattr(section, key)
                if unit == "duration":
                    self._duration(f"{name}.{key}", number)
                else:
                    self._number(f"{name}.{key}", number, unit, least, most)
        pressure = policy.pressure
        if pressure is not None:
            for key in ("learn_from", "learn_window"):
                value = getattr(pressure, key).value
                if value != int(value):
                    self._refuse(f"pressure.{key}.value", value, "whole samples")
            if pressure.learn_from.value > pressure.learn_window.value:
                self._refuse("pressure.learn_from.value", pressure.learn_from.value, "at most learn_window")
        if policy.tank is not None and policy.tank.low.value >= policy.tank.high.value:
            self._refuse("tank.low.value", policy.tank.low.value, "a share below tank.high")
        if policy.intrusion is not None and policy.hatch is None:
            self._refuse("hatch", None, "this section, since there is [intrusion]")

    def _source_switch(self, policy: Sections, switch: SourceSwitch) -> None:
        if policy.event is None or not (policy.limit or policy.faults is not None):
            self._refuse("source_switch", None, "[event], and limits or [faults], beside it")
        self._channels("source_switch.steps", switch.steps)
        self._channels("source_switch.may_move", switch.may_move)
        self._duration("source_switch.announced", switch.announced)
        self._duration("source_switch.together", switch.together)
        if not switch.steps:
            self._refuse("source_switch.steps", "[]", "at least one channel")

    def _refuse(self, key: str, value: object, expected: str) -> None:
        raise ConfigError(file=self._file, key=key, value=value, expected=expected)

    def _clock_time(self, key: str, text: str) -> None:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
            self._refuse(key, text, "a time of day 'HH:MM'")

    def _positive(self, key: str, number: Threshold) -> None:
        if not number.value > 0:
            self._refuse(f"{key}.value", number.value, "a number above 0")

    def _duration(self, key: str, number: Threshold) -> None:
        if number.unit not in UNITS:
            self._refuse(f"{key}.unit", number.unit, f"one of {', '.join(UNITS)}")
        if not 0 <= number.seconds <= 366 * 86_400:
            self._refuse(f"{key}.value", number.value, "a duration from 0 to a year")

    def _number(self, key: str, number: Threshold, unit: str, least: float, most: float) -> None:
        if number.unit != unit:
            self._refuse(f"{key}.unit", number.unit, repr(unit))
        if not least <= number.value <= most:
            self._refuse(f"{key}.value", number.value, f"{least:g} to {most:g}")

    def _known(self, key: str, name: str, unit: str) -> None:
        channel = SCHEMA.channel(name)
        if channel is None or channel.dtype != "float32":
            self._refuse(key, name, "a measured quantity of the water schema")
        elif unit != channel.unit:
            self._refuse(f"{key}.unit", unit, repr(channel.unit))

    def _channels(self, key: str, names: tuple[str, ...]) -> None:
        for place, name in enumerate(names):
            channel = SCHEMA.channel(name)
            if channel is None or channel.dtype != "float32" or name in names[:place]:
                self._refuse(f"{key}[{place}]", name, "measured channels of the water schema, each once")

    def _decision(self, decision: Decision) -> None:
        self._duration("decision.slow_from", decision.slow_from)
        self._duration("decision.night_hold", decision.night_hold)
        self._number("decision.hysteresis", decision.hysteresis, "%", 0, 100)
        for pair in ("fast", "slow"):
            k, n = getattr(decision, f"{pair}_k"), getattr(decision, f"{pair}_n")
            self._number(f"decision.{pair}_n", n, "samples", 1, 5)
            self._number(f"decision.{pair}_k", k, "samples", 1, float(n.value))
            for number in (k, n):
                if number.value != int(number.value):
                    self._refuse(f"decision.{pair}", number.value, "whole samples")

    def _faults(self, faults: Faults) -> None:
        self._number("faults.spike_deviations", faults.spike_deviations, "robust deviations", 1, 1000)
        self._duration("faults.settling", faults.settling)
        self._number("faults.stuck_samples", faults.stuck_samples, "samples", 2, 10_000)
        self._number("faults.stuck_chance", faults.stuck_chance, "1", 1e-12, 0.5)
        self._number("faults.missing_intervals", faults.missing_intervals, "intervals", 1, 1000)
        self._number("faults.scale_tolerance", faults.scale_tolerance, "%", 0.1, 20)
        self._channels("faults.stuck_channels", faults.stuck_channels)
        self._channels("faults.slow_quantities", faults.slow_quantities)
        self._channels("faults.scale_channels", faults.scale_channels)

    def _event(self, event: Event) -> None:
        self._channels("event.channels", event.channels)
        self._duration("event.learn_every", event.learn_every)
        if event.lasting is not None:
            self._duration("event.lasting", event.lasting)
        installed = registry.names("detectors")
        if event.detector not in installed:
            self._refuse("event.detector", event.detector, f"one of {', '.join(sorted(installed))}")
        installed = registry.names("discriminators")
        if event.discriminator not in installed:
            self._refuse("event.discriminator", event.discriminator, f"one of {', '.join(sorted(installed))}")

    def _limits(self, policy: Sections) -> None:
        if policy.decision is None and (policy.limit or policy.faults is not None):
            self._refuse("decision", None, "this section, since there are limits or probe faults")
        for place, limit in enumerate(policy.limit):
            self._known(f"limit[{place}].channel", limit.channel, limit.unit)
            if limit.hysteresis is not None and limit.hysteresis < 0:
                self._refuse(f"limit[{place}].hysteresis", limit.hysteresis, "a number from 0 on")


def _minutes(clock_time: str) -> int:
    hours, _, minutes = clock_time.partition(":")
    return int(hours) * 60 + int(minutes)


_FIELD = re.compile(
    r"Object (?P<what>missing required|contains unknown) field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<at>.*)`)?"
)
_INVALID = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<at>.*)`)?")


def _explained(file: str, tree: dict[str, object], message: str) -> ConfigError:
    if match := _FIELD.fullmatch(message):
        key = ".".join(part for part in (match["at"], match["field"]) if part)
        key = key.replace("[...]", f"[{_first_wrong(tree.get('limit'))}]")
        missing = match["what"].startswith("missing")
        expected = "this key to be given" if missing else "no such key; see the shipped policy.toml"
        return ConfigError(file=file, key=key, value=_at(tree, key), expected=expected)
    match = _INVALID.fullmatch(message)
    key = (match["at"] if match else None) or "(top)"
    expected = (match["what"] if match else message).replace("Expected ", "").replace("`", "")
    if key.startswith("limit[...]"):
        key = key.replace("...", str(_first_wrong(tree["limit"])))
    return ConfigError(file=file, key=key, value=_at(tree, key), expected=expected)


def _first_wrong(limits: object) -> int:
    """Which entry it is: msgspec says ``[...]`` for any place in a list."""
    for place, limit in enumerate(limits if isinstance(limits, list) else ()):
        try:
            msgspec.convert(limit, Limit)
        except msgspec.ValidationError:
            return place
    return 0


def _at(tree: object, path: str) -> object:
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list) and part.isdigit() and int(part) < len(tree):
            tree = tree[int(part)]
        elif part != "...":
            return None
    return tree if not isinstance(tree, dict | list) else type(tree).__name__
