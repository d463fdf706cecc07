"""``zhiwei backup`` and ``restore`` of the embedded bed: a consistent set, taken while it runs.

What has read a log is copied before the log: incidents before findings, state before findings and readings,
findings before readings. So nothing in the set has read, or been made from, what is not in it, and what the
log has beyond is read again after a restore, to the same ids. The set is written beside its place and
renamed when it is whole: half a backup is none.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from zhiwei import __version__
from zhiwei.beds import is_distributed
from zhiwei.clock import Clock, to_datetime
from zhiwei.commitlog.file import told
from zhiwei.commitlog.layout import file_of
from zhiwei.commitlog.log import CommitLog
from zhiwei.errors import ZhiweiError
from zhiwei.settings import Settings
from zhiwei.wiring.doctor import running

FORMAT = 1
"""Of the set; another one is refused."""
MANIFEST = "backup.json"
_DATABASES = ("events.sqlite", "state.sqlite", "log/findings.log", "log/readings.log")
"""In this order: see the head of this file."""
_FILES = ("console.json",)
_TELEMETRY = "telemetry"


class _Manifest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: int
    program: str
    site: str
    at: str
    sha256: dict[str, str]
    """File, relative to the set → hash."""


def backup(settings: Settings, target: Path, clock: Clock) -> Iterator[str]:
    """Copy everything durable into ``target``, a folder that is not there yet; lines for a person.

    Raises ZhiweiError for the distributed mode, where there is nothing to copy, or where the set would not
    be consistent.
    """
    _refuse_distributed(settings)
    if not (settings.data / "log" / "readings.log").exists():
        raise ZhiweiError(f"{settings.data} has no log yet; --data-dir names another place")
    with _Draft(target) as draft:
        for group in sorted((settings.data / "log" / "groups").glob("*.db")):
            _copy_database(group, draft / "log" / "groups" / group.name)
        _copy_telemetry(settings.data / _TELEMETRY, draft / _TELEMETRY)
        for name in _DATABASES:
            if (settings.data / name).exists():
                _copy_database(settings.data / name, draft / name)
        for name in _FILES:
            if (settings.data / name).exists():
                shutil.copy2(settings.data / name, draft / name)
        _refuse_inconsistent(draft)
        hashes = {str(file.relative_to(draft)): _hash(file) for file in _files_of(draft)}
        manifest = _Manifest(
            format=FORMAT,
            program=__version__,
            site=settings.site,
            at=to_datetime(clock.now_us()).isoformat(),
            sha256=hashes,
        )
        (draft / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        size = sum(file.stat().st_size for file in _files_of(draft))
    yield f"{target}: {len(hashes)} files, {size / 1_000_000:,.1f} MB"
    yield "settings and secrets are not in it: keep them by other means"


def restore(settings: Settings, source: Path, clock: Clock) -> Iterator[str]:
    """Make the data directory from a set; lines for a person.

    Raises ZhiweiError where the directory is not empty or a bed runs on it, where the set is not whole or
    of another format; then nothing was changed.
    """
    _refuse_distributed(settings)
    manifest = _manifest_of(source)
    if roles := running(settings.data, clock):
        raise ZhiweiError(f"{settings.data}: {', '.join(roles)} run on it: stop them first")
    if settings.data.exists() and any(settings.data.iterdir()):
        raise ZhiweiError(f"{settings.data} is not empty: move it away, or restore to another --data-dir")
    if manifest.site != settings.site:
        raise ZhiweiError(
            f"{source} is of site {manifest.site!r}, the settings say {settings.site!r}: "
            "findings would get other ids; set site"
        )
    with _Draft(settings.data) as draft:
        for name, expected in manifest.sha256.items():
            file = source / name
            if not file.is_file() or _hash(file) != expected:
                raise ZhiweiError(f"{file}: is not as it was when the backup was made; take another backup")
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, draft / name)
    yield f"{settings.data}: as it was at {manifest.at}, {len(manifest.sha256)} files"
    yield "gateways' messages that came later are gone, unless they or their broker still keep them"


class _Draft:
    """A folder that takes its place when it is whole, or goes away."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._draft = place.with_name(f".{place.name}.partial")

    def __enter__(self) -> Path:
        if self._place.exists() and (not self._place.is_dir() or any(self._place.iterdir())):
            raise ZhiweiError(f"{self._place} is there already and is not empty; name a folder that is not")
        try:
            if self._draft.exists():
                shutil.rmtree(self._draft)  # of a run that was killed
            self._draft.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise ZhiweiError(f"{self._draft}: {error.strerror}") from None
        return self._draft

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is not None:
            shutil.rmtree(self._draft, ignore_errors=True)
            if isinstance(error, OSError):
                raise ZhiweiError(f"{self._place}: {error.strerror or error}; nothing was kept") from None
            return
        for path in (
            *_files_of(self._draft),
            *(p for p in self._draft.rglob("*") if p.is_dir()),
            self._draft,
        ):
            _sync(path)
        if self._place.exists():
            self._place.rmdir()
        self._draft.rename(self._place)
        _sync(self._place.parent)


def _copy_database(source: Path, target: Path) -> None:
    """By SQLite's own backup, in one read transaction: writers go on."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        told(source),
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=30)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing)


def _copy_telemetry(source: Path, target: Path) -> None:
    """Positions first, which must not be ahead of the segments; then segments, also those made meanwhile.

    A segment never changes; one that was merged into another meanwhile is found by its successor's name.
    """
    for file in sorted(source.rglob("*.json")):
        _copy_file(file, target / file.relative_to(source))
    lost = True
    while lost:
        lost = False
        for file in sorted(source.rglob("*.parquet")):
            here = target / file.relative_to(source)
            if not file.name.startswith(".") and not here.exists():
                lost |= not _copy_file(file, here)


def _copy_file(source: Path, target: Path) -> bool:
    """Whether it was still there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        return False
    return True


def _refuse_inconsistent(draft: Path) -> None:
    """Nothing has read beyond its log; and retention took nothing away between the copies."""
    with CommitLog(draft / "log", "readings") as readings, CommitLog(draft / "log", "findings") as findings:
        logs = {"readings": readings, "findings": findings}
        for topic, partition, following in _read_so_far(draft):
            earliest, end = logs[file_of(topic)].bounds(topic, partition)
            if following > end or (following < earliest and following > 0):
                raise ZhiweiError(
                    f"{topic}/{partition}: read up to {following}, and the copy of the log has {earliest} to "
                    f"{end}: the log was trimmed meanwhile, take the backup again"
                )


def _read_so_far(draft: Path) -> Iterator[tuple[str, int, int]]:
    """Topic, partition and next offset of state and incidents."""
    for name, query in (
        ("state.sqlite", "SELECT topic, partition, applied + 1 FROM partition"),
        ("events.sqlite", "SELECT topic, partition, next_offset FROM applied"),
    ):
        file = draft / name
        if file.exists():
            with told(file), closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)) as db:
                yield from db.execute(query).fetchall()


def _manifest_of(source: Path) -> _Manifest:
    file = source / MANIFEST
    try:
        body = file.read_bytes()
    except OSError:
        raise ZhiweiError(f"{source} is no backup: there is no {MANIFEST} in it") from None
    try:
        found = msgspec.json.decode(body, type=_Manifest)
    except msgspec.DecodeError as error:
        raise ZhiweiError(f"{file}: cannot be read: {error}") from None
    if found.format != FORMAT:
        raise ZhiweiError(f"{file}: format = {found.format}: expected {FORMAT}; use zhiwei {found.program}")
    for name in found.sha256:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ZhiweiError(f"{file}: sha256 = {name!r}: expected a path inside the backup")
    return found


def _refuse_distributed(settings: Settings) -> None:
    if is_distributed(settings) or settings.database.url:
        raise ZhiweiError(
            "records are kept by Kafka or state by PostgreSQL: use their own tools, see docs/operations.md"
        )


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
