# ruff: noqa
"""Planted: where everything may be imported, it is imported in plain sight."""

from importlib import import_module

import_module("streams.app")  # wrong
