# ruff: noqa
"""Planted: the kernel too has owners."""

import pyarrow as pa  # wrong
from prometheus_client import Counter  # wrong
import sqlalchemy  # wrong
