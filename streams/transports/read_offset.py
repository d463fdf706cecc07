"""Faust's own filter of records that it has seen, switched off: what both transports need."""

from collections import defaultdict
from typing import Any

from faust.types import TP


class NothingRead(defaultdict[TP, int | None]):
    """Faust's note of what it has read, which drops records below it: here it drops none.

    A record that waits for room in a stream while the stream seeks back would be noted after the seek,
    and everything between the two would be lost. Our positions need no such filter.
    """

    def __getitem__(self, _: TP) -> None:
        return None


def keep_everything(app: Any) -> None:
    """Let the application's consumer drop nothing; to be called before it starts."""
    app.consumer._read_offset = NothingRead(lambda: None)
