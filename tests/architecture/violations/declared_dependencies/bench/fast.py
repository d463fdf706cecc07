# ruff: noqa
"""Planted: even a benchmark declares what it needs."""

import yarl  # wrong
import nowhere  # wrong
import __future__
