"""Serves API and console from a thread of its own, so that no page can hold up folding or delivery.

Nothing here may end the role: a port that is taken or a server that fails is said and tried again.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from alerts import metrics
from alerts.api import access as doors
from alerts.api.app import guarded, make
from alerts.api.parts import Desk
from zhiwei.errors import ZhiweiError
from zhiwei.logs import logger, say
from zhiwei.settings import Settings

_LOG = logger.getChild("console")
_AGAIN_S = 5.0
_POLL_S = 0.05


async def serve(settings: Settings, desk: Desk, stop: asyncio.Event) -> None:
    """Serve until stopped. Says the password where it was made only now."""
    ending = threading.Event()
    thread = threading.Thread(target=_run, args=(settings, desk, ending), name="console", daemon=True)
    thread.start()
    try:
        await stop.wait()
    finally:
        ending.set()
        await asyncio.to_thread(thread.join, _AGAIN_S)


def _run(settings: Settings, desk: Desk, ending: threading.Event) -> None:
    where = f"{settings.console.host}:{settings.console.port}"
    app: ASGIApp | None = None
    while not ending.is_set():
        try:
            if app is None:
                app = application(settings, desk)
            with listening(settings.console.host, settings.console.port) as bound:
                say(_LOG, logging.INFO, "console is served", address=f"http://{where}/")
                metrics.CONSOLE_SERVED.set(1)
                asyncio.run(_until(server(app), bound, ending.is_set))
        except Exception as error:  # noqa: BLE001 - whatever it is, incidents and deliveries go on
            say(_LOG, logging.ERROR, "the console is not served", address=where, error=error)
        metrics.CONSOLE_SERVED.set(0)
        ending.wait(_AGAIN_S)


def application(settings: Settings, desk: Desk) -> ASGIApp:
    """API, console and guard. Once in a process: the pages' framework keeps one application."""
    from alerts.console.pages import add_console

    password = doors.prepare(settings.data)
    if password is not None:
        # Not into the log: this is the one time that it can be read.
        print(f"console password (shown once): {password}", flush=True)
    access = doors.Access(settings.data, desk.clock)
    app = make(desk, access)
    add_console(app, desk, access)
    return guarded(app, access)


def listening(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ZhiweiError where the address is taken or not ours."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, number)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise ZhiweiError(f"{host}:{port}: {error.strerror}; set [console] host or port") from None
    return bound


def server(app: ASGIApp) -> uvicorn.Server:
    """A server that logs nothing of its own and trusts no proxy's word about who asks."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws_max_size=1 << 20,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


async def _until(running: uvicorn.Server, bound: socket.socket, ended: Callable[[], bool]) -> None:
    serving = asyncio.create_task(running.serve(sockets=[bound]))
    while not ended() and not serving.done():
        await asyncio.wait([serving], timeout=_POLL_S)
    running.should_exit = True
    await serving
