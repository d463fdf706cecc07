"""How ``zhiwei explain`` speaks: the console's words, the site's time, terms of rules as sentences."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from alerts.console.texts import Language, known
from alerts.console.words import Value, Words
from zhiwei import registry
from zhiwei.clock import to_datetime
from zhiwei.contracts import Standing
from zhiwei.lanes import Lane
from zhiwei.settings import Settings
from zhiwei.types import Flag, Observation

_LASTING = {"s": 1.0, "h": 3600.0}
_WHOLE_S = 600
"""Seconds from which a duration is told in larger units."""


def language_of_locale(environment: Mapping[str, str]) -> Language:
    """Of the locale's messages, as POSIX has it: LC_ALL, LC_MESSAGES, LANG. English but for ``zh…``."""
    locale = next((environment[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(key)), "")
    return Language.ZH if locale.lower().startswith("zh") else Language.EN


class Speaker(Words):
    """Words, and what only the command line says."""

    def __init__(self, language: Language, settings: Settings) -> None:
        names = registry.names("scenarios")
        super().__init__(language, {name: registry.scenario(name).schema for name in sorted(names)})
        self.zone = ZoneInfo(settings.zone)
        self.day: date | None = None
        """Where the answer is about one day, its times are told without it."""

    def at(self, us: int) -> str:
        """A time where the site is, to the second."""
        return self.moment(to_datetime(us))

    def moment(self, moment: datetime) -> str:
        """The same of a datetime."""
        local = moment.astimezone(self.zone)
        return local.strftime("%H:%M:%S" if local.date() == self.day else "%Y-%m-%d %H:%M:%S")

    def joined(self, parts: Iterable[str]) -> str:
        """Parts of one sentence."""
        return self.say("sentence.join").join(parts)

    def named(self, kind: str) -> str:
        """A kind's word and, beside it, its dotted name."""
        return (
            f"{self.kind(kind)} ({kind})" if self.language is Language.EN else f"{self.kind(kind)}（{kind}）"
        )

    def flags(self, flags: int) -> list[str]:
        """Quality bits of a row."""
        return [self.say(f"flag.{flag.name}") for flag in Flag if flags & flag]

    def values(self, scenario: str, values: Mapping[str, float | bool | str]) -> str:
        """One row."""
        if not values:
            return self.say("explain.no_values")
        return self.joined(
            self.fact(scenario, Observation(name=name, observed=value, unit=self._unit_of(scenario, name)))
            for name, value in values.items()
        )

    def source(self, source: str) -> str:
        """The policy's own words; where no text stands for them they are quoted as the policy has them."""
        named = known(self.language, f"source.{source}")
        return (
            self.say("explain.source", source=named) if named else self.say("explain.quoted", source=source)
        )

    def observation(self, scenario: str, one: Observation) -> str:
        """What was seen, what was expected, the limit and its source, each named."""
        name = self.channel(scenario, one.name)
        seen = self._moment_or_value(one.name, one.observed, one.unit)
        parts = [f"{name}: {seen}" if self.language is Language.EN else f"{name}：{seen}"]
        if one.expected is not None:
            parts.append(self.say("explain.expected", value=self.value(one.name, one.expected, one.unit)))
        if one.limit:
            parts.append(self.say("explain.limit", value=self.limit(one)))
        if one.source:
            parts.append(self.source(one.source))
        return self.joined(parts)

    def _moment_or_value(self, name: str, value: Value, unit: str) -> str:
        if isinstance(value, str) and value[10:11] == "T":  # a moment as rules write it
            return self.moment(datetime.fromisoformat(value))
        return self.value(name, value, unit)

    def _unit_of(self, scenario: str, channel: str) -> str:
        described = self.channel_of(scenario, channel)
        return described.unit if described is not None and described.unit != "1" else ""

    # -------------------------------------------------------------- terms

    def way(self, scenario: str, way: str) -> str:
        """A branch, a room or a channel."""
        for key in (f"way.{way}", f"suffix.{way}"):
            named = known(self.language, key)
            if named is not None:
                return named
        return self.channel(scenario, way)

    def term(self, scenario: str, one: Standing) -> str:
        """A term as it stands, with since when and its source."""
        beside = [] if one.since is None else [self.say("explain.since", at=self.at(one.since))]
        if one.source and not one.holds:
            beside.append(self.source(one.source))
        text = self._term(scenario, one)
        return self.say("why_not.beside_it", term=text, beside=self.joined(beside)) if beside else text

    def _term(self, scenario: str, one: Standing) -> str:
        name = self.channel(scenario, one.way if one.name == "newest_sample" else one.name)
        if one.name == "warm_up_day":
            if not one.holds:
                return self.say("why_not.no_line")
            return self.say("why_not.warm_up_day", n=f"{one.observed:g}", of=f"{one.needs:g}")
        alone = known(self.language, f"channel.{one.name}") is None  # then the value says what it is of
        if (
            isinstance(one.observed, bool)
            or one.observed is None
            or (isinstance(one.observed, str) and alone)
        ):
            word = "unknown" if one.observed is None else str(one.observed).lower()
            said = known(self.language, f"value.{one.name}.{word}")
            if said is not None and one.name != "mode":
                return said
        if one.observed is None:
            return self.say("why_not.no_value", name=name)
        if one.unit.startswith("/"):
            return self.say(
                "why_not.count", name=name, value=f"{one.observed:g}", needs=f"{one.needs:g}", of=one.unit[2:]
            )
        if one.sign and one.needs is not None:
            lasting = one.unit in _LASTING and one.sign == "≥"
            key = "why_not.lasted" if lasting else "why_not.compared"
            value, needs = (self._amount(one.name, each, one.unit) for each in (one.observed, one.needs))
            return self.say(key, name=name, value=value, needs=needs, sign=one.sign)
        value = self.value(one.name, one.observed, one.unit)
        if one.name == "mode" and one.holds is False:
            return self.say("why_not.out_of_service", name=name, value=value)
        if one.needs is None or one.holds:
            return self.say("why_not.named", name=name, value=value)
        return self.say(
            "why_not.wanted", name=name, value=value, needs=self.value(one.name, one.needs, one.unit)
        )

    def _amount(self, name: str, value: float | bool | str, unit: str) -> str:
        if unit in _LASTING and isinstance(value, float | int):
            seconds = value * _LASTING[unit]
            return f"{seconds:.4g} {self.unit('s')}" if seconds < _WHOLE_S else self.age(seconds)
        return self.value(name, value, unit)


def lanes_in(topics: Iterable[str]) -> set[str]:
    """Scenarios whose readings a log has."""
    prefix = f"{Lane.READINGS}."
    return {topic.removeprefix(prefix) for topic in topics if topic.startswith(prefix)}
