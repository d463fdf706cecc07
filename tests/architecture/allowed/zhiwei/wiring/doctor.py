# ruff: noqa
"""Planted: puts it together; looks whether packages are there."""

from importlib import import_module
from ingest import broker
import pyarrow


def there(package: str) -> None:
    import_module(package)
