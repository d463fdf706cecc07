"""What the registry finds: schema, policy and rules of the water scenario under one name."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from scenarios.water.kinds import KINDS
from scenarios.water.policy import WaterPolicy, parse
from scenarios.water.rules import WaterRules
from scenarios.water.schema import SCHEMA
from scenarios.water.words import EVENT, INTRUSION
from zhiwei.contracts import Policy
from zhiwei.errors import ConfigError


class Water:
    """Secondary water supply."""

    name = "water"
    schema = SCHEMA
    main_kind = EVENT
    kinds = KINDS
    life_safety: frozenset[str] = frozenset({INTRUSION})

    def policy(self, text: str | None, *, file: str = "") -> WaterPolicy:
        """Parse and validate; None gives the shipped default. Raises ConfigError."""
        if text is None:
            file = "scenarios/water/policy.toml"
            text = files("scenarios.water").joinpath("policy.toml").read_text(encoding="utf-8")
        policy = parse(text, file=file or "policy")
        self.rules(policy, (), {}, ())  # detectors check their own settings: now, not with the first row
        return policy

    def rules(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> WaterRules:
        """See the contract. Attributes read: ``disinfectant`` (``profiles.DISINFECTANTS``), ``zone``,
        ``set_point`` (MPa), ``tank_height`` (m), ``pump_limit`` (1/h)."""
        if not isinstance(policy, WaterPolicy):
            raise ConfigError(
                file="policy",
                key="(top)",
                value=type(policy).__name__,
                expected="a policy of the water scenario",
            )
        return WaterRules(policy, channels, attributes, entities)

    def urgent(
        self,
        policy: Policy,  # noqa: ARG002 - the contract's signature
        channels: tuple[str, ...],  # noqa: ARG002
        attributes: Mapping[str, Mapping[str, str]],  # noqa: ARG002
        entities: Sequence[str],  # noqa: ARG002
    ) -> None:
        """Nothing in the water calls for help at once."""
        return


SCENARIO = Water()
