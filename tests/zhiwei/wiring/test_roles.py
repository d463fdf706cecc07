"""A role that hangs ends itself with status 1, whatever its threads do; one that works does not."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from zhiwei import logs
from zhiwei.clock import SystemClock
from zhiwei.settings import Settings, Watchdog
from zhiwei.wiring.roles import tended
from ingest import meters

logs.configure()
with tended("ingest", Settings(watchdog=Watchdog(stall_s={stall_s}, start_s={start_s})), SystemClock()):
    if {turns}:
        meters.TURNED.set(1.0)
    threading.Event().wait({works_s})
print("done")
"""


def run(**values: object) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(**values)
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("turns", "stall_s", "start_s"), [(True, 0.001, 3600), (False, 3600, 0.001)], ids=["works", "starts"]
)
def test_a_role_that_hangs_ends_itself(turns: bool, stall_s: float, start_s: float) -> None:
    ended = run(turns=turns, stall_s=stall_s, start_s=start_s, works_s=None)
    assert ended.returncode == 1
    assert "this process hangs and ends itself" in ended.stderr
    assert "turn has not moved for" in ended.stderr


def test_a_role_that_works_goes_on() -> None:
    ended = run(turns=True, stall_s=3600, start_s=3600, works_s=2.5)
    assert (ended.returncode, ended.stdout) == (0, "done\n")
