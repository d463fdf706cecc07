"""InfluxDB: the only importer of influxdb-client. Points in, answers of Flux out, errors in our words."""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.dialect import Dialect
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from streams.telemetry.lines import Cell
from zhiwei.errors import Permanent, Retryable, ZhiweiError
from zhiwei.settings import Influx as Settings

_CONFLICT = re.compile(r'input field "([^"]*)" on measurement "([^"]*)" is type \w+, already exists as')
_DROPPED = re.compile(r"dropped=(\d+)")
_OF_POINTS = {400, 413, 422}
"""Answers that are about what was sent. Others (no such bucket, wrong token) a person mends, and the same
points may be written then."""
_CSV = Dialect(  # type: ignore[no-untyped-call]
    header=True, annotations=["datatype"], date_time_format="RFC3339Nano"
)


class PointsRefused(Permanent):
    """InfluxDB will not have some of these points."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        conflict = _CONFLICT.search(text)
        self.conflict: Cell | None = (conflict[2], conflict[1]) if conflict else None
        """The field that is of another type there."""
        self.rest_is_written = "partial write" in text
        dropped = _DROPPED.search(text)
        self.dropped = int(dropped[1]) if dropped else 0


@dataclass(slots=True)
class Answer:
    """Rows of an answer that have the same columns, as text."""

    types: dict[str, str]
    """Column → its type in Flux: ``double``, ``long``, ``boolean``, ``string``, ``dateTime:RFC3339``."""
    rows: list[dict[str, str]] = field(default_factory=list)


class Influx:
    """One InfluxDB. Calls block; from any thread. Does not look at proxies of the environment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = InfluxDBClient(
            settings.url,
            settings.token,
            org=settings.org,
            timeout=int(settings.timeout_s * 1000),
            retries=False,  # whoever writes tries again: it must be able to stop meanwhile
        )
        self._writing = self._client.write_api(write_options=SYNCHRONOUS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    @property
    def bucket(self) -> str:
        """Where points are."""
        return self._settings.bucket

    def write(self, body: bytes) -> None:
        """Points in line protocol, times in ns. When it returns, they are written.

        Raises PointsRefused; Retryable for all else, and then some may be written, or may be yet.
        """
        try:
            self._writing.write(self.bucket, record=body)  # in ns
        except ApiException as error:
            text = _said(error)
            if error.status in _OF_POINTS:
                raise PointsRefused(text) from None
            raise Retryable(f"{self._where}: {error.status}: {text}", after_s=_after_s(error)) from None
        except (HTTPError, OSError) as error:
            raise Retryable(f"{self._where}: {error}") from None

    def ask(self, flux: str) -> list[Answer]:
        """The answer to a question in Flux. Raises ZhiweiError; Retryable where InfluxDB is not there."""
        try:
            return self._answers(self._client.query_api().query_csv(flux, dialect=_CSV))
        except ApiException as error:
            kind = ZhiweiError if error.status in _OF_POINTS else Retryable
            raise kind(f"{self._where}: {error.status}: {_said(error)}") from None
        except (HTTPError, OSError) as error:
            raise Retryable(f"{self._where}: {error}") from None

    def _answers(self, lines: Iterable[list[str]]) -> list[Answer]:
        found: list[Answer] = []
        types: list[str] = []
        names: list[str] | None = []
        for line in lines:
            if line and line[0] == "#datatype":
                types, names = line, None
            elif names is None or line[:2] == ["error", "reference"]:
                names = line
                found.append(Answer(dict(zip(names, types, strict=False))))
            elif any(line):
                found[-1].rows.append(dict(zip(names, line, strict=False)))
        for answer in found:
            if "error" in answer.types and answer.rows:
                raise ZhiweiError(f"{self._where}: {answer.rows[0]['error']}")
        return found

    @property
    def _where(self) -> str:
        return f"InfluxDB at {self._settings.url}"


def _said(error: ApiException) -> str:
    """The message of an answer. Its headers are left out: they say nothing, at length."""
    body = error.body or b""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    with suppress(ValueError, KeyError, TypeError):
        decoded = json.loads(text)
        text = str(decoded.get("message") or decoded["error"])
    return text.strip()[:500] or str(error.reason)


def _after_s(error: ApiException) -> float | None:
    after = error.headers.get("Retry-After", "") if error.headers else ""
    return float(after) if after.isdecimal() else None
