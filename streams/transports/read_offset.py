"""What both transports need: Faust's filter of records that it has seen, switched off."""

from collections import defaultdict

from faust.types import TP


class NothingRead(defaultdict[TP, int | None]):
    """Faust's own note of what it has read, which drops records below it: here it drops none.

    A record that waits for room in a stream while the stream seeks back would be noted after the seek,
    and everything between the two would be lost. Our positions need no such filter.
    """

    def __getitem__(self, _: TP) -> None:
        return None
