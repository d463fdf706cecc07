"""Commands as they are given: durable, then told; a double click is one."""

import asyncio

import pytest

from alerts.commands import Commands
from alerts.feed import Feed
from alerts.incident import Action
from alerts.store import folding
from alerts.store.folding import LogState, Run


@pytest.fixture
def incident(store, new_log, finding):
    log = new_log()
    log.append(finding())
    store.transact_here(lambda c: folding.start(c, LogState(log.id, "findings", ((0, 1),)), 5))
    applied = store.transact_here(
        lambda c: folding.apply(
            c,
            "findings",
            {0: Run(0, log.read("findings", 0, 0))},
            sinks=(),
            close_after_us=1,
            late_hold_us=0,
            now_us=5,
        )[0]
    )
    return applied.changes[0].incident.id


def test_a_double_click_is_one_command_told_once(store, clock, incident):
    feed, told, woken = Feed(), [], []
    feed.subscribe(told.extend)
    commands = Commands(store, clock, ("hook",), feed, lambda: woken.append(1))

    async def click_twice():
        return await asyncio.gather(
            *(commands.give("k", incident, Action.CONFIRM, "Wang", "rang back") for _ in range(2))
        )

    first, second = asyncio.run(click_twice())
    assert sorted([first.repeated, second.repeated]) == [False, True]
    assert first.event_id == second.event_id
    assert [(change.kind, change.command.who) for change in told] == [("confirmed", "Wang")]
    assert woken == [1]


def test_what_is_refused_is_not_told(store, clock, incident):
    feed, told = Feed(), []
    feed.subscribe(told.extend)
    commands = Commands(store, clock, (), feed, lambda: pytest.fail("nobody is to be woken"))
    outcome = asyncio.run(commands.give("k", incident, Action.REJECT, "Wang"))
    assert (outcome.refused, told) == ("no_reason", [])


def test_who_has_left_the_feed_hears_nothing_more():
    feed, told = Feed(), []
    leave = feed.subscribe(told.extend)
    feed.publish(["a"])
    leave()
    leave()
    feed.publish(["b"])
    assert told == ["a"]
