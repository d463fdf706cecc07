"""PostgreSQL from the system's packages, in a cluster of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from zhiwei.testing.servers.process import HOST, Account, Server, free_port, program

USER = "zhiwei"
_ACCOUNTS = ("postgres", "nobody")


class PostgreSQL(Server):
    """A cluster that trusts who comes from this machine; its superuser is ``zhiwei``, who has no password.

    As root, which PostgreSQL refuses to be, it runs as ``postgres`` or ``nobody``, and its data lies in a
    temporary folder that they may enter; it is removed at the end. Each commit is synced to disk.
    """

    name: ClassVar[str] = "postgres"
    # Fast shutdown: sessions are ended. SIGTERM waits until they end by themselves.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        if os.geteuid() == 0:
            self.account = _account()
            self.work_dir = Path(tempfile.mkdtemp(prefix="zhiwei-postgres-"))
            os.chown(self.work_dir, self.account.uid, self.account.gid)
        self._data = self.work_dir / "data"

    @classmethod
    def find(cls) -> None:
        for name in ("postgres", "initdb", "psql"):
            _program(name)

    def url_of(self, database: str) -> str:
        """A SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{USER}@{HOST}:{self.port}/{database}"

    @property
    def url(self) -> str:
        """A SQLAlchemy URL of the database that is always there."""
        return self.url_of("postgres")

    def create_database(self, name: str) -> str:
        """Make an empty database; its SQLAlchemy URL. name: letters, digits and ``_``."""
        self._ask(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def start(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            self._initialize()
        super().start()

    def command(self) -> Sequence[str]:
        settings = (
            f"listen_addresses={HOST}",
            f"port={self.port}",
            "unix_socket_directories=",
            "max_connections=100",
        )
        return (_program("postgres"), "-D", str(self._data), *(f"--{setting}" for setting in settings))

    def answers(self) -> bool:
        return self._query("SELECT 1").returncode == 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self.work_dir != self.folder:
            shutil.rmtree(self.work_dir)

    def _initialize(self) -> None:
        with self.log_file.open("ab") as log:
            subprocess.run(
                [
                    _program("initdb"),
                    "-D",
                    str(self._data),
                    "-U",
                    USER,
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--locale=C",
                ],
                check=True,
                cwd=self.work_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )

    def _ask(self, statement: str) -> None:
        done = self._query(statement)
        assert done.returncode == 0, f"{statement}: {done.stderr}"

    def _query(self, statement: str) -> subprocess.CompletedProcess[str]:
        # psql and not a client library: nothing here need be kept in step with zhiwei/sql.py.
        return subprocess.run(
            [_program("psql"), "-X", "-q", "-c", statement, self.url.replace("+psycopg", "")],
            capture_output=True,
            text=True,
            check=False,
        )


def _program(name: str) -> str:
    """Debian has the server's programs outside PATH; of several versions the newest."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return program(name, *sorted(folders, key=lambda one: int(one.parent.name), reverse=True))


def _account() -> Account:
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise AssertionError(f"this machine has no account of these to run PostgreSQL as: {_ACCOUNTS}")
