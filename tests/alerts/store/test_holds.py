"""Held incidents in the store: told once, at their time, whatever is killed when."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from alerts.incident import Action, Command
from alerts.store import folding
from alerts.store.commands import submit
from alerts.store.folding import LogState, Run
from alerts.store.store import Store
from alerts.store.tables import EVENTS, INCIDENTS, OUTBOX
from zhiwei.lanes import FINDINGS_URGENT
from zhiwei.sql import open_engine

NOW = 1_750_000_000_000_000
SECOND = 1_000_000
HOLD_US = 30 * SECOND


class Crash(Exception):  # noqa: N818
    pass


class Folded:
    """A store with a log of urgent findings that are folded as they come."""

    def __init__(self, store, log):
        self.store, self.log, self.next = store, log, 0

    def put(self, *records, now_us=NOW):
        self.log.append(*records, topic=FINDINGS_URGENT)
        topic, end = FINDINGS_URGENT, self.log.end(FINDINGS_URGENT, 0)

        def call(connection):
            folding.start(connection, LogState(self.log.id, topic, ((0, end),)), now_us)
            return folding.apply(
                connection, topic, {0: Run(self.next, self.log.read(topic, 0, self.next))},
                sinks=("hook",), close_after_us=1, late_hold_us=HOLD_US, now_us=now_us,
            )[0]  # fmt: skip

        self.next = self.store.transact_here(call).next_offset

    def look(self, now_us, *, crash=False):
        """End the holds that are over; what happened to incidents by that."""

        def call(connection):
            done = folding.end_holds(connection, sinks=("hook",), late_hold_us=HOLD_US, now_us=now_us)
            if crash:
                raise Crash
            return [str(change.kind) for change in done]

        return self.store.transact_here(call)

    def events(self):
        """(kind, lane, state, reason) of each dispatch, in order of writing."""
        query = (
            select(EVENTS.c.kind, OUTBOX.c.lane, OUTBOX.c.state, OUTBOX.c.reason)
            .join(OUTBOX, OUTBOX.c.event_id == EVENTS.c.id)
            .order_by(OUTBOX.c.number)
        )
        return [tuple(row) for row in self.store.transact_here(lambda c: c.execute(query).all())]

    def rows(self, *names):
        query = select(*(INCIDENTS.c[name] for name in names)).order_by(INCIDENTS.c.opened_us)
        return [tuple(row) for row in self.store.transact_here(lambda c: c.execute(query).all())]


@pytest.fixture
def bed(store, new_log):
    return Folded(store, new_log())


HELD = ("held", "urgent", "suppressed", "held")
OPENED = ("opened", "urgent", "pending", "")


def test_it_is_told_when_its_hold_is_over_and_not_before_nor_twice(bed, late):
    bed.put(late())
    assert bed.look(NOW + HOLD_US - 1) == []
    assert bed.events() == [HELD]
    assert bed.look(NOW + HOLD_US) == ["opened"]
    assert bed.look(NOW + HOLD_US + 1) == []
    assert bed.events() == [HELD, OPENED]


def test_the_hold_goes_on_over_a_restart_and_ends_once_though_the_process_is_killed_at_it(bed, late):
    bed.put(late())
    with pytest.raises(Crash):
        bed.look(NOW + HOLD_US, crash=True)
    bed.store.close()
    bed.store = Store(open_engine(bed.store._engine.url.render_as_string(hide_password=False)))
    assert bed.events() == [HELD]
    assert bed.look(NOW + HOLD_US - 1) == []
    assert bed.look(NOW + 100 * HOLD_US) == ["opened"]
    assert bed.events() == [HELD, OPENED]
    bed.store.close()


def test_a_second_late_revision_does_not_put_the_end_off(bed, late):
    bed.put(late())
    bed.put(late(rev=2, phase="updated", at=5), now_us=NOW + HOLD_US - 1)
    assert bed.look(NOW + HOLD_US) == ["opened"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_fresh_finding_within_the_hold_makes_one_incident_that_is_told_once(bed, late, trapped, at_once):
    if at_once:
        bed.put(late(onset=-600), trapped())
    else:
        bed.put(late(onset=-600))
        bed.put(trapped(), now_us=NOW + 1)
    assert bed.events() == [HELD, OPENED]
    assert bed.look(NOW + 10 * HOLD_US) == []
    assert bed.rows("state", "clock") == [("open", "elevator/0/live")]


def test_what_ended_within_the_hold_is_on_record_and_told_to_nobody(bed, late):
    bed.put(late())
    bed.put(late(rev=2, phase="cleared", at=9), now_us=NOW + 1)
    assert bed.look(NOW + HOLD_US) == []
    assert bed.events() == [HELD, ("cleared", "urgent", "suppressed", "held")]
    assert bed.rows("state", "live_key") == [("closed", None)]


def test_a_fresh_end_closes_by_the_fresh_clock(bed, late, trapped, tick):
    bed.put(late())
    bed.put(trapped(), trapped(rev=2, phase="cleared", at=60))
    bed.put(tick(9000, clock="backlog/elevator/0/live"))
    assert bed.rows("state") == [("cleared",)]
    bed.put(tick(9000, clock="elevator/0/live"))
    assert bed.rows("state") == [("closed",)]


def test_a_clock_that_was_set_back_keeps_nobody_waiting(bed, late):
    bed.put(late())
    assert bed.look(NOW - 1) == ["opened"]


def test_commands_while_it_is_held_are_recorded_and_told_to_nobody(bed, late, at):
    bed.put(late())
    ((incident,),) = bed.rows("id")
    said = Command(action=Action.ACKNOWLEDGE, who="王", at=at(5))
    bed.store.transact_here(lambda c: submit(c, "key", incident, said, sinks=("hook",), now_us=NOW))
    assert bed.look(NOW + HOLD_US) == ["opened"]
    said = Command(action=Action.CONFIRM, who="王", at=at(50))
    bed.store.transact_here(lambda c: submit(c, "key2", incident, said, sinks=("hook",), now_us=NOW))
    assert bed.events() == [
        HELD,
        ("acknowledged", "urgent", "suppressed", "held"),
        OPENED,
        ("confirmed", "urgent", "pending", ""),
    ]


@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_cut_crash_or_restart_loses_or_repeats_what_is_to_be_told(
    tmp_path_factory, new_log, late, trapped, data
):
    """Lifts whose backlogs left them shut; some are seen fresh. Each is told once, with the same bytes."""
    seen_fresh = data.draw(st.lists(st.booleans(), min_size=1, max_size=4))
    records = [late(f"l{n}", entity=f"lift-{n}") for n in range(len(seen_fresh))]
    records += [trapped(f"f{n}", entity=f"lift-{n}") for n, fresh in enumerate(seen_fresh) if fresh]
    place = tmp_path_factory.mktemp("store")
    bed = Folded(Store.open(place), new_log())
    while records:
        count = data.draw(st.integers(1, len(records)))
        bed.put(*records[:count])
        records = records[count:]
        bed.look(NOW + HOLD_US - 1)
        if data.draw(st.booleans()):
            bed.store.close()
            bed.store = Store.open(place)
    if data.draw(st.booleans()):
        with pytest.raises(Crash):
            bed.look(NOW + HOLD_US, crash=True)
    told = bed.look(NOW + HOLD_US)
    assert told == ["opened"] * seen_fresh.count(False)
    assert sorted(bed.events()) == [HELD] * len(seen_fresh) + [OPENED] * len(seen_fresh)
    bed.store.close()
