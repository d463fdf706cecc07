"""One incident: what is known in a sentence, the evidence, the course, and what a person can do."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from nicegui import ui
from starlette.requests import Request

from alerts.api import query
from alerts.api.query import Dossier
from alerts.console import evidence
from alerts.console.evidence import Scene
from alerts.console.frame import Console, Reader, esc, page, reader_of, show
from alerts.console.incident_parts import course, facts, head, key_of_evidence, strips
from alerts.console.texts import known
from alerts.incident import HANDLING, REASON_MOST, TRANSITIONS, Action, Handling, State
from alerts.store.outbox import Dispatched
from zhiwei.errors import ZhiweiError

_EVERY_S = 0.25
_DELIVERIES_EVERY_S = 2.0
_ORDER = (Action.ACKNOWLEDGE, Action.CONFIRM, Action.REJECT, Action.CLOSE)


async def build(console: Console, request: Request, incident: str) -> None:
    """The page."""
    reader = reader_of(console, request)
    say = reader.words.say
    dossier = await console.desk.store.transact(lambda connection: query.dossier(connection, incident))
    title = say("nav.incidents") if dossier is None else reader.words.kind(dossier.incident.kind)
    with page(console, reader, request, title):
        show(f'<a class="back" href="/">← {esc(say("incident.back"))}</a>')
        if dossier is None:
            show(f'<p class="nothing">{esc(say("incident.missing"))}</p>', "panel")
            return
        shown = _Page(console, reader, dossier)
        shown.draw()
        shown.follow()


class _Page:
    """The parts of the page that change, and the incident as it was last read."""

    def __init__(self, console: Console, reader: Reader, dossier: Dossier) -> None:
        self._console = console
        self._reader = reader
        self._dossier = dossier
        self._drawn_evidence: tuple[str, int] | None = None
        self._drawn_actions: tuple[State, Handling] | None = None
        self._since_s = 0.0
        self._dialogs = ui.element("div").style("display:none")  # a dialog itself stands above the page
        with ui.element("article").classes("panel incident"):
            self._head = show("", "")
            self._actions = ui.element("div").classes("actions").props('role="group"')
        with ui.element("div").classes("split"):
            with ui.element("section").classes("panel grow"):
                show(f"<h2>{esc(reader.words.say('incident.chart'))}</h2>", "panel-head")
                self._evidence = ui.element("div").classes("evidence")
                self._say_instead(reader.words.say("incident.reading"))
                self._facts = show("", "facts-table")
            with ui.element("aside").classes("panel course-panel"):
                show(f"<h2>{esc(reader.words.say('incident.timeline'))}</h2>", "panel-head")
                self._course = show("", "course")

    # -------------------------------------------------------------- drawing

    def draw(self) -> None:
        """All that may have changed since the last time, but for the evidence: reading that may take long."""
        words, dossier = self._reader.words, self._dossier
        safety = dossier.incident.kind in self._console.desk.sources.life_safety
        self._head.set_content(head(words, dossier, safety=safety))
        self._facts.set_content(facts(words, dossier))
        self._course.set_content(course(words, dossier))
        self._draw_actions()

    async def _draw_evidence(self) -> None:
        if self._drawn_evidence == (key := key_of_evidence(self._dossier)):
            return
        self._drawn_evidence = key
        words, incident = self._reader.words, self._dossier.incident
        finding = self._dossier.findings[0] if self._dossier.findings else None
        sources = self._console.desk.sources

        def read() -> Scene:
            known_values = sources.last_values.entity(incident.scenario, incident.entity)
            return evidence.scene(incident, finding, sources.history, known_values, words)

        try:
            shown = await asyncio.to_thread(read)
        except ZhiweiError as error:
            self._say_instead(words.say("incident.no_history", why=error))
            return
        self._evidence.clear()
        with self._evidence:
            if not shown.curves and not shown.strips:
                self._say_instead(words.say("incident.no_chart"))
            if shown.curves:
                title = words.sentence(incident, finding)
                chart = ui.echart(evidence.options(shown, words, title), renderer="svg").classes("chart")
                chart.style(f"height:{evidence.height(shown)}px").props(
                    f'role="img" aria-label="{esc(title)}"'
                )
            if shown.strips:
                show(strips(words, shown), "strips")

    def _say_instead(self, text: str) -> None:
        self._evidence.clear()
        with self._evidence:
            show(f'<p class="nothing">{esc(text)}</p>')

    def _draw_actions(self) -> None:
        incident = self._dossier.incident
        if self._drawn_actions == (incident.state, incident.handling):
            return  # a button under somebody's finger stays
        self._drawn_actions = (incident.state, incident.handling)
        self._actions.clear()
        if incident.state is State.CLOSED:
            return
        with self._actions:
            for action in _ORDER:
                possible = (incident.state, action.signal) in TRANSITIONS and (
                    incident.handling,
                    action,
                ) in HANDLING
                button = ui.button(self._reader.words.say(f"action.{action.value}"), color=None)
                button.props("no-caps unelevated").classes(f"act act-{action.value}")
                button.set_enabled(possible)
                # Made now, not when it is clicked: two clicks on one button are one command.
                button.on_click(self._doing(action, secrets.token_hex(16)))

    # -------------------------------------------------------------- doing

    def _doing(self, action: Action, key: str) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            why = ""
            if action in (Action.REJECT, Action.CLOSE):
                told = await self._ask(action)
                if told is None:
                    return
                why = told
            await self._give(action, key, why)

        return do

    async def _ask(self, action: Action) -> str | None:
        """The reason that somebody gives; None where they turn back."""
        say = self._reader.words.say
        needed = action is Action.REJECT
        title = say(f"dialog.{action.value}")
        # Not among the buttons: those are drawn anew while somebody writes.
        with (
            self._dialogs,
            ui.dialog() as dialog,
            ui.element("div").classes("dialog").props(f'aria-label="{esc(title)}"'),
        ):
            show(f"<h2>{esc(title)}</h2>")
            field = ui.textarea(say("dialog.reason"), validation=None)
            field.props(f'outlined autogrow autofocus maxlength={REASON_MOST} data-testid="reason"')

            def go() -> None:
                if needed and not str(field.value or "").strip():
                    field.error = say("dialog.required")
                    return
                dialog.submit(str(field.value or "").strip())

            with ui.element("div").classes("actions"):
                back = ui.button(say("action.cancel"), color=None, on_click=lambda: dialog.submit(None))
                back.props("no-caps unelevated").classes("act")
                button = ui.button(say(f"action.{action.value}"), color=None, on_click=go)
                button.props('no-caps unelevated data-testid="go"').classes(f"act act-{action.value}")
        told = await dialog
        dialog.delete()
        return told if isinstance(told, str) else None

    async def _give(self, action: Action, key: str, why: str) -> None:
        say = self._reader.words.say
        session = self._console.access.session(self._reader.token)
        if session is None:  # the page may stand open for longer than a session lasts
            ui.notify(say("dialog.session"), type="negative")
            ui.navigate.to("/sign-in")
            return
        incident = self._dossier.incident.id
        try:
            outcome = await self._console.desk.commands.give(key, incident, action, session.name, why)
        except ZhiweiError as error:
            ui.notify(say("dialog.not_done", why=error), type="negative")
            return
        if outcome.refused:
            told = known(self._reader.language, f"refusal.{outcome.refused}") or outcome.detail
            ui.notify(say("dialog.not_done", why=told), type="negative")
        elif not outcome.repeated:
            ui.notify(say("dialog.done", what=say(f"action.{action.value}")), type="positive")
        await self._read()

    # -------------------------------------------------------------- following

    def follow(self) -> None:
        """Draw anew when the incident changes, and while deliveries are under way."""
        ui.timer(_EVERY_S, self._look)
        ui.timer(_EVERY_S, self._draw_evidence)

    async def _look(self) -> None:
        self._since_s += _EVERY_S
        changed = self._console.board.sequence(self._dossier.incident.id) > self._dossier.incident.sequence
        waiting = any(one.state is Dispatched.PENDING for one in self._dossier.deliveries)
        if changed or (waiting and self._since_s >= _DELIVERIES_EVERY_S):
            await self._read()

    async def _read(self) -> None:
        self._since_s = 0.0
        incident = self._dossier.incident.id
        try:
            fresh = await self._console.desk.store.transact(
                lambda connection: query.dossier(connection, incident)
            )
        except ZhiweiError:
            return  # it is read again soon
        if fresh is not None and fresh != self._dossier:
            self._dossier = fresh
            self.draw()
