"""deploy/mosquitto.conf on a real Mosquitto: who does not say who he is, is not let in."""

import subprocess
from pathlib import Path

import pytest

from zhiwei.settings import Mqtt
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.wiring import doctor_servers as servers

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture
def deployed(tmp_path: Path) -> Mosquitto:
    """Not started: a broker with our configuration, its paths and its port moved."""
    server = Mosquitto(tmp_path)
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "zhiwei-ingest", "right"], check=True)
    text = (DEPLOY / "mosquitto.conf").read_text(encoding="utf-8")
    for ours, here in (
        ("listener 1883", f"user root\nlistener {server.port} 127.0.0.1"),
        ("/mosquitto/config/passwords", str(passwords)),
        ("/mosquitto/config/mosquitto.acl", str(DEPLOY / "mosquitto.acl")),
        ("/mosquitto/data/", f"{tmp_path}/"),
    ):
        assert ours in text
        text = text.replace(ours, here)
    server._settings.write_text(text, encoding="utf-8")
    return server


def test_only_who_says_his_password_is_let_in(deployed: Mosquitto) -> None:
    with deployed as server:

        def found(username: str, password: str) -> str:
            mqtt = Mqtt(embedded=False, port=server.port, username=username, password=password)
            return servers.broker(mqtt).verdict

        assert found("zhiwei-ingest", "right") == "ok"
        assert found("zhiwei-ingest", "wrong") == "fail"
        assert found("", "") == "fail"
