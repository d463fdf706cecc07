"""What was refused: the reason, and the bytes as they came, shown so that none of them can do anything."""

import asyncio

from nicegui import ui
from starlette.requests import Request

from alerts.api.sources import Refused
from alerts.console.frame import Console, esc, page, reader_of, show, time_of
from alerts.console.texts import known
from alerts.console.words import Words
from zhiwei.clock import to_us
from zhiwei.errors import ZhiweiError

LISTED_MOST = 50
BYTES_MOST = 2048
_EVERY_S = 3.0
_WIDTH = 16


async def build(console: Console, request: Request) -> None:
    """The page."""
    reader = reader_of(console, request)
    say = reader.words.say
    with page(console, reader, request, say("quarantine.title")), ui.element("section").classes("panel"):
        hint = f'<p class="small">{esc(say("quarantine.hint"))}</p>'
        show(f"<h1>{esc(say('quarantine.title'))}</h1>{hint}", "panel-head")
        body = show("", "quarantine")
    drawn = ""

    async def look() -> None:
        nonlocal drawn
        try:
            found = await asyncio.to_thread(console.desk.sources.quarantine.newest, LISTED_MOST)
            fresh = quarantine(reader.words, found)
        except ZhiweiError as error:
            fresh = f'<p class="nothing">{esc(say("quarantine.unavailable", why=error))}</p>'
        if fresh != drawn:  # else what somebody has unfolded would fold up again
            drawn = fresh
            body.set_content(fresh)

    await look()
    ui.timer(_EVERY_S, look)


def quarantine(words: Words, found: tuple[Refused, ...]) -> str:
    """A list that unfolds to the bytes."""
    if not found:
        return f'<p class="nothing">{esc(words.say("quarantine.empty"))}</p>'
    return "".join(_one(words, one) for one in found)


def _one(words: Words, refused: Refused) -> str:
    say, one = words.say, refused.rejection
    reason = known(words.language, f"reason.{one.reason.value}") or one.reason.value
    size = say("quarantine.bytes", n=f"{len(one.payload):,}")
    rows = f" · {esc(say('quarantine.rows', n=one.rows))}" if one.rows else ""
    cut = ""
    if len(one.payload) > BYTES_MOST:
        cut = f'<p class="small">{esc(say("quarantine.cut", n=f"{BYTES_MOST:,}"))}</p>'
    return (
        f'<details><summary><span class="reason">{esc(reason)}</span>'
        f'<span class="detail">{esc(one.detail)}</span>'
        f'<span class="small"><code>{esc(one.topic)}</code> · {esc(say(f"quarantine.{one.scope}"))}{rows} · '
        f"{esc(size)} · {time_of(to_us(one.arrived))}</span></summary>"
        f'<pre tabindex="0">{esc(hexdump(one.payload[:BYTES_MOST]))}</pre>{cut}</details>'
    )


def hexdump(payload: bytes) -> str:
    """Offset, bytes and their printable ASCII; everything else is a dot."""
    lines = []
    for start in range(0, len(payload), _WIDTH):
        part = payload[start : start + _WIDTH]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{start:06x}  {part.hex(' '):<{_WIDTH * 3 - 1}}  {text}")
    return "\n".join(lines)
