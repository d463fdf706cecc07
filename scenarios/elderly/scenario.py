"""What the registry finds: schema, policy and rules of the elderly scenario under one name."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from scenarios.elderly.homes import Homes
from scenarios.elderly.kinds import KINDS
from scenarios.elderly.policy import ElderlyPolicy, parse
from scenarios.elderly.rules import ElderlyRules
from scenarios.elderly.schema import SCHEMA
from scenarios.elderly.urgent import UrgentRules
from scenarios.elderly.words import LIFE_SAFETY, NO_ACTIVITY
from zhiwei.contracts import Policy
from zhiwei.errors import ConfigError


class Elderly:
    """Homes of elderly people living alone."""

    name = "elderly"
    schema = SCHEMA
    main_kind = NO_ACTIVITY
    kinds = KINDS
    life_safety = LIFE_SAFETY

    def policy(self, text: str | None, *, file: str = "") -> ElderlyPolicy:
        """Parse and validate; None gives the shipped default. Raises ConfigError."""
        if text is None:
            file = "scenarios/elderly/policy.toml"
            text = files("scenarios.elderly").joinpath("policy.toml").read_text(encoding="utf-8")
        return parse(text, file=file or "policy")

    def rules(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> ElderlyRules:
        """See the contract. Attributes read: ``zone``, ``operator_state``, ``consent`` (``homes.Homes``)."""
        return ElderlyRules(_own(policy), channels, attributes, entities)

    def urgent(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> UrgentRules:
        """SOS, smoke and gas, at once."""
        own = _own(policy)
        return UrgentRules(own, channels, Homes(own.sections, attributes, entities))


def _own(policy: Policy) -> ElderlyPolicy:
    if not isinstance(policy, ElderlyPolicy):
        raise ConfigError(
            file="policy",
            key="(top)",
            value=type(policy).__name__,
            expected="a policy of the elderly scenario",
        )
    return policy


SCENARIO = Elderly()
