"""Recorded readings in a file, CSV or JSON lines, gzip or not, brought to rows by a map.

A map names the timestamp, the entity and the channels (DESIGN.md §5). Without one the columns are taken
by name. A cell that cannot be read is refused with its column, text and line; the rest of its row goes on.
"""

import csv
import gzip
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeGuard
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from zhiwei.clock import to_us
from zhiwei.errors import ConfigError, ZhiweiError
from zhiwei.ids import is_name
from zhiwei.schema import LARGEST, Channel, Schema
from zhiwei.types import QUALITY_LETTERS

Value = float | bool | str | list[str]


class Timestamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Column of the time; its strptime format (else ISO 8601), and the zone of times without an offset."""

    column: str
    format: str | None = None
    zone: str | None = None


class Entity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One name for all rows, or the column that names each."""

    constant: str | None = None
    column: str | None = None


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a channel stands; the reading is value × scale + offset."""

    column: str
    scale: float = 1.0
    offset: float = 0.0


class Map(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How columns of a file become readings."""

    timestamp: str | Timestamp = "timestamp"
    entity: str | Entity | None = None
    device: str = "file"
    flags: str | None = None
    """Column of HJ 212 letters."""
    channels: dict[str, str | Column] = {}
    entity_attributes: dict[str, str | int | float | bool | dict[str, str | int | float | bool]] = {}

    @property
    def time(self) -> Timestamp:
        return Timestamp(self.timestamp) if isinstance(self.timestamp, str) else self.timestamp

    @property
    def who(self) -> Entity | None:
        return Entity(column=self.entity) if isinstance(self.entity, str) else self.entity

    def attributes(self, entities: tuple[str, ...]) -> dict[str, dict[str, str]]:
        """What the map says of each of these entities; plain keys hold for all of them."""
        for_all = {k: _text(v) for k, v in self.entity_attributes.items() if not isinstance(v, dict)}
        if self.time.zone:
            for_all["zone"] = self.time.zone
        own = {k: v for k, v in self.entity_attributes.items() if isinstance(v, dict)}
        found = {e: {**for_all, **{k: _text(v) for k, v in own.get(e, {}).items()}} for e in entities}
        return {entity: said for entity, said in found.items() if said}


@dataclass(slots=True)
class Row:
    """One line of the file; ``ts`` is None where the line is refused whole."""

    line: int
    timestamp: str
    ts: int | None
    entity: str
    device: str
    """As the line says, else as the map does."""
    arrived: int | None = None
    """When it came, µs UTC, as the line says; None where it says nothing: then it came at ``ts``."""
    values: dict[str, Value] = field(default_factory=dict)
    flags: int = 0
    refused: list[str] = field(default_factory=list)
    """Reasons, each naming column, text and what was expected."""


def load_map(file: Path) -> Map:
    """Read a map. Raises ConfigError naming file and key."""
    try:
        said = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Map)
    except FileNotFoundError:
        raise ConfigError(
            file=str(file), key="(file)", value=str(file), expected="a file that exists"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            file=str(file), key="(syntax)", value=str(error), expected="TOML in UTF-8"
        ) from None
    except msgspec.ValidationError as error:
        raise ConfigError(
            file=str(file), key="map", value=str(error), expected="see docs/replay.md"
        ) from None
    _zone(said.time.zone, str(file))
    return said


def rows(file: Path, schema: Schema, table: Map | None) -> Iterator[Row]:
    """Every line of a recording, in order; also those that are refused, and those without a value.

    Raises ZhiweiError where the file as a whole cannot be read, ConfigError where the map does not fit it.
    """
    name = file.name.removesuffix(".gz")
    try:
        with _open(file) as stream:
            if name.endswith((".jsonl", ".ndjson", ".json")):
                yield from _json_rows(stream, schema, table or Map(), file)
            else:
                yield from _csv_rows(stream, schema, table, file)
    except FileNotFoundError:
        raise ZhiweiError(f"{file}: no such file") from None
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, csv.Error, IsADirectoryError) as error:
        raise ZhiweiError(f"{file}: cannot be read as text: {error}") from None


def _open(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


# ------------------------------------------------------------------ CSV


def _csv_rows(stream: TextIO, schema: Schema, table: Map | None, file: Path) -> Iterator[Row]:
    reader = csv.reader(stream)
    header = next(reader, None)
    if not header:
        raise ZhiweiError(f"{file}: is empty; expected a header line")
    table = table or _by_name(header, schema)
    place = {name: number for number, name in enumerate(header)}
    columns = _columns(table, schema, place, file)
    parse = _parser(table.time, str(file))
    who = table.who
    wanted = [table.time.column, table.flags, who.column if who else None]
    for column in wanted:
        if column is not None and column not in place:
            raise ConfigError(file=str(file), key="map", value=column, expected=f"a column of {header}")
    constant = (who.constant if who else None) or file.name.split(".")[0]
    for line in reader:
        cells = line + [""] * (len(header) - len(line))
        stamp = cells[place[table.time.column]]
        entity = cells[place[who.column]] if who and who.column else constant
        row = Row(line=reader.line_num, timestamp=stamp, ts=None, entity=entity, device=table.device)
        try:
            row.ts = parse(stamp)
        except ValueError:
            row.refused.append(
                f"line {row.line}: {table.time.column} = {stamp!r}: expected {_wanted(table.time)}"
            )
        if not is_name(entity):
            row.ts = None
            row.refused.append(f"line {row.line}: entity = {entity!r}: expected a name without blanks or '/'")
        if table.flags:
            _take_flags(row, cells[place[table.flags]])
        for channel, how, number in columns:
            _take(row, channel, how, header[number], cells[number].strip())
        yield row


def _by_name(header: list[str], schema: Schema) -> Map:
    """The map of a file whose columns carry our names already."""
    fixed = {"timestamp", "entity", "flags", "device", "event", "part"}
    channels: dict[str, str | Column] = {
        name: name for name in header if name not in fixed and schema.channel(name) is not None
    }
    return Map(
        entity="entity" if "entity" in header else None,
        flags="flags" if "flags" in header else None,
        channels=channels,
    )


def _columns(
    table: Map, schema: Schema, place: Mapping[str, int], file: Path
) -> list[tuple[Channel, Column, int]]:
    found = []
    for name, said in table.channels.items():
        how = Column(said) if isinstance(said, str) else said
        channel = schema.channel(name)
        if channel is None:
            known = ", ".join(c.name for c in schema.channels)
            raise ConfigError(
                file=str(file), key=f"channels.{name}", value=how.column, expected=f"one of {known}"
            )
        if how.column not in place:
            raise ConfigError(
                file=str(file),
                key=f"channels.{name}",
                value=how.column,
                expected=f"a column of {list(place)}",
            )
        found.append((channel, how, place[how.column]))
    if not found:
        raise ConfigError(file=str(file), key="channels", value="none", expected="at least one mapped column")
    return found


_MISSING = frozenset({"", "null", "NaN", "nan"})
_TRUE, _FALSE = {"1", "true", "True", "TRUE"}, {"0", "false", "False", "FALSE"}


def _take(row: Row, channel: Channel, how: Column, column: str, text: str) -> None:
    """Put one cell into the row, or refuse it by name."""
    if text in _MISSING:
        return
    if channel.dtype == "utf8":
        row.values[channel.name] = text
        return
    if channel.dtype == "list":
        row.values[channel.name] = text.replace(",", " ").split()
        return
    if channel.dtype == "bool":
        if text in _TRUE or text in _FALSE:
            row.values[channel.name] = text in _TRUE
        else:
            row.refused.append(f"line {row.line}: {channel.name} ({column}) = {text!r}: expected 0 or 1")
        return
    try:
        value = float(text) * how.scale + how.offset
    except ValueError:
        row.refused.append(f"line {row.line}: {channel.name} ({column}) = {text!r}: expected a number")
        return
    if not math.isfinite(value) or abs(value) > LARGEST:
        row.refused.append(
            f"line {row.line}: {channel.name} ({column}) = {text!r}: expected |value| ≤ {LARGEST:g}"
        )
        return
    row.values[channel.name] = value


def _take_flags(row: Row, letters: str) -> None:
    for letter in letters.strip():
        if letter in QUALITY_LETTERS:
            row.flags |= int(QUALITY_LETTERS[letter])
        else:
            known = "".join(QUALITY_LETTERS)
            row.refused.append(f"line {row.line}: flags = {letters!r}: expected letters of {known}")


# ------------------------------------------------------------------ JSON lines


def _json_rows(stream: TextIO, schema: Schema, table: Map, file: Path) -> Iterator[Row]:
    """Native readings, an object a line: ts, channels by name, flags; entity and device where there are
    many; arrived where that is not ts."""
    who = table.who
    constant = (who.constant if who else None) or file.name.split(".")[0]
    reader = _Objects(schema, _parser(Timestamp("ts"), str(file)))
    for line, text in enumerate(stream, 1):
        if not text.strip():
            continue
        row = Row(line=line, timestamp="", ts=None, entity=constant, device=table.device)
        try:
            said = _object(text)
        except (ValueError, RecursionError) as error:
            said = None
            row.refused.append(f"line {line}: not JSON: {error}")
        if isinstance(said, dict):
            reader.take(row, said)
        elif not row.refused:
            row.refused.append(f"line {line}: expected an object")
        yield row


def _object(text: str) -> object:
    """A line's value. What the fast reader refuses is given to the lenient one, which also takes NaN."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return json.loads(text)


class _Objects:
    """Objects of a file to rows. Names are looked up once: a week of a city has millions of lines."""

    def __init__(self, schema: Schema, parse: "_Parse") -> None:
        self._schema, self._parse = schema, parse
        self._plain: dict[str, type] = {}
        """Channels seen, and the type whose values are taken as they are."""
        self._names: set[str] = set()
        """Known to be good ones."""

    def take(self, row: Row, said: dict[str, object]) -> None:
        """Put what an object says into its row, or refuse it by name."""
        stamp = said.pop("ts", None)
        row.timestamp = str(stamp)
        row.ts = self._time(row, "ts", stamp)
        row.entity = self._name(row, "entity", said.pop("entity", row.entity))
        if (device := said.pop("device", None)) is not None:
            row.device = self._name(row, "device", device)
        if (arrived := said.pop("arrived", None)) is not None:
            row.arrived = self._time(row, "arrived", arrived)
            row.ts = None if row.arrived is None else row.ts
        if "flags" in said:
            _take_flags(row, str(said.pop("flags")))
        value: Any
        plain, values = self._plain, row.values
        for name, value in said.items():
            wanted, kind = plain.get(name), type(value)
            if wanted is float and (kind is float or kind is int) and -LARGEST <= value <= LARGEST:
                values[name] = float(value)
            elif kind is wanted and kind is not float and value not in _MISSING:
                values[name] = value
            else:
                self._take(row, name, value)

    def _take(self, row: Row, name: str, value: object) -> None:
        """A value that is not plainly what its channel holds."""
        channel = self._schema.channel(name)
        if channel is None:
            row.refused.append(f"line {row.line}: {name}: unknown channel of {self._schema.scenario}")
            return
        if channel.dtype in _PLAIN:
            self._plain[name] = _PLAIN[channel.dtype]
        if isinstance(value, list) and channel.dtype == "list":
            row.values[name] = [str(code) for code in value]
        elif value is not None:
            text = json.dumps(value) if isinstance(value, bool | dict | list) else str(value)
            _take(row, channel, Column(name), name, text)

    def _time(self, row: Row, key: str, stamp: object) -> int | None:
        try:
            if _is_number(stamp) and abs(stamp) < 1e15:
                return int(stamp * 1000)
            return self._parse(str(stamp))
        except ValueError:
            row.refused.append(f"line {row.line}: {key} = {stamp!r}: expected ISO 8601 or Unix milliseconds")
            return None

    def _name(self, row: Row, key: str, said: object) -> str:
        name = str(said)
        if name not in self._names:
            if is_name(name):
                self._names.add(name)
            else:
                row.ts = None
                row.refused.append(
                    f"line {row.line}: {key} = {name!r}: expected a name without blanks or '/'"
                )
        return name


_PLAIN = {"bool": bool, "utf8": str, "float32": float, "float64": float, "int16": float}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ------------------------------------------------------------------ times


class _Parse:
    """Text → µs UTC. Raises ValueError."""

    def __init__(self, how: Timestamp, zone: ZoneInfo | None) -> None:
        self._format, self._zone = how.format, zone or UTC

    def __call__(self, text: str) -> int:
        text = text.strip()
        moment = (
            datetime.strptime(text, self._format)  # noqa: DTZ007 - the zone is put in below
            if self._format
            else datetime.fromisoformat(text)
        )
        return to_us(moment if moment.tzinfo else moment.replace(tzinfo=self._zone))


def _parser(how: Timestamp, file: str) -> _Parse:
    return _Parse(how, _zone(how.zone, file))


def _zone(name: str | None, file: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            file=file, key="timestamp.zone", value=name, expected="a time zone such as Asia/Shanghai"
        ) from None


def _wanted(how: Timestamp) -> str:
    return how.format or "an ISO 8601 time"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
