"""Commands that look into a running or stopped bed: why, what was refused, whether the books balance."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhiwei.cli.options import FILE, with_settings

if TYPE_CHECKING:
    from zhiwei.settings import Settings


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option(
    "--why-not",
    nargs=2,
    metavar="ENTITY TIME",
    help="Why nothing was found of an entity; TIME is ISO 8601, or HH:MM[:SS] of today.",
)
@click.option("--scenario", help="With --why-not: where an entity's name occurs in several.")
@click.option("--kind", help="With --why-not: only this kind, for example elevator.entrapment.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Of the answer; default: the locale's.")
@with_settings
def explain(
    settings: "Settings",
    id_: str | None,
    why_not: tuple[str, str] | None,
    scenario: str | None,
    kind: str | None,
    lang: str | None,
) -> None:
    """From an event, incident, finding or dispatch back to its readings; or why there was none.

    A unique beginning of an ID is enough.
    """
    from alerts.console.texts import Language
    from zhiwei.clock import SystemClock
    from zhiwei.wiring.explain import explain as lines
    from zhiwei.wiring.why_not import why_not as reasons
    from zhiwei.wiring.wording import language_of_locale

    if (id_ is None) == (why_not is None):
        raise click.UsageError("expected an ID or --why-not ENTITY TIME, and not both")
    if why_not is None and (scenario or kind):
        raise click.UsageError("--scenario and --kind go with --why-not")
    language = language_of_locale(os.environ) if lang is None else Language(lang)
    if why_not is None:
        told = lines(settings, id_ or "", language)
    else:
        told = reasons(settings, *why_not, language, SystemClock(), scenario=scenario, kind=kind)
    for line in told:
        click.echo(line)


@click.command()
@click.option("--config", type=FILE, help="Settings to check.")
def doctor(config: Path | None) -> None:
    """Check this machine and the settings, and say what to do."""
    from zhiwei.clock import SystemClock
    from zhiwei.wiring.check import Verdict
    from zhiwei.wiring.doctor import examine, worst

    checks = examine(config, SystemClock())
    for check in checks:
        click.echo(f"{check.verdict.value:4} {check.name}: {check.found}")
        if check.advice and check.verdict is not Verdict.OK:
            click.echo(f"     {check.advice}")
    if worst(checks) is Verdict.FAIL:
        raise SystemExit(1)


@click.command()
@with_settings
def audit(settings: "Settings") -> None:
    """Balance the books: every row of the log is in exactly one bin. Exit status 1 names the first hole."""
    from zhiwei.wiring.audit import audit as books

    lines, balanced = books(settings)
    for line in lines:
        click.echo(line)
    if not balanced:
        raise SystemExit(1)


@click.command()
@click.argument("topic")
@click.option("--last", default=10, show_default=True, help="How many records to begin with.")
@with_settings
def tap(settings: "Settings", topic: str, last: int) -> None:
    """What is on a topic of the log, as it comes: readings.water, findings, quarantine …"""
    from zhiwei.wiring.roles import stop_event
    from zhiwei.wiring.tap import tap as lines

    for line in lines(settings, topic, last=last, stop=stop_event(supervised=False)):
        click.echo(line)


@click.command()
@click.option("--kit", metavar="CHANNEL,CHANNEL,…", help="What a kit with only these channels can support.")
def scenarios(kit: str | None) -> None:
    """What is installed, which findings it makes, and what they need."""
    from zhiwei.wiring.describe import scenarios as lines

    for line in lines(kit.split(",") if kit is not None else None):
        click.echo(line)


@click.command()
@click.argument("scenario")
def schema(scenario: str) -> None:
    """The JSON Schema of a reading, with units, enums and polarity."""
    import json

    from zhiwei.wiring.describe import schema as described

    click.echo(json.dumps(described(scenario), ensure_ascii=False, indent=2))


@click.group()
def new() -> None:
    """Begin a part from a template."""


@new.command("scenario")
@click.argument("name")
def new_scenario(name: str) -> None:
    """A scenario folder below scenarios/ that runs, to be changed into what you need."""
    from zhiwei.wiring.scaffold import new_scenario as write

    for line in write(name, Path.cwd()):
        click.echo(line)


@click.group()
def quarantine() -> None:
    """Input that was refused: what, why, and the way back."""


@quarantine.command("list")
@click.option("--most", default=50, show_default=True, help="How many, newest first.")
@click.option("--reason", help="Only of this reason, for example not_json.")
@with_settings
def quarantine_list(settings: "Settings", most: int, reason: str | None) -> None:
    """The newest refusals, one a line."""
    from zhiwei.wiring.quarantine import newest

    for line in newest(settings, most, reason):
        click.echo(line)


@quarantine.command("show")
@click.argument("number", type=int)
@click.option("--raw", is_flag=True, help="Only the bytes, as they came.")
@with_settings
def quarantine_show(settings: "Settings", number: int, raw: bool) -> None:
    """One refusal with its bytes."""
    from zhiwei.wiring.quarantine import payload, shown

    if raw:
        sys.stdout.buffer.write(payload(settings, number))
        return
    for line in shown(settings, number):
        click.echo(line)


@quarantine.command("replay")
@click.argument("numbers", type=int, nargs=-1, required=True)
@with_settings
def quarantine_replay(settings: "Settings", numbers: tuple[int, ...]) -> None:
    """Publish the bytes again to their topic, for example after a device was registered."""
    from zhiwei.wiring.quarantine import replayed

    for line in replayed(settings, numbers):
        click.echo(line)
