"""Changes as they are stored, for whoever shows them: the console's live list.

Folding and commands publish after their transaction; listeners are called in the publishing thread and
only take note. What a listener misses it finds in the store: the feed keeps nothing.
"""

import threading
from collections.abc import Callable, Sequence

from alerts.incident import Change

Listener = Callable[[Sequence[Change]], None]


class Feed:
    """Hands changes on; any thread may publish, subscribe or leave."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of every later change. Returns how to leave."""
        with self._lock:
            self._listeners.append(listener)

        def leave() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return leave

    def publish(self, changes: Sequence[Change]) -> None:
        """Tell all listeners of changes that are durable, in order."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(changes)
