"""Elderly people living alone (独居老人): safety in their homes."""

from scenarios.elderly.scenario import SCENARIO

__all__ = ["SCENARIO"]
