"""What the entry point names."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import msgspec

from zhiwei.clock import MICROS
from zhiwei.contracts import Kind, Policy
from zhiwei.errors import ConfigError
from zhiwei.ids import digest
from zhiwei_parking.rules import KIND, ParkingRules
from zhiwei_parking.schema import SCHEMA


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: float
    unit: str
    source: str


class _Sections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    overstay: _Value
    latency: _Value


@dataclass(frozen=True, slots=True)
class ParkingPolicy:
    """A validated policy."""

    version: str
    text: str
    latency_us: int
    overstay_us: int
    limit: str
    source: str

    def latency_of(self, channel: str) -> int:  # noqa: ARG002 - one radio for all
        """Normal latency, µs."""
        return self.latency_us


class Parking:
    """Bays where nobody may stand for long."""

    name = "parking"
    schema = SCHEMA
    main_kind = KIND
    kinds = (Kind(KIND, (("occupied",),)),)
    life_safety: frozenset[str] = frozenset()

    def policy(self, text: str | None, *, file: str = "policy") -> ParkingPolicy:
        """Raises ConfigError naming the file and what is wrong."""
        if text is None:
            text = files("zhiwei_parking").joinpath("policy.toml").read_text(encoding="utf-8")
        try:
            said = msgspec.convert(tomllib.loads(text), _Sections)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigError(file=file, key="policy", value=str(error), expected="as shipped") from None
        return ParkingPolicy(
            version=digest(text)[:12],
            text=text,
            latency_us=round(said.latency.value * MICROS),
            overstay_us=round(said.overstay.value * 60 * MICROS),
            limit=f"≤ {said.overstay.value:g} {said.overstay.unit}",
            source=said.overstay.source,
        )

    def rules(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],  # noqa: ARG002 - nothing is asked of the registry
        entities: Sequence[str],  # noqa: ARG002
    ) -> ParkingRules:
        """Over these channels."""
        assert isinstance(policy, ParkingPolicy)
        return ParkingRules(channels, policy.overstay_us, policy.limit, policy.source)

    def urgent(
        self,
        policy: Policy,  # noqa: ARG002
        channels: tuple[str, ...],  # noqa: ARG002
        attributes: Mapping[str, Mapping[str, str]],  # noqa: ARG002
        entities: Sequence[str],  # noqa: ARG002
    ) -> None:
        """Nobody's life hangs on a bay."""
        return


SCENARIO = Parking()
