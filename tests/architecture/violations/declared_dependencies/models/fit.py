# ruff: noqa
"""Planted: SciPy comes with scikit-learn, it is not ours."""

from scipy import stats  # wrong
import sklearn
