"""Options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)
"""A path that is no directory."""


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """--config and --data-dir, read into Settings."""

    @click.option("--config", type=FILE, help="Settings in TOML; default: docs/settings.md.")
    @click.option("--data-dir", type=click.Path(path_type=Path), help="Where everything is kept.")
    @functools.wraps(command)
    def run(config: Path | None, data_dir: Path | None, **options: object) -> None:
        from zhiwei import settings

        found = settings.load(config, data_dir=str(data_dir) if data_dir else None)
        command(found, **options)

    return run
