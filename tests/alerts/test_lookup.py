"""What an id stands for."""

import pytest

from alerts import event
from alerts.lookup import AmbiguousId, Lookup, UnknownId
from alerts.store import folding, outbox
from alerts.store.folding import LogState, Run
from alerts.store.outbox import Dispatched, Settled
from alerts.store.store import Store
from zhiwei.errors import ZhiweiError

A, B, REFUSED = "aaaa" + "0" * 28, "aaaab" + "0" * 27, "cccc" + "0" * 28


@pytest.fixture
def lookup(tmp_path, new_log, finding):
    """Incident of A: opened, updated (delivered to hook, one failure); incident of B: opened; a refusal."""
    log = new_log()
    log.append(
        finding(A),
        finding(A, rev=2, phase="updated", at=5, severity="critical"),
        finding(B, entity="station-2", at=7),
        finding(REFUSED, phase="cleared", entity="station-3"),
        b"garbage",
    )
    store = Store.open(tmp_path)

    def call(connection):
        folding.start(connection, LogState(log.id, "findings", ((0, 5),)), 1)
        folding.apply(
            connection,
            "findings",
            {0: Run(0, log.read("findings", 0, 0))},
            sinks=["hook"],
            close_after_us=1,
            late_hold_us=0,
            now_us=1,
        )[0]
        outbox.settle(connection, [Settled(1, Dispatched.DELIVERED, "delivered", 1, 9, "")], 9)
        outbox.settle(connection, [Settled(2, Dispatched.PENDING, "backoff", 1, 50, "status 503")], 9)

    store.transact_here(call)
    store.close()
    with Lookup(tmp_path) as opened:
        yield opened


def test_an_incident_shows_all_that_belongs_to_it(lookup, finding):
    event_id = lookup.explain(A).events[0].id
    found = lookup.explain(lookup.explain(event_id).incident.id)
    assert found.what == "incident"
    assert found.incident.severity == "critical"
    assert found.findings == (finding(A, rev=2, phase="updated", at=5, severity="critical"),)
    assert [(one.sequence, one.kind) for one in found.events] == [(1, "opened"), (2, "updated")]
    assert [
        (one.state, one.reason, one.attempts, one.due_us, one.last_error) for one in found.dispatches
    ] == [
        ("delivered", "delivered", 1, None, ""),
        ("pending", "backoff", 1, 50, "status 503"),
    ]


def test_a_finding_an_event_and_a_dispatch_lead_to_each_other(lookup):
    by_finding = lookup.explain(B[:5])
    assert (by_finding.what, by_finding.id) == ("finding", B)
    (made,), (sent,) = by_finding.events, by_finding.dispatches
    by_event, by_dispatch = lookup.explain(made.id), lookup.explain(sent.id)
    assert (by_event.what, by_dispatch.what) == ("event", "dispatch")
    for found in (by_event, by_dispatch):
        assert (found.incident, found.findings, found.events, found.dispatches) == (
            by_finding.incident,
            by_finding.findings,
            by_finding.events,
            by_finding.dispatches,
        )
    assert event.decode(made.body).data.finding == by_finding.findings[0]
    assert sent.due_us is None, "at once"


def test_a_refused_finding_says_why(lookup):
    found = lookup.explain(REFUSED)
    assert (found.what, found.incident, found.events) == ("finding", None, ())
    assert found.refusals == (f"not_open: finding {REFUSED} rev 1 is cleared, but not open in any incident",)


def test_an_id_must_be_one_and_known(lookup):
    with pytest.raises(AmbiguousId, match=f"begin with aaaa: finding {A}, finding {B}; give more digits"):
        lookup.explain("aaaa")
    for text, message in [("dddd", "begins with dddd"), ("xyz", "'xyz' is no id"), ("aaa", "'aaa' is no id")]:
        with pytest.raises(UnknownId, match=message):
            lookup.explain(text)
    assert lookup.explain(f" {A.upper()} ").id == A


def test_the_counts_are_those_of_the_tables(lookup):
    counts = lookup.counts()
    assert counts.incidents == {"open": 2}
    assert counts.open_by_severity == {"critical": 1, "major": 1}
    assert counts.events == {"opened": 2, "updated": 1}
    assert counts.dispatches == {"hook": {"delivered": 1, "pending": 2}}
    assert counts.records == {"folded": 3, "refused": 1, "undecodable": 1}
    assert counts.gap_records == 0


def test_the_latest_events_come_first(lookup):
    assert [one.at_us % 60_000_000 // 1_000_000 for one in lookup.latest(2)] == [7, 5]


def test_where_alerts_has_not_run_there_is_nothing_to_look_up(tmp_path):
    with pytest.raises(ZhiweiError, match="alerts has not run"):
        Lookup(tmp_path / "empty")
