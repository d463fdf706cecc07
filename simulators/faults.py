"""Field faults from a faults file: which, where, when, and their own truth in the labels.

The format is described in docs/simulate.md. Faults that meet on one entity work in the order of the file.
"""

import heapq
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from simulators.fault_kinds import KINDS, At, Change, Parameter, Setting
from simulators.world import Report, Truth, World, seconds
from zhiwei.clock import to_us
from zhiwei.errors import ConfigError
from zhiwei.ids import digest

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*")
_COMMON = ("name", "entities", "start", "duration", "device", "scenario")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One ``[[fault]]`` of the file."""

    file: str
    key: str
    """Where it stands in the file."""
    name: str
    entities: tuple[str, ...] | float | int = 1.0
    """Names; or a share (float); or a count (int)."""
    start_s: float = 0.0
    """After the start of the world; negative never."""
    start_us: int | None = None
    """In place of ``start_s``."""
    duration_s: float | None = None
    """None: to the end."""
    device: str = ""
    """Only this device's reports; empty: all of the entity."""
    scenario: str = ""
    """Only in this world; empty: in any."""
    settings: dict[str, Setting] = field(default_factory=dict)

    def check(self, world: World) -> None:
        """Raises ConfigError where the fault does not fit the world."""
        known = KINDS[self.name].scenarios
        if known and world.scenario not in known:
            self._refuse(
                "name", self.name, f"a fault of {world.scenario}, or scenario = {known[0]!r} beside it"
            )
        if isinstance(self.entities, tuple):
            names = set(world.names())
            for name in self.entities:
                if name not in names:
                    self._refuse("entities", name, f"one of {min(names)} … {max(names)}")
        elif isinstance(self.entities, int) and self.entities > world.entities:
            self._refuse("entities", self.entities, f"at most the {world.entities} that there are")
        start, end = self.span(world)
        if start >= world.end_ms or end <= world.start_ms:
            self._refuse(
                "start", self.start_s, f"a time within the world: {world.extent.start} … {world.extent.end}"
            )

    def span(self, world: World) -> tuple[int, int]:
        """From when to when, Unix ms."""
        start = world.start_ms + seconds(self.start_s) if self.start_us is None else self.start_us // 1000
        return start, world.end_ms if self.duration_s is None else start + seconds(self.duration_s)

    def touches(self, world: World, entity: str) -> bool:
        """Whether this entity is one of those. A share is drawn for each entity by itself."""
        if isinstance(self.entities, tuple):
            return entity in self.entities
        if isinstance(self.entities, float):
            return self._lot(world, entity) < self.entities
        chosen = sorted(world.names(), key=lambda name: self._lot(world, name))[: self.entities]
        return entity in chosen

    def _lot(self, world: World, entity: str) -> float:
        return int(digest("fault", world.seed, self.key, entity)[:12], 16) / 16**12

    def _refuse(self, key: str, value: object, expected: str) -> None:
        raise ConfigError(file=self.file, key=f"{self.key}.{key}", value=value, expected=expected)


def faulty(
    stream: Iterator[Report], world: World, entity: str, faults: Sequence[Fault], truth: Truth
) -> Iterator[Report]:
    """An entity's reports as its faults leave them, in order of sending; each fault is noted as true."""
    mine: list[tuple[int, int, str, Change]] = []
    for fault in faults:
        if not fault.touches(world, entity):
            continue
        start, end = fault.span(world)
        kind = KINDS[fault.name]
        draw = world.chance("fault", fault.key, fault.name, entity)
        mine.append((start, end, fault.device, kind.make(At(fault.settings, draw, start, end))))
        finding = (kind.finding or {}).get(world.scenario, "") if kind.shows(fault.settings) else ""
        detail = {**fault.settings, **({"device": fault.device} if fault.device else {})}
        truth.fault(entity, fault.name, finding, start, end, detail)
    return _changed(stream, mine) if mine else stream


def _changed(stream: Iterator[Report], changes: list[tuple[int, int, str, Change]]) -> Iterator[Report]:
    late: list[tuple[int, int, Report]] = []
    number = 0
    for made in stream:
        now = made.sent
        reports = [made]
        for start, end, device, change in changes:
            if start <= now < end and device in ("", made.device):
                reports = [after for before in reports for after in change(before, now)]
        for report in reports:
            heapq.heappush(late, (report.sent, number, report))
            number += 1
        while late and late[0][0] <= now:
            yield heapq.heappop(late)[2]
    while late:
        yield heapq.heappop(late)[2]


# ------------------------------------------------------------------ the file


def load(file: Path) -> list[Fault]:
    """Read a faults file. Raises ConfigError naming file, key, value and what would be right."""
    name = str(file)
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(file=name, key="(file)", value=error.strerror, expected="a file to read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(file=name, key="(syntax)", value=str(error), expected="TOML in UTF-8") from None
    tables = said.pop("fault", [])
    for key in said:
        raise ConfigError(file=name, key=key, value=said[key], expected="only [[fault]] tables")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(file=name, key="fault", value=tables, expected="[[fault]] tables")
    return [_fault(name, f"fault[{number}]", table) for number, table in enumerate(tables)]


def _fault(file: str, key: str, table: dict[str, Any]) -> Fault:
    def refuse(name: str, expected: str) -> ConfigError:
        return ConfigError(file=file, key=f"{key}.{name}", value=table.get(name), expected=expected)

    kind = KINDS.get(str(table.get("name")))
    if kind is None:
        raise refuse("name", f"one of {', '.join(KINDS)}")
    own = {parameter.name for parameter in kind.parameters}
    for name in table:
        if name not in _COMMON and name not in own:
            raise refuse(name, f"one of {', '.join([*_COMMON, *sorted(own)])}")
    start_s, start_us = 0.0, None
    if isinstance(table.get("start"), datetime | str) and not _SPAN.fullmatch(str(table["start"])):
        start_us = _moment(table["start"])
        if start_us is None:
            raise refuse("start", "seconds or '6 h' after the world's start, or a time with an offset")
    else:
        found = _span(table.get("start", 0))
        if found is None:
            raise refuse("start", "seconds or '6 h' after the world's start, or a time with an offset")
        start_s = found
    duration_s = _span(table["duration"]) if "duration" in table else None
    if "duration" in table and not duration_s:
        raise refuse("duration", "more than 0: seconds, or a text such as '90 s', '15 min', '6 h', '2 d'")
    for name in ("device", "scenario"):
        if not isinstance(table.get(name, ""), str):
            raise refuse(name, "a text")
    return Fault(
        file=file,
        key=key,
        name=table["name"],
        entities=_entities(table.get("entities", 1.0), refuse("entities", _ENTITIES)),
        start_s=start_s,
        start_us=start_us,
        duration_s=duration_s,
        device=table.get("device", ""),
        scenario=table.get("scenario", ""),
        settings={p.name: _setting(p, table.get(p.name, p.default), refuse) for p in kind.parameters},
    )


_ENTITIES = "a list of names, a share (0.0 to 1.0, with a point) or a count (1 or more, without)"


def _entities(said: object, wrong: ConfigError) -> tuple[str, ...] | float | int:
    if isinstance(said, list) and said and all(isinstance(name, str) for name in said):
        return tuple(said)
    if isinstance(said, float) and 0 <= said <= 1:
        return said
    if isinstance(said, int) and not isinstance(said, bool) and said >= 1:
        return said
    raise wrong


def _setting(parameter: Parameter, value: object, refuse: Any) -> Setting:
    """A parameter's value, of the type of its default (a text where there is none and no unit)."""
    text = isinstance(parameter.default, str) or (parameter.default is None and not parameter.unit)
    if text:
        if isinstance(value, str) and (value or parameter.default == ""):
            return value
        if (
            parameter.name == "channels"
            and isinstance(value, list)
            and all(isinstance(v, str) for v in value)
        ):
            return value
        raise refuse(parameter.name, f"a text: {parameter.meaning}")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not parameter.least <= value <= parameter.most:  # type: ignore[operator]
        limits = f"{parameter.least:g} to {parameter.most:g}"
        raise refuse(parameter.name, f"a number of {parameter.unit}, {limits}: {parameter.meaning}")
    return float(value)  # type: ignore[arg-type]


def _span(said: object) -> float | None:
    """Seconds, or None for what is no span."""
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < 1e12:
        return float(said)
    match = _SPAN.fullmatch(said) if isinstance(said, str) else None
    return float(match[1]) * _UNITS[match[2]] if match else None


def _moment(said: object) -> int | None:
    """µs, or None for what is no time with an offset."""
    try:
        moment = said if isinstance(said, datetime) else datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return to_us(moment) if moment.tzinfo else None


def listing() -> Iterator[str]:
    """What ``--list-faults`` prints: a line for each fault, and one for each of its parameters."""
    for name, kind in KINDS.items():
        where = f" [{', '.join(kind.scenarios)}]" if kind.scenarios else ""
        yield f"{name}{where}: {kind.meaning}"
        for parameter in kind.parameters:
            unit = f" ({parameter.unit})" if parameter.unit else ""
            default = "required" if parameter.default is None else f"default {_shown(parameter.default)}"
            yield f"    {parameter.name}{unit}: {parameter.meaning}; {default}"


def _shown(value: Setting) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
