# ruff: noqa
"""Planted: Faust has two places."""

import faust  # wrong
from mode import Service  # wrong
from influxdb_client import InfluxDBClient  # wrong
