"""What API and console are given by whoever puts the whole together: they know findings only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.api.sources import History, LastValues, Quarantine
from alerts.commands import Commands
from alerts.feed import Feed
from alerts.store.store import Store
from zhiwei.clock import Clock
from zhiwei.schema import Schema


@dataclass(frozen=True, slots=True)
class Sources:
    """What others know and people want to see beside incidents."""

    history: History
    last_values: LastValues
    quarantine: Quarantine
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    """By scenario: titles, units and meanings of channels."""
    life_safety: frozenset[str] = frozenset()
    """Kinds that stand above all others."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that a page or an answer is made from."""

    site: str
    store: Store
    commands: Commands
    feed: Feed
    clock: Clock
    sources: Sources
