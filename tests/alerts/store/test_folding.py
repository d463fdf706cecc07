"""Records into the store: once each, whatever is killed when; and only of the log it belongs to."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from alerts.store import folding
from alerts.store.folding import LogState, Run
from alerts.store.store import Store
from alerts.store.tables import (
    APPLIED,
    CLOCKS,
    EVENTS,
    FINDINGS,
    GAPS,
    INCIDENTS,
    LEDGER,
    METADATA,
    OUTBOX,
    REFUSALS,
)
from zhiwei.errors import Fenced, LogMismatch, ZhiweiError

TOPIC = "findings"
CLOSE_AFTER_US = 100_000_000


class Crash(Exception):  # noqa: N818
    pass


def state_of(log):
    bounds = tuple((log.earliest(TOPIC, n), log.end(TOPIC, n)) for n in range(log.partitions(TOPIC)))
    return LogState(log.id, TOPIC, bounds)


def begin(store, log):
    return store.transact_here(lambda c: folding.start(c, state_of(log), now_us=5))


def fold(store, log, offset, *, partition=0, most=500, sinks=("hook", "file"), crash=False):
    def call(connection):
        applied = folding.apply(
            connection, TOPIC, {partition: Run(offset, log.read(TOPIC, partition, offset, most=most))},
            sinks=sinks, close_after_us=CLOSE_AFTER_US, late_hold_us=0, now_us=5,
        )[partition]  # fmt: skip
        if crash:
            raise Crash
        return applied

    return store.transact_here(call)


def rows(store, table, *columns):
    names = columns or tuple(column.name for column in table.c)
    order = sorted(table.primary_key.columns, key=lambda column: column.name)
    query = select(*(table.c[name] for name in names)).order_by(*order)
    return [tuple(row) for row in store.transact_here(lambda c: c.execute(query).all())]


def everything(store):
    """All tables but the outbox's running numbers."""
    tables = {table.name: rows(store, table) for table in METADATA.sorted_tables if table is not OUTBOX}
    names = [column.name for column in OUTBOX.c if column.name != "number"]
    return {**tables, "outbox": sorted(rows(store, OUTBOX, *names))}


def sample(finding, tick):
    """Two entities, two lives of one of them, a refusal, a duplicate, garbage."""
    two = {"entity": "station-2"}
    return [
        finding("a1"),
        finding("b1", at=1, **two),
        b"garbage",
        finding("a1", rev=2, phase="cleared", at=10),
        finding("a1", rev=2, phase="cleared", at=10),
        tick(20),
        finding("a2", at=50, severity="critical"),
        finding("zz", phase="cleared", at=51),
        finding("a2", rev=2, phase="cleared", at=60),
        tick(200),
        finding("a3", at=300),
        finding("b1", rev=2, phase="updated", at=301, **two),
        finding("c1", at=302, historical=True),
    ]


def test_one_transaction_writes_incident_event_outbox_and_offset(store, new_log, finding):
    log = new_log()
    log.append(finding("f1"))
    assert begin(store, log) == (0,)
    assert fold(store, log, 0).next_offset == 1
    (incident,) = rows(store, INCIDENTS, "id")[0]
    (event,) = rows(store, EVENTS, "id")[0]
    assert rows(store, FINDINGS, "id", "rev", "incident_id") == [("f1", 1, incident)]
    assert sorted(rows(store, OUTBOX, "event_id", "sink", "incident_id", "state")) == [
        (event, "file", incident, "pending"),
        (event, "hook", incident, "pending"),
    ]
    assert rows(store, APPLIED) == [(TOPIC, 0, log.id, 1, 1)]


def test_every_record_ends_in_one_bin(store, new_log, finding, tick):
    log = new_log()
    log.append(*sample(finding, tick))
    begin(store, log)
    applied = fold(store, log, 0)
    assert applied.bins == Counter(folded=8, seen_before=1, refused=1, undecodable=1, tick=2)
    assert sum(applied.bins.values()) == applied.next_offset == log.end(TOPIC, 0)
    assert {name: count for _, _, name, count in rows(store, LEDGER)} == dict(applied.bins)
    assert rows(store, REFUSALS, "log_offset", "reason", "finding_id") == [
        (2, "not_a_finding", None),
        (7, "not_open", "zz"),
    ]
    assert rows(store, CLOCKS) == [(TOPIC, 0, "live", 1_748_736_200_000_000)]


def test_an_incident_that_ends_and_the_next_of_the_same_key_fit_into_one_transaction(store, new_log, finding):
    log = new_log()
    log.append(finding("a1"))
    log.append(finding("a1", rev=2, phase="cleared", at=1), finding("a2", at=1000))
    begin(store, log)
    fold(store, log, 0, most=1)
    fold(store, log, 1)
    assert sorted(state for (state,) in rows(store, INCIDENTS, "state")) == ["closed", "open"]


def test_the_database_itself_refuses_a_second_incident_of_a_key(store, new_log, finding):
    log = new_log()
    log.append(finding("a1"))
    begin(store, log)
    fold(store, log, 0)
    (row,) = rows(store, INCIDENTS)
    values = dict(zip([column.name for column in INCIDENTS.c], row, strict=True)) | {"id": "other"}
    with pytest.raises(
        Exception,
        match=r"UNIQUE constraint failed: incidents\.live_key|unique constraint \"incidents_live_key",
    ):
        store.transact_here(lambda c: c.execute(insert(INCIDENTS).values(values)))


def test_historical_findings_are_stored_and_not_dispatched(store, new_log, finding):
    log = new_log()
    log.append(finding(historical=True))
    begin(store, log)
    fold(store, log, 0)
    assert rows(store, OUTBOX, "state", "reason", "settled_us") == [("suppressed", "historical", 5)] * 2


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_crashes_and_cuts_do_not_show(tmp_path_factory, new_log, finding, tick, data):
    """Each transaction may fail before its commit; then the process starts again."""
    log = new_log()
    log.append(*sample(finding, tick))
    quiet = Store.open(tmp_path_factory.mktemp("quiet"))
    begin(quiet, log)
    fold(quiet, log, 0)
    place = tmp_path_factory.mktemp("crashing")
    store = Store.open(place)
    (offset,) = begin(store, log)
    while offset < log.end(TOPIC, 0):
        most = data.draw(st.integers(1, 6))
        if data.draw(st.booleans()):
            with pytest.raises(Crash):
                fold(store, log, offset, most=most, crash=True)
            store.close()
            store = Store.open(place)
            assert begin(store, log) == (offset,)
        offset = fold(store, log, offset, most=most).next_offset
    assert everything(store) == everything(quiet)
    for one in (store, quiet):
        one.close()


def test_partitions_are_folded_in_any_order(tmp_path, new_log, finding, tick):
    log = new_log(partitions=2)
    log.append(finding("a1"), finding("a1", rev=2, phase="cleared", at=10), tick(500))
    other = {"entity": "station-2"}
    log.append(
        finding("b1", **other), finding("b1", rev=2, phase="cleared", at=70, **other), tick(90), partition=1
    )
    told = []
    for order in ([0, 1], [1, 0]):
        store = Store.open(tmp_path / str(order[0]))
        begin(store, log)
        for partition in order:
            fold(store, log, 0, partition=partition)
        told.append(sorted(rows(store, EVENTS, "id", "body")))
        assert sorted(rows(store, INCIDENTS, "partition", "state")) == [(0, "closed"), (1, "cleared")]
        store.close()
    assert told[0] == told[1]


def test_each_clock_ends_its_own_incidents_also_in_one_transaction(store, new_log, finding, tick):
    log = new_log()
    for n, name in enumerate(["live", "replay", "other"]):
        log.append(finding(f"f{n}", clock=name), finding(f"f{n}", rev=2, phase="cleared", at=10, clock=name))
    begin(store, log)
    fold(store, log, 0)
    log.append(tick(500, clock="replay"), tick(500), tick(100, clock="other"))
    fold(store, log, 6)
    assert sorted(rows(store, INCIDENTS, "clock", "state")) == [
        ("live", "closed"),
        ("other", "cleared"),
        ("replay", "closed"),
    ]


# ------------------------------------------------------------------ which log


def folded(store, new_log, finding, **log_settings):
    log = new_log(**log_settings)
    log.append(finding("a1"), finding("a2"))
    begin(store, log)
    fold(store, log, 0)
    return everything(store)


def test_another_log_is_refused_and_nothing_changes(store, new_log, finding):
    before = folded(store, new_log, finding)
    with pytest.raises(LogMismatch, match=r"has read log log-a, .* this is log log-b\. Nothing was changed"):
        begin(store, new_log(log_id="log-b"))
    assert everything(store) == before


def test_another_partition_count_is_refused(store, new_log, finding):
    before = folded(store, new_log, finding)
    with pytest.raises(LogMismatch, match="with 1 partitions; the log has 4"):
        begin(store, new_log(partitions=4))
    assert everything(store) == before


def test_an_older_copy_of_the_log_is_refused(store, new_log, finding):
    before = folded(store, new_log, finding)
    copy = new_log()
    copy.append(finding("a1"))
    with pytest.raises(LogMismatch, match="up to offset 2; the log ends at 1: it is an older copy"):
        begin(store, copy)
    assert everything(store) == before


def test_records_that_the_log_no_longer_has_are_a_named_gap(store, new_log, finding):
    log = new_log()
    log.append(*[finding(f"f{n}") for n in range(10)])
    log.trim(3)
    assert begin(store, log) == (3,)
    assert fold(store, log, 3, most=2).next_offset == 5
    log.trim(8)
    applied = fold(store, log, 5)
    assert (applied.next_offset, applied.gap) == (10, 3)
    assert rows(store, GAPS) == [(TOPIC, 0, 0, 3, 5), (TOPIC, 0, 5, 8, 5)]
    assert begin(store, log) == (10,)


def test_partitions_folded_together_leave_what_they_leave_one_by_one(store, new_log, finding, tick, tmp_path):
    log = new_log(partitions=3)
    for n in range(3):
        one = {"entity": f"station-{n}", "clock": f"water/{n}/live"}
        log.append(
            finding(f"a{n}", **one),
            finding(f"a{n}", rev=2, phase="cleared", at=10 + n, **one),
            b"what is this",
            tick(200 + n, clock=f"water/{n}/live"),
            finding(f"b{n}", at=300, **one),
            tick(500, clock=f"water/{(n + 1) % 3}/live"),  # of a clock that is not the partition's own
            partition=n,
        )
    limits = {"sinks": ("hook",), "close_after_us": CLOSE_AFTER_US, "late_hold_us": 0, "now_us": 5}
    alone = Store.open(tmp_path / "one by one")
    begin(store, log)
    begin(alone, log)
    for cut in ((0, 2), (2, 6)):
        runs = {n: Run(cut[0], log.read(TOPIC, n, cut[0], most=cut[1] - cut[0])) for n in range(3)}
        together = store.transact_here(lambda c, runs=runs: folding.apply(c, TOPIC, runs, **limits))
        for n, run in runs.items():
            (one,) = alone.transact_here(
                lambda c, n=n, run=run: folding.apply(c, TOPIC, {n: run}, **limits)
            ).values()
            assert together[n] == one
    assert everything(store) == everything(alone)
    assert {state for (state,) in rows(store, INCIDENTS, "state")} == {"closed", "open"}
    alone.close()


def test_a_second_process_that_folds_is_stopped(store, new_log, finding):
    log = new_log()
    log.append(finding("a1"), finding("a2"))
    begin(store, log)
    fold(store, log, 0, most=1)
    before = everything(store)
    with pytest.raises(Fenced, match="another process folds findings/0"):
        fold(store, log, 0, most=1)
    assert everything(store) == before


def test_a_log_that_gives_an_offset_twice_is_an_error(store, new_log, finding):
    log = new_log()
    log.append(finding("a1"))
    begin(store, log)
    records = log.read(TOPIC, 0, 0) * 2
    with pytest.raises(ZhiweiError, match="gave offset 0 of findings/0 after 0"):
        store.transact_here(
            lambda c: folding.apply(
                c, TOPIC, {0: Run(0, records)}, sinks=(), close_after_us=1, late_hold_us=0, now_us=1
            )[0]
        )
