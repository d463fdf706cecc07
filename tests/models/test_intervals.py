"""Intervals against published values and against their own definition."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.intervals import poisson, wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        # Newcombe (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_gives_newcombes_values(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [  # Garwood's limits as tabulated for 95 %: 0 … 3.689, 1: 0.0253 … 5.572, 10: 4.795 … 18.391
        (0, 0.0, 3.6889),
        (1, 0.0253, 5.5716),
        (10, 4.7954, 18.3904),
        (100, 81.3640, 121.6272),
    ],
)
def test_poisson_gives_garwoods_values(count: int, low: float, high: float) -> None:
    assert poisson(count) == pytest.approx((low, high), abs=1e-3)


@given(st.integers(0, 400))
def test_the_tails_at_both_ends_are_two_and_a_half_percent(count: int) -> None:
    def at_most(k: int, mean: float) -> float:
        return math.fsum(math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(k + 1))

    low, high = poisson(count)
    assert at_most(count, high) == pytest.approx(0.025, rel=1e-6)
    if count:
        assert at_most(count - 1, low) == pytest.approx(0.975, rel=1e-6)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_share_lies_in_its_interval(a: int, b: int) -> None:
    low, high = wilson(a, a + b)
    assert 0 <= low <= high <= 1
    if a + b:
        assert low <= a / (a + b) <= high


def test_large_counts_come_close_to_the_normal_approximation() -> None:
    low, high = poisson(1_000_000)
    assert low == pytest.approx(1_000_000 - 1960, abs=5)
    assert high == pytest.approx(1_000_000 + 1962, abs=5)


def test_what_is_no_count_is_refused() -> None:
    with pytest.raises(ValueError, match="no count"):
        poisson(-1)
    with pytest.raises(ValueError, match="no share"):
        wilson(3, 2)
