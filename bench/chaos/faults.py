"""What may happen to a bed: to a role, to a server, to the receiver; and in which order it does. Pure."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

SECOND = "stream-b"
"""The second worker of streams, which is taken away and brought back."""
WORKERS = ("stream", SECOND)
ROLES = ("ingest", *WORKERS, "alerts", "telemetry")
SERVERS = ("kafka", "mosquitto", "postgres", "influxdb")
WEBHOOK = "webhook"


class Act(StrEnum):
    """What is done to a target."""

    KILL = "kill -9"
    """Of a role or a server; it is started again at once."""
    RESTART = "restart"
    """Asked to end (SIGTERM, or what a server knows), and started again."""
    PAUSE = "pause"
    """SIGSTOP, and SIGCONT before anybody thinks it dead."""
    PAUSE_LONG = "pause beyond its session"
    """The same until Kafka has given a worker's partitions to another."""
    REMOVE = "remove"
    ADD = "add"
    REFUSE = "refuses connections"
    ANSWER_503 = "answers 503"
    SILENCE = "takes, and does not answer"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    act: Act
    target: str
    """A role, a server or the webhook."""

    def __str__(self) -> str:
        if self.target == WEBHOOK:
            return f"{self.target} {self.act}"
        verb, _, more = self.act.partition(" beyond ")
        return f"{verb} {self.target}" + (f" beyond {more}" if more else "")


EVERY = (
    *(Fault(act, role) for act in (Act.KILL, Act.RESTART, Act.PAUSE) for role in ROLES),
    *(Fault(act, server) for act in (Act.KILL, Act.RESTART, Act.PAUSE) for server in SERVERS),
    *(Fault(Act.PAUSE_LONG, worker) for worker in WORKERS),
    Fault(Act.REMOVE, SECOND),
    Fault(Act.ADD, SECOND),
    *(Fault(act, WEBHOOK) for act in (Act.REFUSE, Act.ANSWER_503, Act.SILENCE)),
)
"""Each kind once."""

SHORT = (
    *(Fault(Act.KILL, name) for name in (*ROLES, *SERVERS)),
    Fault(Act.PAUSE_LONG, "stream"),
    Fault(Act.REMOVE, SECOND),
    Fault(Act.ADD, SECOND),
    Fault(Act.REFUSE, WEBHOOK),
    Fault(Act.SILENCE, WEBHOOK),
)
"""For a test: everybody is killed once."""


def anything(_: Fault) -> bool:
    """Whether a fault can happen now, where all can."""
    return True


class Bag:
    """Faults in a shuffled order; when all were drawn it is filled again. So none is left out for long."""

    def __init__(self, faults: Iterable[Fault], chance: random.Random) -> None:
        self._faults: Sequence[Fault] = tuple(faults)
        self._chance = chance
        self._left: list[Fault] = []

    def draw(self, possible: Callable[[Fault], bool] = anything) -> Fault:
        """The next that is possible now; others before it stay for later. Raises LookupError for none."""
        for _ in range(2):
            for place, fault in enumerate(self._left):
                if possible(fault):
                    return self._left.pop(place)
            self._left += self._chance.sample(self._faults, len(self._faults))
        raise LookupError(f"none of {len(self._faults)} faults is possible now")


def possible(fault: Fault, *, second: bool) -> bool:
    """Whether it can happen now. second: whether the second worker is there."""
    if fault.target != SECOND:
        return True
    return second is not (fault.act is Act.ADD)
