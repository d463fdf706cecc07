# ruff: noqa
"""Planted: each way to ask what time it is."""

import datetime as dt
import time
import time as t
from datetime import UTC, date, datetime
from datetime import datetime as moment
from time import monotonic  # wrong
from time import perf_counter as tick, sleep  # wrong


def f() -> None:
    time.time()  # wrong
    t.monotonic_ns()  # wrong
    datetime.now(UTC)  # wrong
    moment.utcnow()  # wrong
    dt.datetime.today()  # wrong
    date.today()  # wrong
    datetime.fromtimestamp(0, UTC)
    time.sleep(1)


class C:
    stamp = time.time_ns  # wrong
