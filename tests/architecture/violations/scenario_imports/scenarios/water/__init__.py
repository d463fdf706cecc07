# ruff: noqa
"""Planted: nothing wrong here."""
