"""What the event store knows of a findings topic, under another number of partitions.

Incidents that are not closed are found again by key, place and clock, all of which tell of a partition: they
move with their entity. The books of the generation before are kept under its name.
"""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from alerts.incident import Incident, State
from alerts.store.folding import LogState
from alerts.store.rows import incident_row, update_incidents
from alerts.store.tables import APPLIED, CLOCKS, GAPS, INCIDENTS, LEDGER, REFUSALS
from zhiwei.ids import partition_of
from zhiwei.lanes import moved_clock

_INCIDENT = msgspec.json.Decoder(Incident)


def applied(connection: Connection, topic: str) -> dict[int, tuple[str, int]]:
    """Partition → the log that was read, and the next offset."""
    rows = connection.execute(select(APPLIED).where(APPLIED.c.topic == topic)).all()
    return {row.partition: (row.log_id, row.next_offset) for row in rows}


def begin_anew(connection: Connection, log: LogState, *, retired: str) -> None:
    """Go on with a topic that was begun anew, from its first record; all of the one before was folded.

    log: the topic as it is now. retired: the name of the generation before.
    """
    partitions = len(log.bounds)
    for table in (APPLIED, GAPS, REFUSALS, LEDGER):
        connection.execute(update(table).where(table.c.topic == log.topic).values(topic=retired))
    connection.execute(
        insert(APPLIED),
        [
            {
                "topic": log.topic,
                "partition": number,
                "log_id": log.id,
                "partitions": partitions,
                "next_offset": 0,
            }
            for number in range(partitions)
        ],
    )
    _move_incidents(connection, log.topic, partitions)
    _move_clocks(connection, log.topic, partitions)


def _move_incidents(connection: Connection, topic: str, partitions: int) -> None:
    here = (INCIDENTS.c.topic == topic) & (INCIDENTS.c.state != State.CLOSED.value)
    for row in connection.execute(select(INCIDENTS.c.id, INCIDENTS.c.body).where(here)).all():
        incident = _INCIDENT.decode(row.body)
        number = partition_of(incident.entity, partitions)
        moved = msgspec.structs.replace(incident, clock=moved_clock(incident.clock, number))
        update_incidents(connection, [incident_row(moved)])
        connection.execute(update(INCIDENTS).where(INCIDENTS.c.id == row.id).values(partition=number))


def _move_clocks(connection: Connection, topic: str, partitions: int) -> None:
    """Each clock of each partition of readings, at the furthest that any of its name had come."""
    latest: dict[str, int] = {}
    for row in connection.execute(select(CLOCKS).where(CLOCKS.c.topic == topic)).all():
        for clock in _everywhere(row.clock, partitions):
            latest[clock] = max(row.time_us, latest.get(clock, row.time_us))
    connection.execute(delete(CLOCKS).where(CLOCKS.c.topic == topic))
    rows = [
        {"topic": topic, "partition": number, "clock": clock, "time_us": time_us}
        for number in range(partitions)
        for clock, time_us in latest.items()
    ]
    if rows:
        connection.execute(insert(CLOCKS), rows)


def _everywhere(clock: str, partitions: int) -> Iterable[str]:
    return {moved_clock(clock, number) for number in range(partitions)}
