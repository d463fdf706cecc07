# ruff: noqa
"""Planted: other people have methods called ``now`` and ``time``."""

from datetime import UTC, datetime
import asyncio
from zhiwei.clock import Clock, SystemClock
from sqlalchemy import Table


def f(clock: Clock, time: object, loop: asyncio.AbstractEventLoop) -> object:
    """``time.time()`` and ``import models`` in a text are nothing."""
    clock.now_us(), clock.monotonic_s(), loop.time(), datetime(2026, 1, 1, tzinfo=UTC)
    return SystemClock
