# ruff: noqa
"""Planted: its own files, the kernel, arrays."""

from zhiwei.schema import Schema

SCHEMA = 1
