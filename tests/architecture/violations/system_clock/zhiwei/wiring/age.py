# ruff: noqa
"""Planted: what puts the parts together takes a Clock as well."""

import time

now = time.time()  # wrong
