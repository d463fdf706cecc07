"""Is intake proven live? Our own message has to come back through the broker, again and again.

Only while it does may ticks be written: without them engine time stands still, so that an outage of ours
is one intake problem and not ten thousand silent devices. Pure: times are arguments.
"""

from collections import OrderedDict

EVERY_S = 1.0
"""Between two of our messages."""

PROVEN_FOR_S = 5.0
"""A message that came back proves that intake was live when it was sent; so long after is it believed.
What is queued in front of it counts: a backlog longer than this is no live intake."""

_UNDER_WAY_MOST = 64


class Canary:
    """Our messages to ourselves: which connection they left on, and when the newest that is back was sent."""

    def __init__(self, instance: str) -> None:
        """instance: differs from one process to the next, so that one left in the session proves nothing."""
        self._instance = instance
        self._number = 0
        self._link = -1
        self._due_s = float("-inf")
        self._proven_s = float("-inf")
        self._under_way: OrderedDict[bytes, float] = OrderedDict()

    def message(self, link: int, now_s: float) -> bytes | None:
        """What to publish now on this connection; None if it is not time yet."""
        if link != self._link:
            self._link = link
            self._proven_s = float("-inf")
            self._under_way.clear()
        elif now_s < self._due_s:
            return None
        self._due_s = now_s + EVERY_S
        self._number += 1
        message = f"{self._instance} {self._number}".encode()
        self._under_way[message] = now_s
        if len(self._under_way) > _UNDER_WAY_MOST:
            self._under_way.popitem(last=False)
        return message

    def returned(self, payload: bytes) -> bool:
        """Take note of a message to our topic; False if it did not leave on the present connection."""
        sent_s = self._under_way.pop(payload, None)
        if sent_s is None:
            return False
        self._proven_s = max(self._proven_s, sent_s)
        return True

    def waiting_s(self, link: int, now_s: float) -> float:
        """How long the oldest one is under way that left on this connection and is not back; 0 = none is."""
        oldest_s = next(iter(self._under_way.values()), now_s)
        return now_s - oldest_s if link == self._link else 0.0

    def proven(self, link: int, now_s: float) -> bool:
        """Whether one that left on this connection a short time ago is back."""
        return link == self._link and now_s - self._proven_s <= PROVEN_FOR_S
