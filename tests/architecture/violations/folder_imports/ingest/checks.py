# ruff: noqa
"""Planted: an import for types alone counts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models import mvnn  # wrong
