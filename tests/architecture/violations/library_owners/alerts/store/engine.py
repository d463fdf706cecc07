# ruff: noqa
"""Planted: Core is fine, an engine of its own is not."""

import sqlalchemy as sa
from sqlalchemy import create_engine  # wrong
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine  # wrong


def f() -> object:
    return sa.create_engine("sqlite://")  # wrong
