"""Commands into the store: once for their key, with their event, and never undone by findings."""

import json
from collections import Counter

import pytest
from sqlalchemy import select

from alerts.incident import Action, Command
from alerts.store import folding
from alerts.store.commands import KeyReused, UnknownIncident, submit
from alerts.store.folding import LogState, Run
from alerts.store.tables import COMMANDS, EVENTS, FINDINGS, INCIDENTS, METADATA, OUTBOX
from zhiwei.errors import ZhiweiError

TOPIC = "findings"


class Desk:
    """A log that is folded, and somebody who gives commands."""

    def __init__(self, store, log, at):
        self.store, self.log, self.at, self.offset = store, log, at, 0
        self.call(lambda c: folding.start(c, LogState(log.id, TOPIC, ((0, log.end(TOPIC, 0)),)), 5))

    def call(self, what):
        return self.store.transact_here(what)

    def fold(self, *records):
        self.log.append(*records)
        applied = self.call(
            lambda c: folding.apply(
                c, TOPIC, {0: Run(self.offset, self.log.read(TOPIC, 0, self.offset))},
                sinks=("hook",), close_after_us=100_000_000, late_hold_us=0, now_us=5,
            )[0]
        )  # fmt: skip
        self.offset = applied.next_offset
        return applied

    def give(self, action, key="k1", incident=None, who="Wang", why="false smoke", seconds=500):
        command = Command(action=Action(action), who=who, why=why, at=self.at(seconds))
        incident = incident or self.incidents()[0][0]
        return self.call(lambda c: submit(c, key, incident, command, sinks=("hook",), now_us=7))

    def rows(self, table, *names):
        return [
            tuple(r)
            for r in self.call(
                lambda c: c.execute(select(*(table.c[n] for n in names or table.c.keys()))).all()
            )
        ]

    def incidents(self):
        query = select(INCIDENTS.c.id, INCIDENTS.c.state).order_by(INCIDENTS.c.opened_us)
        return [tuple(row) for row in self.call(lambda c: c.execute(query).all())]

    def everything(self):
        return {table.name: self.rows(table) for table in METADATA.sorted_tables}


@pytest.fixture
def desk(store, new_log, finding, at):
    made = Desk(store, new_log(), at)
    made.fold(finding())
    return made


def test_a_command_its_event_and_its_outbox_row_are_one_transaction(desk):
    outcome = desk.give("acknowledge")
    assert outcome.refused == ""
    (incident, state) = desk.incidents()[0]
    assert (state, desk.rows(INCIDENTS, "handling", "closed_by")) == ("open", [("acknowledged", None)])
    assert desk.rows(COMMANDS, "key", "incident_id", "action", "who", "why", "event_id", "refused") == [
        ("k1", incident, "acknowledge", "Wang", "false smoke", outcome.event_id, "")
    ]
    assert ("acknowledged", outcome.event_id) in desk.rows(EVENTS, "kind", "id")
    assert (outcome.event_id, "hook", 2, "pending") in desk.rows(
        OUTBOX, "event_id", "sink", "sequence", "state"
    )


def test_the_event_says_who_what_when_and_why(desk):
    desk.give("reject")
    body = json.loads(desk.rows(EVENTS, "body")[-1][0])
    assert body["type"] == "zhiwei.incident.rejected"
    assert body["time"] == "2025-06-01T00:08:20Z"
    assert body["data"]["finding"] is None
    assert body["data"]["command"] == {
        "action": "reject", "who": "Wang", "why": "false smoke", "at": "2025-06-01T00:08:20Z",
    }  # fmt: skip


def test_the_same_key_again_is_answered_and_changes_nothing(desk):
    first = desk.give("confirm")
    before = desk.everything()
    again = desk.give("confirm", seconds=501)
    assert (again.event_id, again.repeated, again.change) == (first.event_id, True, None)
    assert desk.everything() == before


def test_a_refused_command_stays_in_the_history_with_its_reason(desk):
    desk.give("close")
    refused = desk.give("acknowledge", key="k2")
    assert (refused.refused, refused.event_id) == ("unknown_transition", None)
    assert "is closed: it cannot be acknowledge" in refused.detail
    assert desk.give("acknowledge", key="k2").detail == refused.detail
    assert desk.rows(COMMANDS, "key", "refused") == [("k1", ""), ("k2", "unknown_transition")]


@pytest.mark.parametrize("other", [{"action": "close"}, {"who": "Li"}, {"why": "another"}])
def test_a_key_of_another_command_is_refused(desk, other):
    desk.give("acknowledge")
    before = desk.everything()
    with pytest.raises(KeyReused, match="key k1 belongs to acknowledge"):
        desk.give(**({"action": "acknowledge"} | other))
    assert desk.everything() == before


def test_what_cannot_be_stored_is_an_error_and_changes_nothing(desk):
    before = desk.everything()
    with pytest.raises(UnknownIncident, match="there is no incident 0123"):
        desk.give("close", incident="0123")
    for wrong in ({"key": " "}, {"key": "k" * 129}, {"who": ""}, {"who": "x" * 65}):
        with pytest.raises(ZhiweiError, match="characters, expected 1 to"):
            desk.give("close", **wrong)
    assert desk.everything() == before


@pytest.mark.parametrize("action", ["reject", "close"])
def test_further_revisions_of_its_finding_do_not_reopen_what_a_person_ended(desk, finding, tick, action):
    desk.give(action)
    events = desk.rows(EVENTS, "id")
    bins = desk.fold(
        finding(rev=2, phase="updated", severity="critical", at=600),
        finding(rev=3, phase="cleared", at=700),
        finding(rev=4, phase="updated", at=5000),
        tick(9000),
    ).bins
    assert bins == Counter(settled=3, tick=1)
    assert desk.incidents() == [(desk.incidents()[0][0], "closed")]
    assert desk.rows(EVENTS, "id") == events
    assert desk.rows(FINDINGS, "id", "rev") == [("f1", 4)]


@pytest.mark.parametrize("action", ["reject", "close"])
def test_a_suspicion_that_was_ended_by_a_person_and_is_then_raised_opens_an_incident_of_its_own(
    desk, finding, action
):
    desk.give(action)
    desk.fold(finding(rev=2, phase="raised", severity="critical", at=600))
    (old, new) = desk.incidents()
    assert (old[1], new[1]) == ("closed", "open")


def test_a_new_episode_opens_a_new_incident_also_while_the_old_one_goes_on(desk, finding):
    desk.give("reject")
    desk.fold(
        finding(rev=2, phase="updated", at=600),
        finding("f2", at=601),
        finding(rev=3, phase="cleared", at=602),
    )
    (old, new) = desk.incidents()
    assert (old[1], new[1]) == ("closed", "open")
    assert dict(desk.rows(FINDINGS, "id", "incident_id")) == {"f1": old[0], "f2": new[0]}
    assert desk.rows(EVENTS, "kind") == [("opened",), ("rejected",), ("opened",)]


def test_where_nobody_decided_a_finding_claimed_again_after_the_deadline_opens_another(desk, finding, tick):
    desk.fold(finding(rev=2, phase="cleared", at=1), tick(1000), finding(rev=3, at=2000))
    assert [state for _, state in desk.incidents()] == ["closed", "open"]
