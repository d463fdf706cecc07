# ruff: noqa
"""Planted: sets ours and others side by side."""

import time

import faust
import alerts
import paho.mqtt.client
from zhiwei.wiring import doctor

now = time.perf_counter()
