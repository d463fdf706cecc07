"""Generations of a topic: a repartition begins it anew, and what was in it before stays readable.

Numbered from 0. A name with ``@1`` behind it is that one generation for good; the bare name is the one that
is written now. Findings name the generation of the records that they came from, except for the first.
"""

import re
from typing import Protocol

_NAMED = re.compile(r"(.+)@(\d+)")


class Generations(Protocol):
    """What is asked of a log here."""

    def generations(self, topic: str) -> tuple[int, ...]:
        """Those that there are, oldest first; the last one is written now. Empty: there is no such topic."""
        ...


def named(topic: str, generation: int) -> str:
    """The name of one generation, for good."""
    return f"{topic}@{generation}"


def split(name: str) -> tuple[str, int | None]:
    """The bare name of a topic, and which generation this name is of; None for the one written now."""
    match = _NAMED.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, None)


def is_retired(name: str) -> bool:
    """Whether this name of a topic in a log's list is of a generation that nobody writes any more."""
    return split(name)[1] is not None


def all_of(log: Generations, topic: str) -> tuple[str, ...]:
    """The names to read a topic's records by, oldest generation first; one that exists already or not."""
    return (*(named(topic, number) for number in log.generations(topic)[:-1]), topic)


def mark(log: Generations, topic: str) -> str:
    """How a record's place names the topic as it is now: the bare name says the first generation."""
    newest = (log.generations(topic) or (0,))[-1]
    return named(topic, newest) if newest else topic


def marked(log: Generations, name: str) -> str:
    """The name by which to read what ``mark`` has named."""
    topic, number = split(name)
    there = log.generations(topic)
    return topic if not there or (number or 0) == there[-1] else named(topic, number or 0)
