"""Any numeric channels, multivariate detection only: bring a CSV and see its anomalies."""

from scenarios.generic.rules import SCENARIO

__all__ = ["SCENARIO"]
