"""The life of an incident: examples, and a model check against a small table."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alerts.batch import Decoded, View, fold_records
from alerts.incident import TRANSITIONS, Incident, Kind, Refused, Signal, State, fold
from zhiwei.types import Coordinates, Evidence, Finding, Phase, Severity, Tick

HALF_HOUR = 1_800_000_000


def story(records, close_after_us=HALF_HOUR):
    """(what happened, when, how severe) of each change of one key."""
    incident, told = None, []
    for record in records:
        incident, changes = fold(incident, record, close_after_us)
        told += [(str(change.kind), change.at, str(change.incident.severity)) for change in changes]
        if incident is not None and incident.state is State.CLOSED:
            incident = None
    return told


def test_a_finding_opens_clears_and_closes_its_incident_at_the_deadline(finding, tick, at):
    assert story([finding(), finding(rev=2, phase="cleared", at=60), tick(5000)]) == [
        ("opened", at(0), "major"),
        ("cleared", at(60), "major"),
        ("closed", at(1860), "major"),
    ]


def test_a_suspected_finding_opens_with_its_severity_and_raising_it_is_an_update(finding, at):
    assert story(
        [
            finding(phase="suspected", severity="minor"),
            finding(rev=2, phase="raised", at=5, severity="critical"),
        ]
    ) == [("opened", at(0), "minor"), ("updated", at(5), "critical")]


def test_raised_again_before_the_deadline_is_reopened_not_a_second_incident(finding, at):
    records = [finding(), finding(rev=2, phase="cleared", at=60), finding("f2", at=1859)]
    assert story(records) == [
        ("opened", at(0), "major"),
        ("cleared", at(60), "major"),
        ("reopened", at(1859), "major"),
    ]


@pytest.mark.parametrize("late_s", [0, 1, 100_000])
def test_raised_at_the_deadline_or_later_is_a_second_incident_also_without_a_tick(finding, at, late_s):
    incident, _ = fold(None, finding(), HALF_HOUR)
    incident, _ = fold(incident, finding(rev=2, phase="cleared", at=60), HALF_HOUR)
    after, (end, start) = fold(incident, finding("f2", at=1860 + late_s), HALF_HOUR)
    assert (end.kind, end.at, end.incident.id) == (Kind.CLOSED, at(1860), incident.id)
    assert (start.kind, start.at, start.incident) == (Kind.OPENED, at(1860 + late_s), after)
    assert after.id != incident.id


def test_severity_is_the_highest_of_the_open_findings(finding, at):
    assert story(
        [
            finding("a", severity="minor"),
            finding("b", severity="critical", at=1),
            finding("b", rev=2, phase="cleared", at=2),
            finding("a", rev=2, phase="cleared", at=3),
        ]
    ) == [
        ("opened", at(0), "minor"),
        ("updated", at(1), "critical"),
        ("updated", at(2), "minor"),
        ("cleared", at(3), "minor"),
    ]


def test_the_deadline_stands_from_the_clear_on_whatever_the_setting_says_later(finding, tick, at):
    incident, _ = fold(None, finding(), HALF_HOUR)
    incident, _ = fold(incident, finding(rev=2, phase="cleared", at=60), HALF_HOUR)
    _, (change,) = fold(incident, tick(5000), close_after_us=0)
    assert change.at == at(1860)


def test_another_clock_says_nothing_about_an_incident(finding, tick):
    incident, _ = fold(None, finding(), HALF_HOUR)
    incident, _ = fold(incident, finding(rev=2, phase="cleared", at=60), HALF_HOUR)
    assert fold(incident, tick(5000, clock="simulated"), HALF_HOUR) == (incident, ())


def test_an_onset_that_is_revised_is_revised_in_the_incident(finding, at):
    incident, _ = fold(None, finding(onset=50, at=60), HALF_HOUR)
    incident, _ = fold(incident, finding(rev=2, phase="updated", onset=55, at=61), HALF_HOUR)
    assert incident.onset == at(55)
    incident, _ = fold(incident, finding("f2", onset=58, at=62), HALF_HOUR)
    assert incident.onset == at(55)


@pytest.mark.parametrize("opened_before", [False, True])
def test_a_clear_of_what_is_not_open_is_refused_with_a_reason(finding, opened_before):
    incident = fold(None, finding("other"), HALF_HOUR)[0] if opened_before else None
    with pytest.raises(Refused, match=r"^not_open: finding f1 rev 2"):
        fold(incident, finding(rev=2, phase="cleared"), HALF_HOUR)


def test_a_finding_of_another_rule_is_refused(finding):
    incident, _ = fold(None, finding(), HALF_HOUR)
    with pytest.raises(Refused, match=r"^wrong_incident: "):
        fold(incident, finding("f2", rule="limit.high.turbidity"), HALF_HOUR)


def test_nothing_happens_to_a_closed_incident(finding, tick):
    incident, _ = fold(None, finding(), HALF_HOUR)
    incident, _ = fold(incident, finding(rev=2, phase="cleared"), HALF_HOUR)
    incident, _ = fold(incident, tick(5000), HALF_HOUR)
    with pytest.raises(Refused, match=r"^unknown_transition: .* is closed: it cannot be claimed"):
        fold(incident, finding("f2", at=5001), HALF_HOUR)
    assert fold(incident, tick(9000), HALF_HOUR) == (incident, ())


def test_every_state_but_closed_leads_on_and_every_path_can_end():
    reachable, ends = {None}, set()
    for _ in TRANSITIONS:
        reachable |= {after for (before, _), (_, after) in TRANSITIONS.items() if before in reachable}
    for _ in TRANSITIONS:
        ends |= {before for (before, _), (_, after) in TRANSITIONS.items() if after in ends | {State.CLOSED}}
    assert reachable == {None, *State}
    assert ends == {None, State.HELD, State.OPEN, State.CLEARED}
    assert {signal for _, signal in TRANSITIONS} == set(Signal)


# ------------------------------------------------------------------ model check (T-6)

START = datetime(2025, 6, 1, tzinfo=UTC)
CLOSE_AFTER_S = 100


class IncidentMachine(RuleBasedStateMachine):
    """One key through findings, ticks, duplicates and restarts; beside it a table with plain variables."""

    def __init__(self):
        super().__init__()
        self.view, self.changes, self.bins = View(), [], {}
        self.now, self.engine_time, self.revs = 0, -1, {}
        # the model
        self.told, self.state, self.open, self.severity, self.deadline = [], "none", {}, None, None

    def put(self, record):
        folded = fold_records(self.view, [Decoded(0, record)], CLOSE_AFTER_S * 1_000_000)
        self.changes += folded.changes
        self.bins = folded.bins

    def put_finding(self, name, phase, severity):
        self.revs[name] = self.revs.get(name, 0) + 1
        self.last = Finding(
            id=name,
            rev=self.revs[name],
            site="s",
            scenario="w",
            entity="e",
            kind="k",
            rule="r",
            phase=Phase(phase),
            onset=START,
            at=START + timedelta(seconds=self.now),
            score=1.0,
            severity=severity,
            evidence=Evidence(),
            versions={},
            coordinates=Coordinates(topic="t", partition=0, offset=0),
        )
        self.put(self.last)

    def tell(self, kind, at=None):
        self.told.append((kind, self.now if at is None else at, self.severity))

    def end_if_due(self, now):
        if self.state == "cleared" and now >= self.deadline:
            self.tell("closed", self.deadline)
            self.state, self.deadline = "none", None

    @rule(seconds=st.integers(0, 150))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(name=st.sampled_from("abc"), phase=st.sampled_from(["suspected", "raised", "updated"]),
          severity=st.sampled_from(Severity))  # fmt: skip
    def claim(self, name, phase, severity):
        self.put_finding(name, phase, severity)
        self.end_if_due(self.now)
        kind = {"none": "opened", "open": "updated", "cleared": "reopened"}[self.state]
        self.state, self.deadline = "open", None
        self.open[name] = severity
        self.severity = max(self.open.values(), key=list(Severity).index)
        self.tell(kind)

    @rule(name=st.sampled_from("abc"))
    def clear(self, name):
        self.put_finding(name, "cleared", Severity.INFO)
        if name not in self.open:
            assert self.bins == {"refused": 1}
            return
        del self.open[name]
        if self.open:
            self.severity = max(self.open.values(), key=list(Severity).index)
            self.tell("updated")
        else:
            self.state, self.deadline = "cleared", self.now + CLOSE_AFTER_S
            self.tell("cleared")

    @rule(back=st.integers(0, 500))
    def tick(self, back):
        """Of now, or one that comes too late and says nothing new."""
        self.put(Tick(clock="live", time=START + timedelta(seconds=self.now - back)))
        self.engine_time = max(self.engine_time, self.now - back)
        self.end_if_due(self.engine_time)

    @rule()
    def tick_of_another_clock(self):
        self.put(Tick(clock="other", time=START + timedelta(days=999)))

    @precondition(lambda self: self.revs)
    @rule()
    def same_finding_again(self):
        self.put(self.last)
        assert self.bins == {"seen_before": 1}

    @rule()
    def restart(self):
        kept = msgspec.json.encode(self.view.incidents)
        self.view.incidents = msgspec.json.decode(kept, type=dict[str, Incident])

    @invariant()
    def the_same_was_told(self):
        told = [
            (str(change.kind), (change.at - START) // timedelta(seconds=1), change.incident.severity)
            for change in self.changes
        ]
        assert told == self.told

    @invariant()
    def sequences_have_no_hole(self):
        by_incident = {}
        for change in self.changes:
            by_incident.setdefault(change.incident.id, []).append(change.incident.sequence)
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_incident.values())


IncidentMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLifeCycle = IncidentMachine.TestCase
