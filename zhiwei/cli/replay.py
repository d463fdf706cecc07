"""``zhiwei replay``."""

from pathlib import Path

import click

from zhiwei.cli.options import FILE


@click.command()
@click.argument("file", type=FILE)
@click.option("--scenario", required=True, help="Whose rules: water, generic.")
@click.option("--map", "map_file", type=FILE, help="TOML that names timestamp, entity and channels.")
@click.option("--policy", type=FILE, help="Thresholds; default: those that the scenario ships.")
@click.option("--alarm-on", metavar="KIND[:CHANNEL]", help="What `alarm` in the scores means.")
@click.option("--site", default="local", show_default=True, help="Part of every finding's id.")
@click.option("--out", required=True, type=FILE, help="Findings, one revision a line.")
@click.option("--scores", type=FILE, help="timestamp,entity,score,alarm: one line for each row.")
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
