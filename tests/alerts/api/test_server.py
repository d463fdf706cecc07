"""Serving beside the alerts role: it may fail, and nothing else does."""

import asyncio
import socket

import pytest
from starlette.responses import PlainTextResponse

from alerts import service
from alerts.api import server
from alerts.api.parts import Sources
from zhiwei.errors import ZhiweiError
from zhiwei.settings import Console, File, Settings

DEADLINE_S = 20


@pytest.fixture
def taken():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        yield busy


def test_a_port_that_is_taken_is_named_with_the_setting(taken):
    port = taken.getsockname()[1]
    with pytest.raises(ZhiweiError, match=rf"127\.0\.0\.1:{port}: .* set \[console\] host or port"):
        server.listening("127.0.0.1", port)


def test_findings_are_delivered_while_the_port_is_taken_and_it_is_served_once_it_is_free(
    tmp_path, new_log, finding, clock, taken, monkeypatch
):
    monkeypatch.setattr(server, "_AGAIN_S", 0.01)
    monkeypatch.setattr(server, "application", lambda *_: PlainTextResponse("served"))
    port, log, out = taken.getsockname()[1], new_log(), tmp_path / "out.jsonl"
    log.append(finding())
    settings = Settings(
        data_dir=str(tmp_path), console=Console(port=port), sinks=(File(name="copy", path=str(out)),)
    )

    async def run():
        stop = asyncio.Event()
        running = asyncio.create_task(
            service.run(settings, log, clock, stop, sources=Sources(None, None, None))
        )
        async with asyncio.timeout(DEADLINE_S):
            while not (out.exists() and out.read_bytes()):  # noqa: ASYNC110 - a file rings no bell
                await asyncio.sleep(0.01)
            taken.close()
            answer = b""
            while b"served" not in answer:
                answer = await ask(port)
        stop.set()
        await asyncio.wait_for(running, DEADLINE_S)

    asyncio.run(run())


async def ask(port):
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.01)
        return b""
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()
