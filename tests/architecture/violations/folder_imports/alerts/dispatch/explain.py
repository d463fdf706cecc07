# ruff: noqa
"""Planted: alerts know findings only."""

import zhiwei.types, streams  # wrong
