"""Lifts (电梯): entrapment, and what else their kits and controllers tell."""

from scenarios.elevator.scenario import SCENARIO

__all__ = ["SCENARIO"]
