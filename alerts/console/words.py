"""Incidents in words: pure functions from what is known to what is read, in each language.

Nothing is hidden for want of a word: a kind, channel or note without a text is shown as it is.
"""

import re
from collections.abc import Mapping
from functools import cache

from alerts.console.texts import Language, known, table, text
from alerts.incident import Incident
from zhiwei.clock import to_us
from zhiwei.schema import Channel, Schema, quantity_of
from zhiwei.types import Finding, Observation, Phase

FACTS_MOST = 5
"""Observations that fit into a sentence."""

Value = float | bool | str | None
_NUMBER_UNIT = re.compile(r"(\d) ([a-z]+)\b")


def _weight(one: Observation) -> int:
    """What was held against a limit first, then what was seen, then words of the rule (a branch, a mode)."""
    if one.limit or one.expected is not None:
        return 0
    return 2 if isinstance(one.observed, str | None) else 1


class Words:
    """Speaks one language about the channels of some scenarios."""

    def __init__(self, language: Language, schemas: Mapping[str, Schema]) -> None:
        self.language = language
        self._schemas = schemas

    def say(self, key: str, **values: object) -> str:
        """The text of a key."""
        return text(self.language, key, **values)

    # -------------------------------------------------------------- names

    def kind(self, kind: str) -> str:
        """What happened."""
        named = known(self.language, f"kind.{kind}")
        if named is not None:
            return named
        scenario, dot, rest = kind.partition(".")
        quantity, _, side = rest.rpartition("_")
        channel = self.channel_of(scenario, quantity)
        if channel is not None and side in ("low", "high"):
            word = {("zh", "low"): "偏低", ("zh", "high"): "偏高"}.get(
                (self.language.value, side), f" {side}"
            )
            return f"{self.channel(scenario, quantity)}{word}"
        return rest.replace("_", " ") if dot else kind

    def scenario(self, scenario: str) -> str:
        """The scenario's name."""
        return known(self.language, f"scenario.{scenario}") or scenario

    def entity(self, scenario: str, entity: str) -> str:
        """``Lift L-17``."""
        noun = known(self.language, f"entity.{scenario}") or self.say("entity")
        return f"{noun} {entity}"

    def channel_of(self, scenario: str, channel: str) -> Channel | None:
        """What the schema says of a channel; None where it knows none."""
        schema = self._schemas.get(scenario)
        return schema.channel(channel) if schema else None

    def states(self, scenario: str) -> list[str]:
        """The channels of a scenario that are switches or texts."""
        schema = self._schemas.get(scenario)
        return [one.name for one in schema.channels if one.dtype in ("bool", "utf8")] if schema else []

    def order(self, scenario: str, channel: str) -> tuple[int, str]:
        """Sort key of a channel: as the schema lists them."""
        schema = self._schemas.get(scenario)
        return schema.order(channel) if schema else (0, channel)

    def channel(self, scenario: str, channel: str) -> str:
        """The channel's title: ``turbidity_2`` → ``浑浊度 2``."""
        named = known(self.language, f"channel.{channel}")
        if named is not None:
            return named
        family, dot, suffix = channel.partition(".")
        room = known(self.language, f"suffix.{suffix}") if dot else None
        if room is not None:
            return f"{self.channel(scenario, family)} · {room}"
        described = self.channel_of(scenario, channel)
        bare, dot, suffix = channel.partition(".")
        place = f" · {suffix.replace('_', ' ')}" if dot else ""
        if self.language is not Language.ZH or described is None or not described.title_zh:
            return f"{known(self.language, f'channel.{bare}') or bare.replace('_', ' ')}{place}"
        quantity = quantity_of(bare)
        probe = f" {bare[len(quantity) + 1 :]}" if quantity != bare else ""
        return f"{described.title_zh}{probe}{place}"

    def value(self, channel: str, value: Value, unit: str = "") -> str:
        """A value with its unit; a switch's by its meaning where there is a text for it."""
        if value is None:
            return self.say("sentence.missing")
        if isinstance(value, bool | str):
            word = str(value).lower() if isinstance(value, bool) else value
            named = known(self.language, f"value.{channel.partition('.')[0]}.{word}")
            if named is not None or isinstance(value, str):
                return named or str(value)
            return self.say("sentence.yes" if value else "sentence.no")
        unit = self.unit(unit)
        return f"{value:.4g} {unit}".rstrip() if abs(value) < 1e4 else f"{value:,.0f} {unit}".rstrip()

    def unit(self, unit: str) -> str:
        """A unit as it is read; symbols such as mg/L are the same in every language."""
        return known(self.language, f"unit.{unit}") or unit

    def note(self, note: str) -> str:
        """A stable word of evidence."""
        return known(self.language, f"note.{note}") or note.replace("_", " ")

    def age(self, seconds: float) -> str:
        """A duration in its largest fitting units: ``3 h 12 min``."""
        whole = max(0, round(seconds))
        if whole < 120:
            return self.say("age.s", n=whole)
        minutes, hours, days = whole // 60, whole // 3600, whole // 86400
        if hours < 2:
            return self.say("age.m", n=minutes)
        if days < 2:
            return f"{self.say('age.h', n=hours)} {self.say('age.m', n=minutes % 60)}"
        return f"{self.say('age.d', n=days)} {self.say('age.h', n=hours % 24)}"

    # -------------------------------------------------------------- sentences

    def what(self, incident: Incident, finding: Finding | None) -> str:
        """The kind, and how far it is certain."""
        what = self.kind(incident.kind)
        if finding is not None and finding.phase is Phase.CLEARED:
            return self.say("sentence.cleared", what=what)
        if finding is not None and finding.phase is Phase.SUSPECTED:
            return self.say("sentence.suspected", what=what)
        return what

    def heading(self, incident: Incident, finding: Finding | None) -> str:
        """The same as it begins a line."""
        what = self.what(incident, finding)
        return what if what[:2] == "pH" else what[:1].upper() + what[1:]

    def fact(self, scenario: str, observation: Observation) -> str:
        """One thing that was seen, beside what would have been right."""
        value = self.value(observation.name, observation.observed, observation.unit)
        name = self.channel(scenario, observation.name)
        if isinstance(observation.observed, bool) and known(
            self.language, f"value.{observation.name.partition('.')[0]}.{str(observation.observed).lower()}"
        ):
            return value  # says by itself what it is about
        if observation.limit:
            return self.say("sentence.fact_limit", name=name, value=value, limit=self.limit(observation))
        if observation.expected is not None:
            expected = self.value(observation.name, observation.expected, observation.unit)
            return self.say("sentence.fact_expected", name=name, value=value, expected=expected)
        return self.say("sentence.fact", name=name, value=value)

    def limit(self, observation: Observation) -> str:
        """The limit in words, with the unit where it ends in a number."""
        bare = observation.limit[-1:].isdecimal() and observation.unit
        limit = f"{observation.limit} {observation.unit}" if bare else observation.limit
        for phrase, said in _phrases(self.language):
            limit = limit.replace(phrase, said)
        return _NUMBER_UNIT.sub(lambda found: f"{found[1]} {self.unit(found[2])}", limit)

    def facts(self, finding: Finding | None) -> str:
        """What was seen, in short; empty where nothing is told."""
        if finding is None:
            return ""
        weighty = sorted(finding.evidence.observations, key=_weight)[:FACTS_MOST]
        told = [self.fact(finding.scenario, one) for one in weighty]
        told = [one for one in told if one != self.kind(finding.kind)]  # "fall" says no more than "fall"
        if finding.evidence.note and known(self.language, f"note.{finding.evidence.note}"):
            told.append(self.note(finding.evidence.note))
        return self.say("sentence.join").join(told)

    def sentence(self, incident: Incident, finding: Finding | None) -> str:
        """One sentence of what is known. finding: the latest revision that was folded into it."""
        entity = self.entity(incident.scenario, incident.entity)
        claim = self.say("sentence.claim", entity=entity, what=self.what(incident, finding))
        facts = self.facts(finding)
        lasted_s = (to_us(finding.at) - to_us(incident.onset)) / 1e6 if finding else 0.0
        held = (
            self.say("sentence.held", age=self.age(lasted_s))
            if lasted_s >= 1
            else self.say("sentence.at_once")
        )
        if facts:
            return self.say("sentence.with_facts", claim=claim, facts=facts, held=held)
        return self.say("sentence.without_facts", claim=claim, held=held)


@cache
def _phrases(language: Language) -> tuple[tuple[str, str], ...]:
    """What limits are worded with, the longest first."""
    said = [
        (key.partition(".")[2], value) for key, value in table(language).items() if key.startswith("limit.")
    ]
    return tuple(sorted(said, key=lambda pair: -len(pair[0])))
