"""Messages that came by the second connection and are in the log: they wait in the session as well, and come
once more when it has drained so far. Each is known by its topic and bytes, and passed over once."""

from collections.abc import Iterable
from hashlib import blake2b

MOST = 2_000_000
"""Messages that are remembered, about 150 bytes each; one that is not is stepped a second time, and dropped
by the engine as the duplicate that it is."""


Sent = tuple[bytes, bytes]
"""Topic and payload of a message."""


class Repeats:
    """What is still to come once more."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._times: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._times)

    def expect(self, messages: Iterable[Sent]) -> None:
        """These are durable."""
        times = self._times
        for topic, payload in messages:
            key = _key(topic, payload)
            if key in times or len(times) < self._most:
                times[key] = times.get(key, 0) + 1

    def came(self, topic: bytes, payload: bytes) -> bool:
        """Whether this one is durable already; as often as it was expected."""
        key = _key(topic, payload)
        left = self._times.get(key)
        if left is None:
            return False
        if left > 1:
            self._times[key] = left - 1
        else:
            del self._times[key]
        return True

    def forget(self) -> None:
        """Nothing more comes twice, or nobody knows."""
        self._times.clear()


def _key(topic: bytes, payload: bytes) -> bytes:
    """16 bytes, so that two messages never share one; the topic's length keeps its end apart."""
    return blake2b(b"%d %b%b" % (len(topic), topic, payload), digest_size=16).digest()
