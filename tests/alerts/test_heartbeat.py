"""The heartbeat is heard while health is good, and not otherwise; nothing that comes back ends it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from alerts.heartbeat import is_loopback, keep_beating
from zhiwei.clock import SystemClock
from zhiwei.health import Health
from zhiwei.settings import Heartbeat

GOOD, BAD = Health("alerts"), Health("alerts", ("it hangs",))
DEADLINE_S = 20


class Watcher:
    """An outside address; it answers in turn with these statuses, then with the last."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.heard = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        assert request.method == "GET"
        self.heard += 1
        return web.Response(status=self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])


@asynccontextmanager
async def watching(*statuses: int) -> AsyncIterator[Watcher]:
    watcher = Watcher(*statuses)
    app = web.Application()
    app.router.add_get("/ping/key", watcher.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    watcher.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ping/key"
    yield watcher
    await runner.cleanup()


async def beat(url: str, health: Callable[[], Health], so: Callable[[], bool]) -> None:
    """Beat until something is so."""
    stop = asyncio.Event()
    settings = Heartbeat(url=url, every_s=0.01, timeout_s=5)
    task = asyncio.create_task(keep_beating(settings, health, SystemClock(), stop))
    async with asyncio.timeout(DEADLINE_S):
        while not so() and not task.done():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)
    stop.set()
    await task


def test_it_is_heard_again_and_again_while_health_is_good() -> None:
    async def check() -> None:
        async with watching(200) as watcher:
            await beat(watcher.url, lambda: GOOD, lambda: watcher.heard >= 3)

    asyncio.run(check())


def test_it_is_silent_while_health_is_bad_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        asked = []

        def health() -> Health:
            asked.append(None)
            return BAD if len(asked) <= 5 else GOOD

        async with watching(200) as watcher:
            await beat(watcher.url, health, lambda: watcher.heard == 1)
            assert len(asked) >= 6

    with caplog.at_level("INFO", logger="zhiwei"):
        asyncio.run(check())
    assert [record.message for record in caplog.records] == ["no heartbeat", "the heartbeat is back"]


@pytest.mark.parametrize("status", [404, 500, 301])
def test_an_address_that_does_not_take_it_is_asked_again(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        async with watching(status, status, 200) as watcher:
            await beat(watcher.url, lambda: GOOD, lambda: watcher.heard >= 4)

    with caplog.at_level("INFO", logger="zhiwei"):
        asyncio.run(check())
    said = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert said[0]["why"] == f"status {status}"
    assert "key" not in str(said)


def test_nobody_there_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        async with watching(200) as watcher:
            gone = watcher.url
        asked = []

        def health() -> Health:
            asked.append(None)
            return GOOD

        await beat(gone, health, lambda: len(asked) >= 3)

    asyncio.run(check())


def test_a_proxy_is_used_but_not_to_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with watching(200) as proxy, watching(200) as here:
            for name in ("http_proxy", "HTTP_PROXY"):
                monkeypatch.setenv(name, proxy.url.removesuffix("/ping/key"))
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            # The proxy is asked for the whole address, of which it knows the path.
            await beat("http://watch.example/ping/key", lambda: GOOD, lambda: proxy.heard >= 1)
            passed = proxy.heard
            await beat(here.url, lambda: GOOD, lambda: here.heard >= 1)
            assert proxy.heard == passed

    asyncio.run(check())


@pytest.mark.parametrize(
    ("host", "ours"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("10.0.0.1", False), ("hc.example", False)],
)
def test_loopback_is_this_machine(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours
