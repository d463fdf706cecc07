"""Whose turn it is, on a real PostgreSQL."""

import pytest

from zhiwei.errors import Retryable
from zhiwei.sql import Turn, open_engine
from zhiwei.testing.servers.postgres import PostgreSQL


def test_one_process_has_its_turn_until_it_ends_or_the_server_forgets_it(
    database: str, postgres: PostgreSQL
) -> None:
    engine = open_engine(database)
    first, second, other = Turn(engine, "alerts"), Turn(engine, "alerts"), Turn(engine, "else")
    assert [first.take(), first.take(), second.take(), other.take()] == [True, True, False, True]
    first.release()
    assert [second.take(), first.take()] == [True, False]
    postgres.restart()
    with pytest.raises(Retryable, match="the lock in the database"):
        second.take()
    assert [first.take(), second.take()] == [True, False]
    for turn in (first, second, other):
        turn.release()
    engine.dispose()
