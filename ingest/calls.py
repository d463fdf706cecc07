"""A session in which only calls for help wait.

A session at the broker is a queue. What was published while ingest was away waits in it behind all that
gathered before, for minutes; a button that was pressed in a lift meanwhile must not. The broker therefore
keeps the urgent messages once more, for a connection of their own, which is read first. The other session
brings each of them again with all that becomes of a message, and the engine knows them. Nothing rests on
this connection: whatever it misses is in the other session.
"""

import logging
from collections.abc import Sequence

import msgspec

from zhiwei.clock import Clock
from zhiwei.logs import logger, say
from zhiwei.mqtt_receiver import Block, ClientIdTaken, Receiver, Refused
from zhiwei.settings import Mqtt

_log = logger.getChild("ingest")


class Calls:
    """The connection, as long as the broker lets it in."""

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
        """settings: of the first connection. filters: those of urgent messages; without any there is no
        connection. The rest: see Receiver."""
        self._settings = msgspec.structs.replace(settings, client_id=f"{settings.client_id}-calls")
        self.receiver = (
            Receiver(self._settings, filters, clock, window=window, in_blocks=in_blocks, backoff_s=backoff_s)
            if filters
            else None
        )

    def receive(self) -> Block | None:
        """What has come, without waiting; None where nothing has."""
        if self.receiver is None:
            return None
        try:
            block = self.receiver.receive(0.0)
        except (Refused, ClientIdTaken) as error:
            say(_log, logging.ERROR, "calls for help have no session of their own: after an outage they wait "
                "with all else", client_id=self._settings.client_id, why=str(error))  # fmt: skip
            self.close()
            return None
        return block if block.messages else None

    def drop(self, why: str) -> None:
        """What was not acknowledged comes again."""
        if self.receiver is not None:
            self.receiver.drop(why)

    def close(self) -> None:
        """Disconnect; the session stays at the broker."""
        if self.receiver is not None:
            self.receiver.close()
            self.receiver = None
