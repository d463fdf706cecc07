"""Where drills end: the sink that counts them. Nobody is told, and nothing is stored.

A drill counts when the transaction that read it from the findings log is durable: what a finding beside it
would have become is then an incident, with its events in the outbox. How long these wait for a receiver has
figures of its own.
"""

from collections.abc import Sequence

from alerts import metrics
from zhiwei.clock import MICROS, Clock, to_us
from zhiwei.types import Drill

Place = tuple[str, int]
"""Topic of the readings log, and partition."""


class Drills:
    """Counts and times what comes back from each partition that is drilled."""

    def __init__(self, places: Sequence[Place], clock: Clock) -> None:
        """places: those waited for, from now on; a drill of another one is nobody's concern."""
        self._clock = clock
        self._sent_us = dict.fromkeys(places, clock.now_us())
        for place in places:
            self._tell(place)

    def count(self, drills: Sequence[Drill]) -> None:
        """Take note of drills whose transaction is durable; one that comes again counts once."""
        now_us = self._clock.now_us()
        for drill in drills:
            place, sent_us = (drill.topic, drill.partition), to_us(drill.sent)
            if sent_us <= self._sent_us.get(place, sent_us):
                continue
            metrics.DRILLS.labels(drill.topic, str(drill.partition)).observe(
                max(0, now_us - sent_us) / MICROS
            )
            self._sent_us[place] = sent_us
            self._tell(place)

    def _tell(self, place: Place) -> None:
        topic, partition = place
        metrics.DRILL_SENT.labels(topic, str(partition)).set(self._sent_us[place] / MICROS)
