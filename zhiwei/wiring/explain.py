"""``zhiwei explain ID``: from an event, incident, finding or dispatch back to the raw readings behind it."""

from collections.abc import Iterator
from dataclasses import dataclass

from alerts.lookup import Explanation, Lookup
from zhiwei import frames, registry
from zhiwei.clock import MICROS, to_datetime, to_us
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import LogRecord
from zhiwei.settings import Settings
from zhiwei.types import Finding, Observation

_LOOK_BACK = 5_000
"""Records read before the one that completed a finding, at most."""
_STEP = 200
_MOST_READINGS = 60


@dataclass(frozen=True, slots=True)
class RawReading:
    """One row of the log."""

    offset: int
    device: str
    ts_us: int
    values: dict[str, float | bool | str]


def explain(settings: Settings, prefix: str) -> Iterator[str]:
    """Lines for a person. Raises ZhiweiError: nothing, or several things, have an id that begins so."""
    with Lookup(settings.data) as lookup:
        said = lookup.explain(prefix)
    yield from _story(said)
    log = CommitLog(settings.data / "log", "readings")
    try:
        for finding in said.findings:
            yield from _finding(finding)
            yield from _readings(log, finding)
    finally:
        log.close()


def _story(said: Explanation) -> Iterator[str]:
    yield f"{said.what} {said.id}"
    if said.incident is not None:
        one = said.incident
        yield f"  incident {one.id}: {one.kind} at {one.entity}, {one.severity}, {one.state}"
    for event in said.events:
        yield f"  event {event.id}: {event.kind} at {_time(event.at_us)}"
    for dispatch in said.dispatches:
        why = f" ({dispatch.reason})" if dispatch.reason else ""
        error = f", last error: {dispatch.last_error}" if dispatch.last_error else ""
        tries = f"{dispatch.attempts} attempt" + ("" if dispatch.attempts == 1 else "s")
        yield f"  dispatch {dispatch.id} to {dispatch.sink}: {dispatch.state}{why}, {tries}{error}"
    for refusal in said.refusals:
        yield f"  refused: {refusal}"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"  finding {finding.id} revision {finding.rev}: {finding.phase} at {_time(to_us(finding.at))}"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(finding.versions.items()))
    yield f"    rule {finding.rule}, score {finding.score:.2f}, {versions}"
    yield f"    since {_time(to_us(finding.onset))}" + (
        f"; {finding.evidence.note}" if finding.evidence.note else ""
    )
    for one in finding.evidence.observations:
        yield "    " + _observation(one)


def _observation(one: Observation) -> str:
    text = f"{one.name} {one.observed}"
    if one.unit:
        text += f" {one.unit}"
    if one.expected is not None:
        text += f", expected {one.expected}"
    if one.limit:
        text += f", limit {one.limit}"
    return text + (f" [{one.source}]" if one.source else "")


def _readings(log: CommitLog, finding: Finding) -> Iterator[str]:
    place = finding.coordinates
    earliest = log.earliest(place.topic, place.partition)
    yield f"    readings from {place.topic}/{place.partition}, up to offset {place.offset}:"
    if earliest > place.offset:
        yield f"      no longer kept: the log begins at offset {earliest}"
        return
    found = readings(log, finding)
    if len(found) > _MOST_READINGS:
        yield f"      ({len(found) - _MOST_READINGS} earlier readings left out)"
    for one in found[-_MOST_READINGS:]:
        values = " ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
                          for name, value in one.values.items())  # fmt: skip
        yield f"      {_time(one.ts_us)} offset {one.offset} {one.device}: {values or '(no values)'}"


def readings(log: CommitLog, finding: Finding) -> list[RawReading]:
    """The entity's rows from the beginning of the evidence to the row that completed the finding."""
    schema = registry.scenario(finding.scenario).schema
    place = finding.coordinates
    since = to_us(min(finding.evidence.start or finding.onset, finding.onset))
    until = to_us(finding.at)
    found: list[RawReading] = []
    for record in _backwards(log, place.topic, place.partition, place.offset):
        try:
            columns = frames.decode(schema, record.value)
        except frames.BadFrame:
            continue
        here = [
            RawReading(
                record.offset,
                columns.devices[columns.device[row]],
                int(columns.ts[row]),
                _values(columns, row),
            )
            for row in range(len(columns))
            if columns.entities[columns.entity[row]] == finding.entity
        ]
        found[:0] = [one for one in here if since <= one.ts_us <= until]
        # Rows of one device come in order of time, but for late ones: an hour behind is far enough.
        if here and max(one.ts_us for one in here) < since - 3600 * MICROS:
            break
    return found


def _backwards(log: CommitLog, topic: str, partition: int, last: int) -> Iterator[LogRecord]:
    end = last + 1
    floor = max(log.earliest(topic, partition), end - _LOOK_BACK)
    while end > floor:
        start = max(floor, end - _STEP)
        chunk: list[LogRecord] = []
        while start < end:
            part = log.read(topic, partition, start, most=end - start)
            chunk += part
            start = part[-1].offset + 1 if part else end
        yield from reversed(chunk)
        end = max(floor, end - _STEP)


def _values(columns: frames.Columns, row: int) -> dict[str, float | bool | str]:
    return {
        name: values[row].item() if hasattr(values[row], "item") else values[row]
        for name, (values, valid) in columns.channels.items()
        if valid[row]
    }


def _time(us: int) -> str:
    return to_datetime(us).strftime("%Y-%m-%d %H:%M:%SZ")
