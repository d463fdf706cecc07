"""The console role: API and console in a process of their own, over the event store that alerts writes.

A command is carried out here, in one transaction with its event and its outbox rows; alerts finds these
within a second and delivers them. What alerts stores is followed. Neither needs the other to run.
"""

import asyncio

from alerts.api.parts import Desk, Sources
from alerts.api.server import serve
from alerts.commands import Commands
from alerts.feed import Feed
from alerts.follow import Follower
from alerts.store.store import Store
from zhiwei.clock import Clock
from zhiwei.settings import Settings


async def run(settings: Settings, clock: Clock, stop: asyncio.Event, sources: Sources) -> None:
    """Serve until stopped. Raises Retryable where the event store does not answer at the start, ZhiweiError
    where it is of another version."""
    store = Store.of(settings)
    try:
        feed = Feed()
        follower = Follower(store, feed, clock)
        await follower.begin()  # before the list is loaded: what comes in between is in both
        sinks = tuple(sink.name for sink in settings.sinks)
        commands = Commands(store, clock, sinks, feed, lambda: None)
        desk = Desk(settings.site, store, commands, feed, clock, sources)
        ending = asyncio.Event()
        tasks = [asyncio.create_task(part) for part in (follower.run(ending), serve(settings, desk, ending))]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.set()
            stopping.cancel()
            await asyncio.gather(*tasks)
    finally:
        store.close()
