"""Is intake proven live? Our own message has to come back through the broker, again and again.

Only while it does may ticks be written: without them engine time stands still, so that an outage of ours
is one intake problem and not ten thousand silent devices. Pure: times are arguments.
"""

EVERY_S = 1.0
"""Between two of our messages."""

PROVEN_FOR_S = 5.0
"""So long after one came back is intake taken to be live."""


class Canary:
    """Our messages to ourselves: which connection they left on, and when one last came back."""

    def __init__(self, instance: str) -> None:
        """instance: differs from one process to the next, so that one left in the session proves nothing."""
        self._instance = instance
        self._number = 0
        self._due_s = float("-inf")
        self._returned_s = float("-inf")
        self._link = -1

    def message(self, link: int, now_s: float) -> bytes | None:
        """What to publish now on this connection; None if it is not time yet."""
        if now_s < self._due_s and link == self._link:
            return None
        self._link = link
        self._due_s = now_s + EVERY_S
        self._number += 1
        return f"{self._instance} {link} {self._number}".encode()

    def returned(self, payload: bytes, link: int, now_s: float) -> bool:
        """Take note of a message to our topic; False if it is not from this process and connection."""
        if not payload.startswith(f"{self._instance} {link} ".encode()):
            return False
        self._returned_s = now_s
        return True

    def proven(self, link: int, now_s: float) -> bool:
        """Whether one came back on this connection a short time ago."""
        return link == self._link and now_s - self._returned_s <= PROVEN_FOR_S
