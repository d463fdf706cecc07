"""A role that hangs, or has lost its supervisor, ends itself with status 1, whatever its threads do."""

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


def test_a_process_whose_supervisor_is_gone_ends_also_where_it_cannot_stop() -> None:
    held_up = (
        "import threading; from zhiwei.wiring import roles; roles._ORPHAN_S = 0.1; "
        "roles.stop_event(supervised=True); threading.Event().wait(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", held_up], stdin=subprocess.PIPE)
    try:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 1
    finally:
        child.kill()
