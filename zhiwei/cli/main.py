"""All commands. Each imports what it needs when it is called: ``zhiwei --help`` must be quick."""

import os
import sys

import click

from zhiwei import __version__
from zhiwei.cli import bed, inspect, replay, simulate, upkeep
from zhiwei.errors import ZhiweiError


class _Commands(click.Group):
    """Turns errors that are meant for people into one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ZhiweiError as error:
            click.echo(f"zhiwei: {error}", err=True)
            ctx.exit(1)
        except BrokenPipeError:
            # Whoever read our output has gone; nothing is left to say.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="zhiwei")
def main() -> None:
    """Zhiwei (知微): a city's sensor readings in over MQTT, findings, incidents and dispatches out."""


for command in (
    bed.up, bed.broker, bed.ingest, bed.stream, bed.alerts, bed.telemetry, bed.console, bed.play,
    replay.replay, inspect.explain, inspect.quarantine, inspect.audit, inspect.tap, inspect.doctor,
    inspect.scenarios, inspect.schema, inspect.new, upkeep.backup, upkeep.restore, upkeep.repartition,
):  # fmt: skip
    main.add_command(command)
simulate.register(main)
