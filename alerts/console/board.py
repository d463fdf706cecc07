"""What is open now, kept in memory for all who watch: fed by what is stored, read by pages.

Each change gets a number; a page asks for what came after the number it has seen. A page that was away
for too long gets everything.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alerts.incident import Change, Handling, Incident, State
from zhiwei.types import Finding

LATEST = 60
"""Changes that are remembered for the list of the latest."""
_TOUCHED_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """An incident that is not closed, with the latest finding that was folded into it."""

    incident: Incident
    finding: Finding | None
    life_safety: bool

    @property
    def order(self) -> tuple[bool, int, bool, bool, float]:
        """Sorts by urgency: life safety, severity, still going on, not handled yet, latest."""
        one = self.incident
        return (
            not self.life_safety,
            -one.severity.rank,
            one.state not in (State.OPEN, State.HELD),
            one.handling is not Handling.NEW,
            -one.opened_at.timestamp(),
        )


@dataclass(frozen=True, slots=True)
class News:
    """What came after a number."""

    number: int
    """To ask with the next time."""
    entries: tuple[Entry, ...]
    removed: tuple[str, ...]
    latest: tuple[Change, ...]
    """Newest first."""
    everything: bool
    """These entries are all there are; forget the others."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are."""

    total: int
    unhandled: int
    life_safety: int
    by_severity: dict[str, int]


class Board:
    """Any thread may feed or read it."""

    def __init__(self, life_safety: frozenset[str]) -> None:
        self._life_safety = life_safety
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._touched: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Incident → (number of its last change, its sequence), also of closed ones."""
        self._latest: deque[tuple[int, Change]] = deque(maxlen=LATEST)
        self._number = 1  # 0 asks for everything
        self._forgotten = 0
        """Changes up to this number may be missing in ``_touched``."""

    def load(self, incidents: Iterable[tuple[Incident, Finding | None]], latest: Sequence[Change]) -> None:
        """Take what is stored; what was fed meanwhile is newer and stays. latest: newest first."""
        with self._lock:
            for incident, finding in incidents:
                known = self._touched.get(incident.id)
                if known is None or known[1] < incident.sequence:
                    self._put(incident, finding)
            fed = list(self._latest)
            fed_ids = {(change.incident.id, change.incident.sequence) for _, change in fed}
            self._latest.clear()
            for change in reversed(latest):
                if (change.incident.id, change.incident.sequence) not in fed_ids:
                    self._latest.append((self._number, change))
            self._latest.extend(fed)

    def feed(self, changes: Sequence[Change]) -> None:
        """Take changes that were stored, in order."""
        with self._lock:
            for change in changes:
                known = self._touched.get(change.incident.id)
                if known is not None and known[1] >= change.incident.sequence:
                    continue
                self._put(change.incident, change.finding)
                self._latest.append((self._number, change))

    def _put(self, incident: Incident, finding: Finding | None) -> None:
        self._number += 1
        self._touched.pop(incident.id, None)
        self._touched[incident.id] = (self._number, incident.sequence)
        if len(self._touched) > _TOUCHED_MOST:
            _, (number, _) = self._touched.popitem(last=False)
            self._forgotten = max(self._forgotten, number)
        if incident.state is State.CLOSED:
            self._entries.pop(incident.id, None)
            return
        before = self._entries.get(incident.id)
        finding = finding or (before.finding if before else None)
        self._entries[incident.id] = Entry(incident, finding, incident.kind in self._life_safety)

    def since(self, number: int) -> News:
        """What came after this number; 0 for everything."""
        with self._lock:
            if number == self._number and number:
                return News(number, (), (), (), everything=False)
            latest = [change for at, change in self._latest if at > number or number == 0]
            if number == 0 or number < self._forgotten:
                entries = tuple(sorted(self._entries.values(), key=lambda entry: entry.order))
                return News(self._number, entries, (), tuple(reversed(latest)), everything=True)
            changed = []
            for key, (at, _) in reversed(self._touched.items()):
                if at <= number:
                    break
                changed.append(key)
            entries = tuple(self._entries[key] for key in changed if key in self._entries)
            removed = tuple(key for key in changed if key not in self._entries)
            return News(self._number, entries, removed, tuple(reversed(latest)), everything=False)

    def sequence(self, incident: str) -> int:
        """Of the last change of an incident that is remembered; 0 for others."""
        with self._lock:
            return self._touched.get(incident, (0, 0))[1]

    def counts(self) -> Counts:
        """How many there are."""
        with self._lock:
            entries = tuple(self._entries.values())
        by_severity: dict[str, int] = {}
        unhandled = life_safety = 0
        for entry in entries:
            severity = entry.incident.severity.value
            by_severity[severity] = by_severity.get(severity, 0) + 1
            unhandled += entry.incident.handling is Handling.NEW
            life_safety += entry.life_safety
        return Counts(len(entries), unhandled, life_safety, by_severity)
