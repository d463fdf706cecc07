# ruff: noqa
"""Planted: the owner."""

from faust.transport import base
import mode
from yarl import URL
from streams.engine import table
from ..engine import table as again
