"""The HTTP interface: health, sign-in, and JSON for other programs. The console's pages are put on it."""

from typing import Any
from urllib.parse import parse_qs

import msgspec
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from alerts.api import query
from alerts.api.access import SESSION_S, Access
from alerts.api.guard import COOKIE, Guard, session_of
from alerts.api.parts import Desk
from alerts.api.sign_in import page, safe_path
from alerts.api.sources import LastValue, Refused
from alerts.console.texts import LANGUAGE_COOKIE, Language, language_of
from alerts.incident import Action
from alerts.store.commands import KeyReused, Outcome, UnknownIncident
from zhiwei.errors import Retryable, ZhiweiError

_BODY_MOST = 64 * 1024
_SHOWN_MOST = 4096
"""Bytes of a quarantined payload that are told."""


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a command."""

    action: Action
    why: str = ""


class _Rejected(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    reason: str
    scope: str
    topic: str
    detail: str
    arrived: str
    rows: int
    size: int
    payload_hex: str
    """The first bytes."""


def make(desk: Desk, access: Access) -> FastAPI:
    """The application, without the console's pages and without the guard."""
    # No page of API documentation: FastAPI's loads scripts from another host.
    app = FastAPI(title="Zhiwei", docs_url=None, redoc_url=None, openapi_url=None)
    _add_doors(app, desk, access)
    _add_incidents(app, desk)
    _add_sources(app, desk)

    @app.exception_handler(Retryable)
    async def _later(request: Request, error: Retryable) -> Response:  # noqa: ARG001
        return _json({"error": "try_again", "detail": str(error)}, 503)

    @app.exception_handler(ZhiweiError)
    async def _wrong(request: Request, error: ZhiweiError) -> Response:  # noqa: ARG001
        return _json({"error": "refused", "detail": str(error)}, 400)

    return app


def guarded(app: FastAPI, access: Access) -> Guard:
    """The application as it is served."""
    return Guard(app, access)


# ------------------------------------------------------------------ doors


def _add_doors(app: FastAPI, desk: Desk, access: Access) -> None:
    @app.get("/health")
    async def health() -> Response:
        """Whether the event store answers. Tells nothing else: anybody may ask."""
        try:
            await desk.store.transact(lambda connection: query.latest_events(connection, 1))
        except ZhiweiError:
            return _json({"status": "degraded"}, 503)
        return _json({"status": "ok"})

    @app.get("/sign-in")
    async def ask(request: Request) -> Response:
        if access.session(request.cookies.get(COOKIE)):
            return RedirectResponse(safe_path(request.query_params.get("next")), 303)
        return page(_language(request), request.query_params.get("next"))

    @app.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        form = parse_qs((await _body(request)).decode(errors="replace"), keep_blank_values=True)
        given = {name: values[0] for name, values in form.items()}
        language, wanted, name = _language(request), given.get("next"), given.get("name", "")
        address = request.client.host if request.client else ""
        if wait_s := access.wait_s(address):
            return page(language, wanted, name, "sign_in.wait", 429, seconds=int(wait_s) + 1)
        if not name.strip():
            return page(language, wanted, name, "sign_in.no_name", 400)
        token = await run_in_threadpool(access.sign_in, address, name, given.get("password", ""))
        if token is None:
            return page(language, wanted, name, "sign_in.wrong", 401)
        response = RedirectResponse(safe_path(wanted), 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, SESSION_S, httponly=True, samesite="lax", secure=secure)
        return response

    @app.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        access.sign_out(session_of(request.scope))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response

    @app.get("/language/{name}")
    async def language(name: str, request: Request) -> Response:
        chosen = language_of(name)
        response = RedirectResponse(safe_path(request.query_params.get("next")), 303)
        response.set_cookie(LANGUAGE_COOKIE, chosen.value, 365 * 86400, httponly=True, samesite="lax")
        return response


def _language(request: Request) -> Language:
    return language_of(request.query_params.get("language") or request.cookies.get(LANGUAGE_COOKIE))


# ------------------------------------------------------------------ incidents


def _add_incidents(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/v1/incidents")
    async def incidents(request: Request) -> Response:
        """Parameters: live, state, scenario, severity, handling, kind, entity, limit, before."""
        try:
            wanted, limit = _wanted(dict(request.query_params))
        except ValueError as error:
            return _json({"error": "bad_parameter", "detail": str(error)}, 400)
        return _json(await desk.store.transact(lambda connection: query.incidents(connection, wanted, limit)))

    @app.get("/api/v1/incidents/{incident}")
    async def incident(incident: str) -> Response:
        found = await desk.store.transact(lambda connection: query.dossier(connection, incident))
        if found is None:
            return _json({"error": "unknown_incident", "detail": f"there is no incident {incident}"}, 404)
        return _json(found)

    @app.post("/api/v1/incidents/{incident}/commands")
    async def command(incident: str, request: Request) -> Response:
        """Body: {"action", "why"}; the header Idempotency-Key makes a repeated request the same command."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _json({"error": "bad_body", "detail": "Content-Type: expected application/json"}, 415)
        key = request.headers.get("idempotency-key", "")
        try:
            order = msgspec.json.decode(await _body(request), type=_Order)
        except (msgspec.MsgspecError, UnicodeError) as error:
            return _json({"error": "bad_body", "detail": str(error)}, 400)
        who = session_of(request.scope).name
        try:
            outcome = await desk.commands.give(key, incident, order.action, who, order.why)
        except UnknownIncident as error:
            return _json({"error": "unknown_incident", "detail": str(error)}, 404)
        except KeyReused as error:
            return _json({"error": "key_reused", "detail": str(error)}, 409)
        return _answer(outcome)


def _answer(outcome: Outcome) -> Response:
    if outcome.refused:
        return _json({"error": outcome.refused, "detail": outcome.detail}, 409)
    return _json({"event": outcome.event_id, "repeated": outcome.repeated})


def _wanted(parameters: dict[str, str]) -> tuple[query.Wanted, int]:
    """Raises ValueError naming the parameter, its value and what is expected."""
    limit = parameters.pop("limit", "100")
    if not (limit.isdecimal() and 1 <= int(limit) <= query.LIMIT_MOST):
        raise ValueError(f"limit = {limit!r}: expected 1 to {query.LIMIT_MOST}")
    values: dict[str, Any] = dict(parameters)
    if "before" in values:
        opened, colon, last = values["before"].partition(":")
        if not colon or not opened.removeprefix("-").isdecimal():
            raise ValueError(f"before = {values['before']!r}: expected the 'next' of another answer")
        values["before"] = [int(opened), last]
    unknown = set(values) - {field.name for field in msgspec.structs.fields(query.Wanted)}
    if unknown:
        raise ValueError(f"{min(unknown)}: no such parameter")
    try:
        return msgspec.convert(values, query.Wanted, strict=False), int(limit)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace(" - at `$.", " - in `")) from None


# ------------------------------------------------------------------ what else there is


def _add_sources(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/v1/last-values")
    async def last_values(scenario: str | None = None, entity: str | None = None) -> Response:
        """Of the entities heard of last, or of one: parameters scenario and entity together."""

        def ask() -> tuple[LastValue, ...]:
            if scenario is not None and entity is not None:
                return desk.sources.last_values.entity(scenario, entity)
            return desk.sources.last_values.all(query.LIMIT_MOST)

        if (scenario is None) != (entity is None):
            return _json({"error": "bad_parameter", "detail": "give scenario and entity together"}, 400)
        return _json({"values": await run_in_threadpool(ask)})

    @app.get("/api/v1/quarantine")
    async def quarantine() -> Response:
        found = await run_in_threadpool(desk.sources.quarantine.newest, 100)
        return _json({"rejected": [_rejected(one) for one in found]})


def _rejected(refused: Refused) -> _Rejected:
    rejection = refused.rejection
    return _Rejected(
        number=refused.number,
        reason=rejection.reason.value,
        scope=rejection.scope,
        topic=rejection.topic,
        detail=rejection.detail,
        arrived=rejection.arrived.isoformat(),
        rows=rejection.rows,
        size=len(rejection.payload),
        payload_hex=rejection.payload[:_SHOWN_MOST].hex(),
    )


async def _body(request: Request) -> bytes:
    """The whole body. Raises ZhiweiError for one that is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _BODY_MOST:
            raise ZhiweiError(f"body: more than {_BODY_MOST} bytes")
    return bytes(body)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
