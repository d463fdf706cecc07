# ruff: noqa
"""Planted: nothing wrong here."""

from scenarios.lift.schema import SCHEMA as SCENARIO
