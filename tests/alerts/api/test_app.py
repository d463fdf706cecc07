"""The HTTP interface, through the guard."""

# ruff: noqa: ARG002, ARG005 - doubles take what their contract says

import asyncio

import httpx
import pytest

from alerts.api.access import Access, prepare
from alerts.api.app import guarded, make
from alerts.api.parts import Desk, Sources
from alerts.api.sign_in import safe_path
from alerts.api.sources import LastValue, Refused
from alerts.commands import Commands
from alerts.feed import Feed
from alerts.store import folding
from alerts.store.folding import LogState, Run
from zhiwei.types import Reason, Rejection

BASE = "http://console.test"


class Window:
    """A browser's memory of cookies before the application, without a network."""

    def __init__(self, app, password):
        self.app, self.password, self.cookies = app, password, httpx.Cookies()

    def request(self, method, path, **more):
        async def ask():
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=self.cookies) as client:
                answer = await client.request(method, path, **more)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, **more):
        return self.request("POST", path, **more)

    def websocket(self, headers):
        """What is answered to the wish for a websocket."""
        said = []

        async def send(message):
            said.append(message)

        async def receive():
            return {"type": "websocket.connect"}

        scope = {
            "type": "websocket", "path": "/_nicegui_ws/socket.io/", "query_string": b"", "scheme": "ws",
            "headers": [(b"host", b"console.test"), *headers],
        }  # fmt: skip
        asyncio.run(self.app(scope, receive, send))
        return said


class Nothing:
    """Sources with one thing each."""

    def series(self, *_):
        raise AssertionError("nobody asks here")

    def all(self, most):
        return (LastValue("water", "station-1", "sonde", "ph", 7.2, 5, 6),)

    def entity(self, scenario, entity):
        return self.all(1) if entity == "station-1" else ()


@pytest.fixture
def sources(at):
    made = Nothing()
    rejection = Rejection(
        reason=Reason.NOT_JSON, scope="payload", topic="zw/v1/x", detail="byte 0", payload=b"\x00<b>",
        arrived=at(0),
    )  # fmt: skip
    made.newest = lambda most: (Refused(4, rejection),)
    return Sources(made, made, made)


@pytest.fixture
def window(store, clock, tmp_path, sources, new_log, finding):
    log = new_log()
    log.append(
        finding(), finding("f2", entity="station-2", severity="critical", at=9), finding("f3", rule="x")
    )
    store.transact_here(lambda c: folding.start(c, LogState(log.id, "findings", ((0, 3),)), 5))
    store.transact_here(
        lambda c: folding.apply(
            c,
            "findings",
            {0: Run(0, log.read("findings", 0, 0))},
            sinks=("hook",),
            close_after_us=1,
            late_hold_us=0,
            now_us=5,
        )[0]
    )
    password = prepare(tmp_path)
    access = Access(tmp_path, clock)
    feed = Feed()
    desk = Desk("local", store, Commands(store, clock, ("hook",), feed, lambda: None), feed, clock, sources)
    return Window(guarded(make(desk, access), access), password)


@pytest.fixture
def inside(window):
    answer = window.post("/sign-in", data={"name": "Wang", "password": window.password})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    return window


def first(client):
    return client.get("/api/v1/incidents").json()["incidents"][0]["id"]


def order(client, incident, action, key="k", **more):
    headers = {"Idempotency-Key": key}
    return client.post(
        f"/api/v1/incidents/{incident}/commands", json={"action": action, **more}, headers=headers
    )


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(window):
    answer = window.post("/sign-in", data={"name": "Wang", "password": window.password, "next": "/devices"})
    assert answer.headers["location"] == "/devices"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/incidents",
        "/api/v1/incidents/x",
        "/api/v1/last-values",
        "/api/v1/quarantine",
        "/openapi.json",
    ],
)
def test_without_a_session_nothing_is_told(window, path):
    answer = window.get(path)
    assert answer.status_code == (401 if path.startswith("/api") else 303)
    assert b"incident" not in answer.content


def test_health_is_told_to_everybody_and_nothing_else(window):
    assert window.get("/health").json() == {"status": "ok"}


def test_signing_out_ends_the_session_for_good(inside):
    cookies = httpx.Cookies(inside.cookies)
    assert inside.post("/sign-out").status_code == 303
    inside.cookies = cookies
    assert inside.get("/api/v1/incidents").status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}]
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/api/v1/incidents/x/commands"])
def test_what_another_site_bids_is_refused(inside, path, headers):
    assert inside.post(path, headers=headers).status_code == 403


def test_our_own_pages_may_write(inside):
    incident = first(inside)
    answer = inside.post(
        f"/api/v1/incidents/{incident}/commands", json={"action": "acknowledge"},
        headers={"Idempotency-Key": "k", "Origin": BASE},
    )  # fmt: skip
    assert answer.status_code == 200


def test_a_websocket_without_a_session_or_of_another_site_is_closed(inside):
    cookie = "; ".join(f"{name}={value}" for name, value in inside.cookies.items()).encode()
    for headers in ([], [(b"origin", b"http://evil.test"), (b"cookie", cookie)]):
        assert inside.websocket(headers) == [{"type": "websocket.close", "code": 1008}]


def test_too_many_wrong_passwords_have_to_wait(window):
    for _ in range(5):
        assert window.post("/sign-in", data={"name": "Li", "password": "guess"}).status_code == 401
    answer = window.post("/sign-in", data={"name": "Li", "password": window.password})
    assert answer.status_code == 429
    assert "请在" in answer.text


@pytest.mark.parametrize(
    "path", ["//evil.test", "https://evil.test", "/\\evil.test", "evil", "", None, "/a\r\nb"]
)
def test_after_signing_in_one_stays_here(path):
    assert safe_path(path) == "/"


def test_what_somebody_types_is_no_html(window):
    answer = window.post("/sign-in", data={"name": '"><script>', "password": "x", "next": '/"><b>'})
    assert "<script>" not in answer.text
    assert '"><b>' not in answer.text


def test_incidents_are_listed_with_filters_and_page_by_page(inside):
    def ids(query=""):
        return [
            (one["entity"], one["rule"])
            for one in inside.get(f"/api/v1/incidents{query}").json()["incidents"]
        ]

    everything = ids()
    assert len(everything) == 3
    assert ids("?severity=critical") == [("station-2", "limit.low.free_chlorine")]
    assert ids("?entity=station-2&live=true&state=open&scenario=water&handling=new") == [everything[0]]
    assert ids("?kind=water.other") == []
    walked, place = [], ""
    while place is not None:
        page = inside.get(f"/api/v1/incidents?limit=1{place}").json()
        walked += [(one["entity"], one["rule"]) for one in page["incidents"]]
        place = f"&before={page['next']}" if page["next"] else None
    assert walked == everything


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=0", "limit = '0': expected 1 to 500"),
        ("severity=red", "severity"),
        ("before=x", "before = 'x': expected the 'next'"),
        ("colour=red", "colour: no such parameter"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(inside, query, told):
    answer = inside.get(f"/api/v1/incidents?{query}")
    assert answer.status_code == 400
    assert told in answer.json()["detail"]


def test_one_incident_is_told_with_its_course(inside):
    incident = first(inside)
    order(inside, incident, "reject", why="检修")
    order(inside, incident, "confirm", key="k2")
    told = inside.get(f"/api/v1/incidents/{incident}").json()
    assert [(one["sequence"], one["kind"]) for one in told["history"]] == [(1, "opened"), (2, "rejected")]
    assert told["history"][1]["command"]["who"] == "Wang"
    assert [one["id"] for one in told["findings"]] == ["f2"]
    assert [(one["sequence"], one["sink"], one["state"]) for one in told["deliveries"]] == [
        (1, "hook", "pending"), (2, "hook", "pending"),
    ]  # fmt: skip
    assert [(one["action"], one["reason"]) for one in told["refused"]] == [("confirm", "unknown_transition")]
    assert inside.get("/api/v1/incidents/none").status_code == 404


def test_a_command_is_carried_out_once_for_its_key(inside):
    incident = first(inside)
    once, again = order(inside, incident, "confirm"), order(inside, incident, "confirm")
    assert (once.json()["repeated"], again.json()["repeated"]) == (False, True)
    assert order(inside, incident, "close").status_code == 409
    assert order(inside, incident, "acknowledge", key="k3").json()["error"] == "unknown_transition"


def test_a_command_that_cannot_be_read_is_refused_with_a_reason(inside):
    incident = first(inside)
    assert order(inside, incident, "explode").status_code == 400
    assert order(inside, incident, "close", key="").json()["detail"].startswith("idempotency key")
    assert order(inside, "none", "close").status_code == 404
    form = inside.post(f"/api/v1/incidents/{incident}/commands", data={"action": "close"})
    assert form.status_code == 415
    headers = {"Content-Type": "application/json", "Idempotency-Key": "big"}
    big = inside.post(f"/api/v1/incidents/{incident}/commands", content=b"x" * 70_000, headers=headers)
    assert (big.status_code, big.json()["detail"]) == (400, "body: more than 65536 bytes")


def test_last_values_and_quarantine_are_told(inside):
    (value,) = inside.get("/api/v1/last-values").json()["values"]
    assert (value["entity"], value["channel"], value["value"]) == ("station-1", "ph", 7.2)
    assert inside.get("/api/v1/last-values?scenario=water&entity=x").json() == {"values": []}
    assert inside.get("/api/v1/last-values?scenario=water").status_code == 400
    (refused,) = inside.get("/api/v1/quarantine").json()["rejected"]
    assert (refused["number"], refused["reason"], refused["payload_hex"]) == (4, "not_json", "003c623e")


def test_every_answer_forbids_what_comes_from_elsewhere(inside):
    for path in ("/health", "/sign-in", "/api/v1/incidents", "/nothing"):
        headers = inside.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
