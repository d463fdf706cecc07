"""``zhiwei replay``: a recording through the same frames and the same engine, without servers.

``arrived`` is ``ts``, unless a line says otherwise, and ticks follow from it, so the findings are those of
the live path. Rows that came much later than they were take the backlog lane, as there; what may amend what
fresh rows have shown is on the ordinary lane too.
"""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from ingest.lanes import Sorting, Taken
from ingest.quality import implausible
from streams.engine.engine import Engine, Outcome, attributes_of
from zhiwei import frames, registry
from zhiwei.clock import to_datetime
from zhiwei.contracts import Decoded, LogRecord, Policy, Scenario
from zhiwei.errors import ConfigError, ZhiweiError
from zhiwei.ids import digest
from zhiwei.lanes import Lane, log_topic
from zhiwei.recording import Map, Row, Value, rows
from zhiwei.schema import Schema
from zhiwei.settings import Ingest
from zhiwei.types import Control, Finding, Tick

FRAME_ROWS = 1000
STEP_FRAMES = 64
"""Stepped at once: with more rows a round has more lifts in it, and costs hardly more."""
CLOCK = "recording"


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
    chosen = load_policy(part, policy)
    fresh, old = (_Lane(part, lane, site, chosen, table) for lane in (Lane.READINGS, Lane.BACKLOG))
    lanes_of = _sorted(part.schema, chosen)
    summary = Summary()
    try:
        with out.open("w", encoding="utf-8") as findings, _ScoreFile(scores) as lines:
            for chunk in _chunks(rows(file, part.schema, table)):
                for start in range(0, len(chunk), FRAME_ROWS):
                    on: dict[Lane, list[Row]] = {Lane.READINGS: [], Lane.BACKLOG: [], Lane.URGENT: []}
                    for row in chunk[start : start + FRAME_ROWS]:
                        if row.ts is not None:
                            for lane, _, flags in lanes_of(row):
                                on[lane].append(replace(row, flags=row.flags | flags) if flags else row)
                    fresh.take(on[Lane.READINGS])
                    old.take(on[Lane.BACKLOG])
                outcome = fresh.apply(alarm_on or part.main_kind)
                old.pass_time(fresh)
                historical = old.apply(None)
                found = outcome.findings + historical.findings
                for finding in found:
                    findings.write(msgspec.json.encode(finding).decode() + "\n")
                _count(summary, chunk, found)
                for each in (outcome, historical):
                    summary.set_aside += [f"{a.entity}: {a.error}" for a in each.set_aside]
                    summary.set_aside += [f"record {u.offset}: {u.detail}" for u in each.unreadable]
                summary.alarm_rows += sum(traced.alarm for traced in outcome.traced)
                lines.write(chunk, fresh.traced(outcome))
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ZhiweiError(f"{error.filename}: cannot be written: {error.strerror}") from None
    for stepped in (fresh, old):
        summary.duplicate += stepped.engine.bins.duplicate
        summary.late += stepped.engine.bins.late
    return summary


def _chunks(source: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(source, STEP_FRAMES * FRAME_ROWS)):
        yield chunk


def _sorted(schema: Schema, policy: Policy) -> Callable[[Row], tuple[Taken, ...]]:
    """The lanes on which intake would put a row. The urgent one is not replayed."""
    sorting = Sorting(schema, policy.latency_of, Ingest().fresh_s)
    fresh = (Taken(Lane.READINGS),)

    def lanes_of(row: Row) -> tuple[Taken, ...]:
        if row.arrived is None:
            return fresh
        values: list[dict[str, Value | None]] = [{**row.values}]
        return sorting.lanes(Decoded(ts=[row.ts], flags=[row.flags], values=values), row.arrived)

    return lanes_of


class _Lane:
    """The engine of one lane, and the records of the log that it would read."""

    def __init__(self, part: Scenario, lane: Lane, site: str, policy: Policy, table: Map | None) -> None:
        topic = log_topic(lane, part.name)
        self.engine = Engine(part, site=site, topic=topic, partition=0, policy=policy, lane=lane)
        self._schema = part.schema
        self._registry = _Registry(table)
        self._offset = 0
        self._waiting: list[bytes] = []
        self._lines: dict[tuple[int, int], int] = {}
        """Line of the file by offset and place in the frame."""

    def take(self, good: list[Row]) -> None:
        """A frame of these rows, each with a ``ts``; nothing for none."""
        self._waiting += self._registry.before(good)
        if good:
            at = self._offset + len(self._waiting)
            self._lines.update(((at, place), row.line) for place, row in enumerate(good))
            self._waiting.append(frame(self._schema, good))

    def pass_time(self, ahead: "_Lane") -> None:
        """A tick with the time of the other lane, where this one has ever had rows."""
        clocks = ahead.engine.clocks
        if self._offset or self._waiting:
            now = clocks.now[clocks.number(CLOCK)]
            self._waiting.append(msgspec.json.encode(Tick(clock=CLOCK, time=to_datetime(now))))

    def apply(self, trace: str | None) -> Outcome:
        """Step what was taken since the last time."""
        records = [LogRecord(self._offset + number, value) for number, value in enumerate(self._waiting)]
        outcome = self.engine.apply(records, trace=trace)
        self._offset += len(records)
        self._waiting.clear()
        if trace is None:
            self._lines.clear()
        return outcome

    def traced(self, outcome: Outcome) -> dict[int, tuple[float, bool]]:
        """Score and alarm by line of the file; forgets which line is where."""
        said = {self._lines[t.offset, t.place]: (t.score, t.alarm) for t in outcome.traced}
        self._lines.clear()
        return said


class _Registry:
    """What the map says of the entities seen so far, as control records ahead of their first rows."""

    def __init__(self, table: Map | None) -> None:
        self._table = table
        self._seen: dict[str, None] = {}

    def before(self, good: list[Row]) -> list[bytes]:
        """A control record where these rows bring entities that the map knows something of."""
        if self._table is None:
            return []
        known = len(self._seen)
        self._seen.update(dict.fromkeys(row.entity for row in good))
        if len(self._seen) == known:
            return []
        said = self._table.attributes(tuple(self._seen))
        body = attributes_of(said)
        control = Control(kind="registry", version=digest(body), body=body)
        return [msgspec.json.encode(control)] if said else []


def frame(schema: Schema, good: list[Row]) -> bytes:
    """Rows of a recording as a frame; every row has a ``ts``, which is ``arrived`` where it has none.

    A time that cannot be is flagged as intake does.
    """
    names: dict[str, None] = {}
    for row in good:
        if not names.keys() >= row.values.keys():
            names.update(dict.fromkeys(row.values))
    channels = {}
    for name in names:
        channel = schema.channel(name)
        if channel is not None:
            channels[name] = frames.arrow_column(channel, [row.values.get(name) for row in good])
    times = [row.ts or 0 for row in good]
    arrived = [time if row.arrived is None else row.arrived for row, time in zip(good, times, strict=True)]
    flags = np.array([row.flags for row in good], np.uint16)
    if arrived != times:
        flags |= implausible(np.array(times), np.array(arrived))
    return frames.encode(
        schema,
        entity=[row.entity for row in good],
        device=[row.device for row in good],
        ts=times,
        arrived=arrived,
        flags=flags.tolist(),
        channels=channels,
        clock=CLOCK,
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
        for row in chunk:
            score, alarm = traced.get(row.line, (math.nan, False))
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
