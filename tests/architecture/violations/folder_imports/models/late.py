# ruff: noqa
"""Planted: an import inside a function counts."""


def f() -> None:
    import streams.engine  # wrong
