# ruff: noqa
"""Planted: each way to import by text."""

import importlib
import importlib as il
import pkgutil
from importlib import import_module


def f(name: str) -> None:
    importlib.import_module("scenarios.water")  # wrong
    il.import_module(f"models.{name}")  # wrong
    import_module(name)  # wrong
    import_module(f"{name}.rules")  # wrong
    import_module(".rules", "scenarios.water")  # wrong
    import_module(name="alerts")  # wrong
    __import__("ingest")  # wrong
    pkgutil.resolve_name("models:Mvnn")  # wrong
    import_module("json")
    import_module("modelspec")
