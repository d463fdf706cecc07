"""Confidence intervals of shares and rates, for counts that are small."""

import math
from collections.abc import Callable

Z95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share; (0, 1) where nothing was tried.

    Source: Wilson (1927). Holds for small counts and for shares of 0 and 1, unlike hits ± 2 sd.
    Raises ValueError for counts that are no share.
    """
    if not 0 <= hits <= of:
        raise ValueError(f"{hits} of {of} is no share")
    if of == 0:
        return 0.0, 1.0
    share, square = hits / of, Z95**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z95 / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of**2))
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == of else middle + half)


def poisson(count: int) -> tuple[float, float]:
    """95 % interval of the expected count behind an observed one, exact.

    Source: Garwood (1936): the means at which so many or more, so many or fewer, have a chance of 2.5 %.
    Raises ValueError for a negative count.
    """
    if count < 0:
        raise ValueError(f"{count} is no count")
    low = 0.0 if count == 0 else _root(count, lambda mean: 1 - _at_most(count - 1, mean) < 0.025)
    return low, _root(count, lambda mean: _at_most(count, mean) > 0.025)


def _root(count: int, below: Callable[[float], bool]) -> float:
    """The mean up to which ``below`` holds, by halving."""
    low, high = 0.0, count + 6 * math.sqrt(count + 1) + 10
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2


def _at_most(count: int, mean: float) -> float:
    """Chance of so many or fewer. Summed downwards from the largest term, until terms no longer count."""
    if mean <= 0:
        return 1.0
    peak = min(count, int(mean))
    top = peak * math.log(mean) - mean - math.lgamma(peak + 1)
    total = term = 1.0
    for k in range(peak, 0, -1):
        term *= k / mean
        total += term
        if term < 1e-17 * total:
            break
    term = 1.0
    for k in range(peak + 1, count + 1):
        term *= mean / k
        total += term
        if term < 1e-17 * total:
            break
    return min(1.0, total * math.exp(top))
