"""The MQTT sink against a scripted broker on loopback."""

import asyncio

import pytest

from alerts.dispatch.mqtt import MqttSink, topic_of
from zhiwei.clock import SystemClock
from zhiwei.contracts import Delivery
from zhiwei.errors import ConfigError, Permanent, Retryable
from zhiwei.settings import MqttTopic

BODY = b'{"id":"e","data":{"incident":{"scenario":"water","kind":"water.ph_low","id":"i"}}}'


def event(n, body=BODY):
    return Delivery(id=f"{n:032x}", body=body, subject="i", attempt=1)


class Broker:
    """Knows CONNECT and PUBLISH at QoS 1. ``drop``: publishes to lose, with their connection."""

    def __init__(self, drop=0):
        self.drop = drop
        self.published = []
        self._links = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception):
        self.server.close()
        for writer in self._links:
            writer.close()
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        self._links.add(writer)
        try:
            while True:
                head = (await reader.readexactly(1))[0]
                length, shift = 0, 0
                while (byte := (await reader.readexactly(1))[0]) & 128:
                    length, shift = length | (byte & 127) << shift, shift + 7
                body = await reader.readexactly(length | byte << shift)
                if head >> 4 == 1:
                    writer.write(b"\x20\x02\x00\x00")
                elif head >> 4 == 3:
                    size = int.from_bytes(body[:2], "big")
                    packet = body[2 + size : 4 + size]
                    if self.drop:
                        self.drop -= 1
                        return
                    self.published.append(((head >> 1) & 3, body[2 : 2 + size].decode(), body[4 + size :]))
                    writer.write(b"\x40\x02" + packet)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._links.discard(writer)
            writer.close()


def deliver(broker, *events, topic="zhiwei/{scenario}/{kind}"):
    async def run():
        async with broker:
            sink = MqttSink(MqttTopic(name="m", topic=topic, port=broker.port), SystemClock())
            await sink.open()
            try:
                for one in events:
                    await sink.deliver(one)
            finally:
                await sink.close()

    asyncio.run(run())
    return broker.published


def test_an_event_is_published_at_qos_1_to_the_topic_of_its_kind():
    assert deliver(Broker(), event(1)) == [(1, "zhiwei/water/water.ph_low", BODY)]


def test_events_keep_their_order():
    bodies = [BODY.replace(b'"e"', b'"%d"' % n) for n in range(20)]
    published = deliver(Broker(), *(event(n, body) for n, body in enumerate(bodies)))
    assert [body for _, _, body in published] == bodies


def test_what_was_not_acknowledged_comes_again():
    assert deliver(Broker(drop=1), event(1)) == [(1, "zhiwei/water/water.ph_low", BODY)]


def test_a_broker_that_is_away_is_retryable(monkeypatch):
    async def run():
        async with Broker() as broker:
            port = broker.port
        sink = MqttSink(MqttTopic(name="m", topic="t", port=port), SystemClock())
        await sink.open()
        send = sink._publisher.send
        monkeypatch.setattr(sink._publisher, "send", lambda topic, body: send(topic, body, timeout_s=0.01))
        with pytest.raises(Retryable, match=f"127.0.0.1:{port}"):
            await sink.deliver(event(1))
        await sink.close()

    asyncio.run(run())


def test_what_is_no_event_or_has_no_valid_topic_is_permanent():
    with pytest.raises(Permanent, match="names no scenario and kind"):
        topic_of("{kind}", b"{}")
    with pytest.raises(Permanent, match="without"):
        deliver(Broker(), event(1, BODY.replace(b"ph_low", b"ph#low")))


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "{site}", "{kind", "{kind!r}", "{kind:>9}", "{}", "{0}"])
def test_a_topic_that_cannot_be_published_to_is_refused_at_start(topic):
    with pytest.raises(ConfigError, match=r"sinks\.m\.topic"):
        MqttSink(MqttTopic(name="m", topic=topic), SystemClock())
