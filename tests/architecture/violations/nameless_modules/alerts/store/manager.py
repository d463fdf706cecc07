# ruff: noqa
"""Planted:"""

x = 1
