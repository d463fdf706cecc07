"""The kill campaign's own parts: every fault has its turn, and what is lost is named."""

import random
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from bench.chaos.faults import (
    EVERY,
    ROLES,
    SECOND,
    SERVERS,
    WEBHOOK,
    WORKERS,
    Act,
    Bag,
    Fault,
    possible,
)
from bench.chaos.homes import Key, home, key
from bench.chaos.report import Evidence, report

FAULTS = 200


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_happens_in_a_campaign_and_none_that_cannot(seed: int) -> None:
    bag, second, done = Bag(EVERY, random.Random(seed)), True, []
    for _ in range(FAULTS):
        fault = bag.draw(partial(possible, second=second))
        assert possible(fault, second=second)
        second = second if fault.target != SECOND else fault.act is not Act.REMOVE
        done.append(fault)
    assert min(done.count(fault) for fault in EVERY) >= 3
    assert max(done.count(fault) for fault in EVERY) <= 7


def test_a_second_worker_that_is_away_can_only_be_brought_back() -> None:
    away = {fault for fault in EVERY if not possible(fault, second=False)}
    assert away == {fault for fault in EVERY if fault.target == SECOND} - {Fault(Act.ADD, SECOND)}
    assert [fault for fault in EVERY if not possible(fault, second=True)] == [Fault(Act.ADD, SECOND)]


def test_every_role_and_server_is_killed_restarted_and_paused_and_every_worker_beyond_its_session() -> None:
    common = {Fault(act, one) for act in (Act.KILL, Act.RESTART, Act.PAUSE) for one in (*ROLES, *SERVERS)}
    assert common < set(EVERY)
    assert {Fault(Act.PAUSE_LONG, worker) for worker in WORKERS} < set(EVERY)
    assert {fault.act for fault in EVERY if fault.target == WEBHOOK} == {
        Act.REFUSE,
        Act.ANSWER_503,
        Act.SILENCE,
    }
    assert len({str(fault) for fault in EVERY}) == len(EVERY)


def test_the_same_seed_is_the_same_campaign() -> None:
    first, second = (Bag(EVERY, random.Random(7)) for _ in range(2))
    assert [first.draw() for _ in range(FAULTS)] == [second.draw() for _ in range(FAULTS)]


def test_a_bag_of_which_nothing_is_possible_says_so() -> None:
    with pytest.raises(LookupError, match="none of 1"):
        Bag([Fault(Act.ADD, SECOND)], random.Random(1)).draw(partial(possible, second=True))


def event(number: int, rule: str, kind: str, sequence: int) -> dict[str, Any]:
    incident = {"id": f"{home(number)} {rule}", "entity": home(number), "rule": rule, "sequence": sequence}
    return {"type": f"zhiwei.incident.{kind}", "data": {"incident": incident}}


def quiet(homes: int = 2) -> Evidence:
    """What is seen where nothing goes wrong."""
    keys: list[Key] = [key(number, step) for number in range(homes) for step in range(3)]
    found = {("smoke", "raised"), ("smoke", "cleared"), ("urgent.smoke", "raised")}
    told = (("smoke", "opened", 1), ("smoke", "cleared", 2), ("urgent.smoke", "opened", 1))
    return Evidence(
        homes=homes,
        sent=dict.fromkeys(keys, 1),
        seen={one: [(3, offset)] for offset, one in enumerate(keys)},
        stored=set(keys),
        findings={(home(number), *one) for number in range(homes) for one in found},
        events={f"{number}-{one}": event(number, *one) for number in range(homes) for one in told},
        attempts=3 * homes,
    )


def test_where_all_has_arrived_the_report_holds() -> None:
    shown = report({"kill -9 kafka": 1}, quiet())
    assert shown.holds
    assert (shown.messages, shown.resent, shown.gap, shown.redelivered) == (6, 0, 0, 0)


def test_what_is_lost_is_named_with_its_place_on_the_log() -> None:
    seen = quiet()
    events = dict(seen.events)
    del events["1-('smoke', 'cleared', 2)"]
    gone = replace(
        seen,
        findings=seen.findings - {("home-00001", "smoke", "cleared")},
        events=events,
        stored=seen.stored - {key(1, 2)},
    )
    shown = report({}, gone)
    where = "readings.elderly 3/3, 3/4, 3/5"
    assert not shown.holds
    assert shown.unprocessed == [f"home-00001 smoke cleared: not found ({where})"]
    assert shown.lost == [f"home-00001 smoke cleared: not told ({where})"]
    assert shown.unwritten == [f"home-00001 at {key(1, 2)[1]} (readings.elderly 3/5)"]
    assert any(shown.lost[0] in line for line in shown.lines())


def test_what_is_told_twice_or_out_of_order_is_named_with_its_ids() -> None:
    seen = quiet(1)
    once, cleared, urgent = seen.events.values()
    again = {"b": cleared, "a": once, "c": urgent, "d": once}
    shown = report({}, replace(seen, events=again))
    assert not shown.lost
    assert [one.partition(" (")[0] for one in shown.doubled] == ["home-00000 smoke opened: a, d"]
    assert shown.disordered == ["incident home-00000 smoke: [2, 1, 1]"]


def test_an_event_of_what_did_not_happen_is_one_too_many() -> None:
    seen = quiet(1)
    more = {**seen.events, "x": event(0, "smoke", "reopened", 3)}
    assert len(report({}, replace(seen, events=more)).doubled) == 1


def test_what_a_killed_broker_lost_is_told_and_is_no_loss() -> None:
    seen = quiet(1)
    first, second, third = seen.sent
    twice = replace(
        seen,
        sent={first: 2, second: 2, third: 1},
        seen={**seen.seen, second: [(3, 1), (3, 7)]},
    )
    shown = report({}, twice)
    assert shown.holds
    assert (shown.resent, shown.gap) == (2, 1)
