"""Changes that another process has stored, for a console of its own process.

Events are numbered in the order in which their transactions become visible (``store.folding``), so that none
can appear below a number that was read already.
"""

import asyncio
import logging

from alerts import metrics
from alerts.api import query
from alerts.feed import Feed
from alerts.store.store import Store
from zhiwei.clock import MICROS, Clock
from zhiwei.errors import Retryable
from zhiwei.logs import logger, say

_LOG = logger.getChild("console")
_EVERY_S = 0.5
_MOST = 500
"""Events read at once."""


class Follower:
    """Publishes to a feed what comes into the store."""

    def __init__(self, store: Store, feed: Feed, clock: Clock) -> None:
        self._store, self._feed, self._clock = store, feed, clock
        self._number = 0

    async def begin(self) -> None:
        """Follow what is stored from now on. Raises Retryable where the store does not answer."""
        self._number = await self._store.transact(query.last_number)
        self._look()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until stopped; a store that is away is waited for."""
        is_said = False
        while not stop.is_set():
            metrics.CONSOLE_TURNED.set(self._clock.now_us() / MICROS)
            try:
                while await self.step():
                    continue
                is_said = False
            except Retryable as error:
                if not is_said:
                    say(
                        _LOG, logging.WARNING, "the event store does not answer; the list is old", error=error
                    )
                is_said = True
            try:
                async with asyncio.timeout(_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def step(self) -> bool:
        """Publish what has come, at most some of it. Returns whether there may be more. Raises Retryable."""
        number = self._number
        found = await self._store.transact(lambda connection: query.changes_after(connection, number, _MOST))
        if found:
            self._number = found[-1][0]
            self._feed.publish([change for _, change in found])
        self._look()
        return len(found) == _MOST

    def _look(self) -> None:
        metrics.CONSOLE_READ.set(self._clock.now_us() / MICROS)
