"""Rounds: rows in log order, cut so that no entity occurs twice in one, and what was there first.

A round makes gather → compute → scatter exact: the result is that of a loop row by row. Rows are never
sorted by time: the same rows cut into other frames would be sorted otherwise.
"""

import numpy as np

from zhiwei.contracts import Array, Floats, Ints
from zhiwei.ids import digest


def occurrence(entity: Ints) -> Ints:
    """How often each row's entity appeared before it.

    entity: (n,) numbers in log order. Returns (n,): 0 for an entity's first row, 1 for its second, …
    """
    if not len(entity):
        return np.empty(0, np.int64)
    order = np.argsort(entity, kind="stable")
    ranked = entity[order]
    first = np.r_[True, ranked[1:] != ranked[:-1]]
    start = np.maximum.accumulate(np.where(first, np.arange(len(ranked)), 0))
    number = np.empty(len(ranked), np.int64)
    number[order] = np.arange(len(ranked)) - start
    return number


def split(entity: Ints) -> list[Ints]:
    """Row indices of round 0, round 1, …; within a round in log order."""
    number = occurrence(entity)
    order = np.argsort(number, kind="stable")
    bounds = np.flatnonzero(np.diff(number[order])) + 1
    return [part for part in np.split(order, bounds) if len(part)]


_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: multiplication permutes 64 bits
_SHIFT = np.uint64(32)


def salt(channel: str) -> np.uint64:
    """64 bits of a channel's name, so that equal values of two channels hash apart."""
    return np.uint64(int(digest("channel", channel)[:16], 16))


def content_key(flags: Array, values: Floats, text: dict[str, Array], channels: tuple[str, ...]) -> Array:
    """(n,) uint64 hash of what each row says: quality bits and every present value.

    A missing channel contributes nothing, so the key does not depend on the frame's columns; the sum is
    of integers, so not on their order either. values: (n, channels) float64, NaN = missing.
    """
    key = _mixed(flags.astype(np.uint64) ^ salt("flags"))
    bits = values.view(np.uint64)
    for place, channel in enumerate(channels):
        here = ~np.isnan(values[:, place])
        key += np.where(here, _mixed(bits[:, place] ^ salt(channel)), np.uint64(0))
    for channel, words in text.items():
        seen = {
            word: np.uint64(int(digest(channel, word)[:16], 16)) for word in set(words) if word is not None
        }
        seen[None] = np.uint64(0)
        key += np.array([seen[word] for word in words], np.uint64)
    return key


def _mixed(bits: Array) -> Array:
    bits = bits * _MIX
    bits = bits ^ (bits >> _SHIFT)
    mixed: Array = bits * _MIX
    return mixed
