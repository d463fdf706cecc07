"""``zhiwei evaluate``: reads findings and labels, compares them, prints a table or JSON."""

import gzip
import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from models.evaluate import Card, Delays, Episode, Extent, Label, Rate, Score, Share, episodes, score
from zhiwei import registry
from zhiwei.clock import to_datetime, to_us
from zhiwei.errors import ZhiweiError
from zhiwei.types import Finding, FindingRecord


class _World(msgspec.Struct, frozen=True, kw_only=True):
    scenario: str
    entities: int
    start: datetime
    end: datetime


class _Label(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a labels file; further keys are for people."""

    entity: str
    kind: str
    onset: datetime
    end: datetime
    life_safety: bool = False
    fault: str | None = None
    detail: Any = None
    world: _World | None = None


def evaluate(
    findings: Path,
    labels: Path,
    *,
    scenario: str | None = None,
    entities: int | None = None,
    days: float | None = None,
) -> Card:
    """Compare two files. Raises ZhiweiError naming file and line, or what is missing.

    scenario: only its kinds; its rules say which are life safety. entities, days: how much was watched,
    where the labels do not say it.
    """
    said = list(_labels(labels))
    found = episodes(_findings(findings))
    critical: frozenset[str] = frozenset()
    if scenario is not None:
        critical = registry.scenario(scenario).life_safety
        found = [episode for episode in found if _scenario(episode.kind) == scenario]
        said = [line for line in said if _of(line) == scenario]
    known = {_of(line) for line in said} | {_scenario(episode.kind) for episode in found}
    extents = {name: _extent(name, said, entities, days, labels) for name in sorted(known - {""})}
    if not extents:
        raise ZhiweiError(f"{labels} and {findings} hold nothing to compare")
    return score(found, [_truth(line) for line in said], extents=extents, life_safety=critical)


def _extent(name: str, said: list[_Label], entities: int | None, days: float | None, file: Path) -> Extent:
    """How much of a scenario was watched: as given, else as the labels say."""
    worlds = {line.world for line in said if line.world and line.world.scenario == name}
    if entities is None or days is None:
        if len(worlds) != 1:
            what = "several worlds" if worlds else "no world"
            raise ZhiweiError(
                f"{file}: {what} of {name}: give --entities and --days, the denominators of rates"
            )
        world = worlds.pop()
        entities = entities or world.entities
        days = days or (world.end - world.start).total_seconds() / 86400
    if not days > 0 or not math.isfinite(days):
        raise ZhiweiError(f"--days {days:g}: expected more than 0")
    return Extent(entities, days)


def _truth(line: _Label) -> Label:
    return Label(
        entity=line.entity,
        kind=line.kind,
        onset=to_us(line.onset),
        end=to_us(line.end),
        life_safety=line.life_safety,
        fault=line.fault,
        suspected_as=_kinds(line, "suspected_as"),
        also=_kinds(line, "also"),
    )


def _kinds(line: _Label, name: str) -> tuple[str, ...]:
    """A list of kinds in the detail; nothing where the detail is a plain text."""
    said = line.detail.get(name) if isinstance(line.detail, dict) else None
    return tuple(str(kind) for kind in said) if isinstance(said, list) else ()


def _of(line: _Label) -> str:
    return line.world.scenario if line.world else _scenario(line.kind)


def _scenario(kind: str) -> str:
    return kind.split(".")[0]


# ------------------------------------------------------------------ files


def _labels(file: Path) -> Iterator[_Label]:
    decoder = msgspec.json.Decoder(_Label)
    for number, text in _lines(file):
        try:
            line = decoder.decode(text)
        except msgspec.DecodeError as error:
            raise ZhiweiError(f"{file}, line {number}: no label: {error}") from None
        if line.onset.tzinfo is None or line.end.tzinfo is None:
            raise ZhiweiError(f"{file}, line {number}: onset and end need an offset, for example +08:00 or Z")
        if line.end < line.onset:
            raise ZhiweiError(f"{file}, line {number}: end {line.end} is before onset {line.onset}")
        yield line


def _findings(file: Path) -> Iterator[Finding]:
    decoder: msgspec.json.Decoder[FindingRecord] = msgspec.json.Decoder(FindingRecord)
    for number, text in _lines(file):
        try:
            record = decoder.decode(text)
        except msgspec.DecodeError as error:
            raise ZhiweiError(f"{file}, line {number}: no finding: {error}") from None
        if isinstance(record, Finding):
            yield record


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            for number, text in enumerate(stream, 1):
                if text.strip():
                    yield number, text
    except (OSError, EOFError) as error:
        raise ZhiweiError(f"{file}: cannot be read: {error}") from None


# ------------------------------------------------------------------ a table


def as_table(card: Card) -> str:
    """For a terminal: the kinds, then what was missed and what was false."""
    watched = ", ".join(f"{name}: {e.entities} × {e.days:g} d" for name, e in card.extents.items())
    lines = [f"watched {watched}; intervals are 95 %", ""]
    lines += _columns([HEAD, *(row(s) for s in (*card.kinds, card.life_safety, card.all))])
    if card.faults:
        head = ("field fault", "entities", "found", "false alarms")
        body = [(f.name, str(f.entities), share(f.found), str(f.false)) for f in card.faults]
        lines += ["", *_columns([head, *body])]
    lines += ["", *_listed("missed", [missed(label) for label in card.missed])]
    lines += _listed("false", [false(episode) for episode in card.false])
    return "\n".join(lines)


HEAD = (
    "kind", "events", "found", "raised", "said after (median, p90)", "raised after", "duplicates",
    "false", "per entity-day", "per entity-year", "suspected", "accompanying",
)  # fmt: skip


def row(score_: Score) -> tuple[str, ...]:
    """A line of the table, as text; ``!`` marks life safety."""
    return (
        f"{score_.name}{' !' if score_.life_safety else ''}",
        str(score_.found.of),
        share(score_.found),
        share(score_.raised),
        delays(score_.first),
        delays(score_.raise_),
        str(score_.duplicates),
        f"{score_.false.count}" + (f" ({score_.false_in_fault} in faults)" if score_.false_in_fault else ""),
        rate(score_.false),
        f"{score_.false.per_year:.3g}",
        str(score_.suspected),
        str(score_.accompanying),
    )


def share(value: Share) -> str:
    """``7/8 = 0.88 [0.53, 0.98]``."""
    if not value.of:
        return "–"
    low, high = value.interval
    return f"{value.hits}/{value.of} = {value.value:.2f} [{low:.2f}, {high:.2f}]"


def rate(value: Rate) -> str:
    low, high = value.interval
    return f"{value.per_day:.3g} [{low:.2g}, {high:.2g}]"


def delays(value: Delays) -> str:
    return f"{_span(value.median_s)}, {_span(value.p90_s)}" if value.count else "–"


def missed(label: Label) -> str:
    return f"{_time(label.onset)} … {_time(label.end)}  {label.entity}  {label.kind}"


def false(episode: Episode) -> str:
    return f"{_time(episode.first)}  {episode.entity}  {episode.kind}  {episode.id}"


def _time(us: int) -> str:
    return to_datetime(us).strftime("%Y-%m-%d %H:%M:%SZ")


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(one, widths, strict=True)).rstrip() for one in rows]


_MOST = 50


def _listed(name: str, texts: list[str]) -> list[str]:
    more = [f"  … and {len(texts) - _MOST} more (--json lists all)"] if len(texts) > _MOST else []
    return [f"{name}: {len(texts)}", *(f"  {text}" for text in texts[:_MOST]), *more]


# ------------------------------------------------------------------ JSON


def to_json(card: Card) -> str:
    """One object; shares and rates with their intervals, times in ISO 8601, null for what does not exist."""
    said = {
        "worlds": {name: {"entities": e.entities, "days": e.days} for name, e in card.extents.items()},
        "all": _score(card.all),
        "life_safety": _score(card.life_safety),
        "kinds": [_score(one) for one in card.kinds],
        "faults": [
            {"name": f.name, "entities": f.entities, "found": _share(f.found), "false": f.false}
            for f in card.faults
        ],
        "missed": [
            {"entity": m.entity, "kind": m.kind, "onset": to_datetime(m.onset), "end": to_datetime(m.end)}
            for m in card.missed
        ],
        "false": [
            {"id": f.id, "entity": f.entity, "kind": f.kind, "first": to_datetime(f.first)}
            for f in card.false
        ],
    }
    return msgspec.json.format(msgspec.json.encode(said), indent=2).decode()


def _score(one: Score) -> dict[str, Any]:
    return {
        "kind": one.name,
        "life_safety": one.life_safety,
        "found": _share(one.found),
        "raised": _share(one.raised),
        "said_after_s": _delays(one.first),
        "raised_after_s": _delays(one.raise_),
        "duplicates": one.duplicates,
        "false": {
            "count": one.false.count,
            "in_faults": one.false_in_fault,
            "per_entity_day": one.false.per_day,
            "per_entity_year": one.false.per_year,
            "per_entity_day_interval": one.false.interval,
        },
        "suspected_only": one.suspected,
        "accompanying": one.accompanying,
        "historical": one.historical,
    }


def _share(value: Share) -> dict[str, Any]:
    # msgspec writes NaN as null
    return {"hits": value.hits, "of": value.of, "share": value.value, "interval": value.interval}


def _delays(value: Delays) -> dict[str, Any]:
    return {"median": value.median_s, "p90": value.p90_s}
