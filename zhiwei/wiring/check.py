"""How a check of ``zhiwei doctor`` comes out."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    """It runs, but not everywhere or not for long."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
    """What to do; empty where nothing is."""


def why(error: OSError) -> str:
    """What the system says, in one phrase."""
    return (error.strerror or str(error)).lower()
