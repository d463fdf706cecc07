# ruff: noqa
"""Planted: what development needs is not there when it runs."""


def f() -> None:
    import hypothesis  # wrong
