"""A console of its own process: what is stored reaches it, and commands and findings do not collide."""

import asyncio
import threading

import pytest
from sqlalchemy import select

from alerts.feed import Feed
from alerts.follow import Follower
from alerts.incident import Action, Command
from alerts.store import folding
from alerts.store.commands import submit
from alerts.store.folding import LogState, Run
from alerts.store.tables import EVENTS, INCIDENTS

TOPIC = "findings"
MANY = 20


class Bed:
    """A log that is folded in the place of alerts, and commands that come from elsewhere."""

    def __init__(self, store, log, at):
        self.store, self.log, self.at, self.offset = store, log, at, 0
        store.transact_here(lambda c: folding.start(c, LogState(log.id, TOPIC, ((0, 0),)), 5))

    def fold(self, *records):
        self.log.append(*records)
        applied = self.store.transact_here(
            lambda c: folding.apply(
                c, TOPIC, {0: Run(self.offset, self.log.read(TOPIC, 0, self.offset))},
                sinks=("hook",), close_after_us=100_000_000, late_hold_us=0, now_us=5,
            )[0]
        )  # fmt: skip
        self.offset = applied.next_offset

    def acknowledge(self, incident):
        command = Command(action=Action.ACKNOWLEDGE, who="Wang", why="", at=self.at(900))
        return self.store.transact_here(
            lambda c: submit(c, f"key of {incident}", incident, command, sinks=("hook",), now_us=7)
        )

    def incidents(self):
        query = select(INCIDENTS.c.id).order_by(INCIDENTS.c.opened_us, INCIDENTS.c.id)
        return self.store.transact_here(lambda c: c.execute(query).scalars().all())


@pytest.fixture
def bed(store, new_log, at):
    return Bed(store, new_log(), at)


def test_what_is_stored_is_followed_in_order_and_once(bed, finding, clock):
    heard, feed = [], Feed()
    feed.subscribe(heard.extend)
    bed.fold(finding("before", entity="station-0"))

    async def run():
        follower = Follower(bed.store, feed, clock)
        await follower.begin()
        await follower.step()
        assert heard == []
        bed.fold(finding("f1", entity="station-1"), finding("f2", entity="station-2"))
        await follower.step()
        (first, *_) = [change.incident.id for change in heard]
        bed.acknowledge(first)
        await follower.step()
        await follower.step()
        return first

    first = asyncio.run(run())
    assert [(change.kind.value, change.incident.entity) for change in heard] == [
        ("opened", "station-1"),
        ("opened", "station-2"),
        ("acknowledged", "station-1"),
    ]
    assert heard[2].incident.id == first
    assert heard[0].finding.id == "f1"


def test_a_command_and_a_finding_at_one_moment_both_stand(bed, finding):
    bed.fold(*[finding(f"f{n}", entity=f"station-{n}") for n in range(MANY)])
    incidents, failed = bed.incidents(), []

    def act():
        for incident in incidents:
            try:
                assert bed.acknowledge(incident).event_id is not None
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told below
                failed.append(error)

    acting = threading.Thread(target=act)
    acting.start()
    for n in range(MANY):
        bed.fold(finding(f"f{n}", rev=2, phase="updated", at=60, entity=f"station-{n}", severity="critical"))
    acting.join()
    assert failed == []
    rows = bed.store.transact_here(
        lambda c: c.execute(
            select(EVENTS.c.incident_id, EVENTS.c.sequence, EVENTS.c.kind).order_by(EVENTS.c.sequence)
        ).all()
    )
    for incident in incidents:
        told = [(row.sequence, row.kind) for row in rows if row.incident_id == incident]
        assert [sequence for sequence, _ in told] == [1, 2, 3]
        assert sorted(kind for _, kind in told) == ["acknowledged", "opened", "updated"]
    kept = bed.store.transact_here(
        lambda c: c.execute(select(INCIDENTS.c.handling, INCIDENTS.c.severity)).all()
    )
    assert {tuple(row) for row in kept} == {("acknowledged", "critical")}
