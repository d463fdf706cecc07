"""How far a lane has been recorded, and what of it was lost: one small file beside the segments.

Replaced in one step after each segment. It may lag behind the segments, never run ahead of them: where to go
on is the higher of the two (``recorder``). What was lost is written before any position that passes it.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from streams.telemetry.segments import sync
from zhiwei.errors import ZhiweiError
from zhiwei.history import Gap, GapReason

_MOST_LOST = 1000
"""Stretches kept apart; beyond, the oldest two grow together, and what lies between counts as lost."""
_NAME = "progress.json"


class Stand(msgspec.Struct, kw_only=True):
    """How far one partition has been recorded."""

    following: int
    """The next offset to be recorded."""
    seen: dict[str, int] = {}
    """Clock → the latest ``arrived`` or tick below that offset, µs UTC."""


class Lost(msgspec.Struct, kw_only=True):
    """Records that telemetry does not have, and between which times of one clock they were."""

    partition: int
    first: int
    following: int
    reason: GapReason
    clock: str | None
    """None: no clock was known before it; the first one seen ends it."""
    start_us: int | None
    end_us: int | None = None

    @property
    def gap(self) -> Gap:
        """In the words of the kernel."""
        return Gap(self.start_us, self.end_us, self.reason, self.following - self.first)


class Progress(msgspec.Struct, kw_only=True):
    """Of all partitions of one lane."""

    stands: dict[int, Stand] = {}
    lost: list[Lost] = []

    def lose(
        self, partition: int, first: int, following: int, reason: GapReason, seen: Mapping[str, int]
    ) -> bool:
        """These records are not there: a stretch on each clock known, until ``see`` ends it.

        seen: clock → latest time before them. Returns whether this is new: after a crash the same may be
        said again.
        """
        same = [lost for lost in self.lost if lost.partition == partition and lost.reason == reason]
        if any(lost.first <= first and following <= lost.following for lost in same):
            return False
        adjacent = [lost for lost in same if lost.following == first and lost.end_us is None]
        for lost in adjacent:
            lost.following = following
        if not adjacent:
            clocks: list[tuple[str | None, int | None]] = [*seen.items()]
            for clock, start in clocks or [(None, None)]:
                self.lost.append(
                    Lost(
                        partition=partition,
                        first=first,
                        following=following,
                        reason=reason,
                        clock=clock,
                        start_us=start,
                    )
                )
        if len(self.lost) > _MOST_LOST:
            self._join_oldest()
        return True

    def see(self, partition: int, offset: int, clock: str, earliest_us: int) -> None:
        """The record at this offset was read and its earliest time is this: a stretch before it ends."""
        for lost in self.lost:
            if (
                lost.partition == partition
                and lost.end_us is None
                and lost.following <= offset
                and lost.clock in (None, clock)
            ):
                lost.clock = clock
                lost.end_us = earliest_us if lost.start_us is None else max(earliest_us, lost.start_us)

    def forget(self, partition: int, below: int) -> bool:
        """No row below this offset is kept any more: no chart shows what was lost before. Whether any was."""
        before = len(self.lost)
        self.lost = [
            lost
            for lost in self.lost
            if lost.partition != partition or lost.following >= below or lost.end_us is None
        ]
        return len(self.lost) < before

    def _join_oldest(self) -> None:
        for place, oldest in enumerate(self.lost):
            for later in self.lost[place + 1 :]:
                if (later.partition, later.clock) == (oldest.partition, oldest.clock):
                    later.first, later.start_us = oldest.first, oldest.start_us
                    del self.lost[place]
                    return


def load(folder: Path) -> Progress:
    """Of the lane in this folder; a new one where there is none. Raises ZhiweiError."""
    file = folder / _NAME
    try:
        return msgspec.json.decode(file.read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress()
    except (msgspec.DecodeError, OSError) as error:
        raise ZhiweiError(
            f"{file}: cannot be read: {error}; restore it from a copy, or remove it: what telemetry has lost "
            "so far is then not known any more"
        ) from None


def save(folder: Path, progress: Progress) -> None:
    """Replace the file. Durable when it returns. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".draft-{_NAME}"
    draft.write_bytes(msgspec.json.encode(progress))
    sync(draft)
    draft.replace(folder / _NAME)
    sync(folder)
