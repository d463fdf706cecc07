# ruff: noqa
"""Planted: a file whose name begins like an owner."""

import faust.types  # wrong
