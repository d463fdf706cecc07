"""What a partition's progress looks like from outside: gauges of what waits, and since when."""

from dataclasses import dataclass, field

from zhiwei import metrics
from zhiwei.clock import MICROS, Clock

_PLACE = ("topic", "partition")
_applied = metrics.gauge("zhiwei_applied_offset", "Last record stepped", *_PLACE)
_saved = metrics.gauge("zhiwei_saved_offset", "Last record in a snapshot", *_PLACE)
_lag = metrics.gauge("zhiwei_lag_records", "Records in the log that are not stepped yet", *_PLACE)
_stalled = metrics.gauge("zhiwei_stalled_seconds", "How long records wait and none is stepped", *_PLACE)
_unsaved = metrics.gauge("zhiwei_unsaved_seconds", "Age of the oldest step that is in no snapshot", *_PLACE)
_applied_at = metrics.gauge("zhiwei_applied_timestamp_seconds", "When a record was last stepped", *_PLACE)
_ALL = (_applied, _saved, _lag, _stalled, _unsaved, _applied_at)


@dataclass(slots=True)
class Progress:
    """Of one partition, as long as it is ours; ``forget`` takes its gauges away."""

    topic: str
    number: int
    clock: Clock
    _told: int | None = None
    """Applied offset at the last ``tell``."""
    _stalled_since_s: float = field(init=False)
    _unsaved_since_s: float = field(init=False)
    _applied_us: int | None = None
    _is_over: bool = False

    def __post_init__(self) -> None:
        self._stalled_since_s = self._unsaved_since_s = self.clock.monotonic_s()

    def stepped(self, *, first: bool) -> None:
        """Records were stepped. first: since the last snapshot."""
        self._applied_us = self.clock.now_us()
        if first:
            self._unsaved_since_s = self.clock.monotonic_s()

    def saved(self, copied_s: float) -> None:
        """A snapshot was saved. copied_s: when its copy was made, monotonic."""
        self._unsaved_since_s = copied_s

    def tell(self, *, applied: int, saved: int, lag: int) -> None:
        """Bring the gauges up to date; to be called about once a second."""
        if self._is_over:
            return
        now_s = self.clock.monotonic_s()
        if lag <= 0 or applied != self._told:
            self._stalled_since_s = now_s
        self._told = applied
        place = self.topic, str(self.number)
        _applied.labels(*place).set(applied)
        _saved.labels(*place).set(saved)
        _lag.labels(*place).set(lag)
        _stalled.labels(*place).set(now_s - self._stalled_since_s)
        _unsaved.labels(*place).set(0 if applied == saved else now_s - self._unsaved_since_s)
        if self._applied_us is not None:
            _applied_at.labels(*place).set(self._applied_us / MICROS)

    def forget(self) -> None:
        """The partition is somebody else's: what is known of it would be taken for the present."""
        self._is_over = True
        for gauge in _ALL:
            metrics.forget(gauge, self.topic, str(self.number))
