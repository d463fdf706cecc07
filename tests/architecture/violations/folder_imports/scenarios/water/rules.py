# ruff: noqa
"""Planted: a scenario gets its detectors by name."""

import models.mvnn  # wrong
from ingest.codecs import json  # wrong
from tests import cases  # wrong
import bench  # wrong
