"""The console in a real Chromium: from an entrapment on the log to its page, confirmed, closed.

``SCREENSHOTS=docs/images`` keeps the pictures that the README shows.
"""

# ruff: noqa: ARG002 - doubles take what their contract says

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from alerts import service
from alerts.api import access
from alerts.api.parts import Sources
from alerts.api.sources import Interval, LastValue, Refused, Series
from zhiwei.contracts import LogRecord
from zhiwei.schema import Channel, Schema
from zhiwei.settings import Console, File, Settings
from zhiwei.types import (
    Coordinates,
    Evidence,
    Finding,
    Observation,
    Phase,
    Reason,
    Rejection,
    Severity,
)

pytestmark = pytest.mark.e2e

NOW = datetime(2026, 5, 20, 2, 30, tzinfo=UTC)
"""The time in the browser and of the service: pictures of two runs are the same."""
DESK, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


# ------------------------------------------------------------------ a world in memory


class SetClock:
    """Begins at NOW and goes on as the machine's does."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()

    def now_us(self) -> int:
        return us(NOW) + int((time.monotonic() - self._start_s) * 1e6)

    def monotonic_s(self) -> float:
        return time.monotonic()


class MemoryLog:
    """A findings log of one partition."""

    def identity(self, topic: str) -> str:
        return "log-of-a-test"

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *findings: Finding) -> None:
        self.values += [msgspec.json.encode(one) for one in findings]

    def read(self, topic: str, partition: int, offset: int, *, most: int = 500) -> list[LogRecord]:
        found = self.values[offset : offset + most]
        return [LogRecord(offset + place, value) for place, value in enumerate(found)]

    def earliest(self, topic: str, partition: int) -> int:
        return 0

    def end(self, topic: str, partition: int) -> int:
        return len(self.values)

    def partitions(self, topic: str) -> int:
        return 1

    async def changed(self, timeout_s: float) -> None:
        await asyncio.sleep(0.02)


def us(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


LIFT = Schema(
    scenario="elevator",
    version=1,
    channels=(
        Channel(name="moving", dtype="bool", title_zh="运行"),
        Channel(name="in_door_zone", dtype="bool", title_zh="门区"),
        Channel(name="door_closed", dtype="bool", title_zh="关门到位"),
        Channel(name="person", dtype="bool", title_zh="轿厢有人"),
        Channel(name="alarm_button", dtype="bool", title_zh="报警按钮"),
        Channel(name="mode", dtype="utf8", title_zh="运行模式"),
        Channel(name="speed", unit="m/s", title_zh="速度"),
    ),
)
ROOM = Schema(
    scenario="water",
    version=1,
    channels=(
        Channel(name="free_chlorine", unit="mg/L", title_zh="游离氯"),
        Channel(name="turbidity", unit="NTU", title_zh="浑浊度"),
        Channel(name="ph", unit="1", title_zh="pH"),
        Channel(name="hatch_open", dtype="bool", title_zh="人孔开启"),
    ),
)
HOME = Schema(scenario="elderly", version=1, channels=(Channel(name="fall", dtype="bool", title_zh="跌倒"),))


class World:
    """History, last values and quarantine at once."""

    def series(
        self, scenario: str, entity: str, channel: str, start_us: int, end_us: int, step_us: int | None
    ) -> Series:
        if scenario == "water" and channel in ("free_chlorine", "turbidity"):
            return self._water(channel, start_us, end_us)
        onset = us(ago(minutes=4)) - 45_000_000
        states: dict[str, list[tuple[float, float, bool | str]]] = {
            "moving": [(-400, -90, False), (-90, 0, True), (0, 400, False)],
            "in_door_zone": [(-400, -85, True), (-85, 400, False)],
            "door_closed": [(-400, -130, True), (-130, -96, False), (-96, 400, True)],
            "person": [(-400, -120, False), (-120, 400, True)],
            "mode": [(-400, 400, "normal")],
        }
        if scenario != "elevator":
            return Series()
        if channel == "speed":
            times = np.arange(max(start_us, onset - 400_000_000), min(end_us, us(NOW)), 5_000_000)
            run = (times > onset - 90_000_000) & (times < onset)
            return Series(times=times, values=np.where(run, 1.6, 0.0))
        found = [
            Interval(onset + int(a * 1e6), min(onset + int(b * 1e6), us(NOW)), value)
            for a, b, value in states.get(channel, [])
        ]
        gap = (onset - 240_000_000, onset - 190_000_000)
        return Series(intervals=tuple(found), gaps=(gap,) if found and channel == "person" else ())

    def _water(self, channel: str, start_us: int, end_us: int) -> Series:
        times = np.arange(start_us, min(end_us, us(NOW)), 60_000_000)
        chance = np.random.default_rng(7)
        onset = us(ago(minutes=52))
        fall = np.clip((times - onset) / 1.2e9, 0, 1)
        base, drop, noise = (0.34, -0.31, 0.012) if channel == "free_chlorine" else (0.3, 0.5, 0.03)
        values = base + drop * fall + chance.normal(0, noise, len(times))
        gap = (onset - 1_300_000_000, onset - 800_000_000)
        kept = (times < gap[0]) | (times >= gap[1])
        return Series(times=times[kept], values=np.maximum(values[kept], 0.01), gaps=(gap,))

    def all(self, most: int) -> tuple[LastValue, ...]:
        return tuple(
            one
            for scenario, entity in (("elevator", "L-0417"), ("water", "station-17"), ("water", "station-3"))
            for one in self.entity(scenario, entity)
        )[:most]

    def entity(self, scenario: str, entity: str) -> tuple[LastValue, ...]:
        values: dict[str, float | bool | str] = {
            "elevator": {
                "moving": False, "in_door_zone": False, "door_closed": True, "person": True, "mode": "normal",
                "speed": 0.0,
            },
            "water": {"free_chlorine": 0.03, "turbidity": 0.31, "ph": 7.4, "hatch_open": False},
        }.get(scenario, {})  # fmt: skip
        device = {"elevator": "kit", "water": "sonde"}.get(scenario, "hub")
        at = us(ago(seconds=12))
        return tuple(
            LastValue(scenario, entity, device, channel, value, at, at + 300_000)
            for channel, value in values.items()
        )

    def newest(self, most: int) -> tuple[Refused, ...]:
        payloads = [
            (Reason.NOT_JSON, b"\x00\xff<script>alert(1)</script>{oops", "byte 0: expected a JSON object"),
            (Reason.UNKNOWN_DEVICE, b'{"person": true}', "device kit-9: not registered for L-0999"),
        ]
        return tuple(
            Refused(
                number,
                Rejection(
                    reason=reason, scope="payload", topic="zw/v1/elevator/L-0999/kit-9", detail=detail,
                    payload=payload, arrived=ago(minutes=number), rows=0,
                ),
            )
            for number, (reason, payload, detail) in enumerate(payloads)
        )  # fmt: skip


def make(
    name: str,
    kind: str,
    entity: str,
    severity: str,
    onset: datetime,
    *observations: Observation,
    rev: int = 1,
    phase: str = "raised",
    lasted_s: float = 45,
) -> Finding:
    return Finding(
        id=name,
        rev=rev,
        site="zhengzhou",
        scenario=kind.partition(".")[0],
        entity=entity,
        kind=kind,
        rule=kind.partition(".")[2],
        phase=Phase(phase),
        onset=onset,
        at=onset + timedelta(seconds=lasted_s),
        score=0.97,
        severity=Severity(severity),
        evidence=Evidence(observations=observations, start=onset, samples=10),
        versions={"policy": "2026.1", "rules": "1"},
        coordinates=Coordinates(topic="readings.x", partition=0, offset=7),
    )


def seen(
    name: str, observed: float | bool | str, limit: str = "", unit: str = "", source: str = ""
) -> Observation:
    return Observation(name=name, observed=observed, limit=limit, unit=unit, source=source)


def entrapment(name: str = "trap", entity: str = "L-0417", onset: datetime | None = None) -> Finding:
    return make(
        name, "elevator.entrapment", entity, "critical", onset or ago(minutes=4, seconds=45),
        seen("in_door_zone", False), seen("person", True),
        seen("held_s", 45.0, "≥ 45", "s", "policy: branch A, held 45 s"),
    )  # fmt: skip


def a_morning() -> list[Finding]:
    chlorine = seen("free_chlorine", 0.03, "≥ 0.05", "mg/L", "GB 5749-2022")
    turbid = seen("turbidity", 1.8, "≤ 1", "NTU", "GB 5749-2022")
    return [
        make("w1", "water.chlorine_low", "station-17", "major", ago(minutes=52), chlorine, lasted_s=1800),
        make("w2", "water.turbidity_high", "station-3", "major", ago(hours=3), turbid, lasted_s=900),
        make("w3", "water.sensor_fault", "station-8", "minor", ago(hours=26), seen("ph", 7.1), lasted_s=3600),
        make("w4", "water.offline", "station-22", "minor", ago(hours=5), lasted_s=900),
        make("l2", "elevator.door_blocked", "L-0102", "minor", ago(minutes=31), seen("door_closed", False)),
        make("l3", "elevator.power_loss", "L-1190", "info", ago(hours=9), seen("power", "battery")),
        make("h1", "elderly.no_activity", "h-3f9a", "major", ago(hours=13), lasted_s=43_200),
        make("h2", "elderly.fall", "h-71c2", "critical", ago(minutes=1), seen("fall", True), lasted_s=30),
        make("h3", "elderly.leak", "h-0be4", "minor", ago(days=2), lasted_s=86_400),
        entrapment(),
    ]


class Bench:
    """The alerts role with its console, in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        self.log = MemoryLog()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        password = access.prepare(folder)
        assert password is not None
        self.password = password
        self._settings = Settings(
            site="zhengzhou",
            data_dir=str(folder),
            console=Console(port=self.port),
            sinks=(File(name="duty-desk", path=str(folder / "duty-desk.jsonl")),),
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        world, stop = World(), asyncio.Event()
        sources = Sources(
            history=world,
            last_values=world,
            quarantine=world,
            schemas={"elevator": LIFT, "water": ROOM, "elderly": HOME},
            life_safety=frozenset({"elevator.entrapment", "elderly.fall"}),
        )
        running = asyncio.create_task(
            service.run(self._settings, self.log, SetClock(), stop, sources=sources)
        )
        await asyncio.to_thread(self._ended.wait)
        stop.set()
        await running

    def __enter__(self) -> "Bench":
        self._thread.start()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert self._thread.is_alive()
                time.sleep(0.05)
        raise AssertionError("the console does not listen")

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(90)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("console")) as made:
        made.log.append(*a_morning())
        yield made


@pytest.fixture
def visit(make_visit: object, bench: Bench) -> object:
    """Open a window at NOW."""

    def open_window(size: dict[str, int] = DESK) -> object:
        return make_visit(bench.url, bench.password, size, now=NOW + timedelta(seconds=8))

    return open_window


# ------------------------------------------------------------------ pages and sizes


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["1366x768", "390x844"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_fits_its_window(visit: object, size: dict[str, int], language: str) -> None:
    window = visit(size)
    window.sign_in()
    if language == "en":
        window.page.goto("/language/en?next=/")
    name = f"{language}-{size['width']}.png"
    window.rows().first.wait_for()
    window.fits()
    window.picture(f"incidents-{name}")
    window.row("L-0417").click()
    window.page.locator(".strip").first.wait_for()
    window.fits()
    window.picture(f"lift-{name}")
    window.page.goto("/")
    window.row("station-17").click()
    window.page.locator(".chart svg text").first.wait_for()
    window.fits()
    window.picture(f"water-{name}")
    for path, ready in (("/devices", ".devices tbody tr"), ("/quarantine", "details")):
        window.page.goto(path)
        window.page.locator(ready).first.wait_for()
        window.fits()
        window.picture(f"{path[1:]}-{name}")


# ------------------------------------------------------------------ the doors


def test_nothing_but_sign_in_and_health_is_served_without_a_session(visit: object, bench: Bench) -> None:
    window = visit()
    asked = window.context.request
    assert asked.get("/health").json() == {"status": "ok"}
    for path in ("/", "/devices", "/quarantine", "/incidents/x"):
        answer = asked.get(path, max_redirects=0)
        assert answer.status == 303
        assert answer.headers["location"].startswith("/sign-in")
    for path in ("/api/v1/incidents", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/nothing.js"):
        assert asked.get(path, max_redirects=0).status in (303, 401), path
    window.page.goto("/devices")
    expect(window.page).to_have_url(re.compile("/sign-in\\?next=%2Fdevices$"))
    expect(window.page.locator("h1")).to_contain_text("知微")


def test_a_wrong_password_is_told_and_the_page_is_kept(visit: object) -> None:
    window = visit()
    window.page.goto("/sign-in")
    window.page.locator("#name").fill("王芳")
    window.page.locator("#password").fill("guess")
    window.page.keyboard.press("Enter")
    expect(window.page.get_by_role("alert")).to_have_text("密码不正确。")
    expect(window.page.locator("#name")).to_have_value("王芳")
    window.wrong.clear()  # Chromium tells of the answer 401 itself


# ------------------------------------------------------------------ the story


@pytest.mark.parametrize("language", ["zh", "en"])
def test_from_an_entrapment_to_its_page_confirmed_and_closed(
    visit: object, bench: Bench, language: str
) -> None:
    lift = f"L-20{language}"
    say = {
        "zh": ("有人被困", "轿厢内有人", "核实属实", "结案", "已核实", "已结案", "受理"),
        "en": (
            "People trapped",
            "somebody in the car",
            "Confirm",
            "Close",
            "Confirmed",
            "Closed",
            "Acknowledge",
        ),
    }[language]
    window = visit()
    window.sign_in()
    if language == "en":
        window.page.get_by_role("link", name="English").click()
    expect(window.page.locator("html")).to_have_attribute("lang", "zh-CN" if language == "zh" else "en")
    bench.log.append(entrapment(f"trap-{language}", lift, ago(seconds=50)))
    window.row(lift).click()
    heading = window.page.locator("article h1")
    expect(heading).to_contain_text(say[0])
    expect(window.page.locator(".sentence")).to_contain_text(say[1])
    buttons = window.page.locator(".incident .actions")
    buttons.get_by_role("button", name=say[6], exact=True).click()
    expect(window.page.locator(".course li.acknowledged")).to_contain_text("王芳")
    buttons.get_by_role("button", name=say[2], exact=True).dblclick()
    expect(window.page.locator(".tags .hd")).to_contain_text(say[4])
    expect(window.page.locator(".course li.confirmed")).to_have_count(1)
    buttons.get_by_role("button", name=say[3], exact=True).click()
    window.page.locator("[data-testid=reason]").fill("已救出，无人受伤")
    window.page.locator("[data-testid=go]").click()
    expect(window.page.locator(".tags .st")).to_contain_text(say[5])
    expect(window.page.locator(".course blockquote")).to_contain_text("已救出")
    expect(buttons.get_by_role("button")).to_have_count(0)
    window.page.locator("a.back").click()
    expect(window.row("L-0417")).to_have_count(1)
    expect(window.row(lift)).to_have_count(0)


def test_rejecting_asks_for_a_reason_and_takes_none_without(visit: object, bench: Bench) -> None:
    bench.log.append(entrapment("trap-false", "L-3000", ago(seconds=50)))
    window = visit()
    window.sign_in()
    window.row("L-3000").click()
    window.page.get_by_role("button", name="判为误报").click()
    window.page.locator("[data-testid=go]").click()
    expect(window.page.get_by_text("请填写理由。")).to_be_visible()
    window.page.locator("[data-testid=reason]").fill("<b>检修</b>未登记")
    window.page.locator("[data-testid=go]").click()
    expect(window.page.locator(".course blockquote")).to_have_text("<b>检修</b>未登记")
    expect(window.page.locator(".tags .hd")).to_contain_text("误报")
    again = msgspec.structs.replace(entrapment("trap-false", "L-3000", ago(seconds=50)), rev=2)
    bench.log.append(again)
    bench.log.append(entrapment("trap-anew", "L-3000", ago(seconds=46)))
    window.page.goto("/")
    expect(window.row("L-3000")).to_have_count(1)


def test_the_keyboard_alone_reaches_and_decides(visit: object, bench: Bench) -> None:
    bench.log.append(entrapment("trap-keys", "L-4000", ago(seconds=50)))
    window = visit()
    window.sign_in()
    window.row("L-4000").wait_for()
    window.page.locator("input[type=search]").focus()
    window.page.keyboard.type("L-4000")
    expect(window.rows()).to_have_count(1)
    tab_to(window.page, "a.inc")
    window.page.keyboard.press("Enter")
    expect(window.page.locator("article h1")).to_contain_text("L-4000")
    tab_to(window.page, ".act-acknowledge")
    window.page.keyboard.press("Enter")
    expect(window.page.locator(".course li.acknowledged")).to_have_count(1)


def tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


# ------------------------------------------------------------------ pages


def test_bytes_in_quarantine_are_shown_and_do_nothing(visit: object) -> None:
    window = visit()
    window.sign_in()
    window.page.goto("/quarantine")
    window.page.locator("summary").first.click()
    shown = window.page.locator("details pre").first
    expect(shown).to_contain_text("00 ff 3c 73 63")
    expect(shown).to_contain_text("..<script>alert(")


def test_a_page_of_another_host_can_do_nothing_with_our_session(visit: object) -> None:
    window = visit()
    window.sign_in()
    asked = window.context.request
    found = asked.get("/api/v1/incidents?live=true&limit=1").json()["incidents"][0]["id"]
    order = {"data": '{"action":"close","why":""}'}
    headers = {"Content-Type": "application/json", "Idempotency-Key": "x", "Origin": "http://evil.example"}
    answer = asked.post(f"/api/v1/incidents/{found}/commands", headers=headers, **order)
    assert (answer.status, answer.json()) == (403, {"error": "cross_site"})


# ------------------------------------------------------------------ a thousand


def test_a_new_event_is_on_screen_at_once_with_a_thousand_open_incidents(
    visit: object, bench: Bench, record_property: object
) -> None:
    many = [
        make(f"m{n}", "water.turbidity_high", f"station-m{n:04}", "minor", ago(hours=1, seconds=n))
        for n in range(1000)
    ]
    bench.log.append(*many)
    window = visit()
    window.sign_in()
    expect(window.page.locator(".shown")).to_contain_text(re.compile(r"共 1\d\d\d"), timeout=30_000)
    took = []
    for n in range(5):
        begun = time.monotonic()
        bench.log.append(entrapment(f"trap-m{n}", f"L-9{n:03}", ago(seconds=50)))
        window.row(f"L-9{n:03}").wait_for()
        took.append(time.monotonic() - begun)
    record_property("finding to screen with 1,000 open incidents, s", [round(one, 2) for one in took])
    print("finding to screen with 1,000 open incidents, s:", [f"{one:.2f}" for one in took])
    last = window.page.evaluate(
        "() => { const box = document.querySelector('.rows'); box.scrollTop = box.scrollHeight; }"
    )
    assert last is None
    expect(window.rows().last).to_be_visible()
    assert window.rows().count() < 60
