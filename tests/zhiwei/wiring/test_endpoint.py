"""A role answers for itself over HTTP, and a taken port does not end it."""

import http.client
import json
import socket

import pytest
from prometheus_client import CollectorRegistry

from zhiwei import metrics
from zhiwei.clock import SystemClock
from zhiwei.health import Health
from zhiwei.settings import Metrics, Settings
from zhiwei.wiring.endpoint import endpoint, serving


def ask(port: int, path: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("reasons", "status", "verdict"), [((), 200, "good"), (("the log takes nothing",), 503, "bad")]
)
def test_health_is_a_status_with_its_reasons(reasons: tuple[str, ...], status: int, verdict: str) -> None:
    with serving(("127.0.0.1", 0), lambda: Health("ingest", reasons)) as port:
        got, kind, body = ask(port, "/health")
    assert (got, kind) == (status, "application/json")
    assert json.loads(body) == {"role": "ingest", "verdict": verdict, "reasons": list(reasons)}


def test_metrics_are_prometheus_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REGISTRY", CollectorRegistry())
    metrics.gauge("zhiwei_lag", "Lag.", "topic").labels("readings.water").set(4)
    with serving(("127.0.0.1", 0), lambda: Health("ingest")) as port:
        status, kind, body = ask(port, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert 'zhiwei_lag{topic="readings.water"} 4.0' in body


def test_another_path_is_answered_with_what_there_is() -> None:
    with serving(("127.0.0.1", 0), lambda: Health("ingest")) as port:
        assert ask(port, "/")[0] == 404


def test_a_taken_port_does_not_end_the_role() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        here = Settings(metrics=Metrics(ingest=taken.getsockname()[1]))
        with endpoint("ingest", here, SystemClock()):
            pass


def test_nothing_listens_where_no_port_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", lambda *_: pytest.fail("something listens"))
    with endpoint("ingest", Settings(), SystemClock()):
        pass
