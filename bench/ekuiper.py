"""eKuiper: its process, its REST interface, and in its SQL the lift rules of ``bench.plain``.

The rules are told exactly: the same conditions, for each lift by itself, held as long, told once. Left out is
that a reading need not bear all fields, which costs eKuiper less; all of ``bench.lifts`` say what is asked.

It is one rule, the cheapest form: five over a shared stream would be a copy and a queue more for each, and a
shared stream can only discard where a buffer is full. Findings go to the sink ``nop``, which costs nothing.
The rule's ``qos`` is 0, so there is no checkpoint: what it knows is in memory alone, and a message is
acknowledged to the broker before a rule has seen it. Ours acknowledges what is on disk.
"""

import http.client
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec

from bench.plain import DOOR_OPEN_MS, ENTRAPMENT_MS, RUN_MS
from zhiwei.testing.servers.process import HOST, TOOLS, Missing, Server, free_port

VERSION = "2.4.0"
"""The one that ``bench/ekuiper.sh`` builds."""

CONDITIONS: Mapping[str, tuple[str, int]] = {
    "entrapment": (
        "moving = false AND in_door_zone = false AND door_closed = true AND person = true",
        ENTRAPMENT_MS,
    ),
    "alarm_button": ("alarm_button = true", 0),
    "door_open_moving": ("moving = true AND door_closed = false", 0),
    "door_held": ("door_closed = false AND moving = false", DOOR_OPEN_MS),
    "run_timeout": ("moving = true", RUN_MS),
}
"""Kind of a finding, less ``elevator.`` → what must hold, and for how many ms."""

_STREAM = "lifts"
_RULE = "elevator"
_TOPICS = "zw/v1/#"
_OF_A_LIFT = "OVER (PARTITION BY meta(topic))"
_BEFORE_THE_FILTER = ("source", "decoder", "analytic")
_FOLDER = TOOLS / f"ekuiper-{VERSION}"
_PATIENCE_S = 5.0
_CONNECTED_WITHIN_S = 30.0
_SUBSCRIBED_AFTER_S = 1.0
"""It does not say when it has subscribed, only that it is connected, just before."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a rule has done since it was started, messages."""

    received: int
    """From the broker."""
    seen: int
    """By the rules."""
    found: int
    failed: int
    """Discarded where a buffer was full, or refused, on the way to the rules."""


def stream_sql() -> str:
    """The statement that creates the stream of readings."""
    fields = "moving BOOLEAN, in_door_zone BOOLEAN, door_closed BOOLEAN, person BOOLEAN, alarm_button BOOLEAN"
    return (
        f"CREATE STREAM {_STREAM} (ts BIGINT, {fields}) "
        f'WITH (TYPE="mqtt", DATASOURCE="{_TOPICS}", FORMAT="JSON")'
    )


def rule_sql() -> str:
    """The query that gives a row for each reading with a finding, and says which."""
    columns = ", ".join(f"{_told_once(*condition)} AS {kind}" for kind, condition in CONDITIONS.items())
    return f"SELECT meta(topic) AS topic, ts, {columns} FROM {_STREAM} WHERE {' OR '.join(CONDITIONS)}"


def _told_once(condition: str, hold_ms: int) -> str:
    """Holds at the reading with which the condition has held so long, and had not with the one before."""
    if hold_ms == 0:
        return f"{condition} AND had_changed(false, {condition}) {_OF_A_LIFT}"
    since = f"acc_min(ts, {condition}, ({condition}) = false) {_OF_A_LIFT}"
    return f"{condition} AND ts - {since} >= {hold_ms} AND lag(ts) {_OF_A_LIFT} - {since} < {hold_ms}"


def counts(status: Mapping[str, object]) -> Counts:
    """From what the interface says of a rule. Raises LookupError where a figure is not there."""
    return Counts(
        received=_figure(status, "source", "records_in"),
        seen=_figure(status, "filter", "records_in"),
        found=_figure(status, "filter", "records_out"),
        failed=sum(_figure(status, node, "exceptions") for node in _BEFORE_THE_FILTER),
    )


def _figure(status: Mapping[str, object], node: str, what: str) -> int:
    """``op_4_filter_0_records_in_total``: the filter's, with its place in the rule and its instance."""
    for name, value in status.items():
        if node in name.split("_") and name.endswith(f"_{what}_total") and isinstance(value, int):
            return value
    raise LookupError(f"eKuiper's rule has no {what} of {node}: {status}")


class EKuiper(Server):
    """With the settings that it comes with, but for addresses, its log, and the broker."""

    name: ClassVar[str] = "ekuiper"

    def __init__(self, folder: Path, mqtt_port: int) -> None:
        super().__init__(folder)
        self._port, self._mqtt_port, self._pushed_port = free_port(), mqtt_port, free_port()
        shutil.copytree(_FOLDER / "etc", folder / "etc")
        for needed in ("data", "log", "plugins"):
            (folder / needed).mkdir()

    @classmethod
    def find(cls) -> None:
        if not (_FOLDER / "kuiperd").exists():
            raise Missing(f"no eKuiper {VERSION}")

    def command(self) -> Sequence[str]:
        return (
            "env",
            f"KUIPER__BASIC__RESTIP={HOST}",
            f"KUIPER__BASIC__RESTPORT={self._port}",
            f"KUIPER__SOURCE__HTTPSERVERIP={HOST}",
            f"KUIPER__SOURCE__HTTPSERVERPORT={self._pushed_port}",
            "KUIPER__BASIC__PPROF=false",
            "KUIPER__BASIC__CONSOLELOG=true",
            "KUIPER__BASIC__FILELOG=false",
            f"MQTT_SOURCE__DEFAULT__SERVER=tcp://{HOST}:{self._mqtt_port}",
            "MQTT_SOURCE__DEFAULT__QOS=1",
            str(_FOLDER / "kuiperd"),
        )

    def answers(self) -> bool:
        try:
            self._ask("GET", "/ping")
        except OSError:
            return False
        return True

    def start_rules(self, *, discards: bool) -> None:
        """Returns when they are subscribed.

        discards: where a buffer is full (1,024 messages) its oldest message goes, as is the default; else
        the broker is made to wait. Raises AssertionError if they are refused, or do not connect.
        """
        rule = {
            "id": _RULE,
            "sql": rule_sql(),
            "actions": [{"nop": {}}],
            "options": {"qos": 0, "disableBufferFullDiscard": not discards},
        }
        self._ask("POST", "/streams", {"sql": stream_sql()})
        self._ask("POST", "/rules", rule)
        deadline = time.monotonic() + _CONNECTED_WITHIN_S
        while self._status().get(f"source_{_STREAM}_0_connection_status") != 1:
            assert time.monotonic() < deadline, f"eKuiper did not connect\n{self.said()[-3000:]}"
            time.sleep(0.1)
        time.sleep(_SUBSCRIBED_AFTER_S)

    def counts(self) -> Counts:
        """Until now."""
        return counts(self._status())

    def _status(self) -> dict[str, object]:
        return msgspec.json.decode(self._ask("GET", f"/rules/{_RULE}/status"), type=dict[str, object])

    def _ask(self, method: str, path: str, body: object = None) -> bytes:
        """Raises OSError if it does not answer, AssertionError if it refuses."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=_PATIENCE_S)
        try:
            connection.request(method, path, None if body is None else msgspec.json.encode(body))
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        assert answer.status < http.HTTPStatus.BAD_REQUEST, f"{method} {path}: {said.decode()}"
        return said
