# ruff: noqa
"""Planted: nothing wrong here."""

SCHEMA = 1
