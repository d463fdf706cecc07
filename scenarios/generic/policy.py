"""The policy of this scenario: which detector and discriminator, their settings, what a finding is worth.

Each setting is ``{ value, unit, source }``; a value without its reason is refused.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from scenarios.generic.hold import Hold
from scenarios.generic.tables import read
from zhiwei import registry
from zhiwei.clock import MICROS
from zhiwei.contracts import Detector, Discriminator
from zhiwei.errors import ConfigError
from zhiwei.ids import digest
from zhiwei.types import Flag, Severity

T = TypeVar("T")
Name = Annotated[str, msgspec.Meta(min_length=1)]
_SHIPPED = Path(__file__).with_name("policy.toml")

Quality = Literal[
    "clock", "late", "conflict", "stopped", "maintenance", "manual", "fault", "calibration", "over_range",
    "communication",
]  # fmt: skip


class Value(msgspec.Struct, Generic[T], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting, in its unit, with the standard or reason behind it."""

    value: T
    unit: str
    source: Name


class _Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The TOML as it must be."""

    version: str = ""
    latency: Value[Annotated[float, msgspec.Meta(ge=0, le=31 * 86_400)]]
    severity: Value[Severity]
    left_out_channels: Value[tuple[str, ...]]
    left_out_quality: Value[tuple[Quality, ...]]
    run_gap: Value[Annotated[int, msgspec.Meta(ge=0, le=1000)]]
    detector: _Choice
    discriminator: _Choice
    detectors: dict[str, dict[str, object]]
    """Name → setting → ``{ value, unit, source }``, read one by one, so that an error can name its place."""
    discriminators: dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericPolicy:
    """A validated policy: the chosen detector and discriminator accept their settings."""

    version: str
    latency_us: int
    text: str
    file: str
    severity: Severity
    left_out_channels: frozenset[str]
    left_out_quality: Flag
    """Rows with any of these bits are neither judged nor learned from."""
    run_gap: int
    """Usual rows that a run of outliers may hold."""
    detector_name: str
    discriminator_name: str
    settings: Mapping[str, Mapping[str, object]]
    """``detectors.<name>`` or ``discriminators.<name>`` → settings."""

    def latency_of(self, channel: str) -> int:  # noqa: ARG002 - nothing is known of any column
        """Normal latency of a channel, µs."""
        return self.latency_us

    def detector(self, channels: tuple[str, ...]) -> Detector:
        """A new detector over these channels."""
        key = f"detectors.{self.detector_name}"
        return registry.detector(self.detector_name)(
            channels=channels, settings=self.settings[key], file=self.file
        )

    def discriminator(self) -> Discriminator:
        """A new discriminator."""
        key = f"discriminators.{self.discriminator_name}"
        return _discriminator_class(self.discriminator_name)(settings=self.settings[key], file=self.file)


def parse(text: str | None, *, file: str = "") -> GenericPolicy:
    """Read and check; None reads the shipped policy.

    Raises ConfigError naming file, key, value and what would be right.
    """
    if text is None:
        text, file = _SHIPPED.read_text(encoding="utf-8"), "scenarios/generic/policy.toml"
    file = file or "policy of generic"
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file=file, key="(syntax)", value=str(error), expected="TOML") from None
    document = read(_Document, table, file=file)
    policy = GenericPolicy(
        version=document.version or digest(text)[:12],
        latency_us=round(document.latency.value * MICROS),
        text=text,
        file=file,
        severity=document.severity.value,
        left_out_channels=frozenset(document.left_out_channels.value),
        left_out_quality=reduce(
            or_, (Flag[name.upper()] for name in document.left_out_quality.value), Flag(0)
        ),
        run_gap=document.run_gap.value,
        detector_name=document.detector.name,
        discriminator_name=document.discriminator.name,
        settings=_settings(document, file=file),
    )
    _check_parts(policy)
    return policy


def _settings(document: _Document, *, file: str) -> dict[str, dict[str, object]]:
    groups = {"detectors": document.detectors, "discriminators": document.discriminators}
    return {
        f"{group}.{name}": {
            key: _entry(entry, file=file, key=f"{group}.{name}.{key}").value for key, entry in table.items()
        }
        for group, parts in groups.items()
        for name, table in parts.items()
    }


def _entry(entry: object, *, file: str, key: str) -> Value[object]:
    if not isinstance(entry, dict):
        raise ConfigError(file=file, key=key, value=entry, expected="a table { value, unit, source }")
    return read(Value[object], entry, file=file, key=key)


def _check_parts(policy: GenericPolicy) -> None:
    """The chosen parts are installed, have a table, and take their settings."""
    for group, name in (("detector", policy.detector_name), ("discriminator", policy.discriminator_name)):
        installed = sorted(_installed(group))
        if name not in installed:
            raise ConfigError(
                file=policy.file, key=f"{group}.name", value=name, expected=f"one of {', '.join(installed)}"
            )
        if f"{group}s.{name}" not in policy.settings:
            raise ConfigError(
                file=policy.file, key=f"{group}s.{name}", value=None, expected="a table of its settings"
            )
    for group, make in (("detectors", lambda: policy.detector(())), ("discriminators", policy.discriminator)):
        try:
            make()
        except ConfigError as error:
            raise ConfigError(
                file=error.file, key=f"{group}.{error.key}", value=error.value, expected=error.expected
            ) from None


def _installed(group: str) -> set[str]:
    if group == "detector":
        return set(registry.names("detectors"))
    return {*registry.names("discriminators"), Hold.name}


def _discriminator_class(name: str) -> type[Discriminator]:
    return Hold if name == Hold.name else registry.discriminator(name)
