# ruff: noqa
"""Planted: the truth is independent of those who look for it."""

from scenarios.water.policy import LIMITS  # wrong
