"""What ingest counts, in Prometheus' terms. One call for each batch, never one for each message."""

from ingest.intake import Closed
from zhiwei import metrics

_MESSAGES = metrics.counter("zhiwei_ingest_messages", "MQTT messages that are in the log or in quarantine")
_BYTES = metrics.counter("zhiwei_ingest_bytes", "Payload bytes of these messages")
_ROWS = metrics.counter("zhiwei_ingest_rows", "Rows appended", "scenario")
_FRAMES = metrics.counter("zhiwei_ingest_frames", "Frames appended", "scenario")
_REJECTED = metrics.counter("zhiwei_ingest_rejected", "Rejections in quarantine", "reason", "scope")
SESSIONS_LOST = metrics.gauge("zhiwei_ingest_sessions_lost", "Times the broker had forgotten our session")
CONNECTIONS = metrics.gauge("zhiwei_ingest_connections", "Connections that the broker accepted")
DRILLS = metrics.counter("zhiwei_ingest_drills", "Drills sent to the broker")
UNACKED = metrics.gauge("zhiwei_ingest_unacked", "Messages received and not acknowledged yet")
LIVE = metrics.gauge("zhiwei_ingest_live", "1 while intake is proven live: ticks are written")
WITHHELD = metrics.gauge("zhiwei_ingest_withheld", "1 while PUBACKs are withheld: the log takes nothing")
TURNED = metrics.gauge("zhiwei_ingest_turn_timestamp_seconds", "When the loop last went round")
APPENDED = metrics.gauge("zhiwei_ingest_append_timestamp_seconds", "When a batch was last made durable")
APPEND_S = metrics.histogram(
    "zhiwei_ingest_append_seconds",
    "Time to make a batch durable",
    (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0),
)


def count(closed: Closed) -> None:
    """A batch that is durable."""
    _MESSAGES.inc(closed.packets)
    _BYTES.inc(closed.bytes)
    for scenario, rows in closed.rows.items():
        _ROWS.labels(scenario).inc(rows)
        _FRAMES.labels(scenario).inc(closed.frames[scenario])
    for (reason, scope), times in closed.rejected.items():
        _REJECTED.labels(reason, scope).inc(times)
