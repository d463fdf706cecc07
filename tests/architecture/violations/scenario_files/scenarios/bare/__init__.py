# ruff: noqa
"""Planted:"""

SCENARIO = 1
