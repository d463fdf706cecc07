# ruff: noqa
"""Planted: one scenario leans on another."""

from scenarios.lift import rules  # wrong
from scenarios import lift  # wrong
from ..lift.rules import step  # wrong
from .schema import SCHEMA
from . import schema
from scenarios.water import schema as own
