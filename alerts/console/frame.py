"""What every page has: the head, the language, who is signed in, and texts made safe for HTML."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

import msgspec
from nicegui import ui
from starlette.requests import Request

from alerts.api.access import Access, Session
from alerts.api.guard import COOKIE, session_of
from alerts.api.parts import Desk
from alerts.console.board import Board
from alerts.console.texts import LANGUAGE_COOKIE, Language, language_of
from alerts.console.words import Words

STATIC = Path(__file__).with_name("static")
STATIC_URL = "/console-static"
GLYPH = {"critical": "▲", "major": "◆", "minor": "●", "info": "○"}
"""Beside each colour of a severity, so that it is never the only sign."""
_PAGES = (("/", "nav.incidents"), ("/devices", "nav.devices"), ("/quarantine", "nav.quarantine"))


@dataclass(frozen=True, slots=True)
class Console:
    """What pages are built from."""

    desk: Desk
    access: Access
    board: Board


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a page, and in which language."""

    session: Session
    language: Language
    words: Words
    token: str


def reader_of(console: Console, request: Request) -> Reader:
    """Of a request that has passed the guard."""
    language = language_of(request.cookies.get(LANGUAGE_COOKIE))
    words = Words(language, console.desk.sources.schemas)
    return Reader(session_of(request.scope), language, words, request.cookies.get(COOKIE, ""))


@contextmanager
def page(console: Console, reader: Reader, request: Request, title: str) -> Iterator[None]:
    """The frame of a page; what is built inside stands in its main part."""
    say = reader.words.say
    here = request.url.path
    ui.page_title(f"{title} · {say('brand')}")
    ages = {key: say(key) for key in ("age.s", "age.m", "age.h", "age.d")}
    ui.add_head_html(
        f'<link rel="stylesheet" href="{STATIC_URL}/console.css?{_version("console.css")}">'
        f'<script src="{STATIC_URL}/console.js?{_version("console.js")}"></script>'
        f'<script>zw.speak("{reader.language.tag}");'
        f"zw.texts={msgspec.json.encode(ages).decode()}</script>"
    )
    with ui.element("header").classes("head"):
        show(_head(console, reader, here))
    with ui.element("main").classes("main").props('id="main"'):
        yield


def _head(console: Console, reader: Reader, here: str) -> str:
    say = reader.words.say
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if _is_here(path, here) else ""}>{esc(say(key))}</a>'
        for path, key in _PAGES
    )
    other = reader.language.other
    switch = f"/language/{other.value}?next={quote(here, safe='')}"
    return (
        f'<a class="skip" href="#main">{esc(say("nav.skip"))}</a>'
        f'<a class="brand" href="/"><b>{esc(say("brand"))}</b><small>{esc(say("brand.sub"))}</small></a>'
        f'<nav aria-label="{esc(say("nav.main"))}">{links}</nav>'
        f'<span class="site">{esc(console.desk.site)}</span>'
        f'<span class="live" role="status"><i aria-hidden="true"></i>'
        f'<span class="on">{esc(say("live.on"))}</span><span class="off">{esc(say("live.off"))}</span></span>'
        f'<a class="switch" href="{esc(switch)}" lang="{other.tag}" title="{esc(say("nav.language"))}">'
        f"{esc(other.own_name)}</a>"
        f'<form method="post" action="/sign-out"><span class="who">{esc(reader.session.name)}</span>'
        f"<button>{esc(say('nav.sign_out'))}</button></form>"
    )


def _is_here(path: str, here: str) -> bool:
    return here == path or (path == "/" and here.startswith("/incidents/"))


def show(content: str, classes: str = "") -> ui.html:
    """HTML of ours, in which everything from outside went through ``esc``."""
    return ui.html(content, sanitize=False).classes(classes)


def esc(text: object) -> str:
    """Text from anywhere, harmless between tags and in quoted attributes."""
    return escape(str(text), quote=True)


def time_of(us: int, *, age: bool = False) -> str:
    """A time that the browser writes in its own zone, or how long ago it was."""
    return f'<zw-time ms="{us / 1000:.3f}"{" age" if age else ""}></zw-time>'


def severity_badge(words: Words, severity: str) -> str:
    """Colour, sign and word."""
    return (
        f'<span class="sev sev-{esc(severity)}">'
        f'<span class="glyph" aria-hidden="true">{GLYPH[severity]}</span>'
        f"{esc(words.say(f'severity.{severity}'))}</span>"
    )


@cache
def _version(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
