# ruff: noqa
"""Planted: the kernel imports what puts it together."""

import zhiwei.cli  # wrong
from zhiwei import wiring  # wrong
from . import cli  # wrong
from .wiring import doctor  # wrong
