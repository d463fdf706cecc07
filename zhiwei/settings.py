"""Settings: one TOML file, overridden by the environment, checked as a whole before anything starts.

``ZHIWEI_MQTT__PORT=1884`` overrides ``[mqtt] port``, ``ZHIWEI_SINKS__0__SECRET`` the secret of the
first sink that the file lists. An error names file, key, value and what would be
right, and never shows a secret. Thresholds are not here: they are policies of the scenarios.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
import msgspec.inspect

from zhiwei.errors import ConfigError
from zhiwei.ids import is_name

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
"""Also finite: TOML knows ``inf`` and ``nan``."""
Count = Annotated[int, msgspec.Meta(ge=1)]
T = TypeVar("T")


TELEMETRY_DAYS = 30.0
LOG_HOURS_LEAST = 1.0
"""What is dropped must have been read: a role that is down for a while goes on from where it was."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Mqtt(_Section, frozen=True):
    """The broker. With ``embedded`` one is started on host and port."""

    embedded: bool = True
    version: Literal[3, 5] = 3
    """3 is MQTT 3.1.1. ``load`` takes 5 where the broker is not the embedded one."""
    host: str = "127.0.0.1"
    port: Port = 1883
    client_id: str = "zhiwei-ingest"
    username: str = ""
    password: str = ""
    share: str = ""
    """Group of a shared subscription, by which several ingest processes divide the messages; empty: none."""
    session_expiry_s: Annotated[int, msgspec.Meta(ge=60, le=0xFFFF_FFFF)] = 86_400
    """So long an MQTT 5 broker keeps what comes while we are away; the highest value is for ever."""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=60)] = 15
    max_payload_bytes: Annotated[int, msgspec.Meta(ge=1024, le=16 * 1024 * 1024)] = 262_144


class Ingest(_Section, frozen=True):
    """Intake and framing."""

    frame_rows: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 2000
    linger_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 20.0
    window: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 100
    """Unacknowledged messages that the broker allows a connection (iotcore: 100). MQTT 5 asks the broker for
    it, and ``load`` takes WINDOW_5 there."""
    fresh_s: Positive = 60.0
    """A row this much later than its channels normally are is old: it goes to the backlog."""
    unknown_devices: Literal["quarantine", "provisional"] = "quarantine"
    entities_most: Count = 100_000
    """Entities taken on trust in one scenario; above it rows of new ones are quarantined."""


class Log(_Section, frozen=True):
    """The embedded log."""

    partitions: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    keep_hours: Positive = 168.0
    keep_bytes: Count = 4_000_000_000
    reserve_bytes: Annotated[int, msgspec.Meta(ge=0)] = 268_435_456
    """Free disk space below which nothing is accepted any more."""


class Kafka(_Section, frozen=True):
    """The log of the distributed mode."""

    servers: str = ""
    """Addresses to begin with, ``host:port`` and commas; empty: the embedded log is used."""
    prefix: str = ""
    """Before the name of every topic and group, where a cluster is shared."""
    replication: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    session_s: Annotated[float, msgspec.Meta(ge=1, le=300)] = 10.0
    """A worker of streams that is not heard of for so long loses its partitions to another."""


class Database(_Section, frozen=True):
    """Where state and incidents are kept."""

    url: str = ""
    """``postgresql://user@host/database``; empty: files in the data directory."""
    password: str = ""


class Influx(_Section, frozen=True):
    """Where `zhiwei telemetry` writes, and the console asks."""

    url: str = ""
    """Empty: telemetry is kept in the data directory."""
    token: str = ""
    org: str = "-"
    """InfluxDB 1.8 has none and takes any."""
    bucket: str = "zhiwei"
    """For InfluxDB 1.8: ``database/retention policy``."""
    timeout_s: Positive = 10.0


class DeadBand(_Section, frozen=True):
    """A change that is none."""

    value: Annotated[float, msgspec.Meta(ge=0, le=1e9)]
    unit: str = ""
    """Said again so that it cannot be misread: the channel's own."""


class Telemetry(_Section, frozen=True):
    """What of a scenario's rows is written to InfluxDB."""

    keep: Literal["all", "on_change", "every"] = "all"
    dead_band: dict[str, DeadBand] = {}
    """Channel → by how much a value may differ from the last one kept and is not kept itself."""
    every_s: Positive = 60.0
    heartbeat_s: Positive = 600.0
    """With ``on_change`` a value is kept again after so long though it has not changed."""


class Retention(_Section, frozen=True):
    """How long a scenario's rows are kept."""

    log_hours: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    """On the log; 0: as [log] keep_hours says."""
    telemetry_days: Annotated[float, msgspec.Meta(ge=1, le=36_500)] = TELEMETRY_DAYS
    """In the data directory's telemetry; InfluxDB's bucket says so for itself."""


class Streams(_Section, frozen=True):
    """The engine."""

    worker: str = "streams"
    """Of this worker; no two that run may have the same, and one keeps its name when it starts again."""

    snapshot_s: Positive = 10.0
    snapshot_rows: Count = 200_000
    """Rows since the last snapshot after which the next is due: about 2 s of replay."""
    scenarios: tuple[str, ...] = ("water", "elevator", "elderly")
    policies: dict[str, str] = {}
    """Scenario → policy file; others use the one they ship."""


class Alerts(_Section, frozen=True):
    """Incidents."""

    close_after_s: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 1800.0
    """An incident whose findings are all cleared is closed after so long, unless one is raised again."""
    late_hold_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 30.0
    """A life-safety state that late data left open waits so long for a fresh finding before it pages."""


class Console(_Section, frozen=True):
    """Console and API. Nobody gets in without the password that was printed when it was made."""

    host: str = "127.0.0.1"
    port: Port = 8080
    in_alerts: bool = True
    """Served by `zhiwei alerts`; or by `zhiwei console`, a process of its own over the same PostgreSQL."""


_OptionalPort = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Metrics(_Section, frozen=True):
    """Where each role is asked for ``/metrics`` and ``/health``; port 0: it is not."""

    host: str = "127.0.0.1"
    ingest: _OptionalPort = 0
    stream: _OptionalPort = 0
    alerts: _OptionalPort = 0
    telemetry: _OptionalPort = 0
    console: _OptionalPort = 0


class Health(_Section, frozen=True):
    """From where on a role's health is bad."""

    idle_s: Positive = 10.0
    """A tick is appended and applied each second: ten that are missing are no hiccup."""
    stalled_s: Positive = 15.0
    """Records wait and none is taken up; a step of old rows takes up to 1.6 s (measured)."""
    lag_records: Count = 3000
    """A minute of frames at 50 a second, which a linger of 20 ms allows."""
    quiet_s: Positive = 180.0
    """Alerts hears from streams once a minute, if only that time has passed: three times nothing."""
    drill_s: Positive = 90.0
    """The newest drill that came back left so long ago: three times what lies between two of them."""
    unsaved_s: Positive = 120.0
    """Four times what lies between two snapshots: so much is replayed after a crash."""
    unwritten_s: Positive = 120.0
    """Telemetry writes at least every 10 s; nothing that finds or tells waits for it."""
    urgent_pending_s: Positive = 60.0
    """An urgent event is tried at least once a minute: a whole round has failed."""
    ordinary_pending_s: Positive = 900.0


class Watchdog(_Section, frozen=True):
    """When a role that hangs ends itself, to be started anew."""

    stall_s: Positive = 60.0
    start_s: Positive = 300.0
    """The same before the first turn."""


class Drill(_Section, frozen=True):
    """Messages of our own on the whole way from the broker to alerts."""

    every_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 30.0
    """Between two of them to each partition; 0: none."""


class Heartbeat(_Section, frozen=True):
    """An outside address that hears of us while all is well, and raises the alarm when it does not."""

    url: str = ""
    """Empty: there is none."""
    every_s: Positive = 60.0
    timeout_s: Positive = 10.0


class Webhook(_Section, frozen=True, tag="webhook", tag_field="kind"):
    """POST of each event."""

    name: str
    url: str
    secret: str = ""
    """Signs by Standard Webhooks: ``whsec_`` and base64, or any text. Empty: not signed."""
    timeout_s: Positive = 10.0


class MqttTopic(_Section, frozen=True, tag="mqtt", tag_field="kind"):
    """Publishes each event at QoS 1."""

    name: str
    topic: str
    host: str = "127.0.0.1"
    port: Port = 1883
    username: str = ""
    password: str = ""


class File(_Section, frozen=True, tag="file", tag_field="kind"):
    """Appends each event to a JSONL file."""

    name: str
    path: str


SinkSettings = Webhook | MqttTopic | File


class Source(_Section, frozen=True):
    """Where messages come from. A ``simulated`` source brings its own time."""

    name: str
    topics: str | tuple[str, ...]
    """MQTT topic filter, or several; the first source that matches a message is its source."""
    clock: Literal["live", "simulated"] = "live"

    @property
    def filters(self) -> tuple[str, ...]:
        """Its topic filters."""
        return (self.topics,) if isinstance(self.topics, str) else self.topics


class Device(_Section, frozen=True):
    """A device that may speak for an entity."""

    scenario: str
    entity: str
    device: str


class Entity(_Section, frozen=True):
    """A watched thing, with what rules want to know of it."""

    scenario: str
    entity: str
    attributes: dict[str, str] = {}
    place: dict[str, str] = {}


class Settings(_Section, frozen=True):
    """Everything that can be set. Every value has a default that works on one machine."""

    site: str = "local"
    zone: str = "Asia/Shanghai"
    """IANA time zone in which people are told times, and give them."""
    data_dir: str = "data"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    mqtt: Mqtt = Mqtt()
    ingest: Ingest = Ingest()
    log: Log = Log()
    kafka: Kafka = Kafka()
    database: Database = Database()
    influx: Influx = Influx()
    telemetry: dict[str, Telemetry] = {}
    retention: dict[str, Retention] = {}
    streams: Streams = Streams()
    alerts: Alerts = Alerts()
    console: Console = Console()
    metrics: Metrics = Metrics()
    health: Health = Health()
    watchdog: Watchdog = Watchdog()
    drill: Drill = Drill()
    heartbeat: Heartbeat = Heartbeat()
    sinks: tuple[SinkSettings, ...] = ()
    sources: tuple[Source, ...] = ()
    devices: tuple[Device, ...] = ()
    entities: tuple[Entity, ...] = ()

    @property
    def data(self) -> Path:
        """The data directory, absolute."""
        return Path(self.data_dir).absolute()


def load(
    file: Path | None = None, *, environment: Mapping[str, str] | None = None, **override: object
) -> Settings:
    """Read, override, validate.

    environment: defaults to the process's; override: top-level keys that win over all (CLI options).
    Raises ConfigError naming file, key, value and what is expected.
    """
    name = str(file) if file else "defaults"
    tree: dict[str, Any] = {} if file is None else _read(file)
    used: list[str] = []
    # Sorted, so that a whole section given as text is met before its keys, whatever the order outside.
    for key, text in sorted((os.environ if environment is None else environment).items()):
        if key.startswith("ZHIWEI_"):
            path = key.removeprefix("ZHIWEI_").lower().split("__")
            if not _put(tree, path, text):
                raise ConfigError(
                    file="environment",
                    key=key,
                    value=_shown(key, text),
                    expected="a key of a section that is there",
                )
            used.append(key)
    if used:
        name = f"{name} with {', '.join(used)}"
    tree.update({key: value for key, value in override.items() if value is not None})
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(name, tree, str(error)) from None
    if settings.kafka.servers and "partitions" not in tree.get("log", {}):
        settings = _with_partitions(settings, KAFKA_PARTITIONS)
    if not settings.mqtt.embedded and "version" not in tree.get("mqtt", {}):
        settings = _replaced(settings, mqtt=_replaced(settings.mqtt, version=5))
    if settings.mqtt.version == 5 and "window" not in tree.get("ingest", {}):
        settings = _replaced(settings, ingest=_replaced(settings.ingest, window=WINDOW_5))
    for key, value, expected in _problems(settings):
        raise ConfigError(file=name, key=key, value=_shown(key, value), expected=expected)
    return settings


KAFKA_PARTITIONS = 4
"""For each scenario, where the settings do not say: one is enough for one machine."""


WINDOW_5 = 2000
"""Messages that we let an MQTT 5 broker send ahead: two frames' worth at the rates we measured, and what a
Mosquitto is usually set to allow."""

_replaced = msgspec.structs.replace


def of_instance(settings: Settings, name: str) -> Settings:
    """The same settings for one of several ingest processes. Raises ConfigError for a name that is none, and
    where they would not divide the messages: each would take in all of them."""
    if not is_name(name):
        raise ConfigError(file="command line", key="--instance", value=name, expected=_NAME)
    if not settings.mqtt.share:
        expected = "a group for the shared subscription, since --instance says that there are several of us"
        raise ConfigError(file="settings", key="mqtt.share", value="", expected=expected)
    client_id = f"{settings.mqtt.client_id}-{name}"
    return _replaced(settings, mqtt=_replaced(settings.mqtt, client_id=client_id))


def of_worker(settings: Settings, name: str) -> Settings:
    """The same settings for another worker of streams. Raises ConfigError for a name that is none."""
    if not is_name(name):
        raise ConfigError(file="command line", key="--worker", value=name, expected=_NAME)
    return msgspec.structs.replace(settings, streams=msgspec.structs.replace(settings.streams, worker=name))


def _with_partitions(settings: Settings, partitions: int) -> Settings:
    return msgspec.structs.replace(settings, log=msgspec.structs.replace(settings.log, partitions=partitions))


def _read(file: Path) -> dict[str, Any]:
    name = str(file)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(file=name, key="(file)", value=name, expected="a file that exists") from None
    except OSError as error:
        raise ConfigError(
            file=name, key="(file)", value=error.strerror, expected="a file that can be read"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(file=name, key="(syntax)", value=str(error), expected="TOML in UTF-8") from None


def _put(tree: dict[str, Any], path: list[str], text: str) -> bool:
    """Set a key; a number in the path counts the elements of a list. False where there is no such place."""
    node: Any = tree
    for part in path[:-1]:
        if isinstance(node, dict):
            node = node.setdefault(part, {})
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return False
    if not isinstance(node, dict):
        return False
    node[path[-1]] = text
    return True


# ------------------------------------------------------------------ what is wrong, in words

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<at>.*)`)?")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<at>.*)`)?")
_CHOICE = re.compile(r"Invalid (?:enum )?value .* - at `\$\.?(?P<at>.*)`", re.DOTALL)
_INVALID = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<at>.*)`)?", re.DOTALL)
_SECRET = re.compile(r"pass|secret|token", re.IGNORECASE)
_BUCKET = re.compile(r'[^"\\$\x00-\x1f]+')
_PART = re.compile(r"[^.\[\]]+")


def _explained(file: str, tree: dict[str, Any], message: str) -> ConfigError:
    if match := _UNKNOWN.fullmatch(message) or _MISSING.fullmatch(message):
        at = _named(tree, match["at"] or "")
        key = ".".join(part for part in (at, match["field"]) if part) or "(top)"
        missing = match.re is _MISSING
        expected = "a value; this key must be given" if missing else "no such key; see docs/settings.md"
    elif match := _CHOICE.fullmatch(message):
        key = _named(tree, match["at"])
        expected = " or ".join(_choices(key))
    else:
        match = _INVALID.fullmatch(message)
        key = _named(tree, (match["at"] if match else None) or "(top)")
        expected = (match["what"] if match else message).replace("Expected ", "").replace("`", "")
        expected = expected.replace("object", "table").replace("array", "list")  # TOML's words
    return ConfigError(file=file, key=key, value=_shown(key, _at(tree, key)), expected=expected)


def _choices(key: str) -> list[str]:
    """The words that a key may hold, by the types above."""
    info: msgspec.inspect.Type = msgspec.inspect.type_info(Settings)
    for part in _PART.findall(key):
        if isinstance(info, msgspec.inspect.UnionType):  # the key is the tag that tells them apart
            return [str(kind.tag) for kind in info.types if isinstance(kind, msgspec.inspect.StructType)]
        if isinstance(info, msgspec.inspect.StructType):
            info = next(field.type for field in info.fields if field.encode_name == part)
        elif isinstance(info, msgspec.inspect.VarTupleType):
            info = info.item_type
        elif isinstance(info, msgspec.inspect.DictType):
            info = info.value_type
    return [str(value) for value in info.values] if isinstance(info, msgspec.inspect.LiteralType) else []


_TABLES = {"telemetry": Telemetry, "retention": Retention, "dead_band": DeadBand}
"""What stands in tables whose keys are free; in all others it is text."""


def _named(tree: dict[str, Any], key: str) -> str:
    """``policies[...]`` says only that some value of a table is wrong: name it."""
    while "[...]" in key:
        table, _, rest = key.partition("[...]")
        node = _walk(tree, table)
        kind = _TABLES.get(table.rpartition(".")[2], str)
        wrong = [name for name in node if not _fits(node[name], kind)] if isinstance(node, dict) else []
        key = f"{table}.{wrong[0]}{rest}" if wrong else table
    return key


def _fits(value: object, kind: type) -> bool:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return False
    return True


def _walk(tree: object, path: str) -> object:
    for part in _PART.findall(path):
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list) and part.isdecimal() and int(part) < len(tree):
            tree = tree[int(part)]
        else:
            return None
    return tree


def _at(tree: object, path: str) -> object:
    """The value to show: a whole table or list only by its kind."""
    value = _walk(tree, path)
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else value


def _shown(key: str, value: object) -> object:
    return "(hidden)" if value is not None and _SECRET.search(key.rpartition(".")[2]) else value


# ------------------------------------------------------------------ what types alone cannot say

Problem = tuple[str, object, str]
"""Key, value, what is expected."""

_NAME = "1 to 128 characters without blanks, '/', '+' or '#'"


def _problems(settings: Settings) -> Iterator[Problem]:
    if not is_name(settings.site):
        yield "site", settings.site, _NAME
    if not _is_zone(settings.zone):
        yield "zone", settings.zone, "an IANA time zone such as 'Asia/Shanghai'"
    for key, value in (
        ("data_dir", settings.data_dir),
        ("mqtt.host", settings.mqtt.host),
        ("console.host", settings.console.host),
        ("metrics.host", settings.metrics.host),
        # Without an id the broker keeps no session: what is in flight at a restart would be lost.
        ("mqtt.client_id", settings.mqtt.client_id),
    ):
        if not value.strip():
            yield key, value, "not blank"
    if settings.mqtt.embedded and settings.mqtt.version == 5:
        yield "mqtt.version", 5, "3: the embedded broker speaks MQTT 3.1.1 only"
    if settings.mqtt.share and not is_name(settings.mqtt.share):
        yield "mqtt.share", settings.mqtt.share, _NAME
    if not settings.console.in_alerts and not settings.database.url:
        yield (
            "console.in_alerts",
            False,
            "true, or a [database] url: over files alerts serves it",
        )
    if settings.health.drill_s < 2 * settings.drill.every_s:
        expected = f"at least twice [drill] every_s ({settings.drill.every_s:g}), or one that is late is bad"
        yield "health.drill_s", settings.health.drill_s, expected
    if settings.heartbeat.url and not _is_web_address(settings.heartbeat.url):
        yield "heartbeat.url", "(hidden)", "an http:// or https:// address"
    yield from _sink_problems(settings)
    yield from _source_problems(settings)
    yield from _registry_problems(settings)
    yield from _streams_problems(settings.streams)
    yield from _influx_problems(settings)
    yield from _retention_problems(settings)


def _sink_problems(settings: Settings) -> Iterator[Problem]:
    for place, name in _repeated([sink.name for sink in settings.sinks]):
        yield f"sinks[{place}].name", name, "a name that no other sink has"
    for place, sink in enumerate(settings.sinks):
        if not is_name(sink.name):
            yield f"sinks[{place}].name", sink.name, _NAME
        if isinstance(sink, Webhook) and not _is_web_address(sink.url):
            yield f"sinks[{place}].url", sink.url, "an http:// or https:// address"
        if isinstance(sink, MqttTopic) and (not _is_filter(sink.topic) or set("+#") & set(sink.topic)):
            yield f"sinks[{place}].topic", sink.topic, "an MQTT topic without wildcards"
        if isinstance(sink, File) and not sink.path.strip():
            yield f"sinks[{place}].path", sink.path, "a file to append to"


def _source_problems(settings: Settings) -> Iterator[Problem]:
    for place, name in _repeated([source.name for source in settings.sources]):
        yield f"sources[{place}].name", name, "a name that no other source has"
    for place, source in enumerate(settings.sources):
        if not is_name(source.name):
            yield f"sources[{place}].name", source.name, _NAME
        if source.name == "live" and source.clock == "simulated":
            # A simulated source's name is the name of its clock: this one would turn the real one.
            yield f"sources[{place}].name", source.name, "another name: 'live' is the clock of live sources"
        if not source.filters:
            yield f"sources[{place}].topics", "", "at least one MQTT topic filter"
        for text in source.filters:
            if not _is_filter(text):
                yield f"sources[{place}].topics", text, "an MQTT topic filter"


def _registry_problems(settings: Settings) -> Iterator[Problem]:
    for place, device in enumerate(settings.devices):
        for key in ("scenario", "entity", "device"):
            if not is_name(getattr(device, key)):
                yield f"devices[{place}].{key}", getattr(device, key), _NAME
    for place, entity in enumerate(settings.entities):
        for key in ("scenario", "entity"):
            if not is_name(getattr(entity, key)):
                yield f"entities[{place}].{key}", getattr(entity, key), _NAME
    for place, (_, name) in _repeated([(entity.scenario, entity.entity) for entity in settings.entities]):
        yield f"entities[{place}].entity", name, "an entity that is not listed before"


def _streams_problems(streams: Streams) -> Iterator[Problem]:
    if not is_name(streams.worker):
        yield "streams.worker", streams.worker, _NAME
    if not streams.scenarios:
        yield "streams.scenarios", "", "at least one scenario, or nothing is watched"
    for place, name in _repeated(list(streams.scenarios)):
        yield f"streams.scenarios[{place}]", name, "a scenario that is not listed before"
    for scenario, policy in streams.policies.items():
        if scenario not in streams.scenarios:
            yield f"streams.policies.{scenario}", policy, f"a scenario of {list(streams.scenarios)}"
        if not Path(policy).is_file():
            yield f"streams.policies.{scenario}", policy, "a policy file that exists"


def _influx_problems(settings: Settings) -> Iterator[Problem]:
    influx = settings.influx
    if influx.url and not _is_web_address(influx.url):
        yield "influx.url", influx.url, "an http:// or https:// address"
    if not _BUCKET.fullmatch(influx.bucket):
        yield "influx.bucket", influx.bucket, "a name without quotes, backslashes and '$'"
    for scenario in settings.telemetry:
        if scenario not in settings.streams.scenarios:
            yield f"telemetry.{scenario}", "a table", f"a scenario of {list(settings.streams.scenarios)}"


def _retention_problems(settings: Settings) -> Iterator[Problem]:
    for scenario, said in settings.retention.items():
        key = f"retention.{scenario}"
        if scenario not in settings.streams.scenarios:
            yield key, "a table", f"a scenario of {list(settings.streams.scenarios)}"
        if 0 < said.log_hours < LOG_HOURS_LEAST:
            yield f"{key}.log_hours", said.log_hours, f"0, as [log] says, or at least {LOG_HOURS_LEAST:g}"
        if settings.kafka.servers and said.telemetry_days != TELEMETRY_DAYS:
            expected = "no such key with [kafka] servers: InfluxDB's bucket says how long it keeps"
            yield f"{key}.telemetry_days", said.telemetry_days, expected


def _repeated(values: list[T]) -> Iterator[tuple[int, T]]:
    """Values that occur more than once, each with the place of its second occurrence."""
    seen: set[T] = set()
    for place, value in enumerate(values):
        if value in seen:
            yield place, value
        seen.add(value)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no port, half an IPv6 address
        return False


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found; no key at all; a folder of zones
        return False
    return True


def _is_filter(text: str) -> bool:
    """MQTT 3.1.1, 4.7.1: ``+`` fills a level, ``#`` fills the last one."""
    levels = text.split("/")
    return (
        0 < len(text.encode(errors="replace")) <= 65535
        and "\0" not in text
        and all(level in ("+", "#") or not set("+#") & set(level) for level in levels)
        and "#" not in levels[:-1]
    )
