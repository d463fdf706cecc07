"""The embedded bed as real processes, for tests that kill them; and whether there is a browser.

Without a Chromium the console's tests do not run on somebody's laptop, and one line says so; where CI is
set they run and fail.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from simulators.playback import play
from streams.engine.engine import Engine
from zhiwei import registry
from zhiwei.clock import SystemClock
from zhiwei.mqtt import Publisher
from zhiwei.types import Finding, FindingRecord
from zhiwei.wiring.trial import Trial

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CONSOLE = "test_console.py"

Message = tuple[int, str, bytes]
Revision = tuple[str, int, str]


class Bed(Trial):
    """A bed on trial, with the water station's oracle beside it."""

    def publish(self, messages: Iterator[Message] | list[Message], speed: float | None = None) -> int:
        """All rows, each until the broker has acknowledged it."""
        with Publisher(host="127.0.0.1", port=self.settings.mqtt.port, client_id="gateway") as publisher:
            return play(
                iter(messages), publisher, speed=speed, clock=SystemClock(), stop=self.supervisor.stop
            )

    def revisions(self) -> set[Revision]:
        """(id, rev, phase) of everything on the findings log."""
        found = set()
        with self.log("findings") as log:
            offset, end = log.earliest("findings", 0), log.end("findings", 0)
            while offset < end:
                for record in log.read("findings", 0, offset):
                    finding = msgspec.json.decode(record.value, type=FindingRecord)
                    if isinstance(finding, Finding):
                        found.add((finding.id, finding.rev, str(finding.phase)))
                    offset = record.offset + 1
        return found

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

    def events(self) -> dict[str, object]:
        """id → event, without the log coordinates, which tell of cuts and not of the world."""
        found = {}
        for key, received in list(self.receiver.events.items()):
            assert received.signed
            event = msgspec.json.decode(received.body)
            assert event["id"] == key
            if event["data"]["finding"]:
                del event["data"]["finding"]["coordinates"]
            found[key] = event
        return found


MakeBed = Callable[..., Bed]


@pytest.fixture
def make_bed(tmp_path: Path) -> Iterator[MakeBed]:
    """Start a bed with these settings; every one is stopped at the end of the test."""
    with ExitStack() as opened:

        def make(config: str) -> Bed:
            folder = tmp_path / f"bed{sum(1 for _ in tmp_path.glob('bed*'))}"
            folder.mkdir()
            return opened.enter_context(Bed(folder, config))

        yield make


def find_chromium() -> str | None:
    """The browser to test with: ``CHROMIUM``, or the first on the path."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


def _without_browser() -> bool:
    return find_chromium() is None and not os.environ.get("CI")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path.name == CONSOLE and _without_browser() else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _without_browser():
        terminalreporter.write_line(
            "Not run: tests/e2e/test_console.py, for want of a Chromium (install one, or name it: CHROMIUM=…)"
        )


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    found = find_chromium()
    assert found, "CI is set and there is no Chromium: install one, or name it by CHROMIUM"
    return found
