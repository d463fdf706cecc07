# ruff: noqa
"""Planted: puts it together."""

import click
import streams.app
from zhiwei.wiring import doctor
from alerts import dispatch
