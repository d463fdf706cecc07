"""A dead man's switch: asks an outside address again and again, as long as all is well.

Whoever watches that address raises the alarm when we fall silent, for whatever reason. Health here is that
of alerts, which also says whether anything still comes from streams, and so from ingest: no stage can stop
without the heartbeat stopping.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from alerts import metrics
from zhiwei import __version__
from zhiwei.clock import MICROS, Clock
from zhiwei.health import Health
from zhiwei.logs import logger, say
from zhiwei.settings import Heartbeat

_LOG = logger.getChild("heartbeat")


async def keep_beating(
    settings: Heartbeat, health: Callable[[], Health], clock: Clock, stop: asyncio.Event
) -> None:
    """GET the address every ``every_s`` while health is good, until stopped; no answer makes it raise.

    The proxy of the environment is used, except for loopback: the address is outside.
    """
    host = urlsplit(settings.url).hostname or ""  # for messages: the address is a secret of its own
    timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
    said = ""
    async with aiohttp.ClientSession(timeout=timeout, trust_env=not is_loopback(host)) as session:
        while not stop.is_set():
            found = health()
            why = (
                f"health is bad: {found.reasons[0]}" if found.reasons else await _beat(session, settings.url)
            )
            if not why:
                metrics.HEARTBEAT.set(clock.now_us() / MICROS)
            if bool(why) != bool(said):
                level = logging.WARNING if why else logging.INFO
                say(
                    _LOG, level, "no heartbeat" if why else "the heartbeat is back", host=host, why=why or "-"
                )
            said = why
            try:
                async with asyncio.timeout(settings.every_s):
                    await stop.wait()
            except TimeoutError:
                continue


async def _beat(session: aiohttp.ClientSession, url: str) -> str:
    """Why it was not taken; empty where it was."""
    try:
        async with session.get(
            url, headers={"User-Agent": f"zhiwei/{__version__}"}, allow_redirects=False
        ) as answer:
            return "" if 200 <= answer.status < 300 else f"status {answer.status}"
    except TimeoutError:
        return "no answer in time"
    except (aiohttp.ClientError, OSError) as error:
        return type(error).__name__


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
