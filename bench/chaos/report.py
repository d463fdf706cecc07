"""What a campaign cost, by name: each message or event that was lost, twice or out of order. Pure."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from bench.chaos.homes import TOPIC, Key, Place, home, key

_FOUND = (("smoke", "raised"), ("smoke", "cleared"), ("urgent.smoke", "raised"))
"""What streams find of a home: rule and phase."""
_TOLD = (("smoke", "opened"), ("smoke", "cleared"), ("urgent.smoke", "opened"))
"""What the receiver hears of a home: rule and event. The urgent lane makes an incident of its own, which is
open as long as another call would belong to it."""
_MOST_NAMED = 40
"""Of each count; the rest is only counted."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen at each end of the bed, when all was quiet again."""

    homes: int
    sent: Mapping[Key, int]
    """Key → how often the broker acknowledged it."""
    seen: Mapping[Key, Sequence[Place]]
    """Key → where it is on the log."""
    stored: Set[Key]
    """What is in InfluxDB."""
    findings: Set[tuple[str, str, str]]
    """Entity, rule and phase of everything on the findings log."""
    events: Mapping[str, Any]
    """Id → event, each once, in the order in which the receiver got them."""
    attempts: int
    """How often something was posted to the receiver."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done and what it cost: the first five say what is to be nothing, each with its name."""

    unprocessed: Sequence[str]
    """On the log, acknowledged by ingest, without their finding."""
    lost: Sequence[str]
    """Events that the receiver never got."""
    doubled: Sequence[str]
    """Events that no story has: told twice under different ids, or of what did not happen."""
    disordered: Sequence[str]
    """Events that came before an earlier one of their incident."""
    unwritten: Sequence[str]
    """Messages on the log that are not in InfluxDB."""
    faults: Mapping[str, int]
    homes: int
    messages: int
    resent: int
    """Messages published again because the MQTT broker was killed."""
    gap: int
    """Of these, those whose first copy the broker had acknowledged and lost."""
    redelivered: int
    """Attempts beyond one an event: the same id again, which is allowed."""

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or out of order."""
        return not any(named for _, named in self._costs())

    def lines(self) -> Iterator[str]:
        """A table for people; under each count that is not 0 what it is made of."""
        for name, count in sorted(self.faults.items()):
            yield f"  {name:<42}{count:>6}"
        yield f"faults {sum(self.faults.values())}, homes {self.homes}, messages {self.messages}"
        for what, named in self._costs():
            yield f"{what:<42}{len(named):>8}"
            yield from (f"    {one}" for one in named[:_MOST_NAMED])
        yield f"published again after the broker's death  {self.resent:>8} (it lost {self.gap} acknowledged)"
        yield f"delivered again under the same id         {self.redelivered:>8} (allowed)"

    def _costs(self) -> Sequence[tuple[str, Sequence[str]]]:
        return (
            ("acknowledged by ingest and not processed", self.unprocessed),
            ("events lost at the receiver", self.lost),
            ("events told twice (two ids)", self.doubled),
            ("events out of order within an incident", self.disordered),
            ("on the log and not in InfluxDB", self.unwritten),
        )


def report(faults: Mapping[str, int], seen: Evidence) -> Report:
    """Compare what was seen with the stories."""
    told: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    sequences: dict[str, list[int]] = defaultdict(list)
    for id_, event in seen.events.items():
        incident, kind = event["data"]["incident"], event["type"].rpartition(".")[2]
        told[incident["entity"], incident["rule"], kind].append(id_)
        sequences[incident["id"]].append(incident["sequence"])
    names = [home(number) for number in range(seen.homes)]
    found = [(name, *one) for name in names for one in _FOUND]
    wanted = [(name, *one) for name in names for one in _TOLD]
    places = _places(seen)
    once = set(wanted)
    return Report(
        unprocessed=[
            f"{' '.join(one)}: not found ({places[one[0]]})" for one in found if one not in seen.findings
        ],
        lost=[f"{' '.join(one)}: not told ({places[one[0]]})" for one in wanted if one not in told],
        doubled=[
            f"{' '.join(one)}: {', '.join(ids)} ({places.get(one[0], 'no home of ours')})"
            for one, ids in told.items()
            for _ in ids[1:] or ids[one in once :]
        ],
        disordered=[
            f"incident {id_}: {order}"
            for id_, order in sequences.items()
            if any(a > b for a, b in itertools.pairwise(order))
        ],
        unwritten=[
            f"{name} at {ts} ({TOPIC} {_at(where)})"
            for (name, ts), where in seen.seen.items()
            if (name, ts) not in seen.stored
        ],
        faults=faults,
        homes=seen.homes,
        messages=len(seen.sent),
        resent=sum(count - 1 for count in seen.sent.values()),
        gap=sum(count > 1 and len(set(seen.seen.get(one, ()))) < count for one, count in seen.sent.items()),
        redelivered=seen.attempts - len(seen.events),
    )


def _places(seen: Evidence) -> dict[str, str]:
    """Home → where its messages are on the log."""
    stories = {home(number): [key(number, step) for step in range(3)] for number in range(seen.homes)}
    return {
        name: f"{TOPIC} {', '.join(_at(seen.seen.get(one, ())) for one in story)}"
        for name, story in stories.items()
    }


def _at(places: Sequence[Place]) -> str:
    return " and ".join(f"{partition}/{offset}" for partition, offset in places) or "nowhere"


def by_kind(faults: Sequence[object]) -> dict[str, int]:
    """How often each was done."""
    return dict(Counter(map(str, faults)))
