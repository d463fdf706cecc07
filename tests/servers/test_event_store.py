"""The event store on a real PostgreSQL: what is sent and what is folded do not wait for each other."""

import asyncio
from threading import Event

import pytest
from sqlalchemy import Connection, text

from alerts.store.store import Store
from zhiwei.sql import open_engine

DEADLINE_S = 30.0


@pytest.mark.parametrize(("line", "together"), [("hook/urgent", True), ("", False)])
def test_transactions_of_two_lines_go_side_by_side_and_those_of_one_follow_each_other(
    database: str, line: str, together: bool
) -> None:
    store, begun, ended = Store(open_engine(database)), Event(), Event()

    def fold(connection: Connection) -> bool:
        connection.execute(text("SELECT 1"))
        begun.set()
        return ended.wait(DEADLINE_S if together else 1.0)

    def send(connection: Connection) -> None:
        assert begun.wait(DEADLINE_S)
        connection.execute(text("SELECT 1"))
        ended.set()

    async def both() -> bool:
        folded = asyncio.create_task(store.transact(fold))
        await asyncio.sleep(0)
        await store.transact(send, line=line)
        return await folded

    try:
        assert asyncio.run(both()) is together
    finally:
        store.close()
