"""``zhiwei doctor``: is this machine fit to run it, and if not, what is to be done.

Each check is a function of what it is told (versions, a directory, a port, a clock) and gives Checks; none
starts, stops or changes anything. ``examine`` asks them all about the machine at hand.
"""

import errno
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from zhiwei import settings as settings_of
from zhiwei.beds import is_distributed
from zhiwei.clock import MICROS, Clock, to_datetime
from zhiwei.errors import ConfigError
from zhiwei.settings import Settings
from zhiwei.wiring import doctor_servers as servers
from zhiwei.wiring.check import Check, Verdict, why

RELEASE_YEAR = 2026
"""A clock before it has not been set: small boards without a battery start in 1970 or 2000."""
CLOCK_HORIZON_YEARS = 20

PYTHON_FIRST, PYTHON_LAST = (3, 11), (3, 14)
"""Below the first it does not run; above the last not every package has wheels."""

GLIBC = (2, 28)  # pyarrow and NumPy: manylinux_2_28
DESCRIPTORS_LEAST = 256
DESCRIPTORS_WANTED = 1024
"""The embedded broker holds one descriptor for each gateway that is connected."""

RUNNING_S = 10
"""A role writes its metrics once a second; younger than this, it runs."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that must be importable."""

    module: str
    name: str
    """As it is installed."""
    wheels: str = ""
    """For what machines there are wheels, where that is less than everything that Python runs on."""


_BINARY = (
    "CPython 3.11 to 3.14 on Linux (glibc 2.28 or later; x86-64, ARM64), macOS (Intel, Apple) and Windows"
)
PACKAGES = (
    Package("numpy", "numpy", _BINARY),
    Package("pyarrow", "pyarrow", _BINARY),
    Package("msgspec", "msgspec", _BINARY),
    Package("faust", "faust-streaming"),
    Package("mode", "mode-streaming"),
    Package("aiokafka", "aiokafka", _BINARY),
    Package("paho.mqtt.client", "paho-mqtt"),
    # From the file names in uv.lock: no musllinux wheel, so Alpine would need a Rust compiler.
    Package(
        "iotcore",
        "iotcore",
        "CPython 3.11 to 3.14 on Linux with glibc (2.17 on x86-64, 2.28 on ARM64 and ARMv7, or later), "
        "macOS (Intel 10.12, Apple 11 or later) and Windows; none for musl (Alpine)",
    ),
    Package("sqlalchemy", "sqlalchemy"),
    Package("alembic", "alembic"),
    Package("aiohttp", "aiohttp"),
    Package("sklearn", "scikit-learn", _BINARY),
    Package("prometheus_client", "prometheus-client"),
)


def worst(checks: tuple[Check, ...]) -> Verdict:
    """The verdict on the whole: that of the worst check."""
    return max((check.verdict for check in checks), key=list(Verdict).index, default=Verdict.OK)


def examine(
    config: Path | None, clock: Clock, *, environment: Mapping[str, str] | None = None, **override: object
) -> tuple[Check, ...]:
    """All checks on this machine, with these settings (arguments as of ``settings.load``)."""
    checks = [
        python_version(sys.version_info[:3], platform.python_implementation()),
        system(platform.system(), platform.machine(), platform.libc_ver(), wide=sys.maxsize > 1 << 32),
        *packages(),
        *pins(_declared(), _installed),
        system_clock(clock),
        descriptors(_descriptor_limit()),
    ]
    try:
        settings = settings_of.load(config, environment=environment, **override)
    except ConfigError as error:
        advice = "correct it and look again: data directory and ports were not checked"
        return (*checks, Check(name="settings", verdict=Verdict.FAIL, found=str(error), advice=advice))
    return (
        *checks,
        Check(name="settings", verdict=Verdict.OK, found=str(config) if config else "all at their defaults"),
        data_directory(settings.data),
        free_space(settings.data, settings.log.reserve_bytes),
        *_servers(settings, running(settings.data, clock)),
    )


def _servers(settings: Settings, roles: tuple[str, ...]) -> Iterator[Check]:
    """The servers that the settings name, each asked by itself."""
    if settings.mqtt.embedded:
        yield embedded_port(settings.mqtt.host, settings.mqtt.port, roles)
    else:
        yield servers.broker(settings.mqtt)
    if is_distributed(settings):
        yield from servers.kafka(settings)
    if settings.database.url:
        yield servers.postgres(settings)
    if settings.influx.url:
        yield servers.influx(settings.influx)


# ------------------------------------------------------------------ Python, system, packages


def python_version(version: tuple[int, ...], implementation: str) -> Check:
    """version: major, minor, micro. implementation: ``CPython`` or another."""
    found = f"{implementation} {'.'.join(map(str, version))}"
    if version[:2] < PYTHON_FIRST:
        return Check(name="python", verdict=Verdict.FAIL, found=found, advice="install Python 3.11 or later")
    if version[:2] > PYTHON_LAST or implementation != "CPython":
        advice = "CPython 3.11 to 3.14 is what every package has wheels for; others may have to be compiled"
        return Check(name="python", verdict=Verdict.WARN, found=found, advice=advice)
    return Check(name="python", verdict=Verdict.OK, found=found)


def system(name: str, machine: str, libc: tuple[str, str], *, wide: bool) -> Check:
    """name, machine, libc: as of ``platform``. wide: whether this is a 64-bit Python."""
    found = " ".join(filter(None, (name, machine, *libc)))

    def check(verdict: Verdict, advice: str = "") -> Check:
        return Check(name="system", verdict=verdict, found=found, advice=advice)

    if not wide:
        return check(Verdict.FAIL, "use a 64-bit system and Python: pyarrow has no wheels for 32 bits")
    if name == "Darwin":
        return check(Verdict.OK)
    if name != "Linux":
        return check(
            Verdict.FAIL, "use Linux or macOS, or a container: nothing here is tested on this system"
        )
    if libc[0] != "glibc":
        return check(
            Verdict.WARN,
            "use a system with glibc (not Alpine): iotcore, the embedded broker, has no wheel for musl",
        )
    if _numbers(libc[1]) < GLIBC:
        return check(
            Verdict.FAIL,
            "use a system with glibc 2.28 or later: NumPy and pyarrow have no wheels for this one",
        )
    return check(Verdict.OK)


def packages(load: Callable[[str], object] = import_module) -> Iterator[Check]:
    """Whether each package can be imported; where not, why, and what to do."""
    for package in PACKAGES:
        name = f"package {package.name}"
        again = "run: make setup"
        wheels = f"; wheels exist for {package.wheels}" if package.wheels else ""
        try:
            load(package.module)
        except ModuleNotFoundError as error:
            found = "not installed" if error.name == package.module.split(".")[0] else f"needs {error.name}"
            yield Check(name=name, verdict=Verdict.FAIL, found=found, advice=again + wheels)
        except Exception as error:  # noqa: BLE001 - a broken binary may raise anything; it is reported, whatever it is
            found = f"cannot be imported: {type(error).__name__}: {error}"
            advice = f"run: make clean setup{wheels}"
            yield Check(name=name, verdict=Verdict.FAIL, found=found, advice=advice)
        else:
            yield Check(name=name, verdict=Verdict.OK, found=_installed(package.name) or "of unknown version")


def pins(requirements: list[str], installed: Callable[[str], str | None]) -> Iterator[Check]:
    """Packages that are required in one version only are there in this one.

    requirements: as in pyproject.toml. installed: name → version, None where it is not installed.
    """
    for requirement in requirements:
        if match := re.fullmatch(r"([\w.-]+)==([\w.!+-]+)", requirement):
            name, want = match.groups()
            have = installed(name)
            fits = have == want
            yield Check(
                name=f"version of {name}",
                verdict=Verdict.OK if fits else Verdict.FAIL,
                found=have or "not installed",
                advice="" if fits else f"run: make setup, which installs {want}; we lean on its internals",
            )


def _declared() -> list[str]:
    """From pyproject.toml of the checkout; where there is none (an image), from what was installed."""
    file = Path(settings_of.__file__).parents[1] / "pyproject.toml"
    if file.is_file():
        return list(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["dependencies"])
    return metadata.requires("zhiwei") or []


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


# ------------------------------------------------------------------ clock and limits


def system_clock(clock: Clock) -> Check:
    """A clock that is wrong by years would date every finding so, and refuse what devices say."""
    now = to_datetime(clock.now_us())
    found = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now.year < RELEASE_YEAR:
        advice = "set the clock and keep it by NTP; then start again"
        return Check(name="clock", verdict=Verdict.FAIL, found=found, advice=advice)
    if now.year > RELEASE_YEAR + CLOCK_HORIZON_YEARS:
        return Check(
            name="clock", verdict=Verdict.WARN, found=found, advice="look whether the clock is right"
        )
    return Check(name="clock", verdict=Verdict.OK, found=found)


def descriptors(limit: int | None) -> Check:
    """limit: open files that a process may hold, None = no limit or not known."""
    name, found = "open files", "no limit" if limit is None else f"{limit} a process"
    if limit is None or limit >= DESCRIPTORS_WANTED:
        return Check(name=name, verdict=Verdict.OK, found=found)
    verdict = Verdict.WARN if limit >= DESCRIPTORS_LEAST else Verdict.FAIL
    advice = f"raise it (ulimit -n {DESCRIPTORS_WANTED}, or LimitNOFILE): each connected gateway holds one"
    return Check(name=name, verdict=verdict, found=found, advice=advice)


def _descriptor_limit() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


# ------------------------------------------------------------------ data directory


def data_directory(directory: Path) -> Check:
    """Whether files can be made in it, or, as long as it is not there, whether it can be made."""
    name = "data directory"
    if directory.is_dir():
        try:
            with tempfile.TemporaryFile(dir=directory) as file:
                file.write(b"\0")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            advice = f"let the user who runs zhiwei write there, or set data_dir: {error.strerror}"
            return Check(
                name=name, verdict=Verdict.FAIL, found=f"{directory} cannot be written", advice=advice
            )
        return Check(name=name, verdict=Verdict.OK, found=str(directory))
    parent = _existing(directory)
    if not parent.is_dir() or directory.exists():
        found = f"{directory if directory.exists() else parent} is not a directory"
        return Check(name=name, verdict=Verdict.FAIL, found=found, advice="set data_dir to a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        advice = "make it, owned by the user who runs zhiwei, or set data_dir"
        return Check(
            name=name, verdict=Verdict.FAIL, found=f"{directory} cannot be made in {parent}", advice=advice
        )
    return Check(name=name, verdict=Verdict.OK, found=f"{directory}, to be made at the first start")


def free_space(directory: Path, reserve_bytes: int, usage: Callable[[Path], int] | None = None) -> Check:
    """usage: bytes that are free where a path lies; the machine's own by default."""
    free = (usage or (lambda path: shutil.disk_usage(path).free))(_existing(directory))
    found = f"{_mega(free)} free, reserve {_mega(reserve_bytes)}"
    if free <= reserve_bytes:
        advice = "make room, or lower log.reserve_bytes: below the reserve nothing is accepted"
        return Check(name="free space", verdict=Verdict.FAIL, found=found, advice=advice)
    if free < 2 * reserve_bytes:
        advice = "make room: at the reserve nothing is accepted any more"
        return Check(name="free space", verdict=Verdict.WARN, found=found, advice=advice)
    return Check(name="free space", verdict=Verdict.OK, found=found)


def _existing(path: Path) -> Path:
    """The path, or the nearest above it that exists."""
    return next((place for place in (path, *path.parents) if place.exists()), Path(path.anchor))


def _mega(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"


# ------------------------------------------------------------------ the broker


def running(data: Path, clock: Clock) -> tuple[str, ...]:
    """Roles that have written their metrics in the last seconds: the pipeline runs on this directory."""
    roles = []
    for file in sorted((data / "run").glob("*.prom")):
        try:
            age_us = clock.now_us() - file.stat().st_mtime_ns // 1000
        except FileNotFoundError:  # a role that stops, or replaces the file at this moment
            continue
        if abs(age_us) < RUNNING_S * MICROS:
            roles.append(file.stem)
    return tuple(roles)


def embedded_port(host: str, port: int, roles: tuple[str, ...] = ()) -> Check:
    """Whether the embedded broker can listen there. roles: of ours that run already."""
    name, place = "broker port", f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # as a server does: what waits in TIME_WAIT is no hindrance
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        if roles and error.errno == errno.EADDRINUSE:
            found = f"{place} is in use by us: {', '.join(roles)} run"
            return Check(name=name, verdict=Verdict.OK, found=found)
        other = port + 1 if port < 65535 else port - 1
        advice = f"stop what listens there, or set another port: ZHIWEI_MQTT__PORT={other}"
        return Check(name=name, verdict=Verdict.FAIL, found=f"{place}: {why(error)}", advice=advice)
    if not _is_loopback(str(address[0])):
        advice = "it has no authentication: listen on 127.0.0.1, or let only gateways reach this port"
        return Check(
            name=name, verdict=Verdict.WARN, found=f"{place} is free, beyond loopback", advice=advice
        )
    return Check(name=name, verdict=Verdict.OK, found=f"{place} is free")


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
