# ruff: noqa
"""Planted: its own files, the kernel, arrays."""

import numpy as np
from zhiwei.registry import detector
from scenarios.water.schema import SCHEMA
from .schema import SCHEMA as same

models = detector("mvnn")
models.streams = 1
