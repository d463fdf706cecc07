"""Stands before everything that is served: nothing without a session, nothing at another site's bidding.

Browsers say where a request comes from (``Origin``); what writes, and every websocket, must come from
our own pages. Programs without a browser send no ``Origin`` and need the session cookie all the same.
"""

from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alerts.api.access import Access, Session

COOKIE = "zhiwei_session"
PUBLIC = frozenset({"/sign-in", "/health"})
_SESSION = "zhiwei.session"
_READS = frozenset({"GET", "HEAD"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    # The pages' framework compiles templates in the browser, so scripts may be evaluated; but nothing
    # may come from, or go to, another host.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
        "connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
}


def session_of(scope: Scope) -> Session:
    """Who is signed in, of a request that has passed the guard."""
    session: Session = scope[_SESSION]
    return session


class Guard:
    """An ASGI application around another one, which stands in ``app``."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        path = scope["path"]
        asked = connection.headers.get("origin") is not None or "sec-fetch-site" in connection.headers
        writes = scope["type"] == "websocket" or scope["method"] not in _READS
        if writes and asked and not _is_own(connection):
            await _refuse(scope, receive, send, JSONResponse({"error": "cross_site"}, 403))
            return
        if path not in PUBLIC:
            session = self._access.session(connection.cookies.get(COOKIE))
            if session is None:
                await _refuse(scope, receive, send, _sign_in_first(scope))
                return
            scope[_SESSION] = session
        await self.app(scope, receive, _with_headers(send, cached=path.startswith("/_nicegui/")))


def _is_own(connection: HTTPConnection) -> bool:
    origin = connection.headers.get("origin")
    if origin is None:  # a browser that says only how near the page is
        return connection.headers["sec-fetch-site"] == "same-origin"
    try:
        return urlsplit(origin).netloc.lower() == connection.headers.get("host", "").lower()
    except ValueError:
        return False


def _sign_in_first(scope: Scope) -> Response:
    page = scope["type"] == "http" and scope["method"] in _READS and not scope["path"].startswith("/api/")
    if not page or scope["path"].startswith("/_nicegui"):
        return JSONResponse({"error": "sign_in_first"}, 401)
    query = scope["query_string"].decode("latin-1")
    wanted = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}" if wanted != "/" else "/sign-in", 303)


async def _refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await response(scope, receive, _with_headers(send, cached=False))


def _with_headers(send: Send, *, cached: bool) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if not cached:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return wrapped
