"""A small receiver of webhooks: answers, checks the signature, keeps each event once by its id.

What a city's own system would be; the demo prints from it, tests look into it.
"""

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

_MOST_BYTES = 1 << 20


class Fault(Enum):
    """How a receiver on trial may fail."""

    NONE = "none"
    UNAVAILABLE = "unavailable"
    """Answers 503 and keeps nothing."""
    SILENT = "silent"
    """Keeps the event, and closes the connection without an answer."""
    AWAY = "away"
    """Nobody listens: connections are refused, and one that was open ends without an answer."""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it came in."""

    id: str
    body: bytes
    signed: bool
    """The signature was ours."""
    arrived_us: int


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    """Whoever finds the queue full asks again after a second: TCP does so. It is 5 by default."""


class Receiver:
    """Listens on loopback from ``__enter__`` to ``__exit__``; ``events`` holds each id once, in order."""

    def __init__(self, *, port: int, secret: str, now_us: Callable[[], int]) -> None:
        """port 0 takes a free one. secret: as in the sink's settings."""
        self.events: dict[str, Received] = {}
        self.attempts = 0
        self._fault = Fault.NONE
        self._secret = key_of(secret)
        self._now_us = now_us
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(size) if 0 < size <= _MOST_BYTES else b""
                if receiver.fault is Fault.AWAY:
                    self.close_connection = True
                    return
                if receiver.fault is Fault.UNAVAILABLE:
                    self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
                    return
                receiver.take(dict(self.headers.items()), body)
                if receiver.fault is Fault.SILENT:
                    self.close_connection = True
                    return
                self.send_response(HTTPStatus.NO_CONTENT)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._handler = Handler
        self._listen(port)

    def _listen(self, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), self._handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def fault(self) -> Fault:
        """How it fails now."""
        return self._fault

    def fail(self, fault: Fault) -> None:
        """Fail so from now on, or no longer (``Fault.NONE``), while it listens."""
        before, self._fault = self._fault, fault
        if fault is Fault.AWAY and before is not Fault.AWAY:
            self._close()
        elif before is Fault.AWAY and fault is not Fault.AWAY:
            self._listen(self.port)
            self._thread.start()

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """Keep an event; the same id again is the same event."""
        said = {name.lower(): value for name, value in headers.items()}
        self.attempts += 1
        key = said.get("webhook-id", "")
        expected = signature(self._secret, key, said.get("webhook-timestamp", ""), body)
        signed = hmac.compare_digest(expected, said.get("webhook-signature", ""))
        self.events.setdefault(key, Received(id=key, body=body, signed=signed, arrived_us=self._now_us()))

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._fault is not Fault.AWAY:
            self._close()


def key_of(secret: str) -> bytes:
    """The key of a Standard Webhooks secret: ``whsec_`` and base64, or any text."""
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"))
    return secret.encode()


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """``v1,`` and base64 of HMAC-SHA256 over id, timestamp and body (Standard Webhooks)."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
