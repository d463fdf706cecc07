"""``zhiwei explain ID``: from an event, incident, finding or dispatch back to the raw readings behind it."""

from collections.abc import Iterator
from dataclasses import dataclass

from alerts.console.texts import Language, known
from alerts.lookup import AmbiguousId, Explanation, Lookup, UnknownId
from zhiwei import frames, registry
from zhiwei.beds import open_log
from zhiwei.clock import MICROS, to_us
from zhiwei.contracts import LogReader, LogRecord
from zhiwei.errors import ZhiweiError
from zhiwei.generations import marked
from zhiwei.settings import Settings
from zhiwei.types import Finding
from zhiwei.wiring.wording import Speaker

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


def explain(settings: Settings, prefix: str, language: Language) -> Iterator[str]:
    """Lines for a person. Raises ZhiweiError: nothing, or several things, have an id that begins so."""
    words = Speaker(language, settings)
    with Lookup.of(settings) as lookup:
        try:
            said = lookup.explain(prefix)
        except UnknownId:
            raise ZhiweiError(words.say("explain.no_such_id", id=prefix)) from None
        except AmbiguousId:
            raise ZhiweiError(words.say("explain.several", id=prefix)) from None
    yield from _story(words, said)
    log = open_log(settings, "readings")
    try:
        for finding in said.findings:
            yield from _finding(words, finding)
            yield from _readings(words, log, finding)
    finally:
        log.close()
    yield words.say("explain.clock", zone=settings.zone)


def _story(words: Speaker, said: Explanation) -> Iterator[str]:
    yield f"{words.say(f'what.{said.what}')} {said.id}"
    if said.incident is not None:
        one = said.incident
        yield "  " + words.say(
            "explain.incident",
            id=one.id,
            entity=words.entity(one.scenario, one.entity),
            what=words.kind(one.kind),
            kind=one.kind,
            severity=words.say(f"severity.{one.severity}"),
            state=words.say(f"state.{one.state}"),
        )
    for event in said.events:
        what = words.say(f"change.{event.kind}")
        yield "  " + words.say("explain.event", id=event.id, what=what, at=words.at(event.at_us))
    for dispatch in said.dispatches:
        state = words.say(f"delivery.{dispatch.state}")
        text = words.say(
            "explain.dispatch", id=dispatch.id, sink=dispatch.sink, state=state, n=dispatch.attempts
        )
        why = known(words.language, f"dispatch.{dispatch.reason}") or dispatch.reason
        if why and why != state:
            text += words.say("explain.why", why=why)
        yield (
            "  "
            + text
            + (words.say("explain.error", error=dispatch.last_error) if dispatch.last_error else "")
        )
    for refusal in said.refusals:
        yield "  " + words.say("explain.refused", why=refusal)


def _finding(words: Speaker, finding: Finding) -> Iterator[str]:
    phase = words.say(f"phase.{finding.phase}")
    yield "  " + words.say(
        "explain.finding", id=finding.id, rev=finding.rev, phase=phase, at=words.moment(finding.at)
    )
    what, entity = words.named(finding.kind), words.entity(finding.scenario, finding.entity)
    yield "    " + words.say("sentence.claim", entity=entity, what=what)
    versions = words.joined(
        words.say(f"explain.{name}", v=version) if name in ("policy", "schema") else f"{name} {version}"
        for name, version in sorted(finding.versions.items())
    )
    yield "    " + words.say(
        "explain.rule", rule=finding.rule, score=f"{finding.score:.2f}", versions=versions
    )
    since = words.say("explain.since", at=words.moment(finding.onset))
    note = finding.evidence.note
    told = [words.note(one) for one in note.split(",")] if note else []
    yield "    " + words.joined((since, *told))
    for one in finding.evidence.observations:
        yield "    " + words.observation(finding.scenario, one)


def _readings(words: Speaker, log: LogReader, finding: Finding) -> Iterator[str]:
    place = finding.coordinates
    earliest = log.earliest(marked(log, place.topic), place.partition)
    yield "    " + words.say(
        "explain.readings", topic=place.topic, partition=place.partition, offset=place.offset
    )
    if earliest > place.offset:
        yield "      " + words.say("explain.gone", offset=earliest)
        return
    found = readings(log, finding)
    if len(found) > _MOST_READINGS:
        yield "      " + words.say("explain.left_out", n=len(found) - _MOST_READINGS)
    for one in found[-_MOST_READINGS:]:
        yield "      " + words.say(
            "explain.reading",
            at=words.at(one.ts_us),
            offset=one.offset,
            device=one.device,
            values=words.values(finding.scenario, one.values),
        )


def readings(log: LogReader, finding: Finding) -> list[RawReading]:
    """The entity's rows from the beginning of the evidence to the row that completed the finding."""
    schema = registry.scenario(finding.scenario).schema
    place = finding.coordinates
    since = to_us(min(finding.evidence.start or finding.onset, finding.onset))
    until = to_us(finding.at)
    found: list[RawReading] = []
    for record in _backwards(log, marked(log, place.topic), place.partition, place.offset):
        try:
            columns = frames.decode(schema, record.value)
        except frames.BadFrame:
            continue
        here = [row for row in range(len(columns)) if columns.entities[columns.entity[row]] == finding.entity]
        found[:0] = [
            RawReading(
                record.offset,
                columns.devices[columns.device[row]],
                int(columns.ts[row]),
                row_values(columns, row),
            )
            for row in here
            if since <= columns.ts[row] <= until
        ]
        # Rows of one device come in order of time, but for late ones: an hour behind is far enough.
        newest = columns.ts[[row for row in here if columns.own[row]]]
        if len(newest) and newest.max() < since - 3600 * MICROS:
            break
    return found


def _backwards(log: LogReader, topic: str, partition: int, last: int) -> Iterator[LogRecord]:
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


def row_values(columns: frames.Columns, row: int) -> dict[str, float | bool | str]:
    return {
        name: values[row].item() if hasattr(values[row], "item") else values[row]
        for name, (values, valid) in columns.channels.items()
        if valid[row]
    }
