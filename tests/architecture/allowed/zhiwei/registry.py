# ruff: noqa
"""Planted: the one that imports by text."""

from importlib import import_module


def load(name: str) -> object:
    return import_module(name)
