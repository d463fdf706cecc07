"""What is known from old rows only: held, told when a fresh finding says so or the hold is over."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.batch import Decoded, View, fold_records
from alerts.incident import Action, Command, HoldOver, Kind, Refused, State, fold

HALF_HOUR = 1_800_000_000


def story(*records):
    """(what happened, where it stands, whether receivers hear of it) of each change; the incident."""
    incident, told = None, []
    for record in records:
        incident, changes = fold(incident, record, HALF_HOUR)
        told += [(str(change.kind), str(change.incident.state), change.told) for change in changes]
    return told, incident


def folded(*records):
    """Through a run: what was seen before is known."""
    return fold_records(View(), [Decoded(n, record) for n, record in enumerate(records)], HALF_HOUR)


def test_what_a_backlog_left_open_is_recorded_and_told_to_nobody_until_its_hold_is_over(late, at):
    first = late(onset=-600, at=0)
    _, (held,) = fold(None, first, HALF_HOUR)
    assert (held.kind, held.incident.state, held.told) == (Kind.HELD, State.HELD, False)
    _, (opened,) = fold(held.incident, HoldOver(first), HALF_HOUR)
    assert (opened.kind, opened.incident.state, opened.told) == (Kind.OPENED, State.OPEN, True)
    assert (opened.finding, opened.incident.sequence, opened.incident.onset) == (first, 2, at(-600))


def test_a_hold_is_over_once(late):
    incident = story(late(), HoldOver(late()))[1]
    with pytest.raises(Refused, match=r"^unknown_transition: .* is open: it cannot be told"):
        fold(incident, HoldOver(late()), HALF_HOUR)


def test_a_fresh_finding_of_the_same_within_the_hold_opens_it_with_the_older_onset(late, trapped, at):
    told, incident = story(late(onset=-600), trapped(onset=5, at=50))
    assert told == [("held", "held", False), ("opened", "open", True)]
    assert (incident.onset, incident.findings, incident.clock) == (at(-600), 2, "elevator/0/live")
    assert [one.id for one in incident.open] == ["fresh"]


def test_a_clear_within_the_hold_ends_it_untold_and_on_record(late, at):
    told, incident = story(late(), late(rev=2, phase="cleared", at=9))
    assert told == [("held", "held", False), ("cleared", "closed", False)]
    assert (incident.cleared_at, incident.closed_at, incident.close_at) == (at(9), at(9), None)


@pytest.mark.parametrize("fresh", [{"entity": "lift-2"}, {"kind": "elevator.overrun"}, {"historical": True}])
def test_a_finding_of_something_else_leaves_it_held(late, trapped, fresh):
    changes = folded(late(), trapped(**fresh)).changes
    assert (changes[0].kind, changes[0].incident.state) == (Kind.HELD, State.HELD)
    assert len({change.incident.id for change in changes}) == 2


def test_what_comes_late_about_what_is_told_already_is_an_update(late, trapped, at):
    told, incident = story(trapped(), late(onset=-600, at=3))
    assert told == [("opened", "open", True), ("updated", "open", True)]
    assert (incident.onset, incident.clock) == (at(-600), "elevator/0/live")


def test_what_comes_late_about_what_is_cleared_reopens_it_at_once(late, trapped):
    told, _ = story(trapped(), trapped(rev=2, phase="cleared", at=5), late(at=9))
    assert told == [("opened", "open", True), ("cleared", "cleared", True), ("reopened", "open", True)]


@pytest.mark.parametrize("late_first", [True, False])
def test_the_end_of_the_fresh_finding_ends_what_was_known_from_old_rows_too(
    late, trapped, tick, at, late_first
):
    both = [late(), trapped()] if late_first else [trapped(), late()]
    told, incident = story(*both, trapped(rev=2, phase="cleared", at=60))
    assert told[-1] == ("cleared", "cleared", True)
    _, (closed,) = fold(incident, tick(1860, clock="elevator/0/live"), HALF_HOUR)
    assert closed.at == at(1860)


def test_a_fresh_finding_after_the_hold_takes_over_what_was_told_late(late, trapped):
    told, _ = story(late(), HoldOver(late()), trapped(at=50), trapped(rev=2, phase="cleared", at=60))
    assert [kind for kind, _, _ in told] == ["held", "opened", "updated", "cleared"]


def test_the_old_rows_own_end_changes_nothing_once_a_fresh_finding_speaks(late, trapped):
    run = folded(late(), trapped(), late(rev=2, phase="cleared", at=9))
    assert (run.bins, run.refusals) == (Counter(folded=2, settled=1), [])
    run = folded(late(), trapped(), trapped(rev=2, phase="cleared", at=8), late(rev=2, phase="cleared", at=9))
    assert (run.bins, run.refusals) == (Counter(folded=3, settled=1), [])


def test_an_end_without_a_beginning_is_refused_also_of_old_rows(late):
    assert folded(late(phase="cleared")).bins == Counter(refused=1)


def test_a_late_call_for_help_is_told_at_once(late):
    assert story(late(lane="urgent"))[0] == [("opened", "open", True)]


def command(action, at):
    return Command(action=Action(action), who="王", why="误报", at=at(5))


def test_somebody_who_looks_after_it_does_not_keep_others_from_being_told(late, at):
    told, incident = story(late(), command("acknowledge", at), HoldOver(late()))
    assert told[1:] == [("acknowledged", "held", False), ("opened", "open", True)]
    assert incident.handled_by == "王"


@pytest.mark.parametrize(("action", "kind"), [("reject", "rejected"), ("close", "closed")])
def test_a_person_may_end_it_before_anybody_is_told(late, at, action, kind):
    told, incident = story(late(), command(action, at))
    assert told[1:] == [(kind, "closed", False)]
    assert incident.closed_by == "王"


def test_it_is_not_confirmed_before_others_have_heard_of_it(late, at):
    with pytest.raises(Refused, match="is held: it cannot be confirm"):
        story(late(), command("confirm", at))


# ------------------------------------------------------------------ whatever comes in which order

STEPS = st.lists(
    st.tuples(st.sampled_from(["late", "fresh", "over"]), st.sampled_from(["raised", "updated", "cleared"])),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=300, deadline=None)
def test_whoever_hears_of_an_incident_hears_of_its_opening_first_and_once(late, trapped, steps):
    view, revs, last, changes = View(), Counter(), {}, []
    for now, (what, phase) in enumerate(steps):
        held = [one for one in view.incidents.values() if one.state is State.HELD]
        if what == "over":
            for one in held:
                _, more = fold(one, HoldOver(last[one.open[-1].id]), HALF_HOUR)
                view.incidents[one.key] = more[-1].incident
                changes += more
            continue
        revs[what] += 1
        make = late if what == "late" else trapped
        last[what] = make(what, revs[what], phase, at=now)
        run = fold_records(view, [Decoded(now, last[what])], HALF_HOUR)
        changes += run.changes
        if what == "fresh" and phase != "cleared":
            assert run.changes[-1].told, "nothing fresh is held"
    lives = {}
    for change in changes:
        lives.setdefault(change.incident.id, []).append(change)
    for life in lives.values():
        assert [change.incident.sequence for change in life] == list(range(1, len(life) + 1))
        told = [change for change in life if change.told]
        assert life[-len(told) :] == told or not told, "what is told once stays told"
        assert [change.kind for change in told].count(Kind.OPENED) == bool(told)
        assert not told or told[0].kind is Kind.OPENED
        assert told or life[-1].incident.state in (State.HELD, State.CLOSED)
