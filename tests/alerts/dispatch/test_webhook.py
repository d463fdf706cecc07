"""The webhook against a receiver that misbehaves in every way (T-5), over real sockets on loopback."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import defaultdict

import pytest
from aiohttp import web
from sqlalchemy import select

from alerts import metrics
from alerts.dispatch import worker
from alerts.dispatch.file import FileSink
from alerts.dispatch.webhook import WebhookSink, retry_after_s
from alerts.dispatch.worker import Worker
from alerts.store.outbox import Lane
from alerts.store.tables import OUTBOX
from zhiwei.contracts import Delivery
from zhiwei.errors import ConfigError, Permanent, Retryable
from zhiwei.settings import File, Webhook

EVENT = Delivery(id="e" * 32, body='{"id":"é"}'.encode(), subject="i" * 32, attempt=1)


class Receiver:
    """An HTTP server that keeps what it accepts; ``script`` holds what it does with the next requests."""

    def __init__(self):
        self.script = []
        self.requests = []
        """Headers and bodies that it has read, whatever it answered."""
        self.accepted = []
        """(idempotency key, event), where the event was kept."""
        self._runner = None
        self.port = 0

    @property
    def url(self):
        return f"http://user:hunter2@127.0.0.1:{self.port}/events"

    async def start(self):
        self._over = asyncio.Event()
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        """From now on connections are refused."""
        self._over.set()
        await self._runner.cleanup()

    async def _answer(self, request):
        body = await request.read()
        self.requests.append((request.headers, body))
        act = self.script.pop(0) if self.script else "accept"
        if act in ("accept", "accept, body never ends", "accept, close after headers", "accept, crash"):
            self.accepted.append((request.headers["Idempotency-Key"], json.loads(body)))
        if act == "accept":
            return web.Response(status=202)
        if isinstance(act, int):
            return web.Response(status=act)
        if isinstance(act, tuple):
            status, headers = act
            return web.Response(status=status, headers=headers)
        raw = {
            "hang": b"",
            "drip": b"HTTP/1.1 2",
            "close": None,
            "garbage": b"SSH-2.0-OpenSSH\r\n\r\n",
            "accept, crash": None,
            "accept, body never ends": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx",
            "accept, close after headers": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        }[act]
        if raw:
            request.transport.write(raw)
        if raw is None or act == "accept, close after headers":
            request.transport.close()
        await self._over.wait()
        request.transport and request.transport.close()
        return web.Response()


def deliver(script, clock, **settings):
    """Outcome of one delivery, and the receiver."""

    async def run():
        receiver = await Receiver().start()
        receiver.script = list(script)
        sink = WebhookSink(Webhook(name="city", url=receiver.url, **{"timeout_s": 5.0, **settings}), clock)
        await sink.open()
        try:
            await sink.deliver(EVENT)
            return None, receiver
        except (Retryable, Permanent) as error:
            return error, receiver
        finally:
            await sink.close()
            await receiver.stop()

    return asyncio.run(run())


@pytest.mark.parametrize(
    "act", ["accept", 200, 204, 299, "accept, body never ends", "accept, close after headers"]
)
def test_any_2xx_is_delivered_whatever_becomes_of_the_body(act, clock):
    error, receiver = deliver([act], clock)
    assert error is None
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (500, "status 500"),
        (503, "status 503"),
        (408, "status 408"),
        (429, "status 429"),
        ("close", "ServerDisconnectedError"),
        ("garbage", "BadStatus|400"),
    ],
)
def test_what_may_pass_is_tried_again(act, text, clock):
    error, _ = deliver([act], clock)
    assert isinstance(error, Retryable)
    assert error.after_s is None
    assert any(part in str(error) for part in text.split("|"))


@pytest.mark.parametrize("act", ["hang", "drip"])
def test_a_receiver_that_says_nothing_is_given_up_in_time(act, clock):
    error, _ = deliver([act], clock, timeout_s=0.05)
    assert isinstance(error, Retryable)
    assert str(error) == "127.0.0.1: no answer within 0.05 s"


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_refusal_is_permanent(status, clock):
    error, _ = deliver([status], clock)
    assert isinstance(error, Permanent)
    assert str(error) == f"127.0.0.1: status {status}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status, clock):
    error, receiver = deliver([(status, {"Location": "/elsewhere"}), "accept"], clock)
    assert isinstance(error, Permanent)
    assert "redirects are not followed" in str(error)
    assert len(receiver.requests) == 1


def test_a_refused_connection_is_tried_again_and_no_password_is_told(clock):
    async def run():
        receiver = await Receiver().start()
        await receiver.stop()
        sink = WebhookSink(Webhook(name="city", url=receiver.url), clock)
        await sink.open()
        with pytest.raises(Retryable, match="ClientConnectorError") as caught:
            await sink.deliver(EVENT)
        await sink.close()
        return str(caught.value)

    assert "hunter2" not in asyncio.run(run())


def test_a_connection_that_cannot_be_secured_is_tried_again(clock):
    async def run():
        receiver = await Receiver().start()
        sink = WebhookSink(Webhook(name="city", url=receiver.url.replace("http:", "https:")), clock)
        await sink.open()
        try:
            with pytest.raises(Retryable, match="SSL"):
                await sink.deliver(EVENT)
        finally:
            await sink.close()
            await receiver.stop()

    asyncio.run(run())


def test_a_proxy_of_the_environment_is_not_used(clock, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    error, receiver = deliver(["accept"], clock)
    assert (error, len(receiver.requests)) == (None, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Sun, 15 Jun 2025 15:07:40 GMT", 60.0),
        ("Sun, 15 Jun 2025 15:07:40 -0000", 60.0),
        ("Sun, 15 Jun 2025 15:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds, clock):
    assert retry_after_s(text, 1_750_000_000_000_000) == seconds


def test_retry_after_reaches_the_outbox(clock):
    error, _ = deliver([(429, {"Retry-After": "30"})], clock)
    assert error.after_s == 30.0
    error, _ = deliver([(429, {"Retry-After": "soon"})], clock)
    assert error.after_s is None


@pytest.mark.parametrize(
    ("secret", "key"),
    [("whsec_" + base64.b64encode(b"thirty-two bytes of shared secret").decode(),
      b"thirty-two bytes of shared secret"), ("plain text", b"plain text")],
)  # fmt: skip
def test_headers_name_the_event_and_sign_what_was_sent(secret, key, clock):
    _, receiver = deliver(["accept"], clock, secret=secret)
    ((headers, body),) = receiver.requests
    assert body == EVENT.body
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert headers["Idempotency-Key"] == headers["webhook-id"] == EVENT.id
    assert headers["webhook-timestamp"] == "1750000000"
    signed = f"{EVENT.id}.1750000000.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_specification_s_example(clock):
    """Secret, id, time, payload and signature as printed in the specification's libraries."""
    from alerts.dispatch.webhook import sign, signing_key

    key = signing_key(Webhook(name="x", url="http://x/", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    assert (
        sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_without_a_secret_nothing_is_signed(clock):
    _, receiver = deliver(["accept"], clock)
    assert "webhook-signature" not in receiver.requests[0][0]


def test_a_secret_that_is_not_base64_is_refused_without_being_told(clock):
    with pytest.raises(ConfigError, match=r"sinks\.city\.secret = 'whsec_…': expected whsec_ and base64"):
        WebhookSink(Webhook(name="city", url="http://x/", secret="whsec_???"), clock)


# ------------------------------------------------------------------ T-5


INCIDENTS, CHANGES = 200, 5


def test_an_hour_of_chaos_loses_nothing_and_doubles_nothing_after_deduplication(
    store, new_log, finding, clock, fill_outbox, until_quiet, tmp_path
):
    """1,000 events arrive while the receiver is away for an hour and misbehaves before and after."""
    log = new_log()
    file = tmp_path / "events.jsonl"
    chaos = [500, "hang", "drip", "close", (429, {"Retry-After": "7"}), "accept, crash", "garbage", 503,
             "accept, close after headers", "accept, body never ends"] * 3  # fmt: skip

    async def run():
        receiver = await Receiver().start()
        receiver.script = list(chaos)
        sinks = (
            WebhookSink(Webhook(name="hook", url=receiver.url, timeout_s=0.05), clock),
            FileSink(File(name="copy", path=str(file)), clock),
        )
        hook, copy = (Worker(worker.Receiver(s, clock), Lane.ORDINARY, store, clock) for s in sinks)
        delay, opened = 0.0, False
        for part in range(20):
            if part == 2:
                await receiver.stop()
            if part == 18:
                receiver.script = list(chaos)
                await receiver.start()
            for n in range(part * 10, part * 10 + 10):
                for rev in range(1, CHANGES + 1):
                    phase = "raised" if rev == 1 else "updated"
                    log.append(finding(f"f{n}", rev=rev, phase=phase, at=rev, entity=f"station-{n}"))
            fill_outbox(store, log, sinks=("hook", "copy"), now_us=clock.now_us())
            delay = max(delay, await until_quiet(copy, clock))
            await until_quiet(hook, clock, most_s=225)
            opened |= metrics.BREAKER.labels("hook")._value.get() == 2
        await until_quiet(hook, clock)
        await hook.close()
        await receiver.stop()
        return receiver, delay, opened

    receiver, delay, opened = asyncio.run(run())
    planned = store.transact_here(
        lambda c: {row[0] for row in c.execute(select(OUTBOX.c.event_id).distinct())}
    )
    assert len(planned) == INCIDENTS * CHANGES
    assert all(key == event["id"] for key, event in receiver.accepted)
    first = {}
    for key, event in receiver.accepted:
        first.setdefault(key, event)
    assert set(first) == planned
    order = defaultdict(list)
    for event in first.values():
        order[event["subject"]].append(event["data"]["incident"]["sequence"])
    assert list(order.values()) == [list(range(1, CHANGES + 1))] * INCIDENTS
    assert receiver.script == [], "every fault has happened"
    assert len(receiver.accepted) > len(first), "some had to be dropped by their key"
    assert opened, "the breaker opened"
    states = store.transact_here(lambda c: c.execute(select(OUTBOX.c.state).distinct()).all())
    assert states == [("delivered",)]
    assert delay == 0, "the other sink was never kept waiting"
    assert len(file.read_bytes().splitlines()) == INCIDENTS * CHANGES
