# ruff: noqa
"""Planted: the owner."""

import time

now = time.time_ns() + time.monotonic_ns()
