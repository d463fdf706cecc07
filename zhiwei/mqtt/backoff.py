"""When to try a broker again."""

import random
import threading


class Backoff:
    """Delay before the next attempt: doubles, with jitter, so that a fleet does not come back as one."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s, self._most_s = least_s, most_s
        self._delay_s = least_s
        self._due_s = float("-inf")
        self._quiet = threading.Event()  # never set: something to wait on

    def failed(self, now_s: float) -> None:
        """The next attempt is due after the present delay, which doubles."""
        self._due_s = now_s + self._delay_s * random.uniform(0.5, 1.0)
        self._delay_s = min(self._delay_s * 2, self._most_s)

    def steady(self) -> None:
        """It went well: begin with the smallest delay again."""
        self._delay_s = self._least_s

    def waits(self, now_s: float, timeout_s: float) -> bool:
        """Whether it is too early; if so, waits until it is due, at most so long."""
        if now_s >= self._due_s:
            return False
        self._quiet.wait(min(max(0.0, timeout_s), self._due_s - now_s))
        return True
