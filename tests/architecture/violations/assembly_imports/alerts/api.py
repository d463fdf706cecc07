# ruff: noqa
"""Planted: a part imports what puts it together."""

from zhiwei.wiring.doctor import examine  # wrong
from zhiwei import ids, cli  # wrong
