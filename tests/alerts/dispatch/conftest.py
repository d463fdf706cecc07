"""For dispatch: an outbox that is filled by folding, and a worker whose time a test moves."""

import asyncio
from typing import Any

import pytest

from alerts.dispatch.worker import Worker
from alerts.store import folding
from alerts.store.folding import LogState, Run
from alerts.store.store import Store
from zhiwei.contracts import Delivery
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT

DEADLINE_S = 30
"""Of our time: a worker that hangs fails its test."""


class ListSink:
    """Takes every event; ``script`` holds what happens to the next ones: None, or an error to raise."""

    def __init__(self, name: str = "list") -> None:
        self.name = name
        self.script: list[BaseException | None] = []
        self.got: list[Delivery] = []
        self.asked = 0
        self.is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def deliver(self, delivery: Delivery) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        self.got.append(delivery)

    async def close(self) -> None:
        self.is_open = False


def fill(store: Store, log: Any, *, sinks: tuple[str, ...], now_us: int) -> None:
    """Fold everything that the log holds and the store has not."""

    def call(connection: Any) -> None:
        for topic in (FINDINGS, FINDINGS_URGENT):
            state = LogState(log.id, topic, ((0, log.end(topic, 0)),))
            (offset,) = folding.start(connection, state, now_us)
            while records := log.read(topic, 0, offset):
                applied = folding.apply(
                    connection, topic, {0: Run(offset, records)},
                    sinks=sinks, close_after_us=10**15, late_hold_us=0, now_us=now_us,
                )[0]  # fmt: skip
                offset = applied.next_offset

    store.transact_here(call)


async def run_until_quiet(worker: Worker, clock: Any, *, most_s: float = float("inf")) -> float:
    """Turn the worker until nothing waits, or so much time has passed; moves the clock where it waits.

    Returns the seconds that passed.
    """
    passed = 0.0
    async with asyncio.timeout(DEADLINE_S):
        while (wait_s := await worker.step()) is not None:
            if passed + wait_s > most_s:
                break
            clock.advance(wait_s)
            passed += wait_s
    return passed


@pytest.fixture(scope="session")
def new_sink() -> type[ListSink]:
    return ListSink


@pytest.fixture(scope="session")
def fill_outbox() -> Any:
    return fill


@pytest.fixture(scope="session")
def until_quiet() -> Any:
    return run_until_quiet
