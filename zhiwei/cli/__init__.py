"""The command line: parses, calls ``zhiwei.wiring``, prints. An error for people has no traceback."""

from zhiwei.cli.main import main

__all__ = ["main"]
