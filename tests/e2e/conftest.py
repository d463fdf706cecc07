"""The embedded bed as real processes, for tests that kill them; a browser that notes what goes wrong in it.

``SCREENSHOTS=docs/images`` keeps the pictures that the README shows. Without a Chromium the console's tests
do not run on somebody's laptop, and one line says so; where CI is set they run and fail.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from simulators.playback import play
from streams.engine.engine import Engine
from zhiwei import registry
from zhiwei.clock import SystemClock
from zhiwei.mqtt import Publisher
from zhiwei.settings import Settings
from zhiwei.wiring.trial import Revision, Trial

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WITH_BROWSER = ("test_console.py", "test_walk.py")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 60_000
"""Nothing here is asserted of time; a machine may be busy."""
KEPT = ("incidents", "lift", "water")
expect.set_options(timeout=PATIENCE_MS)

Message = tuple[int, str, bytes]


class Bed(Trial):
    """A bed on trial, with the water station's oracle beside it."""

    def publish(self, messages: Iterator[Message] | list[Message], speed: float | None = None) -> int:
        """All rows, each until the broker has acknowledged it; then until intake has had them."""
        listed = list(messages)
        with Publisher(host="127.0.0.1", port=self.settings.mqtt.port, client_id="gateway") as publisher:
            count = play(iter(listed), publisher, speed=speed, clock=SystemClock(), stop=self.supervisor.stop)
        self.taken_in(listed[-1][1])
        return count

    def replayed(self) -> set[Revision]:
        """What a replay of the readings log finds, in one go."""
        engine = Engine(registry.scenario("water"), site="local", topic="readings.water", partition=0)
        found = set()
        with self.log("readings") as log:
            offset, end = log.earliest("readings.water", 0), log.end("readings.water", 0)
            while offset < end:
                records = log.read("readings.water", 0, offset)
                found |= {(f.id, f.rev, str(f.phase)) for f in engine.apply(records).findings}
                offset = records[-1].offset + 1
        return found


MakeBed = Callable[..., Bed]


@pytest.fixture
def make_bed(tmp_path: Path) -> Iterator[MakeBed]:
    """Start a bed with these settings; every one is stopped at the end of the test.

    begin: what is done before, with the data directory not made yet.
    """
    with ExitStack() as opened:

        def make(config: str, begin: Callable[[Settings], object] = lambda _: None) -> Bed:
            folder = tmp_path / f"bed{sum(1 for _ in tmp_path.glob('bed*'))}"
            folder.mkdir()
            bed = Bed(folder, config)
            begin(bed.settings)
            return opened.enter_context(bed)

        yield make


def find_chromium() -> str | None:
    """The browser to test with: ``CHROMIUM``, or the first on the path."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


def _without_browser() -> bool:
    return find_chromium() is None and not os.environ.get("CI")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path.name in WITH_BROWSER and _without_browser() else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _without_browser():
        files = " and ".join(f"tests/e2e/{name}" for name in WITH_BROWSER)
        terminalreporter.write_line(
            f"Not run: {files}, for want of a Chromium (install one, or name it: CHROMIUM=…)"
        )
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if report.when == "call":
                terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    found = find_chromium()
    assert found, "CI is set and there is no Chromium: install one, or name it by CHROMIUM"
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Closed with its module: an event loop runs in this thread as long as playwright does, and the tests of
    other modules start their own."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


class Visit:
    """A browser window in which everything that goes wrong is noted."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        password: str,
        size: dict[str, int],
        pictures: Path,
        now: datetime | None = None,
    ) -> None:
        """now: the time in the browser, which then stands still."""
        self._url, self._password, self._pictures = url, password, pictures
        self.context: BrowserContext = browser.new_context(
            viewport=size, timezone_id="Asia/Shanghai", locale="zh-CN", base_url=url
        )
        if now is not None:
            self.context.clock.set_fixed_time(now)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.wrong: list[str] = []
        self.page.on("console", lambda one: self._note(one.type, one.text))
        self.page.on("pageerror", lambda one: self.wrong.append(str(one)))
        self.page.on("request", lambda one: self._ask(one.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(f"{kind}: {text}")

    def _ask(self, url: str) -> None:
        if not url.startswith((self._url, self._url.replace("http", "ws"), "data:", "blob:")):
            self.wrong.append(f"request to another host: {url}")

    def sign_in(self, name: str = "王芳") -> None:
        self.page.goto("/sign-in")
        self.page.locator("#name").fill(name)
        self.page.locator("#password").fill(self._password)
        self.page.locator("button[type=submit]").click()
        self.page.locator(".shown").wait_for()

    def rows(self) -> Locator:
        return self.page.locator("a.inc")

    def row(self, text: str) -> Locator:
        return self.page.locator("a.inc", has_text=text)

    def fits(self) -> None:
        """No page is wider than its window."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{self.page.url} is {wide} px too wide"

    def picture(self, name: str) -> None:
        self.page.locator('html[data-live="true"]').wait_for(state="attached")
        file = self._pictures / name
        self.page.screenshot(path=file, animations="disabled")
        if (kept := os.environ.get("SCREENSHOTS")) and name.startswith(KEPT) and "-zh-" in name:
            Path(kept).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, Path(kept) / name)


MakeVisit = Callable[..., Visit]


@pytest.fixture
def make_visit(browser: Browser, tmp_path: Path) -> Iterator[MakeVisit]:
    """Open windows; at the end of the test nothing may have gone wrong in any."""
    opened: list[Visit] = []

    def open_window(url: str, password: str, size: dict[str, int], *, now: datetime | None = None) -> Visit:
        made = Visit(browser, url, password, size, tmp_path, now)
        opened.append(made)
        return made

    yield open_window
    for one in opened:
        one.context.close()
        assert one.wrong == []
