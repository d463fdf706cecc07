"""All commands. Each imports what it needs when it is called: ``zhiwei --help`` must be quick."""

import functools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhiwei import __version__
from zhiwei.cli import simulate
from zhiwei.errors import Fenced, Retryable, StorageFull, ZhiweiError

if TYPE_CHECKING:
    from zhiwei.settings import Settings

_FILE = click.Path(path_type=Path, dir_okay=False)


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


simulate.register(main)


@main.command()
@click.argument("file", type=_FILE)
@click.option("--scenario", required=True, help="Whose rules: water, generic.")
@click.option("--map", "map_file", type=_FILE, help="TOML that names timestamp, entity and channels.")
@click.option("--policy", type=_FILE, help="Thresholds; default: those that the scenario ships.")
@click.option("--alarm-on", metavar="KIND[:CHANNEL]", help="What `alarm` in the scores means.")
@click.option("--site", default="local", show_default=True, help="Part of every finding's id.")
@click.option("--out", required=True, type=_FILE, help="Findings, one revision a line.")
@click.option("--scores", type=_FILE, help="timestamp,entity,score,alarm: one line for each row.")
def replay(
    file: Path,
    scenario: str,
    map_file: Path | None,
    policy: Path | None,
    alarm_on: str | None,
    site: str,
    out: Path,
    scores: Path | None,
) -> None:
    """Step a recording (CSV or JSON lines, gzip allowed) without servers."""
    from zhiwei import recording
    from zhiwei.wiring.replay import replay as run

    table = recording.load_map(map_file) if map_file else None
    done = run(
        file,
        scenario=scenario,
        table=table,
        policy=policy,
        alarm_on=alarm_on,
        site=site,
        out=out,
        scores=scores,
    )
    click.echo(f"{done.rows} rows, {done.alarm_rows} in alarm; findings:", err=True)
    for kind, count in sorted(done.findings.items()):
        click.echo(f"  {count:6d} {kind}", err=True)
    if done.duplicate or done.late:
        click.echo(f"{done.duplicate} duplicate and {done.late} late rows were not stepped", err=True)
    if done.refused_total:
        click.echo(f"refused: {done.refused_total} cells or rows ({done.refused_rows} rows whole):", err=True)
        for reason in done.refused:
            click.echo(f"  {reason}", err=True)
    for reason in done.set_aside[:5]:
        click.echo(f"set aside: {reason}", err=True)


# ------------------------------------------------------------------ the bed


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    """--config and --data-dir, read into Settings."""

    @click.option("--config", type=_FILE, help="Settings in TOML; default: docs/settings.md.")
    @click.option("--data-dir", type=click.Path(path_type=Path), help="Where everything is kept.")
    @functools.wraps(command)
    def run(config: Path | None, data_dir: Path | None, **options: object) -> None:
        from zhiwei import settings

        found = settings.load(config, data_dir=str(data_dir) if data_dir else None)
        command(found, **options)

    return run


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


@main.command()
@click.option("--demo", is_flag=True, help="A real station, 100 days in a few minutes, and a receiver.")
@click.option("--minutes", default=4.0, show_default=True, help="How long the demo's 100 days take.")
@click.option("--config", type=_FILE, help="Settings in TOML; default: docs/settings.md.")
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


@main.command(hidden=True)
@_role
@_settings
def broker(settings: "Settings", supervised: bool) -> None:
    """The embedded MQTT broker."""
    from zhiwei.wiring import roles

    roles.broker(settings, roles.stop_event(supervised=supervised))


@main.command()
@_role
@_settings
def ingest(settings: "Settings", supervised: bool) -> None:
    """One role: MQTT to frames on the log."""
    from zhiwei.wiring import roles

    roles.ingest(settings, roles.stop_event(supervised=supervised))


@main.command()
@_role
@_settings
def stream(settings: "Settings", supervised: bool) -> None:
    """One role: frames to findings."""
    from zhiwei.wiring import roles

    roles.stream(settings, supervised=supervised)


@main.command()
@_role
@_settings
def alerts(settings: "Settings", supervised: bool) -> None:
    """One role: findings to incidents, and dispatch."""
    from zhiwei.wiring import roles

    roles.alerts(settings, supervised=supervised)


@main.command()
@click.argument("file", type=_FILE)
@click.option("--scenario", required=True, help="Whose channels: water, generic.")
@click.option("--map", "map_file", type=_FILE, required=True, help="TOML that names the columns.")
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


# ------------------------------------------------------------------ looking into it


@main.command()
@click.argument("id_", metavar="ID")
@_settings
def explain(settings: "Settings", id_: str) -> None:
    """From an event, incident, finding or dispatch back to its readings. A unique beginning is enough."""
    from zhiwei.wiring.explain import explain as lines

    for line in lines(settings, id_):
        click.echo(line)


@main.command()
@click.option("--config", type=_FILE, help="Settings to check.")
def doctor(config: Path | None) -> None:
    """Check this machine and the settings, and say what to do."""
    from zhiwei.clock import SystemClock
    from zhiwei.wiring.doctor import Verdict, examine, worst

    checks = examine(config, SystemClock())
    for check in checks:
        click.echo(f"{check.verdict.value:4} {check.name}: {check.found}")
        if check.advice and check.verdict is not Verdict.OK:
            click.echo(f"     {check.advice}")
    if worst(checks) is Verdict.FAIL:
        raise SystemExit(1)
