# ruff: noqa
"""Planted: the kernel imports a part."""

from ingest import framing  # wrong
