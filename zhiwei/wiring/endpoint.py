"""``/metrics`` and ``/health`` of a role over HTTP, from a thread of its own: it answers while work hangs.

Nothing here may end a role: an address that is taken is said and tried again.
"""

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from zhiwei import metrics
from zhiwei.clock import MICROS, Clock
from zhiwei.health import Health, judge
from zhiwei.logs import logger, say
from zhiwei.settings import Settings

_AGAIN_S = 5.0
_PATIENCE_S = 10.0
"""For a client that connects and asks nothing."""
_POLL_S = 0.1

_log = logger.getChild("endpoint")


def health_of(role: str, settings: Settings, clock: Clock) -> Health:
    """The health of this process."""
    return judge(role, metrics.samples(), clock.now_us() / MICROS, settings.health)


@contextlib.contextmanager
def endpoint(role: str, settings: Settings, clock: Clock) -> Iterator[None]:
    """Answer on the port that ``[metrics]`` gives to the role, if any, until the end of the block."""
    port: int = getattr(settings.metrics, role)
    if not port:
        yield
        return
    ending = threading.Event()
    address = (settings.metrics.host, port)
    thread = threading.Thread(
        target=_run, args=(address, lambda: health_of(role, settings, clock), ending), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(_AGAIN_S)


def _run(address: tuple[str, int], health: Callable[[], Health], ending: threading.Event) -> None:
    where = f"{address[0]}:{address[1]}"
    while not ending.is_set():
        try:
            with serving(address, health):
                say(_log, logging.INFO, "metrics and health are served", address=f"http://{where}/")
                ending.wait()
        except OSError as error:
            say(_log, logging.ERROR, "metrics and health are not served", address=where, error=error)
            ending.wait(_AGAIN_S)


@contextlib.contextmanager
def serving(address: tuple[str, int], health: Callable[[], Health]) -> Iterator[int]:
    """Serve until the end of the block; gives the port. Raises OSError where the address is not to be had."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S

        def do_GET(self) -> None:
            if self.path == "/metrics":
                kind, body = metrics.exposition()
                self._answer(HTTPStatus.OK, kind, body)
            elif self.path == "/health":
                found = health()
                status = HTTPStatus.OK if found.good else HTTPStatus.SERVICE_UNAVAILABLE
                said = {"role": found.role, "verdict": found.verdict, "reasons": found.reasons}
                self._answer(status, "application/json", json.dumps(said, ensure_ascii=False).encode())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there are /metrics and /health\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: ARG002 - who asks is no news
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
            return  # whoever asked has gone

    server = Server(address, Handler)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
