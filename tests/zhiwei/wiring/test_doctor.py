"""The doctor finds what is wrong with a machine and says what to do, and changes nothing."""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zhiwei.clock import MICROS, to_us
from zhiwei.wiring import doctor
from zhiwei.wiring.check import Check, Verdict
from zhiwei.wiring.doctor import PACKAGES


class Stopped:
    """A clock that stands still."""

    def __init__(self, us: int) -> None:
        self.us = us

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return 0.0


def at(year: int) -> Stopped:
    return Stopped(to_us(datetime(year, 6, 1, tzinfo=UTC)))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# ------------------------------------------------------------------ Python, system, packages


@pytest.mark.parametrize(
    ("version", "implementation", "verdict"),
    [
        ((3, 10, 14), "CPython", "fail"),
        ((3, 11, 0), "CPython", "ok"),
        ((3, 14, 9), "CPython", "ok"),
        ((3, 15, 0), "CPython", "warn"),
        ((3, 11, 9), "PyPy", "warn"),
        ((4, 0, 0), "CPython", "warn"),
    ],
)
def test_python_is_judged_by_its_version(version: tuple[int, ...], implementation: str, verdict: str) -> None:
    check = doctor.python_version(version, implementation)
    assert check.verdict == verdict
    assert check.found.startswith(f"{implementation} {version[0]}.{version[1]}")


@pytest.mark.parametrize(
    ("name", "libc", "wide", "verdict", "advice"),
    [
        ("Linux", ("glibc", "2.36"), True, "ok", ""),
        ("Linux", ("glibc", "2.28"), True, "ok", ""),
        ("Linux", ("glibc", "2.17"), True, "fail", "glibc 2.28"),
        ("Linux", ("", ""), True, "warn", "Alpine"),
        ("Darwin", ("", ""), True, "ok", ""),
        ("Windows", ("", ""), True, "fail", "Linux or macOS"),
        ("Linux", ("glibc", "2.36"), False, "fail", "64-bit"),
    ],
)
def test_the_system_is_judged_by_what_there_are_wheels_for(
    name: str, libc: tuple[str, str], wide: bool, verdict: str, advice: str
) -> None:
    check = doctor.system(name, "arm64", libc, wide=wide)
    assert check.verdict == verdict
    assert advice in check.advice
    assert bool(check.advice) == (verdict != "ok")


def test_all_packages_are_here() -> None:
    assert [check for check in doctor.packages() if check.verdict is not Verdict.OK] == []


def test_a_missing_package_is_named_with_what_to_do() -> None:
    def load(module: str) -> None:
        if module == "iotcore":
            raise ModuleNotFoundError("No module named 'iotcore'", name="iotcore")

    bad = [check for check in doctor.packages(load) if check.verdict is not Verdict.OK]
    assert [(check.name, check.verdict, check.found) for check in bad] == [
        ("package iotcore", Verdict.FAIL, "not installed")
    ]
    assert "make setup" in bad[0].advice
    assert "none for musl" in bad[0].advice


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ModuleNotFoundError("No module named 'yarl'", name="yarl"), "needs yarl"),
        (
            ImportError("libarrow.so: cannot open"),
            "cannot be imported: ImportError: libarrow.so: cannot open",
        ),
        (OSError("bad magic"), "cannot be imported: OSError: bad magic"),
        (RuntimeError("CPU"), "cannot be imported: RuntimeError: CPU"),
    ],
)
def test_a_broken_package_is_reported_whatever_it_raises(error: Exception, found: str) -> None:
    def load(module: str) -> None:
        raise error

    assert {(check.verdict, check.found) for check in doctor.packages(load)} == {(Verdict.FAIL, found)}


def test_each_package_stands_once() -> None:
    assert (
        len({package.module for package in PACKAGES})
        == len({package.name for package in PACKAGES})
        == len(PACKAGES)
    )


def test_exact_pins_are_compared_and_ranges_are_not() -> None:
    versions = {"a-b": "1.0", "c": "2.1", "e": "9"}
    checks = list(doctor.pins(["a-b==1.0", "c==2.0", "d==3.0.post1", "e>=1", "f"], versions.get))
    assert [(check.name, check.verdict, check.found) for check in checks] == [
        ("version of a-b", Verdict.OK, "1.0"),
        ("version of c", Verdict.FAIL, "2.1"),
        ("version of d", Verdict.FAIL, "not installed"),
    ]
    assert "make setup, which installs 2.0" in checks[1].advice


def test_the_pins_of_the_project_are_found_and_met() -> None:
    checks = list(doctor.pins(doctor._declared(), doctor._installed))
    assert {check.name for check in checks} >= {"version of faust-streaming", "version of iotcore"}
    assert {check.verdict for check in checks} == {Verdict.OK}


# ------------------------------------------------------------------ clock and limits


@pytest.mark.parametrize(
    ("year", "verdict"), [(1970, "fail"), (2025, "fail"), (2026, "ok"), (2046, "ok"), (2047, "warn")]
)
def test_a_clock_that_cannot_be_right_is_told(year: int, verdict: str) -> None:
    check = doctor.system_clock(at(year))
    assert (check.verdict, check.found) == (verdict, f"{year}-06-01 00:00:00 UTC")


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(None, "ok"), (1024, "ok"), (1023, "warn"), (256, "warn"), (255, "fail"), (0, "fail")],
)
def test_too_few_open_files_are_told(limit: int | None, verdict: str) -> None:
    assert doctor.descriptors(limit).verdict == verdict


# ------------------------------------------------------------------ data directory


def test_a_directory_that_is_not_there_is_fine_and_is_not_made(tmp_path: Path) -> None:
    assert doctor.data_directory(tmp_path / "a" / "b").verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    assert doctor.data_directory(tmp_path) == Check(
        name="data directory", verdict=Verdict.OK, found=str(tmp_path)
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    for directory in (tmp_path / "data", tmp_path / "data" / "deeper"):
        check = doctor.data_directory(directory)
        assert (check.verdict, check.found) == (Verdict.FAIL, f"{tmp_path / 'data'} is not a directory")


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    check = doctor.data_directory(tmp_path)
    assert (check.verdict, check.found) == (Verdict.FAIL, f"{tmp_path} cannot be written")
    assert "Permission denied" in check.advice


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    check = doctor.data_directory(tmp_path / "a" / "b")
    assert (check.verdict, check.found) == (
        Verdict.FAIL,
        f"{tmp_path / 'a' / 'b'} cannot be made in {tmp_path}",
    )


@pytest.mark.parametrize(
    ("free_bytes", "verdict"), [(100, "fail"), (101, "warn"), (199, "warn"), (200, "ok")]
)
def test_free_space_is_measured_against_the_reserve(tmp_path: Path, free_bytes: int, verdict: str) -> None:
    asked = []

    def usage(path: Path) -> int:
        asked.append(path)
        return free_bytes

    assert doctor.free_space(tmp_path / "not" / "there", 100, usage).verdict == verdict
    assert asked == [tmp_path]


# ------------------------------------------------------------------ the broker


def test_a_free_port_is_fine_and_stays_free(free: int) -> None:
    assert doctor.embedded_port("127.0.0.1", free).verdict is Verdict.OK
    socket.create_server(("127.0.0.1", free)).close()


def test_a_port_that_another_has_is_told(taken: int) -> None:
    check = doctor.embedded_port("127.0.0.1", taken)
    assert check.verdict is Verdict.FAIL
    assert f"127.0.0.1:{taken}: " in check.found
    assert f"ZHIWEI_MQTT__PORT={taken + 1}" in check.advice


def test_a_port_that_we_have_is_fine(taken: int) -> None:
    check = doctor.embedded_port("127.0.0.1", taken, ("alerts", "ingest"))
    assert (check.verdict, check.found) == (
        Verdict.OK,
        f"127.0.0.1:{taken} is in use by us: alerts, ingest run",
    )


def test_a_host_that_is_not_ours_is_told_even_while_we_run(free: int) -> None:
    check = doctor.embedded_port("192.0.2.1", free, ("ingest",))  # RFC 5737: nobody's
    assert check.verdict is Verdict.FAIL


def test_listening_beyond_loopback_is_told(free: int) -> None:
    check = doctor.embedded_port("0.0.0.0", free)
    assert check.verdict is Verdict.WARN
    assert "no authentication" in check.advice


def test_a_role_runs_while_its_metrics_are_fresh(tmp_path: Path) -> None:
    clock = at(2026)
    (tmp_path / "run").mkdir()
    for role, age_s in (("alerts", 1), ("ingest", 9), ("stream", 11)):
        file = tmp_path / "run" / f"{role}.prom"
        file.touch()
        second = clock.us // MICROS - age_s
        os.utime(file, (second, second))
    assert doctor.running(tmp_path, clock) == ("alerts", "ingest")
    assert doctor.running(tmp_path / "none", clock) == ()


# ------------------------------------------------------------------ all together


def test_every_check_is_made_and_has_advice_where_it_is_not_ok(tmp_path: Path, free: int) -> None:
    checks = doctor.examine(
        None, at(2026), environment={"ZHIWEI_MQTT__PORT": str(free)}, data_dir=str(tmp_path / "data")
    )
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert set(names) >= {"python", "system", "package iotcore", "version of iotcore", "clock", "open files"}
    assert set(names) >= {"settings", "data directory", "free space", "broker port"}
    assert [check for check in checks if (check.verdict is Verdict.OK) == bool(check.advice)] == []


def test_wrong_settings_are_a_finding_not_an_error(tmp_path: Path) -> None:
    file = tmp_path / "zhiwei.toml"
    file.write_text("[mqtt]\nport = 0\n")
    checks = doctor.examine(file, at(2026), environment={})
    assert checks[-1].verdict is Verdict.FAIL
    assert checks[-1].found == f"{file}: mqtt.port = 0: expected int >= 1"
    assert "were not checked" in checks[-1].advice


def test_the_worst_check_decides() -> None:
    ok, warn, fail = (Check(name="x", verdict=verdict, found="") for verdict in Verdict)
    assert doctor.worst((ok, warn, fail, ok)) is Verdict.FAIL
    assert doctor.worst((ok, warn)) is Verdict.WARN
    assert doctor.worst(()) is Verdict.OK
