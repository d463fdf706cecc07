"""``zhiwei explain --why-not ENTITY TIME``: why nothing was found of an entity at a moment, from the log."""

from collections.abc import Iterator
from datetime import datetime, time
from difflib import get_close_matches
from itertools import groupby

from alerts.console.texts import Language, known
from streams.engine.batch import is_frame
from zhiwei import frames, registry
from zhiwei.beds import has_log, open_log
from zhiwei.clock import MICROS, Clock, to_datetime, to_us
from zhiwei.contracts import Kind, Scenario, Standing, TopicLog
from zhiwei.errors import ZhiweiError
from zhiwei.lanes import Lane, log_topic
from zhiwei.settings import Settings
from zhiwei.types import Finding, Phase
from zhiwei.wiring.account import WINDOW_S, Account, account, forward
from zhiwei.wiring.wording import Speaker, lanes_in

_LATER_MOST = 3
_NAMES_FROM = 2_000
"""Last records of each partition in which names of entities are looked for."""
_NAMES_MOST = 5


def why_not(
    settings: Settings,
    entity: str,
    moment: str,
    language: Language,
    clock: Clock,
    *,
    scenario: str | None = None,
    kind: str | None = None,
) -> Iterator[str]:
    """Lines for a person.

    moment: ISO 8601, in the site's zone where it has no offset, or HH:MM[:SS] of today there.
    Raises ZhiweiError for a moment, scenario or kind that is none, and for an entity nobody knows.
    """
    words = Speaker(language, settings)
    at_us = _moment(words, moment, clock)
    if not has_log(settings, "readings"):
        raise ZhiweiError(words.say("why_not.no_log", data=settings.data))
    with open_log(settings, "readings") as log:
        names = _scenarios(words, settings, log, scenario, kind)
        accounts = [account(settings, log, name, entity, at_us) for name in names]
        told = [one for one in accounts if one.known]
        if not told:
            raise ZhiweiError(_unknown(words, settings, log, names, entity))
    for one in told:
        words.day = None
        yield from _Answer(words, settings, one, kind).lines()


def _moment(words: Speaker, text: str, clock: Clock) -> int:
    try:
        if "-" in text or len(text) > len("00:00:00"):
            moment = datetime.fromisoformat(text)
        else:
            today = to_datetime(clock.now_us()).astimezone(words.zone).date()
            hour, _, rest = text.partition(":")
            moment = datetime.combine(today, time.fromisoformat(f"{hour:0>2}:{rest}"))
    except ValueError:
        raise ZhiweiError(words.say("why_not.bad_time", time=text)) from None
    return to_us(moment if moment.tzinfo is not None else moment.replace(tzinfo=words.zone))


def _scenarios(
    words: Speaker, settings: Settings, log: TopicLog, scenario: str | None, kind: str | None
) -> list[str]:
    installed = registry.names("scenarios")
    found = sorted((set(settings.streams.scenarios) | lanes_in(log.topics())) & set(installed))
    if scenario is not None and scenario not in found:
        raise ZhiweiError(words.say("why_not.bad_scenario", name=scenario, names=", ".join(found)))
    found = found if scenario is None else [scenario]
    if kind is None:
        return found
    kinds = {one.name: name for name in found for one in registry.scenario(name).kinds}
    if kind not in kinds:
        raise ZhiweiError(words.say("why_not.bad_kind", name=kind, names=", ".join(sorted(kinds))))
    return [kinds[kind]]


def _unknown(words: Speaker, settings: Settings, log: TopicLog, names: list[str], entity: str) -> str:
    text = words.say("why_not.unknown", entity=entity)
    seen = {one.entity for one in settings.entities} | {one.entity for one in settings.devices}
    for name in names:
        seen |= _entities(registry.scenario(name), log)
    similar = get_close_matches(entity, sorted(seen), n=_NAMES_MOST, cutoff=0.5)
    return f"{text} {words.say('why_not.similar', names=', '.join(similar))}" if similar else text


def _entities(part: Scenario, log: TopicLog) -> set[str]:
    """Names in the last frames of each partition."""
    topic, seen = log_topic(Lane.READINGS, part.name), set[str]()
    for partition in range(log.partitions(topic)):
        start = log.end(topic, partition) - _NAMES_FROM
        for record in forward(log, topic, partition, start):
            if is_frame(record.value):
                try:
                    seen.update(frames.decode(part.schema, record.value).entities)
                except frames.BadFrame:
                    continue
    return seen


class _Answer:
    """An account as lines."""

    def __init__(self, words: Speaker, settings: Settings, said: Account, kind: str | None) -> None:
        self._words, self._said, self._kind, self._zone = words, said, kind, settings.zone
        self._scenario = registry.scenario(said.scenario)

    def lines(self) -> Iterator[str]:
        """Data, findings, rules; a moment that the log does not reach is answered as such."""
        words, said = self._words, self._said
        yield words.say(
            "why_not.head_kind" if self._kind else "why_not.head",
            entity=words.entity(said.scenario, said.entity),
            at=words.at(said.at_us),
            zone=self._zone,
            what=words.named(self._kind or self._scenario.main_kind),
        )
        words.day = to_datetime(said.at_us).astimezone(words.zone).date()
        if said.begins_us is not None and said.at_us < said.begins_us:
            yield "  " + words.say("why_not.before_log", at=words.at(said.begins_us))
            return
        if said.ends_us is not None and said.at_us > said.ends_us:
            yield "  " + words.say("why_not.after_log", at=words.at(said.ends_us))
            return
        yield words.say("why_not.data")
        yield from self._indented(self._data())
        yield words.say("why_not.found")
        yield from self._indented(self._findings())
        yield from self._rules()

    @staticmethod
    def _indented(lines: Iterator[str], by: int = 2) -> Iterator[str]:
        return (" " * by + line for line in lines)

    # -------------------------------------------------------------- data

    def _data(self) -> Iterator[str]:
        words, said, rows = self._words, self._said, self._said.rows
        minutes = WINDOW_S // 60
        if rows.count:
            devices = ", ".join(sorted(rows.devices))
            yield words.say("why_not.rows", minutes=minutes, n=rows.count, devices=devices)
        elif rows.last is None and rows.next is None:
            yield words.say("why_not.never")
        else:
            yield words.say("why_not.no_rows", minutes=minutes)
        if rows.last is not None:
            yield words.say(
                "why_not.last",
                at=words.at(rows.last.ts_us),
                age=words.age((said.at_us - rows.last.ts_us) / MICROS),
                device=rows.last.device,
                values=words.values(said.scenario, rows.last.values),
            )
        elif rows.next is not None:
            yield words.say("why_not.no_last")
        if rows.next is not None:
            yield words.say("why_not.next", at=words.at(rows.next.ts_us), device=rows.next.device)
        elif rows.last is not None:
            yield words.say("why_not.no_next")
        for flags, count in sorted(rows.flags.items()):
            yield words.say("why_not.flagged", n=count, flags=words.joined(words.flags(flags)))
        bins = said.bins
        if bins.duplicate or bins.late or bins.set_aside or said.backlog:
            yield words.say(
                "why_not.bins",
                duplicate=bins.duplicate,
                late=bins.late,
                set_aside=bins.set_aside,
                backlog=said.backlog,
            )
        for error in said.set_aside:
            yield words.say("why_not.set_aside", error=error)
        yield from self._refusals()
        if said.registered:
            yield words.say("why_not.registered")
        for start, end in said.outages:
            yield words.say("why_not.outage", start=words.at(start), end=words.at(end))
        if not said.ticks:
            yield words.say("why_not.no_ticks", clock=said.clock)
        elif not said.outages:
            yield words.say("why_not.intake_live")

    def _refusals(self) -> Iterator[str]:
        words = self._words
        for one in self._said.refused:
            yield words.say(
                "why_not.refused",
                n=one.count,
                reason=words.say(f"reason.{one.reason}"),
                scope=words.say(f"quarantine.{one.scope}"),
                at=words.at(one.at_us),
                number=one.number,
                detail=one.detail,
            )
        if not self._said.refused:
            yield words.say("why_not.none_refused")

    # -------------------------------------------------------------- findings

    def _findings(self) -> Iterator[str]:
        words, said = self._words, self._said
        mine = [one for one in said.findings if self._kind in (None, one.kind)]
        was_open = [one for one in said.open if one in mine]
        for one in was_open:
            yield self._finding("why_not.open", one, at=words.moment(one.onset))
        if not was_open:
            yield words.say("why_not.none_open")
        for kind in sorted(said.replayed_open - {one.kind for one in said.open}):
            if self._kind in (None, kind):
                yield words.say("why_not.only_replay", what=words.kind(kind), kind=kind)
        over = [one for one in mine if to_us(one.at) <= said.at_us and one.phase is Phase.CLEARED]
        if over:
            one = over[-1]
            yield self._finding("why_not.earlier", one, age=self._age(one), at=words.moment(one.at))
        later = [one for one in mine if to_us(one.at) > said.at_us]
        for one in later[:_LATER_MOST]:
            yield self._finding("why_not.later", one, age=self._age(one), at=words.moment(one.at))

    def _age(self, one: Finding) -> str:
        return self._words.age(abs(to_us(one.at) - self._said.at_us) / MICROS)

    def _finding(self, key: str, one: Finding, **values: str) -> str:
        words = self._words
        return words.say(
            key,
            what=words.kind(one.kind),
            kind=one.kind,
            phase=words.say(f"phase.{one.phase}").lower(),
            id=one.id[:8],
            **values,
        )

    # -------------------------------------------------------------- rules

    def _rules(self) -> Iterator[str]:
        words, said = self._words, self._said
        if not said.replayed or said.begins_us is None:
            yield words.say("why_not.none_replayed")
            return
        start = words.at(said.begins_us)
        yield words.say("why_not.rules", start=start, policy=said.policy, n=said.replayed)
        if said.cut:
            yield "  " + words.say("why_not.cut")
        asked = [one for one in self._scenario.kinds if self._kind in (None, one.name)]
        able = [one for one in asked if one.supported(said.channels)]
        terms = {one.name: [term for term in said.standing if term.kind == one.name] for one in able}
        for one in able:
            if terms[one.name]:
                yield from self._indented(self._one_kind(one, terms[one.name]))
        if able and not said.standing:
            yield "  " + words.say("why_not.no_terms")
        elif untold := [words.named(one.name) for one in able if not terms[one.name]]:
            yield "  " + words.say("why_not.no_terms_of", kinds=words.joined(untold))
        lacking = [self._lacking(one) for one in asked if one not in able]
        if lacking:
            yield "  " + words.say("why_not.unsupported", kinds=words.joined(lacking))

    def _lacking(self, kind: Kind) -> str:
        """Which channels each of the sets lacks."""
        words, have = (
            self._words,
            {part for name in self._said.channels for part in (name, name.split(".")[0])},
        )
        sets = [
            "+".join(words.channel(self._said.scenario, name) for name in needed if name not in have)
            for needed in kind.needs
        ]
        takes = words.say("why_not.or").join(dict.fromkeys(sets))
        return words.say("why_not.takes", what=words.named(kind.name), channels=takes)

    def _one_kind(self, kind: Kind, terms: list[Standing]) -> Iterator[str]:
        words, scenario = self._words, self._said.scenario
        yield words.say("why_not.kind", what=words.kind(kind.name), kind=kind.name)
        ways = [(way, list(those)) for way, those in groupby(terms, lambda term: term.way)]
        ways.sort(key=lambda pair: _lacking_share(pair[1]))  # the closest first
        for way, those in ways:
            deeper = 2
            if len(ways) > 1 or known(words.language, f"way.{way}") is not None:
                yield "  " + words.say("why_not.way", way=words.way(scenario, way))
                deeper = 4
            yield from self._indented(self._one_way(those), deeper)

    def _one_way(self, terms: list[Standing]) -> Iterator[str]:
        """What does not hold first: it is the answer."""
        words, scenario = self._words, self._said.scenario
        deciding = [one for one in terms if one.decides]
        for one in deciding:
            if one.holds is False:
                yield words.say("why_not.fails", term=words.term(scenario, one))
        for one in deciding:
            if one.holds is None:
                yield words.say("why_not.not_known", term=words.term(scenario, one))
        holding = [words.term(scenario, one) for one in deciding if one.holds]
        if len(holding) == len(deciding):
            yield words.say("why_not.all_hold")
        if holding:
            yield words.say("why_not.holds", terms=words.joined(holding))
        for one in terms:
            if not one.decides:
                yield words.say("why_not.beside", term=words.term(scenario, one))


def _lacking_share(terms: list[Standing]) -> float:
    deciding = [one for one in terms if one.decides]
    return sum(not one.holds for one in deciding) / max(len(deciding), 1)
