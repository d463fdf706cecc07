# ruff: noqa
"""Planted: test doubles belong to the kernel."""

from models.mvnn import Mvnn  # wrong
