"""A duty operator's walk over the real bed: from the scripted minute on MQTT to pages, decisions, the end.

The script is played until everything has been found, and stands still while the pages are looked at: the
world brings its own time. Then help comes. For each window there is a lift in which somebody is stuck.
"""

import re
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta, timezone
from itertools import takewhile
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from alerts.api import access
from simulators import script
from simulators.gateway import connect
from simulators.world import MINUTE_MS, Report
from zhiwei.clock import SystemClock
from zhiwei.wiring import up
from zhiwei.wiring.trial import Trial

pytestmark = pytest.mark.e2e

DEMO = Path(up.__file__).with_name("demo.toml").read_text(encoding="utf-8")
SIZES = {"1366": {"width": 1366, "height": 768}, "390": {"width": 390, "height": 844}}
WALKS = [(language, size) for language in ("zh", "en") for size in SIZES]
LIFTS = {("zh", "1366"): script.LIFT, **{walk: f"lift-{walk[0]}-{walk[1]}" for walk in WALKS[1:]}}
FOUND_MS = script.MINUTE_BEGINS_MS + 2 * MINUTE_MS
"""All is found by then, and nothing is over."""
SPEED = 30.0
READERS_ZONE = timezone(timedelta(hours=8))
FALL = re.compile(r"跌倒|[Ff]all")
CHLORINE = re.compile(r"余氯偏低|[Cc]hlorine low")
SAY = {
    "zh": {
        "trapped": "有人被困", "inside": "轿厢内有人", "zone": "在门区外", "held": "≥ 45 秒",
        "still": "30 秒", "lying": "躺卧",
        "acknowledge": "受理", "confirm": "核实属实", "close": "结案", "confirmed": "已核实",
        "closed": "已结案", "cleared": "已恢复", "limit": "限值 ≥ 0.05",
        "delivered": "receiver · 已送达",
    },
    "en": {
        "trapped": "People trapped", "inside": "somebody in the car", "zone": "outside the door zone",
        "held": "≥ 45 s", "still": "30 s", "lying": "lying",
        "acknowledge": "Acknowledge", "confirm": "Confirm",
        "close": "Close", "confirmed": "Confirmed", "closed": "Closed", "cleared": "Cleared",
        "limit": "Limit ≥ 0.05", "delivered": "receiver · Delivered",
    },
}  # fmt: skip
NAMES = {
    script.STATION,
    script.HOME,
    "receiver",
    "script",
    "script-water",
    "script-home",
    "NTU",
    "min",
    *LIFTS.values(),
}
"""Latin words that a Chinese page may hold: names that somebody gave, and units."""


class Town:
    """The demo's bed, and the script as it is played into it."""

    def __init__(self, folder: Path) -> None:
        password = access.prepare(folder / "data")
        assert password is not None
        self.password = password
        own = "".join(
            f'[[sources]]\nname = "{name}"\ntopics = "zw/v1/elevator/{name}/#"\nclock = "simulated"\n'
            for name in LIFTS.values()
            if name != script.LIFT
        )
        self.bed = Trial(folder, DEMO.replace("[[sources]]", f"{own}[[sources]]", 1))
        self._clock = SystemClock()
        self.start_ms = self._clock.now_us() // 1000 - script.LASTS_MS
        self._truths = script.truths(self.start_ms)
        self._reports = iter(list(script.reports(self.start_ms, self._truths)))
        self._playing: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.bed.settings.console.port}"

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.bed.settings.console.port), 1).close()
        except OSError:
            return False
        return True

    def begin(self) -> None:
        """Play until everything has been found; once, and without waiting for it."""
        if self._playing is None:
            found = takewhile(lambda one: one.ts < self.start_ms + FOUND_MS, self._reports)
            self._playing = threading.Thread(target=self._play, args=(found,))
            self._playing.start()

    def end(self) -> None:
        """Play what is left, once."""
        self.begin()
        assert self._playing is not None
        self._playing.join()
        self._play(self._reports)

    def _play(self, reports: Iterator[Report]) -> None:
        url = f"mqtt://127.0.0.1:{self.bed.settings.mqtt.port}"
        with connect(url, self._clock) as gateway:
            sent = gateway.run(
                _for_each_window(reports),
                lambda one: script.SCENARIO_OF.get(one.entity, "elevator"),
                SPEED,
                self.bed.supervisor.stop,
            )
        assert sent.refused == []

    def onset_of(self, kind: str) -> str:
        """When it truly began, as the reader's clock shows it."""
        labels = [label for truth in self._truths.values() for label in truth.labels()]
        onset = next(label.onset for label in labels if label.kind == kind)
        return onset.astimezone(READERS_ZONE).strftime("%H:%M:%S")


def _for_each_window(reports: Iterator[Report]) -> Iterator[Report]:
    for one in reports:
        yield one
        if one.entity == script.LIFT:
            yield from (one._replace(entity=name) for name in LIFTS.values() if name != script.LIFT)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    made = Town(tmp_path_factory.mktemp("town"))
    with made.bed:
        made.bed.until(made.listens, "the console listens")
        yield made


@pytest.fixture(params=WALKS, ids=["-".join(walk) for walk in WALKS])
def walk(request: pytest.FixtureRequest, town: Town, make_visit: object) -> object:
    """A window of a language and a size, signed in, on the list; and the script is on its way."""
    language, size = request.param
    window = make_visit(town.url, town.password, SIZES[size])
    window.language, window.lift = language, LIFTS[request.param]
    window.sign_in()
    if language == "en":
        window.page.get_by_role("link", name="English").click()
    window.page.locator(".shown").wait_for()
    window.page.evaluate("window.sinceThisPageWasLoaded = true")
    window.named = lambda page: f"{page}-{language}-{size}.png"
    town.begin()
    return window


def foreign_words(page: Locator) -> set[str]:
    """Latin words of a page, without code, sources of limits and versions."""
    text = page.evaluate("""main => {
        const copy = main.cloneNode(true);
        copy.querySelectorAll("code, style, td:last-child, .chart").forEach(one => one.remove());
        return copy.innerText || copy.textContent;
    }""")
    return set(re.findall(r"[A-Za-z][A-Za-z_-]{2,}(?:\d|[a-z-])*", text))


def test_from_the_scripted_entrapment_to_its_page_acknowledged_confirmed_closed(
    town: Town, walk: object
) -> None:
    say, page = SAY[walk.language], walk.page
    row = walk.row(walk.lift).filter(has_text=say["trapped"])
    row.wait_for()
    assert page.evaluate("window.sinceThisPageWasLoaded")
    walk.fits()
    walk.picture(walk.named("walk-list"))
    row.click()
    expect(page.locator("article h1")).to_contain_text(say["trapped"])
    expect(page.locator(".sentence")).to_contain_text(walk.lift)
    expect(page.locator(".sentence")).to_contain_text(say["inside"])
    expect(page.locator(".sentence")).to_contain_text(say["held"])
    expect(page.locator(".meta zw-time").first).to_contain_text(town.onset_of("elevator.entrapment"))
    expect(page.locator(f".strip .piece[title='{say['zone']}']").last).to_be_visible()
    expect(page.locator(f".strip .piece[title='{say['inside']}']").last).to_be_visible()
    expect(page.locator(".course .delivery.delivered").first).to_contain_text(say["delivered"])
    if walk.language == "zh":
        assert foreign_words(page.locator("#main")) <= NAMES
    buttons = page.locator(".incident .actions")
    buttons.get_by_role("button", name=say["acknowledge"], exact=True).click()
    expect(page.locator(".course li.acknowledged")).to_contain_text("王芳")
    walk.fits()
    walk.picture(walk.named("walk-lift"))
    buttons.get_by_role("button", name=say["confirm"], exact=True).click()
    expect(page.locator(".tags .hd")).to_contain_text(say["confirmed"])
    buttons.get_by_role("button", name=say["close"], exact=True).click()
    page.locator("[data-testid=go]").click()
    expect(page.locator(".tags .st")).to_contain_text(say["closed"])
    page.locator("a.back").click()
    walk.rows().first.wait_for()
    expect(row).to_have_count(0)


def test_the_chlorine_that_went_is_a_curve_under_its_limit(walk: object) -> None:
    say, page = SAY[walk.language], walk.page
    walk.row(script.STATION).filter(has_text=CHLORINE).click()
    expect(page.locator(".chart svg text", has_text=say["limit"])).to_have_count(1)
    drawn = page.locator(".chart svg path[stroke='#1657b8']").evaluate_all(
        "all => all.map(one => one.getTotalLength())"
    )
    assert max(drawn) > 100, "pixels of the longest piece of the curve"
    expect(page.locator(".facts-table tbody tr").first).to_contain_text("mg/L")
    expect(page.locator(".course .delivery.delivered").first).to_contain_text(say["delivered"])
    if walk.language == "zh":
        assert foreign_words(page.locator("#main")) <= NAMES
    walk.fits()
    walk.picture(walk.named("walk-water"))


def test_the_fall_is_told_with_what_the_radar_saw(town: Town, walk: object) -> None:
    say, page = SAY[walk.language], walk.page
    walk.row(script.HOME).filter(has_text=FALL).click()
    expect(page.locator(".sentence")).to_contain_text(say["still"])
    expect(page.locator(".meta zw-time").first).to_contain_text(town.onset_of("elderly.fall"))
    expect(page.locator(f".strip .piece[title='{say['lying']}']").last).to_be_visible()
    expect(page.locator(".course .delivery.delivered").first).to_contain_text(say["delivered"])
    if walk.language == "zh":
        assert foreign_words(page.locator("#main")) <= NAMES
    walk.fits()
    walk.picture(walk.named("walk-home"))


def test_an_open_page_tells_that_help_has_come(town: Town, make_visit: object) -> None:
    window = make_visit(town.url, town.password, SIZES["1366"])
    window.sign_in()
    town.begin()
    window.row(script.HOME).filter(has_text=FALL).click()
    expect(window.page.locator(".course li.opened")).to_have_count(1)
    town.end()
    expect(window.page.locator(".course li.cleared")).to_have_count(1)
    expect(window.page.locator(".tags .st")).to_contain_text(SAY["zh"]["cleared"])
