"""How findings compare with what truly happened: pure scoring, no file and no clock.

One episode is all revisions of one finding. Which label an episode answers, what else it may be, and what is
counted as false is described in docs/simulate.md; the words here are the same.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from statistics import median

from models.intervals import poisson, wilson
from zhiwei.clock import MICROS, to_us
from zhiwei.types import Finding, Phase

DAY_US = 86_400 * MICROS
EARLY_US = 60 * MICROS
"""An episode may come so long before its label: clocks differ, and values are rounded."""
LATE_US = 1800 * MICROS
"""And so long after its end: holds, intervals of reporting and uploads take their time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What truly happened. Times are µs UTC."""

    entity: str
    kind: str
    """The finding that would be right; empty where none would be."""
    onset: int
    end: int
    life_safety: bool = False
    fault: str | None = None
    suspected_as: tuple[str, ...] = ()
    """Kinds that may say it as a suspicion, never as more."""
    also: tuple[str, ...] = ()
    """Kinds that are true as well meanwhile, whatever they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One finding through all its revisions. Times are µs UTC, of the world."""

    id: str
    entity: str
    kind: str
    onset: int
    """As last revised."""
    first: int
    """When it was first said, as a suspicion or more."""
    raised: int | None
    """When it was first raised; None: it stayed a suspicion."""
    historical: bool


class Verdict(StrEnum):
    """What an episode is."""

    FOUND = "found"
    """It answers a label of its kind."""
    FAULT_FOUND = "fault_found"
    """It answers the label of a field fault."""
    ACCOMPANYING = "accompanying"
    """Another kind than the label's while something happened; of life safety only where the label says so."""
    HISTORICAL = "historical"
    """Answers nothing, but it paged nobody."""
    SUSPECTED = "suspected"
    """Answers nothing and was never raised."""
    FALSE_IN_FAULT = "false_in_fault"
    """A false alarm while the entity had a field fault."""
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much was watched."""

    entities: int
    days: float

    @property
    def entity_days(self) -> float:
        return self.entities * self.days


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with the 95 % interval (Wilson); NaN of nothing."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.of)


@dataclass(frozen=True, slots=True)
class Rate:
    """A count over a time, with the 95 % interval (Poisson)."""

    count: int
    entity_days: float

    @property
    def per_day(self) -> float:
        return self.count / self.entity_days

    @property
    def per_year(self) -> float:
        """Per entity and year of 365.25 days: a lift-year, a home-year."""
        return self.per_day * 365.25

    @property
    def interval(self) -> tuple[float, float]:
        """Per entity and day."""
        low, high = poisson(self.count)
        return low / self.entity_days, high / self.entity_days


@dataclass(frozen=True, slots=True)
class Delays:
    """From the onset of the truth, in seconds; NaN where there are none."""

    median_s: float
    p90_s: float
    count: int

    @classmethod
    def of(cls, delays_us: Sequence[int]) -> "Delays":
        """The 90th percentile is by nearest rank."""
        if not delays_us:
            return cls(math.nan, math.nan, 0)
        ranked = sorted(delays_us)
        p90 = ranked[math.ceil(0.9 * len(ranked)) - 1]
        return cls(median(ranked) / MICROS, p90 / MICROS, len(ranked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of one kind, or of several together."""

    name: str
    life_safety: bool
    found: Share
    raised: Share
    """Labels whose finding was not only suspected."""
    duplicates: int
    """Further episodes about what had been found already."""
    first: Delays
    """Until it was first said."""
    raise_: Delays
    """Until it was raised."""
    false: Rate
    """False alarms, also those during field faults."""
    false_in_fault: int
    suspected: int
    accompanying: int
    historical: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultScore:
    """Of one sort of field fault."""

    name: str
    entities: int
    """Labels: an entity each."""
    found: Share
    """Of those that have a finding that would be right."""
    false: int
    """False alarms on these entities meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The whole comparison."""

    extents: Mapping[str, Extent]
    """By scenario."""
    all: Score
    life_safety: Score
    kinds: tuple[Score, ...]
    faults: tuple[FaultScore, ...]
    missed: tuple[Label, ...]
    false: tuple[Episode, ...]
    """In order of time."""


def episodes(findings: Iterable[Finding]) -> list[Episode]:
    """All revisions of each finding as one episode, in order of (first, id). Any order of input."""
    ranked = sorted(findings, key=lambda finding: (finding.id, finding.rev))
    found = []
    for id_, group in groupby(ranked, key=lambda finding: finding.id):
        revisions = list(group)
        # A file may begin in the middle of an episode: an update says that it was raised.
        raised = [f for f in revisions if f.phase in (Phase.RAISED, Phase.UPDATED)]
        first, last = revisions[0], revisions[-1]
        found.append(
            Episode(
                id=id_,
                entity=first.entity,
                kind=first.kind,
                onset=to_us(last.onset),
                first=to_us(first.at),
                raised=to_us(raised[0].at) if raised else None,
                historical=all(f.historical for f in revisions),
            )
        )
    return sorted(found, key=lambda episode: (episode.first, episode.id))


def score(
    found: Sequence[Episode],
    labels: Sequence[Label],
    *,
    extents: Mapping[str, Extent],
    life_safety: Collection[str] = (),
    early_us: int = EARLY_US,
    late_us: int = LATE_US,
) -> Card:
    """Compare. extents: by scenario, which is what a kind begins with; each kind's must be there.

    life_safety: kinds beside those that the labels call so. Raises ValueError where an extent is missing.
    """
    critical = {*life_safety, *(label.kind for label in labels if label.life_safety)}
    judged = _Judged(found, labels, critical, early_us, late_us)
    kinds = sorted({label.kind for label in judged.events} | {episode.kind for episode in found})
    missing = sorted({kind.split(".")[0] for kind in kinds} - set(extents))
    if missing:
        raise ValueError(f"nothing says how much of {', '.join(missing)} was watched")
    total = sum(extent.entity_days for extent in extents.values())
    return Card(
        extents=extents,
        all=judged.score("all", kinds, total),
        life_safety=judged.score("life safety", [kind for kind in kinds if kind in critical], total),
        kinds=tuple(judged.score(kind, [kind], extents[kind.split(".")[0]].entity_days) for kind in kinds),
        faults=judged.fault_scores(),
        missed=tuple(label for number, label in enumerate(judged.events) if not judged.answers[number]),
        false=tuple(
            episode
            for episode, (verdict, _) in zip(found, judged.verdicts, strict=True)
            if verdict in (Verdict.FALSE, Verdict.FALSE_IN_FAULT)
        ),
    )


class _Judged:
    """Every episode's verdict, and every label's answers."""

    def __init__(
        self,
        found: Sequence[Episode],
        labels: Sequence[Label],
        critical: Collection[str],
        early_us: int,
        late_us: int,
    ) -> None:
        self.found, self.critical = found, critical
        self._early, self._late = early_us, late_us
        self.events = sorted((x for x in labels if x.fault is None), key=_order)
        self.faults = sorted((x for x in labels if x.fault is not None), key=_order)
        self._events_of, self._faults_of = _by_entity(self.events), _by_entity(self.faults)
        self.answers: dict[int, list[Episode]] = defaultdict(list)
        """Number of an event → its episodes, in order."""
        self.fault_answers: dict[int, list[Episode]] = defaultdict(list)
        self.verdicts = [self._judge(episode) for episode in found]
        """And the numbers of the fault labels under which an episode was false."""

    def _judge(self, episode: Episode) -> tuple[Verdict, tuple[int, ...]]:
        events = [n for n in self._events_of[episode.entity] if self._covers(self.events[n], episode)]
        faults = [n for n in self._faults_of[episode.entity] if self._covers(self.faults[n], episode)]
        answered = [n for n in events if _answers(self.events[n], episode)]
        if answered:
            # The label that began last: an event's own finding comes before the next event.
            self.answers[answered[-1]].append(episode)
            return Verdict.FOUND, ()
        right = [n for n in faults if self.faults[n].kind == episode.kind]
        if right:
            self.fault_answers[right[-1]].append(episode)
            return Verdict.FAULT_FOUND, ()
        also = any(episode.kind in self.events[n].also for n in events)
        if also or (events and episode.kind not in self.critical):
            return Verdict.ACCOMPANYING, ()
        if episode.historical:
            return Verdict.HISTORICAL, ()
        if episode.raised is None:
            return Verdict.SUSPECTED, ()
        return (Verdict.FALSE_IN_FAULT, tuple(faults)) if faults else (Verdict.FALSE, ())

    def _covers(self, label: Label, episode: Episode) -> bool:
        return label.onset - self._early <= episode.first <= label.end + self._late

    def score(self, name: str, kinds: Collection[str], entity_days: float) -> Score:
        """Of these kinds together."""
        mine = [n for n, label in enumerate(self.events) if label.kind in kinds]
        answers = [(self.events[n], self.answers[n]) for n in mine if self.answers[n]]
        raised = [
            min(e.raised for e in said if e.raised is not None) - label.onset
            for label, said in answers
            if any(e.raised is not None for e in said)
        ]
        count = dict.fromkeys(Verdict, 0)
        for episode, (verdict, _) in zip(self.found, self.verdicts, strict=True):
            count[verdict] += episode.kind in kinds
        return Score(
            name=name,
            life_safety=bool(kinds) and all(kind in self.critical for kind in kinds),
            found=Share(len(answers), len(mine)),
            raised=Share(len(raised), len(mine)),
            duplicates=sum(
                sum(e.kind == label.kind for e in said) - 1
                for label, said in answers
                if any(e.kind == label.kind for e in said)
            ),
            first=Delays.of([said[0].first - label.onset for label, said in answers]),
            raise_=Delays.of(raised),
            false=Rate(count[Verdict.FALSE] + count[Verdict.FALSE_IN_FAULT], entity_days),
            false_in_fault=count[Verdict.FALSE_IN_FAULT],
            suspected=count[Verdict.SUSPECTED],
            accompanying=count[Verdict.ACCOMPANYING],
            historical=count[Verdict.HISTORICAL],
        )

    def fault_scores(self) -> tuple[FaultScore, ...]:
        """By name of the fault."""
        scores = []
        for name in sorted({str(label.fault) for label in self.faults}):
            mine = {n for n, label in enumerate(self.faults) if label.fault == name}
            expected = [n for n in mine if self.faults[n].kind]
            scores.append(
                FaultScore(
                    name=name,
                    entities=len(mine),
                    found=Share(sum(bool(self.fault_answers[n]) for n in expected), len(expected)),
                    false=sum(bool(mine.intersection(under)) for _, under in self.verdicts),
                )
            )
        return tuple(scores)


def _answers(label: Label, episode: Episode) -> bool:
    """Whether the episode says what the label says."""
    if episode.kind == label.kind:
        return True
    return episode.raised is None and episode.kind in label.suspected_as


def _by_entity(labels: Sequence[Label]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for number, label in enumerate(labels):
        found[label.entity].append(number)
    return found


def _order(label: Label) -> tuple[int, int, str, str]:
    return label.onset, label.end, label.entity, label.kind
