"""What devices and gateways in the field do to the truth. Each fault is a change of single reports.

A change gets a report and the world's time at which it was made, and gives what becomes of it: nothing,
itself, another, several. It may send a report later, never earlier.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random

from simulators.world import DAY_MS, SECOND_MS, Report, Value, seconds

Setting = float | str | list[str]
Change = Callable[[Report, int], Iterable[Report]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that a fault wants to be told."""

    name: str
    unit: str
    default: Setting | None
    """None: must be given."""
    meaning: str
    least: float = 0.0
    most: float = 1e9


@dataclass(frozen=True, slots=True)
class At:
    """Where and how a fault works: its parameters, its chance, its span of world time (ms)."""

    settings: Mapping[str, Setting]
    draw: Random
    start: int
    end: int

    def number(self, name: str) -> float:
        return float(self.settings[name])  # type: ignore[arg-type]

    def text(self, name: str) -> str:
        return str(self.settings[name])

    def ms(self, name: str) -> int:
        """A parameter in seconds as milliseconds."""
        return seconds(self.number(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One sort of fault."""

    meaning: str
    make: Callable[[At], Change]
    parameters: tuple[Parameter, ...] = ()
    scenarios: tuple[str, ...] = ()
    """Where it makes sense; empty: everywhere."""
    finding: Mapping[str, str] | None = None
    """Scenario → the finding that is right while it lasts; None: nothing should be found."""
    shows: Callable[[Mapping[str, Setting]], bool] = lambda _settings: True
    """Whether it is so bad, by its settings, that it should be found."""


SENSOR_FAULT = {"water": "water.sensor_fault", "elevator": "elevator.sensor_fault"}
OFFLINE = {"water": "water.offline", "elevator": "elevator.offline", "elderly": "elderly.device_silent"}


# ------------------------------------------------------------------ clocks


def _clock_offset(at: At) -> Change:
    offset = at.ms("offset_s")
    return lambda report, _now: (report._replace(ts=report.ts + offset),)


def _clock_skew(at: At) -> Change:
    rate = at.number("s_per_day") * SECOND_MS / DAY_MS
    return lambda report, now: (report._replace(ts=report.ts + round((now - at.start) * rate)),)


def _clock_1970(at: At) -> Change:
    return lambda report, now: (report._replace(ts=now - at.start),)


# ------------------------------------------------------------------ the way to us


def _duplicate(at: At) -> Change:
    share, delay = at.number("share"), at.ms("delay_s")

    def change(report: Report, _now: int) -> Iterable[Report]:
        if at.draw.random() >= share:
            return (report,)
        return report, report._replace(sent=report.sent + delay)

    return change


def _reorder(at: At) -> Change:
    share, most = at.number("share"), at.ms("delay_s")

    def change(report: Report, _now: int) -> Iterable[Report]:
        late = at.draw.random() < share
        delay = at.draw.randrange(most + 1)
        return (report._replace(sent=report.sent + delay) if late else report,)

    return change


def _dropout(at: At) -> Change:
    share = at.number("share")
    return lambda report, _now: () if at.draw.random() < share else (report,)


def _outage(at: At) -> Change:
    most, gap_ms = int(at.number("buffer")), SECOND_MS / at.number("rate")
    held = 0

    def change(report: Report, _now: int) -> Iterable[Report]:
        nonlocal held
        if held >= most:
            return ()
        held += 1
        return (report._replace(sent=max(report.sent, at.end + round(held * gap_ms))),)

    return change


def _flapping(at: At) -> Change:
    up, down = at.ms("up_s"), at.ms("down_s")

    def change(report: Report, now: int) -> Iterable[Report]:
        phase = (now - at.start) % (up + down)
        back = now if phase < up else now - phase + up + down
        return (report._replace(sent=max(report.sent, back)),)

    return change


def _batch_upload(at: At) -> Change:
    every = at.ms("every_s")

    def change(report: Report, now: int) -> Iterable[Report]:
        return (report._replace(sent=max(report.sent, now + -(now - at.start) % every)),)

    return change


def _brown_out(at: At) -> Change:
    every, off, unset = at.ms("every_s"), at.ms("off_s"), at.ms("unset_s")

    def change(report: Report, now: int) -> Iterable[Report]:
        phase = (now - at.start) % every
        if phase < off:
            return ()
        if phase < off + unset:
            return (report._replace(ts=phase - off),)
        return (report,)

    return change


# ------------------------------------------------------------------ what sensors say


def _changed(report: Report, name: str, value: Value) -> Iterable[Report]:
    return (report._replace(values={**report.values, name: value}),)


def _number(report: Report, name: str) -> float | None:
    value = report.values.get(name)
    return None if value is None or isinstance(value, bool | str | list) else float(value)


def _frozen(at: At) -> Change:
    wanted = at.settings["channels"]
    names = wanted if isinstance(wanted, list) else [wanted] if wanted else []
    first: dict[str, Value] = {}

    def change(report: Report, _now: int) -> Iterable[Report]:
        held = {
            name: first.setdefault(name, value)
            for name, value in report.values.items()
            if (name in names if names else _number(report, name) is not None)
        }
        return (report._replace(values={**report.values, **held}),)

    return change


def _channel_missing(at: At) -> Change:
    name = at.text("channel")

    def change(report: Report, _now: int) -> Iterable[Report]:
        kept = {channel: value for channel, value in report.values.items() if channel != name}
        return (report._replace(values=kept),)

    return change


def _drift(at: At) -> Change:
    name, per_ms = at.text("channel"), at.number("per_hour") / 3_600_000

    def change(report: Report, now: int) -> Iterable[Report]:
        value = _number(report, name)
        return (
            (report,)
            if value is None
            else _changed(report, name, round(value + (now - at.start) * per_ms, 4))
        )

    return change


def _spike(at: At) -> Change:
    name, size, per_ms = at.text("channel"), at.number("size"), at.number("per_day") / DAY_MS
    before = at.start

    def change(report: Report, now: int) -> Iterable[Report]:
        nonlocal before
        value = _number(report, name)
        if value is None:
            return (report,)
        hit = at.draw.random() < (now - before) * per_ms
        before = now
        return _changed(report, name, round(value + size, 4)) if hit else (report,)

    return change


def _scale(at: At) -> Change:
    name, factor = at.text("channel"), at.number("factor")

    def change(report: Report, _now: int) -> Iterable[Report]:
        value = _number(report, name)
        return (report,) if value is None else _changed(report, name, round(value * factor, 6))

    return change


def _inverted(at: At) -> Change:
    name = at.text("channel")

    def change(report: Report, _now: int) -> Iterable[Report]:
        value = report.values.get(name)
        return _changed(report, name, not value) if isinstance(value, bool) else (report,)

    return change


def _always(name: str, value: Value) -> Callable[[At], Change]:
    def make(_at: At) -> Change:
        return lambda report, _now: _changed(report, name, value) if name in report.values else (report,)

    return make


# ------------------------------------------------------------------ the list

_CHANNEL = Parameter("channel", "", None, "the channel")
_SHARE = Parameter("share", "0..1", 0.1, "of the reports", 0.0, 1.0)

KINDS: dict[str, FaultKind] = {
    "clock_offset": FaultKind(
        meaning="the device's clock is wrong by a fixed time (a time zone, for example)",
        make=_clock_offset,
        parameters=(Parameter("offset_s", "s", 28800.0, "what is added to the time", -1e9),),
    ),
    "clock_skew": FaultKind(
        meaning="the device's clock runs fast (or slow, below 0), from right at the start",
        make=_clock_skew,
        parameters=(Parameter("s_per_day", "s/d", 20.0, "what it gains in a day", -86400),),
    ),
    "clock_1970": FaultKind(
        meaning="the device's clock was never set: it counts from 1970-01-01 since the start",
        make=_clock_1970,
    ),
    "duplicate": FaultKind(
        meaning="reports arrive twice, the second time later",
        make=_duplicate,
        parameters=(_SHARE, Parameter("delay_s", "s", 2.0, "until the second time")),
    ),
    "reorder": FaultKind(
        meaning="reports are late by chance and are overtaken",
        make=_reorder,
        parameters=(_SHARE, Parameter("delay_s", "s", 10.0, "the longest delay")),
    ),
    "dropout": FaultKind(
        meaning="reports are lost; with share = 1 the device is silent",
        make=_dropout,
        parameters=(Parameter("share", "0..1", 1.0, "of the reports", 0.0, 1.0),),
        finding=OFFLINE,
        shows=lambda settings: settings["share"] == 1.0,  # a device that loses some reports is not silent
    ),
    "outage": FaultKind(
        meaning="the gateway has no connection; it buffers, and afterwards sends all of it beside the new",
        make=_outage,
        parameters=(
            Parameter("buffer", "reports", 100_000.0, "how many it can hold; what comes then is lost", 1),
            Parameter("rate", "1/s", 20.0, "how fast it sends them afterwards", 0.001),
        ),
        finding=OFFLINE,
    ),
    "flapping": FaultKind(
        meaning="the connection comes and goes; what is reported meanwhile is sent when it is back",
        make=_flapping,
        parameters=(
            Parameter("up_s", "s", 20.0, "how long it is there", 0.001),
            Parameter("down_s", "s", 10.0, "how long it is away", 0.001),
        ),
    ),
    "batch_upload": FaultKind(
        meaning="the device saves energy and uploads at fixed intervals from the start",
        make=_batch_upload,
        parameters=(Parameter("every_s", "s", 86400.0, "between uploads", 0.001),),
    ),
    "brown_out": FaultKind(
        meaning="weak supply: the device restarts again and again, at first without the time of day",
        make=_brown_out,
        parameters=(
            Parameter("every_s", "s", 600.0, "between restarts", 0.001),
            Parameter("off_s", "s", 40.0, "how long it is off; its reports are lost"),
            Parameter("unset_s", "s", 10.0, "how long its clock then counts from 1970-01-01"),
        ),
    ),
    "frozen": FaultKind(
        meaning="values stay as they were at the start",
        make=_frozen,
        parameters=(Parameter("channels", "", "", "which channels, a list; empty: every number"),),
        finding=SENSOR_FAULT,
    ),
    "channel_missing": FaultKind(
        meaning="a channel is no longer sent",
        make=_channel_missing,
        parameters=(_CHANNEL,),
        finding={"water": "water.sensor_fault"},
    ),
    "drift": FaultKind(
        meaning="a probe drifts away steadily",
        make=_drift,
        parameters=(_CHANNEL, Parameter("per_hour", "channel's unit/h", None, "how fast", -1e9)),
        finding=SENSOR_FAULT,
    ),
    "spike": FaultKind(
        meaning="single values are wrong",
        make=_spike,
        parameters=(
            _CHANNEL,
            Parameter("size", "channel's unit", None, "what is added", -1e9),
            Parameter("per_day", "1/d", 10.0, "how often, on average"),
        ),
    ),
    "scale": FaultKind(
        meaning="a channel is off by a factor, as after a firmware update",
        make=_scale,
        parameters=(_CHANNEL, Parameter("factor", "1", 10.0, "what it is multiplied by", 1e-9)),
        finding=SENSOR_FAULT,
    ),
    "inverted": FaultKind(
        meaning="a switch says the opposite (wrong polarity)", make=_inverted, parameters=(_CHANNEL,)
    ),
    "stuck_person": FaultKind(
        meaning="the person sensor always sees somebody",
        make=_always("person", True),
        scenarios=("elevator",),
        finding=SENSOR_FAULT,
    ),
    "misaligned_level": FaultKind(
        meaning="the level sensor is misaligned: no stop is in the door zone",
        make=_always("in_door_zone", False),
        scenarios=("elevator",),
        finding=SENSOR_FAULT,
    ),
}
