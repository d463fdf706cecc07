"""Records of the findings log into the store: incidents, events, outbox rows and the applied offset
in one transaction, so that each record is folded once, whatever is killed when."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Connection, and_, bindparam, insert, or_, select, update

from alerts.batch import UNDECODABLE, Decoded, Folded, Refusal, Seen, View, decode, fold_records
from alerts.incident import Change, HoldOver, Incident, State, fold, key_of
from alerts.store.outbox import lane_of
from alerts.store.rows import WRITING, incident_row, update_incidents, write_events
from alerts.store.tables import APPLIED, CLOCKS, FINDINGS, GAPS, INCIDENTS, LEDGER, REFUSALS
from zhiwei.clock import to_us
from zhiwei.contracts import LogRecord
from zhiwei.errors import Fenced, LogMismatch, ZhiweiError
from zhiwei.sql import alone, upsert
from zhiwei.types import Drill, Finding, Tick

_INCIDENT = msgspec.json.Decoder(Incident)
_BIND_MOST = 500
"""Values in one IN list: every database takes so many."""

# Made once: to put a statement together costs as much as to have it carried out.
_SOME: BindParameter[Any] = bindparam("some", expanding=True)
_CLOCKS = select(CLOCKS).where(CLOCKS.c.topic == bindparam("of_topic"), CLOCKS.c.partition.in_(_SOME))
_SEEN = (
    select(FINDINGS.c.id, FINDINGS.c.rev, FINDINGS.c.incident_id, INCIDENTS.c.closed_by)
    .join(INCIDENTS, INCIDENTS.c.id == FINDINGS.c.incident_id, isouter=True)
    .where(FINDINGS.c.id.in_(_SOME))
)
_LIVE = select(INCIDENTS.c.live_key, INCIDENTS.c.body).where(INCIDENTS.c.live_key.in_(_SOME))
_REVISED = ("rev", "incident_id", "body")
_REVISE = (
    update(FINDINGS)
    .where(FINDINGS.c.id == bindparam("which"))
    .values({name: bindparam(f"new_{name}") for name in _REVISED})
)
_MOVE = (
    update(APPLIED)
    .where(
        APPLIED.c.topic == bindparam("of_topic"),
        APPLIED.c.partition == bindparam("of_partition"),
        APPLIED.c.next_offset == bindparam("before"),
    )
    .values(next_offset=bindparam("after"))
)


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log says of one topic."""

    id: str
    topic: str
    bounds: tuple[tuple[int, int], ...]
    """Of each partition: (earliest offset kept, next offset to be written)."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one transaction did."""

    next_offset: int
    changes: tuple[Change, ...]
    refusals: tuple[Refusal, ...]
    bins: Counter[str]
    gap: int
    """Records that the log no longer had."""
    drills: tuple[Drill, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one partition that follow each other in its log."""

    next_offset: int
    """The first that was not folded yet; records before the run's first one are gone."""
    records: Sequence[LogRecord]


def start(connection: Connection, log: LogState, now_us: int) -> tuple[int, ...]:
    """The next offset to read, of each partition; what the log no longer has becomes a named gap.

    Raises LogMismatch where the store has read another log, one with another partition count, or
    further than this one goes. Then nothing is changed.
    """
    known = {
        row.partition: row
        for row in connection.execute(select(APPLIED).where(APPLIED.c.topic == log.topic)).all()
    }
    for row in known.values():
        _check(log, row.log_id, row.partitions, row.partition, row.next_offset)
    offsets = []
    for partition, (earliest, _) in enumerate(log.bounds):
        offset = known[partition].next_offset if partition in known else 0
        if partition not in known:
            connection.execute(
                insert(APPLIED).values(
                    topic=log.topic,
                    partition=partition,
                    log_id=log.id,
                    partitions=len(log.bounds),
                    next_offset=offset,
                )
            )
        if earliest > offset:
            _note_gap(connection, log.topic, partition, offset, earliest, now_us)
            _advance(connection, log.topic, {partition: (offset, earliest)})
            offset = earliest
        offsets.append(offset)
    return tuple(offsets)


def _check(log: LogState, log_id: str, partitions: int, partition: int, next_offset: int) -> None:
    remedy = (
        "Nothing was changed. Bring back the log that belongs to this event store, or move events.sqlite "
        "away to start a new one"
    )
    if log_id != log.id:
        raise LogMismatch(
            f"the event store has read log {log_id}, topic {log.topic}; this is log {log.id}. {remedy}"
        )
    if partitions != len(log.bounds):
        raise LogMismatch(
            f"the event store has read topic {log.topic} with {partitions} partitions; the log has "
            f"{len(log.bounds)}. {remedy}"
        )
    end = log.bounds[partition][1]
    if next_offset > end:
        raise LogMismatch(
            f"the event store has read topic {log.topic}, partition {partition}, up to offset {next_offset}; "
            f"the log ends at {end}: it is an older copy. {remedy}"
        )


def apply(
    connection: Connection,
    topic: str,
    runs: Mapping[int, Run],
    *,
    sinks: Sequence[str],
    close_after_us: int,
    late_hold_us: int,
    now_us: int,
) -> dict[int, Applied]:
    """Fold a run of records of each of these partitions, and write all it did. By partition, what that was.

    An entity is in one partition, so runs do not touch each other; together they cost as many statements as
    one. sinks: names of the receivers of each event. late_hold_us: how long an incident that is held may stay
    so. now_us: our clock, for the outbox, holds and gaps only.
    Raises Fenced where another process has gone on from here: then nothing is changed.
    """
    alone(connection, WRITING)
    gaps = {
        partition: _name_gaps(connection, topic, partition, run, now_us) for partition, run in runs.items()
    }
    ends = {
        partition: run.records[-1].offset + 1 if run.records else run.next_offset
        for partition, run in runs.items()
    }
    decoded = {partition: decode(run.records) for partition, run in runs.items()}
    views = _load(connection, topic, {partition: read for partition, (read, _) in decoded.items()})
    known = {incident.id for view in views.values() for incident in view.incidents.values()}
    seen = {finding for view in views.values() for finding in view.seen}
    clocks = {partition: dict(view.clocks) for partition, view in views.items()}
    folded = {
        partition: fold_records(views[partition], read, close_after_us)
        for partition, (read, _) in decoded.items()
    }
    done = {
        partition: Applied(
            ends[partition],
            tuple(one.changes),
            (*decoded[partition][1], *one.refusals),
            one.bins + Counter({UNDECODABLE: len(decoded[partition][1])}),
            gaps[partition],
            tuple(one.drills),
        )
        for partition, one in folded.items()
    }
    _write_incidents(connection, topic, folded, known, now_us + late_hold_us)
    _write_findings(connection, folded, views, seen)
    changes = [change for one in folded.values() for change in one.changes]
    write_events(connection, changes, sinks, lane_of(topic), now_us)
    _write_clocks(connection, topic, views, clocks)
    _write_refusals(connection, topic, done)
    _count(connection, topic, done)
    _advance(
        connection, topic, {partition: (run.next_offset, ends[partition]) for partition, run in runs.items()}
    )
    return done


def _name_gaps(connection: Connection, topic: str, partition: int, run: Run, now_us: int) -> int:
    """Name what the log no longer had between these records; how many records that was."""
    gap, wanted = 0, run.next_offset
    for record in run.records:
        if record.offset < wanted:
            raise ZhiweiError(
                f"the log gave offset {record.offset} of {topic}/{partition} after {wanted - 1}"
            )
        if record.offset > wanted:
            _note_gap(connection, topic, partition, wanted, record.offset, now_us)
            gap += record.offset - wanted
        wanted = record.offset + 1
    return gap


def end_holds(
    connection: Connection, *, sinks: Sequence[str], late_hold_us: int, now_us: int
) -> tuple[Change, ...]:
    """Tell people of the held incidents whose hold is over. now_us: our clock.

    An end that is further away than any hold was set before our clock was set back: in doubt it is over.
    """
    alone(connection, WRITING)
    until = INCIDENTS.c.hold_us
    rows = connection.execute(
        select(INCIDENTS.c.body, INCIDENTS.c.topic)
        .where(INCIDENTS.c.state == State.HELD.value, or_(until <= now_us, until > now_us + late_hold_us))
        .order_by(until, INCIDENTS.c.id)
    ).all()
    changes = []
    for row in rows:
        incident = _INCIDENT.decode(row.body)
        holds = select(FINDINGS.c.body).where(FINDINGS.c.id == incident.open[-1].id)
        finding = msgspec.json.decode(connection.execute(holds).scalar_one(), type=Finding)
        _, (change,) = fold(incident, HoldOver(finding), 0)
        update_incidents(connection, [incident_row(change.incident)])
        write_events(connection, [change], sinks, lane_of(row.topic), now_us)
        changes.append(change)
    return tuple(changes)


def _advance(connection: Connection, topic: str, moves: Mapping[int, tuple[int, int]]) -> None:
    """moves: by partition, the offset before and after. Raises Fenced."""
    rows = [
        {"of_topic": topic, "of_partition": partition, "before": before, "after": after}
        for partition, (before, after) in moves.items()
    ]
    if connection.execute(_MOVE, rows).rowcount != len(rows):
        places = ", ".join(f"{topic}/{partition} from {before}" for partition, (before, _) in moves.items())
        raise Fenced(
            f"another process folds {places}: the applied offset is no longer that. "
            "Only one alerts process may run on an event store"
        )


def _note_gap(
    connection: Connection, topic: str, partition: int, first: int, after: int, now_us: int
) -> None:
    connection.execute(
        insert(GAPS).values(
            topic=topic, partition=partition, first_offset=first, next_offset=after, noticed_us=now_us
        )
    )


# ------------------------------------------------------------------ reading


def _load(connection: Connection, topic: str, records: Mapping[int, Sequence[Decoded]]) -> dict[int, View]:
    """By partition, what its records need to know."""
    views = {partition: View() for partition in records}
    for row in connection.execute(_CLOCKS, {"of_topic": topic, "some": list(views)}):
        views[row.partition].clocks[row.clock] = row.time_us
    ids, keys = {}, {}
    passed = []
    for partition, some in records.items():
        latest: dict[str, int] = {}
        for item in some:
            if isinstance(item.record, Finding):
                ids[item.record.id] = keys[key_of(item.record)] = views[partition]
            elif isinstance(item.record, Tick):
                clock, at_us = item.record.clock, to_us(item.record.time)
                latest[clock] = max(
                    at_us, latest.get(clock, at_us), views[partition].clocks.get(clock, at_us)
                )
        here = INCIDENTS.c.partition == partition
        passed += [
            and_(here, INCIDENTS.c.clock == clock, INCIDENTS.c.close_us <= us) for clock, us in latest.items()
        ]
    for some_ids in _parts(sorted(ids)):
        for row in connection.execute(_SEEN, {"some": some_ids}):
            ids[row.id].seen[row.id] = Seen(row.rev, row.incident_id, settled=row.closed_by is not None)
    for some_keys in _parts(sorted(keys)):
        for row in connection.execute(_LIVE, {"some": some_keys}):
            _add(keys[row.live_key], row.body)
    if passed:
        due = select(INCIDENTS.c.partition, INCIDENTS.c.body).where(INCIDENTS.c.topic == topic, or_(*passed))
        for row in connection.execute(due):
            _add(views[row.partition], row.body)
    return views


def _add(view: View, body: bytes) -> None:
    incident = _INCIDENT.decode(body)
    view.incidents[incident.key] = incident


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[i : i + _BIND_MOST] for i in range(0, len(values), _BIND_MOST)]


# ------------------------------------------------------------------ writing


def _write_incidents(
    connection: Connection, topic: str, folded: Mapping[int, Folded], known: set[str], hold_us: int
) -> None:
    rows: dict[str, dict[str, object]] = {}
    for partition, one in folded.items():
        for incident in {change.incident.id: change.incident for change in one.changes}.values():
            hold = hold_us if incident.state is State.HELD else None
            place = {"topic": topic, "partition": partition, "hold_us": hold}
            rows[incident.id] = incident_row(incident) | place
    changed = [row for id_, row in rows.items() if id_ in known]
    created = [row for id_, row in rows.items() if id_ not in known]
    # Updates first: an incident that ends gives its key to the next one.
    if changed:
        update_incidents(connection, changed)
    if created:
        connection.execute(insert(INCIDENTS), created)


def _write_findings(
    connection: Connection, folded: Mapping[int, Folded], views: Mapping[int, View], before: set[str]
) -> None:
    rows = [
        {
            "id": finding.id,
            "rev": finding.rev,
            "incident_id": views[partition].seen[finding.id].incident,
            "body": msgspec.json.encode(finding, order="deterministic"),
        }
        for partition, one in folded.items()
        for finding in one.findings.values()
    ]
    changed = [row for row in rows if row["id"] in before]
    created = [row for row in rows if row["id"] not in before]
    if changed:
        connection.execute(
            _REVISE,
            [{"which": row["id"]} | {f"new_{name}": row[name] for name in _REVISED} for row in changed],
        )
    if created:
        connection.execute(insert(FINDINGS), created)


def _write_clocks(
    connection: Connection, topic: str, views: Mapping[int, View], before: Mapping[int, Mapping[str, int]]
) -> None:
    rows = [
        {"topic": topic, "partition": partition, "clock": clock, "time_us": time_us}
        for partition, view in views.items()
        for clock, time_us in view.clocks.items()
        if before[partition].get(clock) != time_us
    ]
    if rows:
        made = upsert(connection, CLOCKS)
        keys = CLOCKS.primary_key.columns
        connection.execute(
            made.on_conflict_do_update(index_elements=keys, set_={"time_us": made.excluded.time_us}), rows
        )


def _write_refusals(connection: Connection, topic: str, done: Mapping[int, Applied]) -> None:
    rows = [
        {
            "topic": topic,
            "partition": partition,
            "log_offset": refusal.offset,
            "reason": refusal.reason,
            "detail": refusal.detail,
            "finding_id": refusal.finding,
        }
        for partition, one in done.items()
        for refusal in one.refusals
    ]
    if rows:
        connection.execute(insert(REFUSALS), rows)


def _count(connection: Connection, topic: str, done: Mapping[int, Applied]) -> None:
    rows = [
        {"topic": topic, "partition": partition, "bin": name, "records": count}
        for partition, one in done.items()
        for name, count in one.bins.items()
        if count
    ]
    if rows:
        made = upsert(connection, LEDGER)
        more = {"records": LEDGER.c.records + made.excluded.records}
        connection.execute(
            made.on_conflict_do_update(index_elements=LEDGER.primary_key.columns, set_=more), rows
        )
