# ruff: noqa
"""Planted: the owner."""

from sqlalchemy import create_engine, event
