"""The parts of an incident's page as HTML: pure."""

from datetime import datetime

from alerts.api.query import Delivery, Dossier, Refusal, Told
from alerts.console.evidence import MARGIN_LEFT, MARGIN_RIGHT, Scene, Strip
from alerts.console.frame import esc, severity_badge, time_of
from alerts.console.texts import known
from alerts.console.words import Words
from alerts.incident import Handling, Kind, State
from alerts.store.outbox import Dispatched
from zhiwei.clock import to_us
from zhiwei.types import Observation

_OFF_WORDS = {"false", "none", "normal", "mains", "closed"}
_LABEL_LEAST = 9.0
"""Percent of a strip's width that a piece needs to bear its word."""


def key_of_evidence(dossier: Dossier) -> tuple[str, int]:
    """Changes when the chart has to be drawn anew."""
    if not dossier.findings:
        return "", 0
    return dossier.findings[0].id, dossier.findings[0].rev


def head(words: Words, dossier: Dossier, *, safety: bool) -> str:
    """What is known, and where it stands."""
    one = dossier.incident
    finding = dossier.findings[0] if dossier.findings else None
    say = words.say
    tags = severity_badge(words, one.severity.value)
    if safety:
        tags += f'<span class="tag-safety">{esc(say("list.safety"))}</span>'
    tags += f'<span class="st {one.state.value}">{esc(say(f"state.{one.state.value}"))}</span>'
    who = f" · {esc(one.handled_by)}" if one.handled_by else ""
    tags += f'<span class="hd {one.handling.value}">{esc(say(f"handling.{one.handling.value}"))}{who}</span>'
    notes = [say("incident.historical")] if one.historical else []
    if one.handling is Handling.CONFIRMED and one.state is not State.CLOSED:
        notes.append(say("incident.wait_person"))
    if one.closed_by and finding and one.closed_at and finding.at > one.closed_at:
        phase, severity = say(f"phase.{finding.phase.value}"), say(f"severity.{finding.severity.value}")
        notes.append(say("incident.since_ended", phase=phase, severity=severity))
    told = "".join(f'<p class="note">{esc(note)}</p>' for note in notes)
    title = f"{words.heading(one, finding)} · {words.entity(one.scenario, one.entity)}"
    return (
        f'<div class="tags">{tags}</div><h1>{esc(title)}</h1>'
        f'<p class="sentence">{esc(words.sentence(one, finding))}</p>{told}'
        f'<dl class="meta">{_meta(words, dossier)}</dl>'
    )


def _meta(words: Words, dossier: Dossier) -> str:
    one = dossier.incident
    finding = dossier.findings[0] if dossier.findings else None
    times = [
        ("incident.onset", one.onset),
        ("incident.opened", one.opened_at),
        ("incident.cleared_at", one.cleared_at),
        ("incident.close_at", one.close_at),
        ("incident.closed_at", one.closed_at),
    ]
    rows = [(words.say(key), time_of(to_us(at))) for key, at in times if at is not None]
    versions = (
        ", ".join(f"{name} {value}" for name, value in sorted(finding.versions.items())) if finding else ""
    )
    rows.append((words.say("incident.rule"), f"<code>{esc(one.rule)}</code>"))
    if versions:
        rows.append((words.say("incident.versions"), f"<code>{esc(versions)}</code>"))
    if one.clock != "live":
        source = one.clock.rpartition("/")[2]
        rows.append((words.say("incident.clock"), esc(words.say("incident.own_clock", source=source))))
    rows.append((words.say("incident.id"), f"<code>{esc(one.id[:12])}</code>"))
    return "".join(f"<div><dt>{esc(name)}</dt><dd>{value}</dd></div>" for name, value in rows)


def facts(words: Words, dossier: Dossier) -> str:
    """The observations of the latest finding as a table."""
    finding = dossier.findings[0] if dossier.findings else None
    if finding is None or not finding.evidence.observations:
        return ""
    say = words.say
    names = ("channel", "observed", "expected", "limit", "source")
    header = "".join(f'<th scope="col">{esc(say(f"incident.{name}"))}</th>' for name in names)
    rows = ""
    for one in finding.evidence.observations:
        expected = "" if one.expected is None else words.value(one.name, one.expected, one.unit)
        rows += f'<tr><th scope="row">{esc(words.channel(finding.scenario, one.name))}</th>'
        rows += f"<td>{_observed(words, one)}</td>"
        rows += (
            "".join(f"<td>{esc(cell)}</td>" for cell in (expected, words.limit(one), one.source)) + "</tr>"
        )
    return (
        f"<h2>{esc(say('incident.evidence'))}</h2><div class='wide'>"
        f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _observed(words: Words, one: Observation) -> str:
    if isinstance(one.observed, str):
        try:
            moment = datetime.fromisoformat(one.observed)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None:
            return time_of(to_us(moment))
    return esc(words.value(one.name, one.observed, one.unit))


# ------------------------------------------------------------------ strips


def strips(words: Words, shown: Scene) -> str:
    """The states of switches and words on the chart's time."""
    onset = _percent(shown, shown.onset)
    body = "".join(_strip(words, shown, one) for one in shown.strips)
    style = f"--left:{MARGIN_LEFT}px;--right:{MARGIN_RIGHT}px;--onset:{onset:.3f}"
    ends = f"{time_of(shown.start)}<span>{esc(words.say('incident.onset_mark'))}</span>{time_of(shown.end)}"
    return (
        f'<div style="{style}"><h3>{esc(words.say("incident.strips"))}</h3>{body}'
        f'<div class="strip-axis">{ends}</div></div>'
    )


def _strip(words: Words, shown: Scene, strip: Strip) -> str:
    pieces, told = "", []
    for one in strip.intervals:
        start, end = _percent(shown, one.start), _percent(shown, one.end)
        if end <= start:
            continue
        value = words.value(strip.channel, one.value)
        told.append(value)
        on = str(one.value).lower() not in _OFF_WORDS
        label = esc(value) if end - start >= _LABEL_LEAST else ""
        pieces += (
            f'<span class="piece {"on" if on else "off"}" style="left:{start:.3f}%;width:{end - start:.3f}%" '
            f'title="{esc(value)}">{label}</span>'
        )
    for start_us, end_us in strip.gaps:
        start, end = _percent(shown, start_us), _percent(shown, end_us)
        if end <= start:
            continue
        pieces += (
            f'<span class="piece gap" style="left:{start:.3f}%;width:{end - start:.3f}%" '
            f'title="{esc(words.say("incident.gap"))}"></span>'
        )
    course_told = " → ".join(dict.fromkeys(told))
    return (
        f'<div class="strip"><span class="name">{esc(strip.title)}</span>'
        f'<span class="track" role="img" aria-label="{esc(strip.title)}: {esc(course_told)}">'
        f"{pieces}</span></div>"
    )


def _percent(shown: Scene, us: int) -> float:
    return min(100.0, max(0.0, 100 * (us - shown.start) / max(1, shown.end - shown.start)))


# ------------------------------------------------------------------ the course


def course(words: Words, dossier: Dossier) -> str:
    """Decisions, findings and deliveries, the latest first; runs of updates are folded up."""
    by_event: dict[str, list[Delivery]] = {}
    for one in dossier.deliveries:
        by_event.setdefault(one.event, []).append(one)
    items: list[tuple[int, int, str]] = []
    run: list[Told] = []
    for told in dossier.history:
        if run and told.kind is not Kind.UPDATED:
            items.append(_updates(words, run, by_event))
            run = []
        if told.kind is Kind.UPDATED:
            run.append(told)
        else:
            items.append((told.at_us, told.sequence, _item(words, told, by_event.get(told.id, []))))
    if run:
        items.append(_updates(words, run, by_event))
    items += [(one.at_us, 0, _refusal(words, one)) for one in dossier.refused]
    if not dossier.deliveries:
        items.append((-1, 0, f'<li class="quiet">{esc(words.say("incident.no_receivers"))}</li>'))
    if dossier.earlier:
        items.append(
            (-2, 0, f'<li class="quiet">{esc(words.say("incident.earlier", n=dossier.earlier))}</li>')
        )
    # By sequence: it is the order of events, whatever clocks say.
    ordered = sorted(items, key=lambda item: (item[1] or _before(items, item[0]), item[0]), reverse=True)
    return f"<ol>{''.join(text for _, _, text in ordered)}</ol>"


def _before(items: list[tuple[int, int, str]], at_us: int) -> int:
    """The sequence of what stood when something without one happened."""
    return max((sequence for at, sequence, _ in items if sequence and at <= at_us), default=0)


def _updates(words: Words, run: list[Told], by_event: dict[str, list[Delivery]]) -> tuple[int, int, str]:
    last = run[-1]
    if len(run) == 1:
        return last.at_us, last.sequence, _item(words, last, by_event.get(last.id, []))
    deliveries = [one for told in run for one in by_event.get(told.id, [])]
    title = words.say("incident.updates", n=len(run))
    text = (
        f'<li class="updated"><span class="line"><b>{esc(title)}</b>{time_of(last.at_us)}</span>'
        f"{_finding(words, last)}{_told_to(words, deliveries)}</li>"
    )
    return last.at_us, last.sequence, text


def _item(words: Words, told: Told, deliveries: list[Delivery]) -> str:
    title = esc(words.say(f"change.{told.kind.value}"))
    why = ""
    if told.command is not None:
        title += f' <span class="by">{esc(told.command.who)}</span>'
        if told.command.why:
            why = f"<blockquote>{esc(told.command.why)}</blockquote>"
    classes = f"{told.kind.value}{' person' if told.command else ''}"
    return (
        f'<li class="{classes}"><span class="line"><b>{title}</b>{time_of(told.at_us)}</span>'
        f"{why}{_finding(words, told)}{_told_to(words, deliveries)}</li>"
    )


def _finding(words: Words, told: Told) -> str:
    if told.finding is None:
        return ""
    phase = words.say(f"phase.{told.finding.phase.value}")
    severity = words.say(f"severity.{told.finding.severity.value}")
    facts_told = words.facts(told.finding)
    text = f"{phase} · {severity}" + (f" · {facts_told}" if facts_told else "")
    return f'<span class="small">{esc(text)}</span>'


def _told_to(words: Words, deliveries: list[Delivery]) -> str:
    """One word for each receiver: the worst that became of these events."""
    worst: dict[str, Delivery] = {}
    order = [Dispatched.DELIVERED, Dispatched.SUPPRESSED, Dispatched.PENDING, Dispatched.DEAD]
    for one in deliveries:
        known_one = worst.get(one.sink)
        if known_one is None or order.index(one.state) >= order.index(known_one.state):
            worst[one.sink] = one
    return "".join(_delivery(words, one) for one in worst.values())


_SIGN = {
    Dispatched.DELIVERED: "✓",
    Dispatched.PENDING: "…",
    Dispatched.DEAD: "✕",
    Dispatched.SUPPRESSED: "–",
}


def _delivery(words: Words, one: Delivery) -> str:
    parts = [words.say(f"delivery.{one.state.value}")]
    if one.attempts > 1:
        parts.append(words.say("delivery.attempts", n=one.attempts))
    if one.state is not Dispatched.DELIVERED and one.last_error:
        parts.append(one.last_error[:160])
    settled = f" {time_of(one.settled_us)}" if one.settled_us is not None else ""
    return (
        f'<span class="delivery {one.state.value}"><span aria-hidden="true">{_SIGN[one.state]}</span> '
        f"{esc(one.sink)} · {esc(' · '.join(parts))}{settled}</span>"
    )


def _refusal(words: Words, one: Refusal) -> str:
    what = words.say(f"action.{one.action.value}")
    why = known(words.language, f"refusal.{one.reason}") or one.detail
    return (
        f'<li class="refused"><span class="line"><b>{esc(words.say("incident.refused", what=what))} '
        f'<span class="by">{esc(one.who)}</span></b>{time_of(one.at_us)}</span>'
        f'<span class="small">{esc(why)}</span></li>'
    )
