# ruff: noqa
"""Planted: the kernel draws no tables."""

import rich  # wrong
import numpy, msgspec, json
