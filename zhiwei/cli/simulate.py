"""``zhiwei simulate`` and ``zhiwei evaluate``: a labelled world, and how findings compare with its labels."""

from datetime import datetime
from pathlib import Path

import click

from zhiwei.errors import ZhiweiError

_FILE = click.Path(path_type=Path, dir_okay=False)
START = "2026-01-05T00:00:00+08:00"
"""A Monday. Fixed, so that the same command gives the same bytes on any day."""


def register(group: click.Group) -> None:
    """Add both commands to the command line."""
    group.add_command(simulate)
    group.add_command(evaluate)


def _list_faults(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from simulators.faults import listing

        for line in listing():
            click.echo(line)
        ctx.exit(0)


@click.command()
@click.argument("scenario")
@click.option("--entities", default=10, show_default=True, help="Lifts, pump rooms or homes.")
@click.option("--days", default=1.0, show_default=True, help="Simulated days.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--start", default=START, show_default=True, help="ISO 8601 with an offset, or `now`.")
@click.option("--event-rate", type=float, help="Events for each entity and day, 0 to 1.")
@click.option("--speed", type=float, help="Times the world's own pace; default: as fast as it goes.")
@click.option("--faults", type=_FILE, help="Field faults (TOML): docs/simulate.md.")
@click.option("--labels", type=_FILE, help="Where to write what truly happened (JSON lines).")
@click.option("--mqtt", "url", metavar="URL", help="Publish to a broker: mqtt://[user:password@]host[:port].")
@click.option("--out", type=_FILE, help="Write JSON lines, which `zhiwei replay` reads.")
@click.option("--list-faults", is_flag=True, is_eager=True, expose_value=False, callback=_list_faults,
              help="Print field faults, their parameters and units.")  # fmt: skip
@click.option("--supervised", is_flag=True, hidden=True, help="End with standard input.")
def simulate(
    scenario: str,
    entities: int,
    days: float,
    seed: int,
    start: str,
    event_rate: float | None,
    speed: float | None,
    faults: Path | None,
    labels: Path | None,
    url: str | None,
    out: Path | None,
    supervised: bool,
) -> None:
    """Run a labelled world: elevator, water, elderly; or `script`, the scripted minute of all three."""
    from zhiwei.wiring.simulate import Wish
    from zhiwei.wiring.simulate import simulate as run

    if (url is None) == (out is None):
        raise click.UsageError("give either --mqtt URL or --out FILE")
    if speed is not None and (out is not None or speed <= 0):
        raise click.UsageError("--speed is a number above 0, and goes with --mqtt")
    wish = Wish(
        scenario=scenario,
        entities=entities,
        days=days,
        seed=seed,
        start=None if start == "now" else _moment(start),
        event_rate=event_rate,
        faults=faults,
    )
    for line in run(wish, url=url, out=out, speed=speed, labels=labels, supervised=supervised):
        click.echo(line, err=True)


@click.command()
@click.argument("findings", type=_FILE)
@click.option("--labels", required=True, type=_FILE, help="What truly happened (JSON lines).")
@click.option("--scenario", help="Only this scenario's kinds; its rules say which are life safety.")
@click.option(
    "--entities", type=click.IntRange(min=1), help="How many were watched, where the labels do not say."
)
@click.option("--days", type=float, help="For how long, where the labels do not say.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of a table.")
@click.option("--html", type=_FILE, metavar="REPORT", help="Write a report that needs no other file.")
def evaluate(
    findings: Path,
    labels: Path,
    scenario: str | None,
    entities: int | None,
    days: float | None,
    as_json: bool,
    html: Path | None,
) -> None:
    """Compare findings with labels: recall, false alarms, delay, duplicates, with 95 % intervals."""
    from zhiwei.wiring.evaluate import as_table, to_json
    from zhiwei.wiring.evaluate import evaluate as run
    from zhiwei.wiring.report import as_html

    card = run(findings, labels, scenario=scenario, entities=entities, days=days)
    if html is not None:
        try:
            html.write_text(as_html(card), encoding="utf-8")
        except OSError as error:
            raise ZhiweiError(f"{html}: cannot be written: {error.strerror}") from None
    click.echo(to_json(card) if as_json else as_table(card))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.UsageError(
            f"--start {text}: expected ISO 8601 with an offset, for example {START}, or now"
        )
    return moment
