"""Whose turn it is while a second connection goes past a full session. Pure.

What is new goes first, the session is drained with what that leaves: a batch that takes long says that the
machine is busy, and the session rests before it is read again. It always has some turn: else it would never
be empty where new messages take all there is.
"""

SLOW_S = 0.05
"""A batch that takes longer keeps new messages waiting."""
KNOWN_WAITS_S = 0.05
"""A session that brings what the second connection has brought already is read so seldom. Nobody waits for
that, but each of its messages is work for the broker, which hands out new ones more slowly meanwhile (half a
second, measured at 40,000 known ones a second)."""


class Turns:
    """Says from when on the session may be read again."""

    def __init__(self) -> None:
        self._not_before_s = float("-inf")

    def closed(self, now_s: float, took_s: float, *, session: int, new: int, known: bool) -> None:
        """A batch was closed, so long after the one before.

        session, new: messages in it by the first and by the second connection. known: most of the session's
        were there already, and cost us little. Where another batch is slow the session rests as long as it
        took, and as many times longer as there were more new ones: however many wait after a standstill, they
        are through first. Where nothing new came nobody waited.
        """
        if not session:
            return
        slow_s = took_s * max(1.0, new / session) if new and took_s > SLOW_S else 0.0
        self._not_before_s = now_s + (KNOWN_WAITS_S if known else slow_s)

    def of_session(self, now_s: float) -> bool:
        """Whether the session may be read into this batch."""
        return now_s >= self._not_before_s
