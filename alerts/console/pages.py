"""Puts the console's pages on the application. One console a process: NiceGUI keeps one application."""

from fastapi import FastAPI
from nicegui import app as pages
from nicegui import ui
from starlette.requests import Request

from alerts.api import query
from alerts.api.access import Access
from alerts.api.parts import Desk
from alerts.console import devices_page, incident_page, list_page, quarantine_page
from alerts.console.board import Board
from alerts.console.frame import STATIC, STATIC_URL, Console
from zhiwei.errors import ZhiweiError


def add_console(app: FastAPI, desk: Desk, access: Access) -> Board:
    """Register the pages and mount them at the root. Raises ZhiweiError where the store cannot be read:
    a list that begins empty would say that all is well."""
    board = Board(desk.sources.life_safety)
    leave = desk.feed.subscribe(board.feed)
    try:
        load(board, desk)
    except ZhiweiError:
        leave()
        raise
    console = Console(desk, access, board)
    pages.add_static_files(STATIC_URL, STATIC)

    @ui.page("/")
    def incidents(request: Request) -> None:
        list_page.build(console, request)

    @ui.page("/incidents/{incident}")
    async def incident(request: Request, incident: str) -> None:
        await incident_page.build(console, request, incident)

    @ui.page("/devices")
    async def devices(request: Request) -> None:
        await devices_page.build(console, request)

    @ui.page("/quarantine")
    async def quarantine(request: Request) -> None:
        await quarantine_page.build(console, request)

    ui.run_with(
        app,
        title="Zhiwei",
        language="zh-CN",
        favicon=_ICON,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=20,
    )
    return board


_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" '
    'fill="#1657b8"/><path d="M6 20h5l3-10 4 14 3-8h5" fill="none" stroke="#fff" stroke-width="2.6" '
    'stroke-linejoin="round" stroke-linecap="round"/></svg>'
)


def load(board: Board, desk: Desk) -> None:
    """Fill the board with what is stored. Raises ZhiweiError where the store cannot be read."""
    live = desk.store.transact_here(query.live_with_findings)
    latest = desk.store.transact_here(lambda connection: query.latest_events(connection, 60))
    board.load(live, [query.change_of(one) for one in latest])
