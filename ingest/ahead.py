"""A second connection past a full session: what is published now comes at once, not behind the past.

A session at the broker is a queue. After an outage of ours everything new waits in it behind what gathered
meanwhile: minutes, in which a lift's alarm is not heard. While our own message takes long to come back, a
connection without a session therefore takes what is published from now on. The session brings the same
messages again, later; the engine knows them. Nothing rests on this connection: whatever it misses is in the
session.

What is older than the second connection has been overtaken: rows that wait in the session would be late
among those that went past them. They go to the backlog, where they are judged in their order.
"""

import logging
from collections.abc import Sequence

import msgspec

from zhiwei.clock import Clock
from zhiwei.logs import logger, say
from zhiwei.mqtt_receiver import Block, Receiver
from zhiwei.settings import Mqtt

BEHIND_S = 1.0
"""Our own message is under way for so long: what is new waits in the session."""
UNKNOWN_S = 0.5
"""The same where none has come back yet on this connection: after an outage of ours much may wait."""
CAUGHT_UP_S = 0.5
"""It comes back as fast as this: nothing waits any more."""

WAIT_MOST_S = 0.2
"""Whoever receives looks up at least so often."""
_TURN_S = 0.005
_MARGIN_US = 1_000_000
"""A device's clock may be so far ahead of ours: better a row twice than one that no rule sees."""

_log = logger.getChild("ingest")


class Ahead:
    """The second connection, where there is one."""

    def __init__(
        self,
        settings: Mqtt,
        filters: Sequence[str],
        clock: Clock,
        *,
        window: int,
        in_blocks: bool | None,
        backoff_s: tuple[float, float],
    ) -> None:
        """settings: of the first connection. filters: its own, but for that of our message; a shared one in
        another group. The rest: see Receiver."""
        self._settings = msgspec.structs.replace(settings, client_id=f"{settings.client_id}-ahead")
        self._filters, self._clock = tuple(filters), clock
        self._window, self._in_blocks, self._backoff_s = window, in_blocks, backoff_s
        self.receiver: Receiver | None = None
        """Between ``decide`` and ``decide``."""
        self.since_us: int | None = None
        """Messages published from about this time on come by it; None where none do."""
        self._link = -1

    def decide(self, waiting_s: float, *, proven: bool) -> None:
        """Open or close it. waiting_s: how long our oldest message that is not back yet is under way.

        proven: one came back on the first connection a short time ago.
        """
        if self.receiver is None and waiting_s > (BEHIND_S if proven else UNKNOWN_S):
            say(_log, logging.WARNING, "behind: what is published now comes by a second connection",
                client_id=self._settings.client_id)  # fmt: skip
            self.receiver = Receiver(
                self._settings,
                self._filters,
                self._clock,
                window=self._window,
                in_blocks=self._in_blocks,
                backoff_s=self._backoff_s,
                keep_session=False,
            )
        elif self.receiver is not None and proven and waiting_s < CAUGHT_UP_S:
            say(_log, logging.INFO, "caught up", client_id=self._settings.client_id)
            self.close()

    @property
    def wait_most_s(self) -> float:
        """How long the first connection may be waited for; while there is a second, hardly."""
        return WAIT_MOST_S if self.receiver is None else _TURN_S

    def receive(self, timeout_s: float) -> Block | None:
        """What has come by it, after waiting at most so long; None where nothing has."""
        if self.receiver is None:
            return None
        block = self.receiver.receive(timeout_s)
        if self.receiver.ready and self.receiver.link != self._link:  # what was published in between is not
            self._link, self.since_us = self.receiver.link, self._clock.now_us() + _MARGIN_US
        return block if block.messages else None

    def close(self) -> None:
        """Disconnect. What it brought and was not acknowledged is in the session as well."""
        if self.receiver is not None:
            self.receiver.close()
            self.receiver = self.since_us = None
            self._link = -1
