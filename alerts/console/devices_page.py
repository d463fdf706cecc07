"""Entities and devices with what they said last."""

import asyncio

from nicegui import ui
from starlette.requests import Request

from alerts.api.sources import LastValue
from alerts.console.frame import Console, esc, page, reader_of, show, time_of
from alerts.console.words import Words
from zhiwei.errors import ZhiweiError

VALUES_MOST = 3000
"""Values that a page shows: those heard last."""
_EVERY_S = 2.0


async def build(console: Console, request: Request) -> None:
    """The page."""
    reader = reader_of(console, request)
    say = reader.words.say
    with page(console, reader, request, say("devices.title")), ui.element("section").classes("panel"):
        show(f"<h1>{esc(say('devices.title'))}</h1>", "panel-head")
        search = ui.input(placeholder=say("devices.search")).props(
            f'outlined dense clearable aria-label="{esc(say("devices.search"))}"'
        )
        search.classes("search")
        body = show("", "devices")
    drawn = ""

    async def look() -> None:
        nonlocal drawn
        text = str(search.value or "")
        try:
            values = await asyncio.to_thread(console.desk.sources.last_values.all, VALUES_MOST)
            fresh = devices(reader.words, values, text)
        except ZhiweiError as error:
            fresh = f'<p class="nothing">{esc(say("devices.unavailable", why=error))}</p>'
        if fresh != drawn:
            drawn = fresh
            body.set_content(fresh)

    search.on_value_change(look)
    await look()
    ui.timer(_EVERY_S, look)


def devices(words: Words, values: tuple[LastValue, ...], search: str) -> str:
    """A table, a row a device; those heard last come first."""
    if not values:
        return f'<p class="nothing">{esc(words.say("devices.empty"))}</p>'
    by_device: dict[tuple[str, str, str], list[LastValue]] = {}
    for one in values:
        by_device.setdefault((one.scenario, one.entity, one.device), []).append(one)
    wanted = search.strip().lower()
    rows = "".join(
        _row(words, key, said)
        for key, said in by_device.items()
        if not wanted or wanted in f"{words.entity(key[0], key[1])} {key[2]}".lower()
    )
    if not rows:
        return f'<p class="nothing">{esc(words.say("devices.none_fit"))}</p>'
    names = ("entity", "device", "heard", "values")
    header = "".join(f'<th scope="col">{esc(words.say(f"devices.{name}"))}</th>' for name in names)
    capped = words.say("devices.capped", n=len(values)) if len(values) >= VALUES_MOST else ""
    table = f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide">{table}</div><p class="small">{esc(capped)}</p>'


def _row(words: Words, key: tuple[str, str, str], said: list[LastValue]) -> str:
    scenario, entity, device = key
    chips = "".join(_value(words, one) for one in sorted(said, key=lambda one: _order(words, one)))
    heard = max(one.arrived_us for one in said)
    return (
        f'<tr><th scope="row">{esc(words.entity(scenario, entity))}</th><td><code>{esc(device)}</code></td>'
        f'<td>{time_of(heard)}</td><td class="values">{chips}</td></tr>'
    )


def _order(words: Words, one: LastValue) -> tuple[int, str]:
    return words.order(one.scenario, one.channel)


def _value(words: Words, one: LastValue) -> str:
    described = words.channel_of(one.scenario, one.channel)
    unit = described.unit if described and described.unit != "1" else ""
    name = words.channel(one.scenario, one.channel)
    return f'<span class="pair"><i>{esc(name)}</i> {esc(words.value(one.channel, one.value, unit))}</span>'
