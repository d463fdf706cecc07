"""States of switches and texts as intervals: what a strip on a screen shows. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from zhiwei.contracts import Array, Ints
from zhiwei.history import Gap, Interval, State


def intervals(
    device: npt.NDArray[np.object_], at: Ints, state: Array, gaps: Sequence[Gap], start_us: int
) -> tuple[Interval, ...]:
    """Runs of one state of one device, in order of device and time.

    device, at, state: (n,) rows sorted by device, then in order of time; rows before ``start_us`` tell
    what held when the range began. A run ends where the device says otherwise, and at a gap: what held
    in it is not known.
    """
    if not len(at):
        return ()
    # How many gaps are over at each row: two rows with a different number have a gap between them.
    ends = np.sort(np.array([gap.end_us for gap in gaps if gap.end_us is not None], np.int64))
    over = np.searchsorted(ends, at, side="right")
    new_device = device[1:] != device[:-1]
    changes = new_device | (state[1:] != state[:-1]) | (over[1:] != over[:-1])
    firsts = np.flatnonzero(np.r_[True, changes]).tolist()
    found: list[Interval] = []
    for place, first in enumerate(firsts):
        following = firsts[place + 1] if place + 1 < len(firsts) else None
        last = (len(at) if following is None else following) - 1
        same = following is not None and device[following] == device[first]
        end = _end(int(at[last]), int(at[following]) if same else None, gaps)
        # A state of no duration counts where it is in the range: a conflicting row must not vanish.
        if end is None or end > start_us or int(at[first]) >= start_us:
            found.append(
                Interval(
                    device=str(device[first]),
                    state=_plain(state[first]),
                    start_us=max(int(at[first]), start_us),
                    seen_us=int(at[last]),
                    end_us=end,
                )
            )
    return tuple(found)


def _end(seen_us: int, next_us: int | None, gaps: Sequence[Gap]) -> int | None:
    """Where a run ends that was last seen then: at the next row, or at a gap that comes before it."""
    end = next_us
    for gap in gaps:
        after = gap.end_us is None or gap.end_us > seen_us
        before = end is None or gap.start_us is None or gap.start_us < end
        if after and before:
            begins = seen_us if gap.start_us is None else max(gap.start_us, seen_us)
            end = begins if end is None else min(begins, end)
    return end


def _plain(state: object) -> State:
    return bool(state) if isinstance(state, np.bool_) else state  # type: ignore[return-value]
