"""The live terminal view: what comes in, where it stands, what was found, what was told to whom.

On a terminal a table that is drawn anew; elsewhere plain lines, for logs and tests. It only reads: the
metrics files of the roles, and in the demo what the receiver got.
"""

import sys
from collections.abc import Sequence
from types import TracebackType

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from zhiwei import metrics
from zhiwei.settings import Settings
from zhiwei.types import Finding, Observation, Severity
from zhiwei.wiring.receiver import Received, Receiver
from zhiwei.wiring.supervisor import Child

_EVERY_S = 0.5
_RATE_S = 2.0
"""Over which a rate is taken; the figures themselves are written once a second."""
_STATUS_S = 10.0
"""Between two status lines where there is no terminal."""
_LINES = 12
_COLOUR = {
    Severity.CRITICAL: "bold red",
    Severity.MAJOR: "red",
    Severity.MINOR: "yellow",
    Severity.INFO: "cyan",
}


class _Incident(msgspec.Struct):
    id: str
    entity: str
    kind: str
    severity: Severity


class _Data(msgspec.Struct):
    incident: _Incident
    finding: Finding | None = None


class _Event(msgspec.Struct):
    id: str
    type: str
    time: str
    data: _Data


_event = msgspec.json.Decoder(_Event)


class Status(msgspec.Struct, frozen=True):
    """The figures of one moment."""

    messages: float
    rate: float
    """Messages per second lately."""
    frames: float
    lag: float
    applied: float
    findings: float
    incidents: float
    events: float
    delivered: float
    pending: float
    quarantined: float
    sessions_lost: float
    live: bool
    restarts: int


class View:
    """See the head of this file. ``refresh`` may be called as often as one likes."""

    def __init__(self, settings: Settings, receiver: Receiver | None = None) -> None:
        self._run = settings.data / "run"
        self._receiver = receiver
        self._port = settings.mqtt.port
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._drawn_s = self._said_s = float("-inf")
        self._before = (0.0, 0.0)
        self._rate = 0.0
        self._shown = 0
        self._lines: list[Text] = []

    def __enter__(self) -> "View":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def refresh(self, children: Sequence[Child], now_s: float) -> None:
        """Draw, if it is time."""
        if now_s - self._drawn_s < _EVERY_S:
            return
        self._drawn_s = now_s
        status = self._status(children, now_s)
        fresh = self._fresh_events()
        if self._live:
            self._lines = [*self._lines, *fresh][-_LINES:]
            self._live.update(Group(_table(status, children), *self._lines), refresh=True)
            return
        if fresh and self._shown == len(fresh):
            print("events are arriving:")
        for line in fresh:
            print(line.plain)
        if now_s - self._said_s >= _STATUS_S:
            self._said_s = now_s
            print(_sentence(status))
        sys.stdout.flush()

    def _status(self, children: Sequence[Child], now_s: float) -> Status:
        ingest, streams, alerts = (
            metrics.read(self._run / f"{role}.prom") for role in ("ingest", "streams", "alerts")
        )
        messages = metrics.total(ingest, "zhiwei_ingest_messages_total")
        before_s, before = self._before
        if now_s - before_s >= _RATE_S:
            self._rate = max(0.0, messages - before) / (now_s - before_s) if before_s else 0.0
            self._before = (now_s, messages)
        return Status(
            messages=messages,
            rate=self._rate,
            frames=metrics.total(ingest, "zhiwei_ingest_frames_total"),
            lag=metrics.total(streams, "zhiwei_lag_records"),
            applied=metrics.total(streams, "zhiwei_rows", bin="applied"),
            findings=metrics.total(streams, "zhiwei_findings_total"),
            incidents=metrics.total(alerts, "zhiwei_alerts_incidents", state="open"),
            events=metrics.total(alerts, "zhiwei_alerts_events_total"),
            delivered=metrics.total(alerts, "zhiwei_dispatch_attempts_total", outcome="delivered"),
            pending=metrics.total(alerts, "zhiwei_dispatch_pending"),
            quarantined=metrics.total(ingest, "zhiwei_ingest_rejected_total"),
            sessions_lost=metrics.total(ingest, "zhiwei_ingest_sessions_lost"),
            live=metrics.total(ingest, "zhiwei_ingest_live") > 0,
            restarts=sum(child.restarts for child in children),
        )

    def _fresh_events(self) -> list[Text]:
        if self._receiver is None:
            return []
        events = list(self._receiver.events.values())[self._shown :]
        self._shown += len(events)
        return [line_of(event) for event in events]


def line_of(received: Received) -> Text:
    """One event in one line: when, what happened to which incident, and what was seen."""
    event = _event.decode(received.body)
    incident, finding = event.data.incident, event.data.finding
    seen = ""
    if finding is not None:
        parts = [
            f"{one.name} {_number(one.observed)}{f' {one.unit}' if one.unit else ''}" + _beside(one)
            for one in finding.evidence.observations
        ]
        seen = ", ".join(parts) + (f" [{finding.evidence.note}]" if finding.evidence.note else "")
    signed = "" if received.signed else " NOT SIGNED BY US"
    head = f"{event.time[:16].replace('T', ' ')} {event.type.rpartition('.')[2]:8} {incident.severity:8} "
    return Text(
        f"{head}{incident.kind} at {incident.entity}{': ' if seen else ''}{seen} ({event.id[:8]}){signed}",
        style=_COLOUR[incident.severity],
    )


def _beside(one: Observation) -> str:
    """What would have been right: the limit where there is one, else what was expected."""
    if one.limit:
        return f" (limit {one.limit})"
    return f" (expected {_number(one.expected)})" if one.expected is not None else ""


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sentence(status: Status) -> str:
    lost = f", session lost {status.sessions_lost:.0f} times" if status.sessions_lost else ""
    intake = "live" if status.live else "NOT LIVE"
    return (
        f"intake {intake}: {status.messages:.0f} messages ({status.rate:.0f}/s), "
        f"{status.frames:.0f} frames, lag {status.lag:.0f} records, {status.findings:.0f} findings, "
        f"{status.incidents:.0f} incidents open, "
        f"{status.delivered:.0f} of {status.events:.0f} events delivered, "
        f"{status.quarantined:.0f} in quarantine{lost}"
    )


def _table(status: Status, children: Sequence[Child]) -> Table:
    table = Table(title="Zhiwei 知微", title_justify="left", expand=True)
    for head in ("intake", "streams", "incidents", "dispatch", "quarantine", "processes"):
        table.add_column(head)
    lost = f"\n[red]session lost: {status.sessions_lost:,.0f}[/]" if status.sessions_lost else ""
    running = sum(child.process is not None for child in children)
    table.add_row(
        f"{'live' if status.live else '[red]not live[/]'}\n{status.rate:,.0f} messages/s\n"
        f"{status.messages:,.0f} in {status.frames:,.0f} frames",
        f"lag {status.lag:,.0f} records\n{status.applied:,.0f} rows\n{status.findings:,.0f} findings",
        f"{status.incidents:,.0f} open\n{status.events:,.0f} events",
        f"{status.delivered:,.0f} delivered\n{status.pending:,.0f} waiting",
        f"{status.quarantined:,.0f}{lost}",
        f"{running} running\n{status.restarts} restarts",
    )
    return table
