"""Publishes each event to an MQTT broker at QoS 1."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from string import Formatter

import msgspec

from zhiwei.clock import Clock
from zhiwei.contracts import Delivery
from zhiwei.errors import ConfigError, Permanent
from zhiwei.mqtt import Publisher
from zhiwei.settings import MqttTopic

_PLACEHOLDERS = frozenset({"scenario", "kind"})


class _Incident(msgspec.Struct):
    scenario: str
    kind: str


class _Data(msgspec.Struct):
    incident: _Incident


class _Event(msgspec.Struct):
    data: _Data


_EVENT = msgspec.json.Decoder(_Event)


class MqttSink:
    """Delivered when the broker has acknowledged. Idempotency is the subscriber's: an event may come
    twice, with the same ``id``."""

    def __init__(self, settings: MqttTopic, clock: Clock) -> None:
        """Raises ConfigError for a placeholder other than ``{scenario}`` and ``{kind}``."""
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        _check(settings)
        # The publisher is to be called from one thread; this one ends with its last call.
        self._thread: ThreadPoolExecutor | None = None
        self._publisher: Publisher | None = None

    async def open(self) -> None:
        """Connects to nothing yet."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sink-{self.name}")
        self._publisher = Publisher(
            host=self._settings.host,
            port=self._settings.port,
            # Two sites may use one broker and one name: an equal client id would throw each other out.
            client_id=f"zhiwei-{secrets.token_hex(4)}",
            username=self._settings.username,
            password=self._settings.password,
            clock=self._clock,
        )

    async def deliver(self, delivery: Delivery) -> None:
        """Publish and wait for the PUBACK. Raises Retryable or Permanent."""
        topic = topic_of(self._settings.topic, delivery.body)
        publisher = self._publisher
        assert publisher is not None  # the worker opens a sink before it uses it
        await self._call(lambda: publisher.send(topic, delivery.body))

    async def close(self) -> None:
        """Disconnect, after what is under way."""
        if self._publisher is not None and self._thread is not None:
            await self._call(self._publisher.close)
            self._thread.shutdown()
            self._publisher = self._thread = None

    async def _call(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, call)


def topic_of(template: str, body: bytes) -> str:
    """The topic of an event. Raises Permanent where the body is no event."""
    try:
        incident = _EVENT.decode(body).data.incident
    except msgspec.MsgspecError as error:
        raise Permanent(f"the event names no scenario and kind: {error}") from None
    return template.format(scenario=incident.scenario, kind=incident.kind)


def _check(settings: MqttTopic) -> None:
    try:
        parts = list(Formatter().parse(settings.topic))
    except ValueError:
        parts = [("", "?", "", None)]
    plain = all(
        name is None or (name in _PLACEHOLDERS and not spec and not conversion)
        for _, name, spec, conversion in parts
    )
    if not settings.topic or not plain or "+" in settings.topic or "#" in settings.topic:
        raise ConfigError(
            file="settings",
            key=f"sinks.{settings.name}.topic",
            value=settings.topic,
            expected="a topic without wildcards, with no placeholder but {scenario} and {kind}",
        )
