"""Records of the findings log into the store: incidents, events, outbox rows and the applied offset
in one transaction, so that each record is folded once, whatever is killed when."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from alerts import event
from alerts.batch import UNDECODABLE, Decoded, Folded, Refusal, Seen, View, decode, fold_records
from alerts.incident import Change, HoldOver, Incident, State, fold, key_of
from alerts.store.outbox import Lane, lane_of, rows_of
from alerts.store.tables import APPLIED, CLOCKS, EVENTS, FINDINGS, GAPS, INCIDENTS, LEDGER, OUTBOX, REFUSALS
from zhiwei.clock import to_us
from zhiwei.contracts import LogRecord
from zhiwei.errors import Fenced, LogMismatch, ZhiweiError
from zhiwei.sql import alone
from zhiwei.types import Drill, Finding, Tick

WRITING = "incidents"
"""Whoever changes incidents is ``alone`` under this name: a person's command may come from another process,
and neither may write over what the other has just decided."""

_INCIDENT = msgspec.json.Decoder(Incident)
_BIND_MOST = 500
"""Values in one IN list: every database takes so many."""


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
            _advance(connection, log.topic, partition, offset, earliest)
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
    partition: int,
    next_offset: int,
    records: Sequence[LogRecord],
    *,
    sinks: Sequence[str],
    close_after_us: int,
    late_hold_us: int,
    now_us: int,
) -> Applied:
    """Fold a run of records of one partition, which begins at ``next_offset``, and write all it did.

    sinks: names of the receivers of each event. late_hold_us: how long an incident that is held may stay so.
    now_us: our clock, for the outbox, holds and gaps only.
    Raises Fenced where another process has gone on from here: then nothing is changed.
    """
    alone(connection, WRITING)
    gap = 0
    wanted = next_offset
    for record in records:
        if record.offset < wanted:
            raise ZhiweiError(
                f"the log gave offset {record.offset} of {topic}/{partition} after {wanted - 1}"
            )
        if record.offset > wanted:
            _note_gap(connection, topic, partition, wanted, record.offset, now_us)
            gap += record.offset - wanted
        wanted = record.offset + 1
    decoded, undecodable = decode(records)
    view = _load(connection, topic, partition, decoded)
    known = {incident.id for incident in view.incidents.values()}
    clocks, seen = dict(view.clocks), set(view.seen)
    folded = fold_records(view, decoded, close_after_us)
    refusals = (*undecodable, *folded.refusals)
    bins = folded.bins + Counter({UNDECODABLE: len(undecodable)})
    _write_incidents(connection, topic, partition, folded, known, now_us + late_hold_us)
    _write_findings(connection, folded, view, seen)
    write_events(connection, folded.changes, sinks, lane_of(topic), now_us)
    _write_clocks(connection, topic, partition, view.clocks, clocks)
    _write_refusals(connection, topic, partition, refusals)
    _count(connection, topic, partition, bins)
    _advance(connection, topic, partition, next_offset, wanted)
    return Applied(wanted, tuple(folded.changes), refusals, bins, gap, tuple(folded.drills))


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


def _advance(connection: Connection, topic: str, partition: int, before: int, after: int) -> None:
    moved = connection.execute(
        update(APPLIED)
        .where(APPLIED.c.topic == topic, APPLIED.c.partition == partition, APPLIED.c.next_offset == before)
        .values(next_offset=after)
    ).rowcount
    if moved != 1:
        raise Fenced(
            f"another process folds {topic}/{partition}: the applied offset is no longer {before}. "
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


def _load(connection: Connection, topic: str, partition: int, records: Sequence[Decoded]) -> View:
    findings = [item.record for item in records if isinstance(item.record, Finding)]
    ticks = [item.record for item in records if isinstance(item.record, Tick)]
    view = View()
    for row in connection.execute(
        select(CLOCKS).where(CLOCKS.c.topic == topic, CLOCKS.c.partition == partition)
    ):
        view.clocks[row.clock] = row.time_us
    ids = sorted({finding.id for finding in findings})
    for some in _parts(ids):
        for row in connection.execute(
            select(FINDINGS.c.id, FINDINGS.c.rev, FINDINGS.c.incident_id, INCIDENTS.c.closed_by)
            .join(INCIDENTS, INCIDENTS.c.id == FINDINGS.c.incident_id, isouter=True)
            .where(FINDINGS.c.id.in_(some))
        ):
            view.seen[row.id] = Seen(row.rev, row.incident_id, settled=row.closed_by is not None)
    keys = sorted({key_of(finding) for finding in findings})
    for some in _parts(keys):
        _add(view, connection, INCIDENTS.c.live_key.in_(some))
    latest: dict[str, int] = {}
    for tick in ticks:
        at_us = max(to_us(tick.time), view.clocks.get(tick.clock, to_us(tick.time)))
        latest[tick.clock] = max(at_us, latest.get(tick.clock, at_us))
    if latest:
        passed = [
            and_(INCIDENTS.c.clock == clock, INCIDENTS.c.close_us <= us) for clock, us in latest.items()
        ]
        mine = and_(INCIDENTS.c.topic == topic, INCIDENTS.c.partition == partition)
        _add(view, connection, and_(mine, or_(*passed)))
    return view


def _add(view: View, connection: Connection, condition: object) -> None:
    for (body,) in connection.execute(select(INCIDENTS.c.body).where(condition)):  # type: ignore[arg-type]
        incident = _INCIDENT.decode(body)
        view.incidents[incident.key] = incident


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[i : i + _BIND_MOST] for i in range(0, len(values), _BIND_MOST)]


# ------------------------------------------------------------------ writing


def _write_incidents(
    connection: Connection, topic: str, partition: int, folded: Folded, known: set[str], hold_us: int
) -> None:
    latest = {change.incident.id: change.incident for change in folded.changes}
    fresh = [
        incident_row(one)
        | {
            "topic": topic,
            "partition": partition,
            "hold_us": hold_us if one.state is State.HELD else None,
        }
        for one in latest.values()
    ]
    changed = [row for row in fresh if row["id"] in known]
    created = [row for row in fresh if row["id"] not in known]
    # Updates first: an incident that ends gives its key to the next one.
    if changed:
        update_incidents(connection, changed)
    if created:
        connection.execute(insert(INCIDENTS), created)


def update_incidents(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Write what may change of incidents that are there. rows: as ``incident_row`` makes them."""
    names = ("live_key", "clock", "close_us", "state", "severity", "body", "handling", "closed_by")
    connection.execute(
        update(INCIDENTS)
        .where(INCIDENTS.c.id == bindparam("which"))
        .values({name: bindparam(f"new_{name}") for name in names}),
        [{"which": row["id"]} | {f"new_{name}": row[name] for name in names} for row in rows],
    )


def incident_row(incident: Incident) -> dict[str, object]:
    """The row of an incident, but for its place on the log and the end of its hold."""
    return {
        "id": incident.id,
        "live_key": None if incident.state is State.CLOSED else incident.key,
        "clock": incident.clock,
        "close_us": to_us(incident.close_at) if incident.close_at else None,
        "state": incident.state.value,
        "scenario": incident.scenario,
        "severity": incident.severity.value,
        "historical": incident.historical,
        "opened_us": to_us(incident.opened_at),
        "body": msgspec.json.encode(incident),
        "handling": incident.handling.value,
        "closed_by": incident.closed_by,
    }


def _write_findings(connection: Connection, folded: Folded, view: View, before: set[str]) -> None:
    rows = [
        {
            "id": finding.id,
            "rev": finding.rev,
            "incident_id": view.seen[finding.id].incident,
            "body": msgspec.json.encode(finding, order="deterministic"),
        }
        for finding in folded.findings.values()
    ]
    changed = [row for row in rows if row["id"] in before]
    created = [row for row in rows if row["id"] not in before]
    if changed:
        names = ("rev", "incident_id", "body")
        connection.execute(
            update(FINDINGS)
            .where(FINDINGS.c.id == bindparam("which"))
            .values({name: bindparam(f"new_{name}") for name in names}),
            [{"which": row["id"]} | {f"new_{name}": row[name] for name in names} for row in changed],
        )
    if created:
        connection.execute(insert(FINDINGS), created)


def write_events(
    connection: Connection, changes: Sequence[Change], sinks: Sequence[str], lane: Lane, now_us: int
) -> None:
    """Write the event of each change, and its outbox row for each receiver. The transaction is ``alone``."""
    events = [event.event_of(change) for change in changes]
    if not events:
        return
    before = connection.execute(select(func.coalesce(func.max(EVENTS.c.number), 0))).scalar_one()
    connection.execute(
        insert(EVENTS),
        [
            {
                "id": made.id,
                "incident_id": change.incident.id,
                "sequence": change.incident.sequence,
                "kind": change.kind.value,
                "finding_id": change.finding.id if change.finding else None,
                "at_us": to_us(change.at),
                "body": event.encode(made),
                "number": number,
            }
            for number, (made, change) in enumerate(zip(events, changes, strict=True), before + 1)
        ],
    )
    rows = [
        row
        for made, change in zip(events, changes, strict=True)
        for row in rows_of(made.id, change, sinks, lane, now_us)
    ]
    if rows:
        connection.execute(insert(OUTBOX), rows)


def _write_clocks(
    connection: Connection, topic: str, partition: int, now: dict[str, int], before: dict[str, int]
) -> None:
    for clock, time_us in now.items():
        if clock not in before:
            connection.execute(
                insert(CLOCKS).values(topic=topic, partition=partition, clock=clock, time_us=time_us)
            )
        elif before[clock] != time_us:
            connection.execute(
                update(CLOCKS)
                .where(CLOCKS.c.topic == topic, CLOCKS.c.partition == partition, CLOCKS.c.clock == clock)
                .values(time_us=time_us)
            )


def _write_refusals(connection: Connection, topic: str, partition: int, refusals: Sequence[Refusal]) -> None:
    if refusals:
        connection.execute(
            insert(REFUSALS),
            [
                {
                    "topic": topic,
                    "partition": partition,
                    "log_offset": refusal.offset,
                    "reason": refusal.reason,
                    "detail": refusal.detail,
                    "finding_id": refusal.finding,
                }
                for refusal in refusals
            ],
        )


def _count(connection: Connection, topic: str, partition: int, bins: Counter[str]) -> None:
    mine = and_(LEDGER.c.topic == topic, LEDGER.c.partition == partition)
    for name, count in bins.items():
        if not count:
            continue
        more = update(LEDGER).where(mine, LEDGER.c.bin == name).values(records=LEDGER.c.records + count)
        if not connection.execute(more).rowcount:
            connection.execute(
                insert(LEDGER).values(topic=topic, partition=partition, bin=name, records=count)
            )
