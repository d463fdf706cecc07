"""Commands that keep an installation: copies of what is durable and the way back, and another size."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhiwei.cli.options import with_settings

if TYPE_CHECKING:
    from zhiwei.settings import Settings

_SET = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("folder", type=_SET)
@with_settings
def backup(settings: "Settings", folder: Path) -> None:
    """Copy everything durable of the embedded bed into FOLDER, which must be new; also while it runs."""
    from zhiwei.clock import SystemClock
    from zhiwei.wiring.backup import backup as lines

    for line in lines(settings, folder.absolute(), SystemClock()):
        click.echo(line)


@click.command()
@click.argument("folder", type=_SET)
@with_settings
def restore(settings: "Settings", folder: Path) -> None:
    """Make the data directory, which must be empty, as it was when FOLDER was written by zhiwei backup."""
    from zhiwei.clock import SystemClock
    from zhiwei.wiring.backup import restore as lines

    for line in lines(settings, folder.absolute(), SystemClock()):
        click.echo(line)


@click.command()
@click.argument("partitions", type=click.IntRange(1, 64))
@with_settings
def repartition(settings: "Settings", partitions: int) -> None:
    """Move everything to so many PARTITIONS, state and incidents with it; stop all roles first.

    Killed half way, run it again.
    """
    import time

    from zhiwei.clock import SystemClock
    from zhiwei.wiring.repartition import repartition as lines

    for line in lines(settings, partitions, SystemClock(), pause=time.sleep):
        click.echo(line)
