"""``zhiwei replay``: a recording through the same frames and the same engine, without servers.

``arrived`` is ``ts`` and ticks follow from it, so the findings are those of the live path.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from streams.engine.engine import Engine, attributes_of
from zhiwei import frames, registry
from zhiwei.clock import to_datetime
from zhiwei.contracts import LogRecord, Policy, Scenario
from zhiwei.errors import ConfigError, ZhiweiError
from zhiwei.ids import digest
from zhiwei.recording import Map, Row, rows
from zhiwei.schema import Schema
from zhiwei.types import Control, Finding

FRAME_ROWS = 1000


@dataclass(slots=True)
class Summary:
    """What a replay came to, for the person who started it."""

    rows: int = 0
    refused_rows: int = 0
    refused: list[str] = field(default_factory=list)
    """The first reasons; ``refused_total`` counts all."""
    refused_total: int = 0
    duplicate: int = 0
    late: int = 0
    set_aside: list[str] = field(default_factory=list)
    findings: dict[str, int] = field(default_factory=dict)
    """Findings (not revisions) by kind."""
    alarm_rows: int = 0


def load_policy(scenario: Scenario, file: Path | None) -> Policy:
    """A scenario's policy from a file, or the one it ships. Raises ConfigError."""
    if file is None:
        return scenario.policy(None)
    try:
        return scenario.policy(file.read_text(encoding="utf-8"), file=str(file))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            file=str(file), key="(file)", value=str(file), expected="a file that exists"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(file=str(file), key="(file)", value=str(error), expected="text in UTF-8") from None


def replay(
    file: Path,
    *,
    scenario: str,
    table: Map | None = None,
    policy: Path | None = None,
    alarm_on: str | None = None,
    site: str = "local",
    out: Path,
    scores: Path | None = None,
) -> Summary:
    """Step a recording and write ``out`` (findings, one revision a line) and ``scores`` (one line a row).

    alarm_on: ``KIND`` or ``KIND:CHANNEL``; default the scenario's main event. Raises ZhiweiError.
    """
    part = registry.scenario(scenario)
    engine = Engine(
        part, site=site, topic=f"readings.{scenario}", partition=0, policy=load_policy(part, policy)
    )
    summary = Summary()
    offset = 0
    known = _Registry(table)
    try:
        with out.open("w", encoding="utf-8") as findings, _ScoreFile(scores) as lines:
            for chunk in _chunks(rows(file, part.schema, table)):
                good = [row for row in chunk if row.ts is not None]
                values = known.before(good) + ([frame(part.schema, good)] if good else [])
                records = [LogRecord(offset + number, value) for number, value in enumerate(values)]
                outcome = engine.apply(records, trace=alarm_on or part.main_kind)
                offset += len(records)
                for finding in outcome.findings:
                    findings.write(msgspec.json.encode(finding).decode() + "\n")
                _count(summary, chunk, outcome.findings)
                summary.set_aside += [f"{a.entity}: {a.error}" for a in outcome.set_aside]
                summary.set_aside += [f"record {u.offset}: {u.detail}" for u in outcome.unreadable]
                summary.alarm_rows += sum(traced.alarm for traced in outcome.traced)
                traced = {t.place: (t.score, t.alarm) for t in outcome.traced}
                lines.write(chunk, traced)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ZhiweiError(f"{error.filename}: cannot be written: {error.strerror}") from None
    summary.duplicate, summary.late = engine.bins.duplicate, engine.bins.late
    return summary


def _chunks(source: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(source, FRAME_ROWS)):
        yield chunk


class _Registry:
    """What the map says of the entities seen so far, as control records ahead of their first rows."""

    def __init__(self, table: Map | None) -> None:
        self._table = table
        self._seen: dict[str, None] = {}

    def before(self, good: list[Row]) -> list[bytes]:
        """A control record where these rows bring entities that the map knows something of."""
        known = len(self._seen)
        self._seen.update(dict.fromkeys(row.entity for row in good))
        if self._table is None or len(self._seen) == known:
            return []
        said = self._table.attributes(tuple(self._seen))
        body = attributes_of(said)
        control = Control(kind="registry", version=digest(body), body=body)
        return [msgspec.json.encode(control)] if said else []


def frame(schema: Schema, good: list[Row]) -> bytes:
    """Rows of a recording as a frame whose ``arrived`` is ``ts``; every row has a ``ts``."""
    names = dict.fromkeys(name for row in good for name in row.values)
    channels = {}
    for name in names:
        channel = schema.channel(name)
        if channel is not None:
            channels[name] = frames.arrow_column(channel, [row.values.get(name) for row in good])
    times = [row.ts or 0 for row in good]
    return frames.encode(
        schema,
        entity=[row.entity for row in good],
        device=[row.device for row in good],
        ts=times,
        arrived=times,
        flags=[row.flags for row in good],
        channels=channels,
        clock="recording",
    )


def _count(summary: Summary, chunk: list[Row], found: list[Finding]) -> None:
    summary.rows += len(chunk)
    summary.refused_rows += sum(row.ts is None for row in chunk)
    reasons = [reason for row in chunk for reason in row.refused]
    summary.refused_total += len(reasons)
    summary.refused += reasons[: 5 - len(summary.refused)]
    for finding in found:
        if finding.rev == 0:
            summary.findings[finding.kind] = summary.findings.get(finding.kind, 0) + 1


class _ScoreFile:
    """scores.csv: a line for each row of the input, in its order; nothing where it was not asked for."""

    def __init__(self, file: Path | None) -> None:
        self._file = file.open("w", newline="", encoding="utf-8") if file else None
        if self._file:
            self._lines = csv.writer(self._file, lineterminator="\n")
            self._lines.writerow(("timestamp", "entity", "score", "alarm"))

    def write(self, chunk: list[Row], traced: dict[int, tuple[float, bool]]) -> None:
        if not self._file:
            return
        place = 0
        for row in chunk:
            score, alarm = math.nan, False
            if row.ts is not None:
                score, alarm = traced.get(place, (math.nan, False))
                place += 1
            stamp = row.timestamp if row.ts is None else iso(row.ts)
            self._lines.writerow((stamp, row.entity, "" if math.isnan(score) else f"{score:.6g}", int(alarm)))

    def __enter__(self) -> "_ScoreFile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def iso(us: int) -> str:
    """µs as ISO 8601 UTC, without a fraction where there is none."""
    return to_datetime(us).isoformat().replace("+00:00", "Z")
