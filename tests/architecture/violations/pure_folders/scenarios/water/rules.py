# ruff: noqa
"""Planted: a scenario talks to nobody."""

import aiokafka  # wrong
import numpy as np
