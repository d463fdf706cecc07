"""Which numbers apply to which lift, as arrays: the policy's, its overrides, the lift's attributes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from scenarios.elevator.codes import DEFAULT_TABLE
from scenarios.elevator.policy import NUMBERS, ElevatorPolicy, Threshold
from zhiwei.clock import MICROS
from zhiwei.contracts import Floats, Ints

_PLACE = {key: place for place, key in enumerate(NUMBERS)}
_POSITIVE = ("rated_speed", "travel_time", "report_interval", "run_limit")
"""Attributes that are numbers above 0: m/s, s, s, s. Anything else counts as not known."""


@dataclass(frozen=True, slots=True)
class _Profile:
    """What distinguishes lifts. Lifts that differ in nothing share one."""

    table: str = DEFAULT_TABLE
    attributes: tuple[float, ...] = (np.inf,) * len(_POSITIVE)
    """By ``_POSITIVE``; inf = not known (NaN would not be equal to itself)."""
    overrides: tuple[int, ...] = ()


class Profiles:
    """Numbers by lift."""

    def __init__(
        self,
        policy: ElevatorPolicy,
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> None:
        """attributes: ``code_table`` (``codes.TABLES``), ``rated_speed`` m/s, ``travel_time`` s of a run
        over the whole height, ``report_interval`` s, ``run_limit`` s. entities: by number."""
        self._policy = policy
        named: dict[str, tuple[int, ...]] = {}
        for place, override in enumerate(policy.overrides):
            for entity in override.entities:
                named[entity] = (*named.get(entity, ()), place)
        numbers: dict[_Profile, int] = {_Profile(): 0}
        self._of_entity = np.zeros(len(entities), np.int64)
        if attributes or named:
            for number, entity in enumerate(entities):
                said = attributes.get(entity)
                if said is None and entity not in named:
                    continue
                profile = _profile(said or {}, named.get(entity, ()))
                self._of_entity[number] = numbers.setdefault(profile, len(numbers))
        profiles = list(numbers)
        self.tables: tuple[str, ...] = tuple(dict.fromkeys(profile.table for profile in profiles))
        self._table = np.array([self.tables.index(profile.table) for profile in profiles], np.int64)
        self._numbers = [self._thresholds(profile) for profile in profiles]
        self._value = np.array([[said[key].canonical for key in NUMBERS] for said in self._numbers])
        self._us = np.rint(self._value * MICROS).astype(np.int64)
        known = np.array([profile.attributes for profile in profiles])
        self._attribute = np.where(np.isinf(known), np.nan, known)

    def _thresholds(self, profile: _Profile) -> dict[str, Threshold]:
        found = dict(self._policy.numbers)
        for place in profile.overrides:
            found.update(self._policy.overrides[place].set)
        return found

    def limits(self, numbers: Ints) -> "Limits":
        """The numbers for lifts by number, (n,); one that came after these rules has the default."""
        profile = np.zeros(len(numbers), np.int64)
        known = numbers < len(self._of_entity)
        profile[known] = self._of_entity[numbers[known]]
        return Limits(self, profile)


class Limits:
    """The numbers of the rows at hand; arrays are (n,), or (1,) where all lifts have the same."""

    __slots__ = ("_of", "_profile", "_profiles")

    def __init__(self, profiles: Profiles, profile: Ints) -> None:
        self._profiles, self._profile = profiles, profile
        alone = len(profiles._table) == 1
        # A slice costs a thirtieth of an index array, and there are dozens of look-ups in a round.
        self._of: slice | Ints = slice(0, 1) if alone else profile

    def us(self, key: str) -> Ints:
        """A duration, µs."""
        return np.asarray(self._profiles._us[self._of, _PLACE[key]])

    def value(self, key: str) -> Floats:
        """A number; seconds for a duration."""
        return np.asarray(self._profiles._value[self._of, _PLACE[key]])

    def attribute(self, name: str) -> Floats:
        """Of the lift; NaN = not known."""
        return np.asarray(self._profiles._attribute[self._of, _POSITIVE.index(name)])

    def table(self, rows: Ints) -> Ints:
        """Number of the code table of these rows."""
        return self._profiles._table[self._profile[rows]]

    def said(self, key: str, row: int) -> Threshold:
        """The entry that applies to one row: for evidence."""
        return self._profiles._numbers[int(self._profile[row])][key]


def _profile(attributes: Mapping[str, str], overrides: tuple[int, ...]) -> _Profile:
    return _Profile(
        table=attributes.get("code_table", DEFAULT_TABLE),
        attributes=tuple(_positive(attributes.get(name)) for name in _POSITIVE),
        overrides=overrides,
    )


def _positive(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return np.inf
    return value if isfinite(value) and value > 0 else np.inf
