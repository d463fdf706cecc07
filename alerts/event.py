"""Changes as CloudEvents 1.0 messages: the wire format that receivers program against.

The JSON Schema is ``alerts/schema/incident-event-1.json``. Equal changes give equal bytes: nothing in
an event comes from a clock, a restart or the way records were batched.
"""

from datetime import datetime
from urllib.parse import quote

import msgspec

from alerts.incident import Change, Command, Incident
from zhiwei.ids import digest
from zhiwei.types import Finding

DATA_SCHEMA = "urn:zhiwei:schema:incident-event:1"
TYPE_PREFIX = "zhiwei.incident."
CONTENT_TYPE = "application/cloudevents+json"


class Data(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event tells: the incident after the change, and the finding or command that changed it."""

    incident: Incident
    finding: Finding | None
    """None where a deadline or a person changed it."""
    command: Command | None = None
    """Who decided what, when and why; left out where nobody did."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvents 1.0 message (structured mode)."""

    specversion: str = "1.0"
    id: str
    """Equal for every attempt to deliver it: the idempotency key."""
    source: str
    type: str
    subject: str
    """The incident's id; ``data.incident.sequence`` orders the events of one subject."""
    time: datetime
    datacontenttype: str = "application/json"
    dataschema: str = DATA_SCHEMA
    data: Data


def event_of(change: Change) -> Event:
    """The message for one change."""
    incident = change.incident
    return Event(
        id=digest("event", incident.id, incident.sequence),
        source=f"/zhiwei/{quote(incident.site, safe='')}",
        type=TYPE_PREFIX + change.kind,
        subject=incident.id,
        time=change.at,
        data=Data(incident=incident, finding=change.finding, command=change.command),
    )


def encode(event: Event) -> bytes:
    """JSON, UTF-8; keys of maps in sorted order, so that equal events are equal bytes."""
    return msgspec.json.encode(event, order="deterministic")


def decode(body: bytes) -> Event:
    """An event as we wrote it. Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(body, type=Event)
