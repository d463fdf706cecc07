"""``zhiwei quarantine``: refusals as lines for a person, and their bytes back to the broker."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ingest import quarantine
from ingest.quarantine import Quarantined
from zhiwei.beds import open_log_of
from zhiwei.clock import SystemClock
from zhiwei.contracts import TopicLog
from zhiwei.errors import ZhiweiError
from zhiwei.mqtt import Publisher
from zhiwei.settings import Settings
from zhiwei.types import Reason

_SHOWN_BYTES = 4096


@contextmanager
def _log(settings: Settings) -> Iterator[TopicLog]:
    with open_log_of(settings, quarantine.TOPIC) as log:
        yield log


def newest(settings: Settings, most: int, reason: str | None) -> Iterator[str]:
    """One line a refusal, newest first. Raises ZhiweiError for a reason that does not exist."""
    if reason is not None and reason not in set(Reason):
        raise ZhiweiError(f"--reason {reason}: expected one of {', '.join(Reason)}")
    with _log(settings) as log:
        found = quarantine.newest(log, most, reason=Reason(reason) if reason else None)
    for one in found:
        yield _line(one)


def shown(settings: Settings, number: int) -> Iterator[str]:
    """A refusal and its bytes: as text where they are text, else in hexadecimal."""
    with _log(settings) as log:
        one = quarantine.show(log, number)
    yield _line(one)
    payload = one.rejection.payload
    text = payload[:_SHOWN_BYTES].decode(errors="replace")
    yield text if text.isprintable() else payload[:_SHOWN_BYTES].hex(" ", 2)
    if len(payload) > _SHOWN_BYTES:
        yield f"({len(payload) - _SHOWN_BYTES} bytes more; --raw writes them all)"


def payload(settings: Settings, number: int) -> bytes:
    """The bytes as they came."""
    with _log(settings) as log:
        return quarantine.show(log, number).rejection.payload


def replayed(settings: Settings, numbers: Sequence[int]) -> Iterator[str]:
    """Publish refusals again; a line for what became of each."""
    mqtt = settings.mqtt
    with (
        _log(settings) as log,
        Publisher(
            host=mqtt.host,
            port=mqtt.port,
            client_id="zhiwei-quarantine",
            username=mqtt.username,
            password=mqtt.password,
            clock=SystemClock(),
        ) as publisher,
    ):
        for done in quarantine.replay(log, numbers, publisher.send):
            yield f"{done.offset} {done.topic}: {done.problem or 'published again'}"


def _line(one: Quarantined) -> str:
    said = one.rejection
    when = said.arrived.strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{one.offset} {when} {said.topic} {said.scope} {said.reason}: {said.detail}"
