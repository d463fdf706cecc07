"""One world of the campaign: simulated, replayed and evaluated as the three commands do it."""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.evaluate import Card
from zhiwei.wiring.evaluate import evaluate
from zhiwei.wiring.replay import Summary, replay
from zhiwei.wiring.simulate import Wish, simulate

DAYS = 7.0
WEEK = {"elevator": 200, "water": 50, "elderly": 100}
"""Lifts, pump rooms and homes of the whole week."""
START = datetime.fromisoformat("2026-01-05T00:00:00+08:00")
FAULTS = Path(__file__).with_name("faults.toml")


@dataclass(frozen=True, slots=True)
class Scored:
    """A world and how it was judged."""

    scenario: str
    replayed: Summary
    card: Card
    cpu_s: dict[str, float]
    """CPU seconds of each step."""

    @property
    def passed(self) -> bool:
        """Everything that happened was found, and no false finding of life safety was raised.

        Of a world without field faults.
        """
        return not self.card.missed and self.card.life_safety.false.count == 0


def run(
    scenario: str,
    folder: Path,
    *,
    entities: int,
    days: float = DAYS,
    seed: int,
    event_rate: float | None = None,
    faults: Path | None = None,
) -> Scored:
    """Simulate, replay, evaluate. The files stay in the folder; a week of 200 lifts takes 1.3 GB there.

    Raises ZhiweiError.
    """
    world, labels, findings = (
        folder / f"{scenario}.{kind}.jsonl" for kind in ("world", "labels", "findings")
    )
    wish = Wish(
        scenario=scenario,
        entities=entities,
        days=days,
        seed=seed,
        start=START,
        event_rate=event_rate,
        faults=faults,
    )
    cpu = _Laps()
    simulate(wish, url=None, out=world, speed=None, labels=labels)
    cpu.lap("simulate")
    replayed = replay(world, scenario=scenario, out=findings)
    cpu.lap("replay")
    card = evaluate(findings, labels, scenario=scenario)
    cpu.lap("evaluate")
    return Scored(scenario, replayed, card, cpu.laps)


class _Laps:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.laps[name], self._last = now - self._last, now
