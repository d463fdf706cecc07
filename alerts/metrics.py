"""What alerts counts. Counters here are hints since the start; the store's ledger is the truth."""

from zhiwei import metrics

RECORDS = metrics.counter(
    "zhiwei_alerts_records", "Records of the findings log, by what became of them", "bin"
)
REFUSALS = metrics.counter("zhiwei_alerts_refusals", "Records that changed no incident", "reason")
GAP = metrics.counter("zhiwei_alerts_gap_records", "Records the log no longer had when they were wanted")
LAG = metrics.gauge(
    "zhiwei_alerts_lag_records", "Records in the findings log that are not folded yet", "topic", "partition"
)
STALLED = metrics.gauge(
    "zhiwei_alerts_stalled_seconds", "How long records wait and none is folded", "topic", "partition"
)
TURNED = metrics.gauge("zhiwei_alerts_turn_timestamp_seconds", "When folding last went round")
FOLDED = metrics.gauge("zhiwei_alerts_folded_timestamp_seconds", "When a record was last folded")
HEARTBEAT = metrics.gauge("zhiwei_heartbeat_timestamp_seconds", "When the heartbeat was last taken")
DRILLS = metrics.histogram(
    "zhiwei_drill_seconds",
    "Drills that came back from a partition of readings, by the time from the broker to the event store",
    (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0),
    "topic",
    "partition",
)
DRILL_SENT = metrics.gauge(
    "zhiwei_drill_sent_timestamp_seconds",
    "When the newest drill that came back had left; until the first one, when alerts began to wait for it",
    "topic",
    "partition",
)
EVENTS = metrics.counter("zhiwei_alerts_events", "Events written, by what happened to the incident", "change")
CONSOLE_SERVED = metrics.gauge("zhiwei_console_served", "1 while the console listens")
CONSOLE_TURNED = metrics.gauge("zhiwei_console_turn_timestamp_seconds", "When the console's loop went round")
CONSOLE_READ = metrics.gauge(
    "zhiwei_console_read_timestamp_seconds", "When a console of its own process last read what alerts stored"
)
INCIDENTS = metrics.gauge("zhiwei_alerts_incidents", "Incidents that are not closed", "state")

ATTEMPTS = metrics.counter(
    "zhiwei_dispatch_attempts", "Attempts to deliver an event, by outcome", "sink", "lane", "outcome"
)
PENDING = metrics.gauge("zhiwei_dispatch_pending", "Events that wait for a receiver", "sink", "lane")
OLDEST = metrics.gauge(
    "zhiwei_dispatch_oldest_pending_seconds",
    "Age of the oldest event that waits for a receiver",
    "sink",
    "lane",
)
BREAKER = metrics.gauge(
    "zhiwei_dispatch_breaker", "0 = receiver is asked, 1 = one attempt to see, 2 = not asked", "sink"
)
