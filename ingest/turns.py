"""Whose turn it is while a second connection goes past a full session. Pure.

What is new goes first, the session is drained with what that leaves. It always has some turn: else it would
never be empty where new messages take all there is.
"""

KNOWN_WAITS_S = 0.1
"""A session that brings what the second connection has brought already is read so seldom. Nobody waits for
that, but each of its messages is work for the broker, which hands out new ones more slowly meanwhile (half a
second, measured at 40,000 known ones a second)."""
NEW_WAITS_S = 0.1
"""A batch that takes longer keeps new messages waiting: the session is not in each of them."""
EVERY, LEAST = 4, 16
"""The session is in every so many batches; in fewer while what is new fills a batch by itself, for then more
of it waits."""


class Turns:
    """Counts batches, and how long the last one took."""

    def __init__(self) -> None:
        self._batches, self._took_s, self._not_before_s = 0, 0.0, float("-inf")

    def closed(self, now_s: float, took_s: float, *, known: bool) -> None:
        """A batch was closed, so long after the one before. known: most of what the session brought into it
        was there already."""
        self._batches, self._took_s = self._batches + 1, took_s
        if known:
            self._not_before_s = now_s + KNOWN_WAITS_S

    def of_session(self, now_s: float, *, new: bool, full: bool) -> bool:
        """Whether the session may be read into this batch. new: the second connection has brought something
        into it; full: and so much that it is to be closed."""
        if now_s < self._not_before_s:
            return False
        if not new or self._took_s <= NEW_WAITS_S:
            return True
        return self._batches % (LEAST if full else EVERY) == 0
