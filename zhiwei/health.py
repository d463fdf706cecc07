"""Is a role making progress? A pure judgement of its own figures; that its process runs says nothing.

What is judged: whether what waits is taken up, how long the oldest of it waits, how old the last thing
done is. ``/health`` of each role and ``zhiwei doctor`` ask here; restarts are the watchdog's business
(``zhiwei/watchdog.py``), which knows hanging from waiting for somebody else.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zhiwei.lanes import Lane
from zhiwei.metrics import Samples
from zhiwei.settings import Health as Limits

_PLACES_MOST = 3
"""Named in one reason."""


@dataclass(frozen=True, slots=True)
class Health:
    """A verdict, and why it is no better."""

    role: str
    reasons: tuple[str, ...] = ()
    """What is wrong, the figure and its limit in each; empty where nothing is."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """One word for it."""
        return "good" if self.good else "bad"


def judge(role: str, samples: Samples, now_s: float, limits: Limits) -> Health:
    """The health of a role by its metrics.

    role: one of ROLES. samples: all of that process. now_s: since the epoch.
    """
    return Health(role, tuple(_JUDGES[role](samples, now_s, limits)))


def _ingest(samples: Samples, now_s: float, limits: Limits) -> Iterator[str]:
    yield from _standing(samples, "zhiwei_ingest_turn_timestamp_seconds", now_s, limits)
    if not _value(samples, "zhiwei_ingest_live"):
        yield "intake is not proven live: our own message does not come back through the broker"
    if _value(samples, "zhiwei_ingest_withheld"):
        yield "the log takes nothing, and no message is acknowledged"
    appended_s = _value(samples, "zhiwei_ingest_append_timestamp_seconds")
    if not appended_s:
        yield "nothing was appended to the log yet"
    elif (age_s := now_s - appended_s) > limits.idle_s:
        yield f"the last append to the log is {age_s:.0f} s old, limit {limits.idle_s:g} s"


def _stream(samples: Samples, now_s: float, limits: Limits) -> Iterator[str]:
    yield from _standing(samples, "zhiwei_stream_turn_timestamp_seconds", now_s, limits)
    lags = _each(samples, "zhiwei_lag_records", "topic", "partition")
    stalls = _each(samples, "zhiwei_stalled_seconds", "topic", "partition")
    for place, lag in lags.items():
        if (stalled_s := stalls.get(place, 0.0)) > limits.stalled_s:
            yield f"{'/'.join(place)}: {lag:.0f} records wait and none was applied for {stalled_s:.0f} s"
        # Old rows may wait: that is what their lane is for.
        elif lag > limits.lag_records and not place[0].startswith(f"{Lane.BACKLOG}."):
            yield f"{'/'.join(place)}: {lag:.0f} records wait, limit {limits.lag_records}"
    for place, age_s in _each(samples, "zhiwei_unsaved_seconds", "topic", "partition").items():
        if age_s > limits.unsaved_s:
            yield f"{'/'.join(place)}: no snapshot for {age_s:.0f} s, limit {limits.unsaved_s:g} s"
    came = _each(samples, "zhiwei_applied_timestamp_seconds", "topic", "partition")
    # A tick comes each second while intake lives; one partition may be ours for a moment only.
    if came and (age_s := now_s - max(came.values())) > limits.idle_s:
        yield f"no record came for {age_s:.0f} s, limit {limits.idle_s:g} s: look at ingest"


def _alerts(samples: Samples, now_s: float, limits: Limits) -> Iterator[str]:
    yield from _standing(samples, "zhiwei_alerts_turn_timestamp_seconds", now_s, limits)
    folded_s = _value(samples, "zhiwei_alerts_folded_timestamp_seconds")
    if not folded_s:
        yield "nothing was folded yet"
    elif (age_s := now_s - folded_s) > limits.quiet_s:
        # Streams passes time on once a minute, as long as ticks come: the whole path is in this.
        yield f"nothing came from streams for {age_s:.0f} s, limit {limits.quiet_s:g} s: look at streams"
    yield from _drills(samples, now_s, limits)
    lags = _each(samples, "zhiwei_alerts_lag_records", "topic", "partition")
    for place, stalled_s in _each(samples, "zhiwei_alerts_stalled_seconds", "topic", "partition").items():
        if stalled_s > limits.stalled_s:
            lag = lags.get(place, 0)
            yield f"{'/'.join(place)}: {lag:.0f} records wait and none was folded for {stalled_s:.0f} s"
    for (sink, lane), age_s in _each(
        samples, "zhiwei_dispatch_oldest_pending_seconds", "sink", "lane"
    ).items():
        limit_s = limits.urgent_pending_s if lane == "urgent" else limits.ordinary_pending_s
        if age_s > limit_s:
            yield f"{sink}, {lane}: the oldest event waits for {age_s:.0f} s, limit {limit_s:g} s"


def _drills(samples: Samples, now_s: float, limits: Limits) -> Iterator[str]:
    """One reason, however many partitions: most often they fail together."""
    sent = _each(samples, "zhiwei_drill_sent_timestamp_seconds", "topic", "partition")
    overdue = {place: age_s for place, at_s in sent.items() if (age_s := now_s - at_s) > limits.drill_s}
    if overdue:
        first = ", ".join("/".join(place) for place in list(overdue)[:_PLACES_MOST])
        more = f" and {len(overdue) - _PLACES_MOST} more" if len(overdue) > _PLACES_MOST else ""
        yield (
            f"{first}{more}: no drill that came back is younger than {min(overdue.values()):.0f} s, "
            f"limit {limits.drill_s:g} s: look at ingest, then at streams"
        )


def _telemetry(samples: Samples, now_s: float, limits: Limits) -> Iterator[str]:
    yield from _standing(samples, "zhiwei_telemetry_turn_timestamp_seconds", now_s, limits)
    sent_s = _value(samples, "zhiwei_influx_sent_timestamp_seconds")
    if not sent_s:
        yield "nothing was written to InfluxDB yet"
    elif (age_s := now_s - sent_s) > limits.unwritten_s:
        yield f"what waits was not written to InfluxDB for {age_s:.0f} s, limit {limits.unwritten_s:g} s"
    for place, lag in _each(samples, "zhiwei_influx_lag_records", "topic", "partition").items():
        if lag > limits.lag_records and not place[0].startswith(f"{Lane.BACKLOG}."):
            yield f"{'/'.join(place)}: {lag:.0f} records wait, limit {limits.lag_records}"


def _console(samples: Samples, now_s: float, limits: Limits) -> Iterator[str]:
    yield from _standing(samples, "zhiwei_console_turn_timestamp_seconds", now_s, limits)
    if not _value(samples, "zhiwei_console_served"):
        yield "the console is not served: its log says why"
    read_s = _value(samples, "zhiwei_console_read_timestamp_seconds")
    if read_s and (age_s := now_s - read_s) > limits.stalled_s:
        yield f"the event store was not read for {age_s:.0f} s, limit {limits.stalled_s:g} s: the list is old"


_JUDGES: dict[str, Callable[[Samples, float, Limits], Iterator[str]]] = {
    "ingest": _ingest,
    "stream": _stream,
    "alerts": _alerts,
    "telemetry": _telemetry,
    "console": _console,
}
ROLES = tuple(_JUDGES)


def _standing(samples: Samples, name: str, now_s: float, limits: Limits) -> Iterator[str]:
    """The role's own turns: where they stand still, its other figures are old and say nothing."""
    turned_s = _value(samples, name)
    if not turned_s:
        yield "it has not begun to work yet"
    elif (age_s := now_s - turned_s) > limits.stalled_s:
        yield f"it hangs: its last turn is {age_s:.0f} s old, limit {limits.stalled_s:g} s"


def _value(samples: Samples, name: str) -> float:
    return samples.get((name, ()), 0.0)


def _each(samples: Samples, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Values of a name by its labels, in order of these."""
    found = {
        tuple(dict(have)[label] for label in labels): value
        for (one, have), value in samples.items()
        if one == name
    }
    return dict(sorted(found.items()))
