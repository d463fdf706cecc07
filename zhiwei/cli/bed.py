"""Commands that run the pipeline: the whole bed, one role of it, and a recording played into it."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhiwei.cli.options import FILE, with_settings
from zhiwei.errors import Fenced, Retryable, StorageFull, ZhiweiError

if TYPE_CHECKING:
    from zhiwei.settings import Settings


def _role(command: Callable[..., None]) -> Callable[..., None]:
    """A process of the bed: an error that a person must mend ends it with status 78."""

    @click.option("--supervised", is_flag=True, hidden=True, help="End with standard input.")
    @functools.wraps(command)
    def run(**options: object) -> None:
        from zhiwei.wiring.roles import leave
        from zhiwei.wiring.supervisor import NEEDS_A_PERSON

        status = 0
        try:
            command(**options)
        except ZhiweiError as error:
            click.echo(f"zhiwei: {error}", err=True)
            status = 1 if isinstance(error, Retryable | Fenced | StorageFull) else NEEDS_A_PERSON
        except Exception:
            logging.getLogger("zhiwei").exception("this process cannot go on")
            status = 1
        leave(status)

    return run


@click.command()
@click.option("--demo", is_flag=True, help="A real station, 100 days in a few minutes, and a receiver.")
@click.option("--minutes", default=4.0, show_default=True, help="How long the demo's 100 days take.")
@click.option("--config", type=FILE, help="Settings in TOML; default: docs/settings.md.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where everything is kept.")
def up(demo: bool, minutes: float, config: Path | None, data_dir: Path | None) -> None:
    """Run the whole pipeline on this machine."""
    from zhiwei import settings
    from zhiwei.clock import SystemClock
    from zhiwei.logs import configure
    from zhiwei.wiring import up as bed
    from zhiwei.wiring.roles import stop_event
    from zhiwei.wiring.view import View

    configure()
    stop = stop_event(supervised=False)
    if demo:
        bed.demo((data_dir or Path("data/demo")).absolute(), SystemClock(), stop, minutes)
        return
    found = settings.load(config, data_dir=str(data_dir) if data_dir else None)
    bed.up(found, config, SystemClock(), stop, View(found))


@click.command(hidden=True)
@_role
@with_settings
def broker(settings: "Settings", supervised: bool) -> None:
    """The embedded MQTT broker."""
    from zhiwei.wiring import roles

    roles.broker(settings, roles.stop_event(supervised=supervised))


@click.command()
@_role
@click.option("--instance", default="", help="Its name, where several share the messages ([mqtt] share).")
@with_settings
def ingest(settings: "Settings", instance: str, supervised: bool) -> None:
    """One role: MQTT to frames on the log."""
    from zhiwei.settings import of_instance
    from zhiwei.wiring import roles

    chosen = of_instance(settings, instance) if instance else settings
    roles.ingest(chosen, roles.stop_event(supervised=supervised), instance)


@click.command()
@_role
@click.option("--worker", help="Its name, in place of the settings' [streams] worker.")
@with_settings
def stream(settings: "Settings", worker: str | None, supervised: bool) -> None:
    """One role: frames to findings."""
    from zhiwei.settings import of_worker
    from zhiwei.wiring import roles

    roles.stream(of_worker(settings, worker) if worker else settings, supervised=supervised)


@click.command()
@_role
@with_settings
def alerts(settings: "Settings", supervised: bool) -> None:
    """One role: findings to incidents, and dispatch."""
    from zhiwei.wiring import roles

    roles.alerts(settings, supervised=supervised)


@click.command()
@_role
@with_settings
def console(settings: "Settings", supervised: bool) -> None:
    """One role: API and console, where alerts does not serve them ([console] in_alerts)."""
    from zhiwei.wiring import roles

    roles.console(settings, supervised=supervised)


@click.command()
@_role
@with_settings
def telemetry(settings: "Settings", supervised: bool) -> None:
    """One role: frames to InfluxDB."""
    from zhiwei.wiring import roles

    roles.telemetry(settings, roles.stop_event(supervised=supervised))


@click.command()
@click.argument("file", type=FILE)
@click.option("--scenario", required=True, help="Whose channels: water, generic.")
@click.option("--map", "map_file", type=FILE, required=True, help="TOML that names the columns.")
@click.option("--mqtt", "url", default="mqtt://127.0.0.1:1883", show_default=True, help="The broker.")
@click.option("--speed", type=float, help="Times its own pace; default: as fast as it goes.")
@click.option("--supervised", is_flag=True, hidden=True, help="End with standard input.")
def play(file: Path, scenario: str, map_file: Path, url: str, speed: float | None, supervised: bool) -> None:
    """Publish a recording over MQTT, as a source that brings its own time."""
    from simulators.playback import messages, play_to
    from zhiwei import recording, registry
    from zhiwei.clock import SystemClock
    from zhiwei.wiring.roles import stop_event

    stream = messages(file, registry.scenario(scenario).schema, recording.load_map(map_file))
    stop = stop_event(supervised=supervised)
    count = play_to(url, stream, speed=speed, clock=SystemClock(), stop=stop)
    click.echo(f"{count} messages published and acknowledged by the broker", err=True)
