"""What people decide about an incident, in its life: each action in each state."""

from datetime import timedelta

import pytest

from alerts.incident import HANDLING, TRANSITIONS, Action, Command, Handling, Kind, Refused, State, fold

HALF_HOUR = 1_800_000_000


@pytest.fixture
def give(at):
    def command(action, seconds=100, who="Wang", why="seen on the camera"):
        return Command(action=Action(action), who=who, why=why, at=at(seconds))

    return command


@pytest.fixture
def opened(finding):
    return fold(None, finding(), HALF_HOUR)[0]


@pytest.fixture
def cleared(opened, finding):
    return fold(opened, finding(rev=2, phase="cleared", at=60), HALF_HOUR)[0]


def after(incident, *records):
    for record in records:
        incident, _ = fold(incident, record, HALF_HOUR)
    return incident


@pytest.mark.parametrize(
    ("action", "kind", "state", "handling", "closed_by"),
    [
        ("acknowledge", "acknowledged", "open", "acknowledged", None),
        ("confirm", "confirmed", "open", "confirmed", None),
        ("reject", "rejected", "closed", "rejected", "Wang"),
        ("close", "closed", "closed", "new", "Wang"),
    ],
)
def test_a_command_is_a_change_with_who_when_and_why(
    opened, give, at, action, kind, state, handling, closed_by
):
    command = give(action)
    incident, (change,) = fold(opened, command, HALF_HOUR)
    assert (change.kind, change.at, change.finding, change.command) == (Kind(kind), at(100), None, command)
    assert (incident.state, incident.handling, incident.handled_by) == (State(state), handling, "Wang")
    assert incident.closed_by == closed_by
    assert incident.closed_at == (at(100) if closed_by else None)
    assert incident.sequence == opened.sequence + 1


def test_every_pair_of_handling_and_action_is_either_in_the_table_or_refused(opened, give):
    ways = {
        Handling.NEW: opened,
        Handling.ACKNOWLEDGED: after(opened, give("acknowledge")),
        Handling.CONFIRMED: after(opened, give("confirm")),
        Handling.REJECTED: after(opened, give("reject")),
    }
    possible = set()
    for handling, incident in ways.items():
        for action in Action:
            try:
                assert after(incident, give(action)).handling is HANDLING[handling, action]
            except Refused as refused:
                assert refused.reason == "unknown_transition"  # noqa: PT017
            else:
                possible.add((handling, action))
    assert possible == set(HANDLING)


def test_every_action_has_a_place_in_the_life_cycle_of_what_is_not_closed():
    for action in Action:
        held = set() if action is Action.CONFIRM else {State.HELD}
        places = {state for state, signal in TRANSITIONS if signal == action.signal}
        assert places == {State.OPEN, State.CLEARED} | held


def test_a_second_acknowledgement_names_who_was_first(opened, give):
    incident = after(opened, give("acknowledge", who="Li"))
    with pytest.raises(Refused, match=r"^unknown_transition: .* is acknowledged by Li: acknowledge is not"):
        fold(incident, give("acknowledge"), HALF_HOUR)


def test_nobody_decides_about_what_is_closed_or_is_not_there(opened, give):
    with pytest.raises(Refused, match=r"^unknown_transition: .* is closed: it cannot be confirm"):
        fold(after(opened, give("close")), give("confirm"), HALF_HOUR)
    with pytest.raises(Refused, match=r"^unknown_transition: there is no incident"):
        fold(None, give("close"), HALF_HOUR)


@pytest.mark.parametrize(
    ("action", "who", "why", "reason"),
    [
        ("reject", "Wang", "  ", "no_reason"),
        ("close", " ", "done", "no_name"),
        ("close", "Wang", "x" * 501, "long_reason"),
    ],
)
def test_a_command_without_name_or_reason_is_refused(opened, give, action, who, why, reason):
    with pytest.raises(Refused) as caught:
        fold(opened, give(action, who=who, why=why), HALF_HOUR)
    assert caught.value.reason == reason


def test_an_acknowledged_incident_still_ends_by_its_deadline(opened, give, finding, tick, at):
    incident = after(opened, give("acknowledge"), finding(rev=2, phase="cleared", at=60), tick(5000))
    assert (incident.state, incident.closed_at, incident.closed_by) == (State.CLOSED, at(1860), None)


def test_a_confirmed_incident_that_clears_by_itself_waits_for_a_person(opened, cleared, give, finding, tick):
    for incident in (
        after(opened, give("confirm"), finding(rev=2, phase="cleared", at=60)),
        after(cleared, give("confirm")),
    ):
        assert (incident.state, incident.close_at) == (State.CLEARED, None)
        assert fold(incident, tick(1_000_000), HALF_HOUR) == (incident, ())
        assert after(incident, finding("f2", at=1_000_000)).id == incident.id
        assert after(incident, give("close")).state is State.CLOSED


def test_closing_does_not_forget_that_it_was_confirmed(opened, give):
    assert after(opened, give("confirm"), give("close")).handling is Handling.CONFIRMED


def test_findings_change_nothing_about_who_handles_it(opened, give, finding):
    incident = after(
        opened, give("acknowledge"), finding(rev=2, at=5), finding(rev=3, phase="cleared", at=60),
        finding("f2", at=70),
    )  # fmt: skip
    assert (incident.state, incident.handling, incident.handled_by) == (State.OPEN, "acknowledged", "Wang")


def test_a_command_keeps_the_time_of_the_findings(cleared, give, at):
    incident = after(cleared, give("acknowledge", seconds=999_999))
    assert incident.close_at == cleared.close_at == at(60) + timedelta(minutes=30)
