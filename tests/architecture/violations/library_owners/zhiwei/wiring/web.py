# ruff: noqa
"""Planted: what puts the parts together owns no client."""

from aiohttp import web  # wrong
import faust  # wrong
