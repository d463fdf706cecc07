"""What a lane makes of a rule's claims: who is told of what came late (DESIGN.md §3.9).

Old rows are judged and recorded, and page nobody; except that a call for help does, and a life-safety state
that is still open when its entity's backlog has ended, if neither is older than a day.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from streams.engine.book import Page
from zhiwei.clock import MICROS
from zhiwei.contracts import Claim, Round, State
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

_LATE = "late"


def standing(engine: "Engine", claim: Claim, page: Page, clock: int) -> Iterator[tuple[str, bool, bool]]:
    """(lane of the id, historical, late) of each finding that the claim makes; one, or two at its end."""
    if engine.lane is Lane.READINGS:
        yield "", False, False
        return
    age = engine.clocks.now[clock] - claim.at
    if engine.lane is Lane.URGENT:
        late = age > engine.policy.latency_us + LATE_US
        yield "urgent", age > PAGES_UP_TO_US, late and age <= PAGES_UP_TO_US
        return
    if claim.evidence.note == _LATE:
        yield _LATE, False, True
        return
    yield "backlog", True, False
    told = page.get(f"{_LATE}:{claim.rule}")
    if claim.phase is Phase.CLEARED and told is not None and told.open:
        yield _LATE, False, True


def watch_backlog(engine: "Engine", state: State, rows: Round) -> None:
    """Old rows of these entities have come: their backlog has not ended."""
    if engine.lane is Lane.BACKLOG:
        state["timer"][rows.entity, len(engine.rules.timers)] = rows.arrived + QUIET_US


def still_open(engine: "Engine", pages: Mapping[int, Page], at: Mapping[int, int]) -> list[Claim]:
    """Claims for what the ended backlogs have left open; keys are indices into the state."""
    found = []
    for entity, page in pages.items():
        for name, episode in page.items():
            lane, _, rule = name.partition(":")
            told = page.get(f"{_LATE}:{rule}")
            if (
                lane == "backlog"
                and episode.open
                and episode.kind in engine.scenario.life_safety
                and at[entity] - episode.onset <= PAGES_UP_TO_US
                and (told is None or not told.open)
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
