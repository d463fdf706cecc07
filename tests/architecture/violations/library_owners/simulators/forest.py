# ruff: noqa
"""Planted: scikit-learn belongs to models."""

from sklearn.ensemble import IsolationForest  # wrong
