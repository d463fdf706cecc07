"""InfluxDB 1.8, which also takes writes by the API of version 2 and questions in Flux."""

import http.client
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

from zhiwei.testing.servers.process import HOST, TOOLS, Server, free_port, program

ORG = "-"
TOKEN = "-"
"""Version 1.8 has no organizations, and without authentication takes any token."""

_PATIENCE_S = 5.0


class InfluxDB(Server):
    """Each write is synced before it is answered; nothing is reported anywhere.

    A bucket of the version 2 API is ``database/retention policy``.
    """

    name: ClassVar[str] = "influxdb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._settings = folder / "influxdb.toml"
        self._settings.write_text(
            "reporting-disabled = true\n"
            f'bind-address = "{HOST}:{free_port()}"\n'
            f'[meta]\ndir = "{folder / "meta"}"\n'
            f'[data]\ndir = "{folder / "data"}"\nwal-dir = "{folder / "wal"}"\nquery-log-enabled = false\n'
            # Its own figures would be writes beside those that a benchmark measures.
            "[monitor]\nstore-enabled = false\n"
            f'[http]\nbind-address = "{HOST}:{self.port}"\nflux-enabled = true\nlog-enabled = false\n',
            encoding="utf-8",
        )

    @classmethod
    def find(cls) -> None:
        _influxd()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def create_bucket(self, database: str) -> str:
        """Make an empty database that keeps for ever; its bucket. database: letters, digits and ``_``."""
        status = self._ask("POST", "/query?" + urlencode({"q": f'CREATE DATABASE "{database}"'}))
        assert status == http.HTTPStatus.OK, f"CREATE DATABASE {database}: {status}"
        return f"{database}/autogen"

    def command(self) -> Sequence[str]:
        return (_influxd(), "run", "-config", str(self._settings))

    def answers(self) -> bool:
        try:
            return self._ask("GET", "/ping") == http.HTTPStatus.NO_CONTENT
        except OSError:
            return False

    def _ask(self, method: str, path: str) -> int:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_PATIENCE_S)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()


def _influxd() -> str:
    return program("influxd", TOOLS / "bin")
