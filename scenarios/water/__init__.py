"""Secondary water supply (二次供水): quality at the pump rooms of a city."""

from scenarios.water.scenario import SCENARIO

__all__ = ["SCENARIO"]
