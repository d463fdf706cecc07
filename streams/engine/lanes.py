"""What a lane makes of a rule's claims: who is told of what came late (DESIGN.md §3.9).

Old rows are judged and recorded, and page nobody; except that a call for help does, and a life-safety state
that is still open when its entity's backlog has ended, if neither is older than a day. Nothing here may
depend on how far the log has been read beyond the row at hand: findings are the same however it is cut.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.engine.batch import NO_TIME
from streams.engine.book import Page
from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Bools, Claim, Floats, Ints, Round, State
from zhiwei.lanes import Lane
from zhiwei.types import Evidence, Observation, Phase, Severity

if TYPE_CHECKING:
    from streams.engine.engine import Engine

BACKLOG_OVER = "silence.backlog"
"""The engine's own timer on the backlog lane: no old row of the entity has come for a while."""
QUIET_US = 10 * MICROS
"""Engine time without an old row after which an entity's backlog has ended."""
LATE_US = 60 * MICROS
"""Beyond the normal latency: what is older was late."""
PAGES_UP_TO_US = 24 * 3600 * MICROS
"""What is older than this pages nobody."""

_URGENT, _OLD, _BACKLOG, _LATE = "urgent", "urgent.old", "backlog", "late"


class Standing(NamedTuple):
    """What one claim comes to on a page."""

    lane: str
    """Of the page's entry, and so of the id."""
    claim: Claim
    historical: bool = False
    late: bool = False


def standing(engine: "Engine", claim: Claim, page: Page, age: int, *, own: bool) -> Iterator[Standing]:
    """Each finding that a claim makes: one, or two at an end.

    age: µs, of the claim when its row came; 0 for a deadline. own: the claim is ``still_open``'s.
    """
    if engine.lane is Lane.READINGS:
        yield Standing("", claim)
    elif engine.lane is Lane.URGENT:
        yield from _called(engine, claim, page, age)
    elif own:
        yield Standing(_LATE, claim, late=True)
    else:
        yield Standing(_BACKLOG, claim, historical=True)
        if claim.phase is Phase.CLEARED and _open(page, _LATE, claim.rule):
            yield Standing(_LATE, claim, late=True)


def _called(engine: "Engine", claim: Claim, page: Page, age: int) -> Iterator[Standing]:
    """A call that is too old to page has an entry of its own: the next one is news, and no update of it."""
    late = age > engine.policy.latency_us + LATE_US
    fresh, old = (_open(page, lane, claim.rule) for lane in (_URGENT, _OLD))
    if claim.phase is Phase.CLEARED:
        if fresh or not old:
            yield Standing(_URGENT, claim, late=late)
        if old:
            yield Standing(_OLD, claim, historical=True)
    elif age > PAGES_UP_TO_US and not fresh:
        yield Standing(_OLD, claim, historical=True)
    elif old and not fresh:
        yield Standing(_URGENT, replace(claim, phase=Phase.RAISED), late=late)
    else:
        yield Standing(_URGENT, claim, late=late)


def _open(page: Page, lane: str, rule: str) -> bool:
    episode = page.get(f"{lane}:{rule}")
    return episode is not None and episode.open


def calls(engine: "Engine", values: Floats) -> Bools:
    """(n,) whether a row of the urgent lane calls for help: then it counts although a newer one came first.

    One device may have a button and a smoke detector. values: (n, channels).
    """
    schema = engine.scenario.schema
    found = [schema.channel(name) for name in engine.channels]
    triggers = [place for place, channel in enumerate(found) if channel is not None and channel.trigger]
    return np.asarray((values[:, triggers] == 1.0).any(axis=1))


def is_silence(timer: str) -> bool:
    """Whether a deadline goes by engine time and not by that of events; its name says so."""
    return timer.startswith("silence")


def watch_backlog(engine: "Engine", state: State, rows: Round) -> None:
    """Old rows of these entities have come: their backlog has not ended. Nobody is silent here: when old rows
    come, and that no more do, says nothing of whether their device is heard."""
    if engine.lane is Lane.BACKLOG:
        timers = engine.rules.timers
        silence = [place for place, name in enumerate(timers) if is_silence(name)]
        state["timer"][rows.entity[:, None], silence] = NEVER
        state["timer"][rows.entity, len(timers)] = rows.arrived + QUIET_US


def held_back(engine: "Engine", timer: Ints, limits: Ints, at: Ints | None = None) -> Ints:
    """Up to where deadlines have passed, all (n, timers), while old rows still come.

    By engine time an old row's deadlines have all passed when it comes; only the next rows say what was.
    So until the backlog has ended, event time goes by the rows alone. at: (n,) of the rows, None = no row.
    """
    if engine.lane is not Lane.BACKLOG:
        return limits
    over = timer[:, -1]
    waits = (over != NEVER) & (over > limits[:, -1])
    event = np.array([not is_silence(name) for name in engine.timers], bool)
    reached = np.full(len(limits), NO_TIME) if at is None else at
    return np.where(waits[:, None] & event, reached[:, None], limits)


def still_open(engine: "Engine", pages: Mapping[int, Page], at: Mapping[int, int]) -> list[Claim]:
    """Claims for what the ended backlogs have left open; keys are indices into the state."""
    found = []
    for entity, page in pages.items():
        for name, episode in page.items():
            lane, _, rule = name.partition(":")
            if (
                lane == _BACKLOG
                and episode.open
                and episode.kind in engine.scenario.life_safety
                and at[entity] - episode.onset <= PAGES_UP_TO_US
                and not _open(page, _LATE, rule)
            ):
                age_s = (at[entity] - episode.onset) / MICROS
                seen = Observation(name="age", observed=age_s, unit="s")
                found.append(
                    Claim(
                        entity=entity,
                        kind=episode.kind,
                        rule=rule,
                        phase=Phase.RAISED,
                        at=at[entity],
                        onset=episode.onset,
                        score=1.0,
                        severity=Severity.CRITICAL,
                        evidence=Evidence(observations=(seen,), note=_LATE),
                    )
                )
    return found
