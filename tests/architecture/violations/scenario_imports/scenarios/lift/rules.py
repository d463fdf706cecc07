# ruff: noqa
"""Planted: one scenario leans on another whose name begins like its own."""

import scenarios.lift_shaft  # wrong
