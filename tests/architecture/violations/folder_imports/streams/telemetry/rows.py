# ruff: noqa
"""Planted: streams know no alerts, and scenarios only by name."""

import alerts as a, scenarios.water  # wrong
