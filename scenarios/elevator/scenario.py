"""What the registry finds: schema, policy and rules of the elevator scenario under one name."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from scenarios.elevator.kinds import KINDS
from scenarios.elevator.policy import ElevatorPolicy, parse
from scenarios.elevator.rules import ElevatorRules
from scenarios.elevator.schema import SCHEMA
from scenarios.elevator.urgent import UrgentRules
from scenarios.elevator.words import ALARM_BUTTON, ENTRAPMENT
from zhiwei.contracts import Policy
from zhiwei.errors import ConfigError


class Elevator:
    """Lifts."""

    name = "elevator"
    schema = SCHEMA
    main_kind = ENTRAPMENT
    kinds = KINDS
    life_safety: frozenset[str] = frozenset(
        {
            ENTRAPMENT,
            ALARM_BUTTON,
            "elevator.door_open_moving",
            "elevator.unintended_movement",
            "elevator.overrun",
            "elevator.hit_bottom",
        }
    )
    """Somebody is shut in, or a moving car can crush; after an overrun people are mostly shut in as well. An
    overspeed is not among them: the governor stops the car, and what follows is an entrapment."""

    def policy(self, text: str | None, *, file: str = "") -> ElevatorPolicy:
        """Parse and validate; None gives the shipped default. Raises ConfigError."""
        if text is None:
            file = "scenarios/elevator/policy.toml"
            text = files("scenarios.elevator").joinpath("policy.toml").read_text(encoding="utf-8")
        return parse(text, file=file or "policy")

    def rules(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> ElevatorRules:
        """See the contract. Attributes read: those of ``profiles.Profiles``."""
        return ElevatorRules(_own(policy), channels, attributes, entities)

    def urgent(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> UrgentRules:
        """See the contract: the alarm button."""
        return UrgentRules(_own(policy), channels, attributes, entities)


def _own(policy: Policy) -> ElevatorPolicy:
    if not isinstance(policy, ElevatorPolicy):
        raise ConfigError(
            file="policy",
            key="(top)",
            value=type(policy).__name__,
            expected="a policy of the elevator scenario",
        )
    return policy


SCENARIO = Elevator()
