"""Settings: one TOML file, overridden by the environment, checked as a whole before anything starts.

``ZHIWEI_MQTT__PORT=1884`` overrides ``[mqtt] port``. An error names file, key, value and what would be
right. Thresholds are not here: they are policies of the scenarios.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from zhiwei.errors import ConfigError
from zhiwei.ids import is_name

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Mqtt(_Section, frozen=True):
    """The broker. With ``embedded`` one is started on host and port."""

    embedded: bool = True
    host: str = "127.0.0.1"
    port: Port = 1883
    client_id: str = "zhiwei-ingest"
    username: str = ""
    password: str = ""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=60)] = 15
    max_payload_bytes: Annotated[int, msgspec.Meta(ge=1024, le=16 * 1024 * 1024)] = 262_144


class Ingest(_Section, frozen=True):
    """Intake and framing."""

    frame_rows: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 2000
    linger_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 20.0
    window: Count = 100
    """Unacknowledged messages that the broker allows a connection (iotcore: 100)."""
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


class Streams(_Section, frozen=True):
    """The engine."""

    snapshot_s: Positive = 30.0
    snapshot_rows: Count = 200_000
    """Rows since the last snapshot after which the next is due: about 2 s of replay."""
    scenarios: tuple[str, ...] = ("water",)
    policies: dict[str, str] = {}
    """Scenario → policy file; others use the one they ship."""


class Alerts(_Section, frozen=True):
    """Incidents."""

    close_after_s: Annotated[float, msgspec.Meta(ge=0)] = 1800.0
    """An incident whose findings are all cleared is closed after so long, unless one is raised again."""


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
    topics: str
    """MQTT topic filter; the first source that matches a message is its source."""
    clock: Literal["live", "simulated"] = "live"


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
    data_dir: str = "data"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    mqtt: Mqtt = Mqtt()
    ingest: Ingest = Ingest()
    log: Log = Log()
    streams: Streams = Streams()
    alerts: Alerts = Alerts()
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
    tree: dict[str, Any] = {}
    if file is not None:
        try:
            tree = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(file=name, key="(file)", value=name, expected="a file that exists") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(file=name, key="(syntax)", value=str(error), expected="TOML in UTF-8") from None
    for key, text in (os.environ if environment is None else environment).items():
        if key.startswith("ZHIWEI_"):
            _put(tree, key.removeprefix("ZHIWEI_").lower().split("__"), text)
            name = name if key in name else f"{name} with {key}"
    tree.update({key: value for key, value in override.items() if value is not None})
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(name, tree, str(error)) from None
    _check(name, settings)
    return settings


def _put(tree: dict[str, Any], path: list[str], text: str) -> None:
    for part in path[:-1]:
        child = tree.setdefault(part, {})
        if not isinstance(child, dict):
            return
        tree = child
    tree[path[-1]] = text


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<at>.*)`)?")
_INVALID = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<at>.*)`)?")


def _explained(file: str, tree: dict[str, Any], message: str) -> ConfigError:
    if match := _UNKNOWN.fullmatch(message):
        key = ".".join(part for part in (match["at"], match["field"]) if part)
        return ConfigError(
            file=file, key=key, value=_at(tree, key), expected="no such key; see docs/settings.md"
        )
    match = _INVALID.fullmatch(message)
    key = (match["at"] if match else None) or "(top)"
    expected = (match["what"] if match else message).replace("Expected ", "").replace("`", "")
    return ConfigError(file=file, key=key, value=_at(tree, key), expected=expected)


def _at(tree: object, path: str) -> object:
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list) and part.isdigit() and int(part) < len(tree):
            tree = tree[int(part)]
        elif part != "...":
            return None
    return tree if not isinstance(tree, dict | list) else type(tree).__name__


def _check(file: str, settings: Settings) -> None:
    """What types alone cannot say."""

    def refuse(key: str, value: object, expected: str) -> None:
        raise ConfigError(file=file, key=key, value=value, expected=expected)

    if not is_name(settings.site):
        refuse("site", settings.site, "1 to 128 characters without blanks, '/', '+' or '#'")
    named: set[str] = set()
    for place, sink in enumerate(settings.sinks):
        if sink.name in named:
            refuse(f"sinks[{place}].name", sink.name, "a name that no other sink has")
        named.add(sink.name)
        if isinstance(sink, Webhook):
            parts = urlsplit(sink.url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                refuse(f"sinks[{place}].url", sink.url, "an http:// or https:// address")
    for place, device in enumerate(settings.devices):
        for key in ("entity", "device"):
            if not is_name(getattr(device, key)):
                refuse(
                    f"devices[{place}].{key}", getattr(device, key), "a name without blanks, '/', '+' or '#'"
                )
    for scenario, policy in settings.streams.policies.items():
        if not Path(policy).is_file():
            refuse(f"streams.policies.{scenario}", policy, "a policy file that exists")
