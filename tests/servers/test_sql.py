"""Whose turn it is, on a real PostgreSQL."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from zhiwei import sql
from zhiwei.errors import Retryable
from zhiwei.sql import Turn, alone, open_engine, told
from zhiwei.testing.servers.postgres import PostgreSQL


def answer(engine: Engine) -> int:
    """Of a transaction that only asks."""
    with engine.begin() as connection:
        return int(connection.execute(text("SELECT 1")).scalar_one())


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


def test_who_stands_still_in_its_transaction_does_not_keep_others_out_for_ever(database: str) -> None:
    still, other = open_engine(database), open_engine(database)
    with still.connect() as connection:
        alone(connection, "incidents")
        with other.begin() as following:
            alone(following, "incidents")  # returns when the server has ended the other's transaction
        with pytest.raises(DBAPIError) as error:
            connection.execute(text("SELECT 1"))
        assert isinstance(told("events", error.value), Retryable)
    still.dispose()
    other.dispose()


def test_a_connection_that_rested_while_the_server_began_anew_is_replaced_unnoticed(
    database: str, postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_RESTED_S", 0.0)
    engine = open_engine(database)
    for _ in range(2):
        assert answer(engine) == 1
        postgres.restart()
    assert answer(engine) == 1
    engine.dispose()


def test_one_that_was_used_just_before_fails_once_and_may_be_tried_again(
    database: str, postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_RESTED_S", 3600.0)
    engine = open_engine(database)
    assert answer(engine) == 1
    postgres.restart()
    with pytest.raises(DBAPIError) as error:
        answer(engine)
    assert isinstance(told("events", error.value), Retryable)
    assert answer(engine) == 1
    engine.dispose()
