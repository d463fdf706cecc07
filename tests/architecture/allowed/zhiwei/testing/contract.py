# ruff: noqa
"""Planted: checks that are shipped."""

import pytest
from zhiwei import contracts
