"""The live list of incidents by urgency, and beside it what happened last."""

from nicegui import ui
from nicegui.element import Element
from starlette.requests import Request

from alerts.console.board import Entry, News
from alerts.console.frame import Console, Reader, esc, page, reader_of, show, time_of
from alerts.console.texts import table
from alerts.console.words import Words
from alerts.incident import Change, Kind
from zhiwei.clock import to_us

SHOWN_MOST = 2000
"""Rows that a page holds; beyond it the least urgent are only counted."""
_EVERY_S = 0.2
_LATEST = 40
_SECTIONS = ("list.", "severity.", "state.", "handling.")


class IncidentList(Element, component="incident_list.js"):
    """The list in the browser: keeps rows, draws those in view."""

    def __init__(self, texts: dict[str, str]) -> None:
        super().__init__()
        self._props["texts"] = texts

    def take(self, news: dict[str, object]) -> None:
        """Send what changed."""
        self.run_method("take", news)


def build(console: Console, request: Request) -> None:
    """The page."""
    reader = reader_of(console, request)
    say = reader.words.say
    texts = {key: text for key, text in table(reader.language).items() if key.startswith(_SECTIONS)}
    with page(console, reader, request, say("list.title")), ui.element("div").classes("split list-page"):
        with ui.element("section").classes("panel grow"):
            show(f"<h1>{esc(say('list.title'))}</h1>", "panel-head")
            shown = IncidentList(texts)
        with ui.element("aside").classes("panel rail"):
            show(f"<h2>{esc(say('list.latest'))}</h2>", "panel-head")
            latest = show("", "latest")
    _follow(console, reader, shown, latest)


def _follow(console: Console, reader: Reader, shown: IncidentList, latest: ui.html) -> None:
    """Send what comes, until the page is left."""
    seen = 0
    told: list[Change] = []

    def look() -> None:
        nonlocal seen, told
        news = console.board.since(seen)
        if news.number == seen:
            return
        shown.take(_news(console, reader.words, news))
        told = [*news.latest, *([] if news.everything and not seen else told)][:_LATEST]
        latest.set_content(_latest(reader.words, told))
        seen = news.number

    async def begin() -> None:
        # Methods of an element can only be called once the browser has it.
        await ui.context.client.connected()
        look()
        ui.timer(_EVERY_S, look)

    ui.timer(0, begin, once=True)


def _news(console: Console, words: Words, news: News) -> dict[str, object]:
    counts = console.board.counts()
    return {
        "everything": news.everything,
        "rows": [row(words, entry) for entry in news.entries[:SHOWN_MOST]],
        "removed": list(news.removed),
        "counts": {
            "total": counts.total,
            "unhandled": counts.unhandled,
            "by_severity": counts.by_severity,
        },
        "cap": SHOWN_MOST,
    }


def row(words: Words, entry: Entry) -> dict[str, object]:
    """What the browser needs to draw one incident."""
    one = entry.incident
    return {
        "id": one.id,
        "key": [int(part) if isinstance(part, bool) else part for part in entry.order],
        "severity": one.severity.value,
        "safety": entry.life_safety,
        "state": one.state.value,
        "handling": one.handling.value,
        "who": one.handled_by or "",
        "scenario": one.scenario,
        "scenario_title": words.scenario(one.scenario),
        "kind": one.kind,
        "what": words.heading(one, entry.finding),
        "entity": words.entity(one.scenario, one.entity),
        "facts": words.facts(entry.finding),
        "onset": to_us(one.onset) / 1000,
    }


def _latest(words: Words, changes: list[Change]) -> str:
    if not changes:
        return f'<p class="nothing">{esc(words.say("list.no_latest"))}</p>'
    items = "".join(_item(words, change) for change in changes)
    return f"<ol>{items}</ol>"


def _item(words: Words, change: Change) -> str:
    one = change.incident
    who = f" · {esc(change.command.who)}" if change.command else ""
    sign = "person" if change.command else "end" if change.kind in (Kind.CLEARED, Kind.CLOSED) else "new"
    return (
        f'<li class="sev-{esc(one.severity)} {sign}"><a href="/incidents/{esc(one.id)}">'
        f'<span class="line"><span class="change">{esc(words.say(f"change.{change.kind.value}"))}{who}</span>'
        f"{time_of(to_us(change.at))}</span>"
        f'<span class="line"><strong>{esc(words.heading(one, None))}</strong>'
        f'<span class="entity">{esc(words.entity(one.scenario, one.entity))}</span></span></a></li>'
    )
