"""What cannot be run here is held against what it names: commands, settings, metrics, files, ports."""

import configparser
import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from zhiwei import health, metrics, settings, watchdog
from zhiwei.cli.main import main

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = {name: one for name, one in SERVICES.items() if one["image"].startswith("zhiwei:")}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
SECRET = re.compile(r"pass|secret|token|key", re.IGNORECASE)
FROM_OUTSIDE = re.compile(r"\$\{\w+:\?[^}]+\}")
WITH_METRICS = (
    "ingest.meters", "streams.app", "streams.partition", "streams.telemetry.recorder",
    "streams.telemetry.forwarder", "alerts.metrics",
)  # fmt: skip


def exported() -> set[str]:
    """Every name that a scrape of all roles can hold."""
    for module in WITH_METRICS:
        import_module(module)
    names = set()
    for family in metrics.REGISTRY.collect():
        ending = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        names |= {family.name + one for one in ending}
    return names


def unit(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(file, encoding="utf-8")
    return parser


def told(words: list[str]) -> None:
    """A command line of zhiwei: the command is there, and each option of it."""
    command = main.get_command(click.Context(main), words[0])
    assert command is not None, words
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words[1:] if word.startswith("--")} <= known, words


def loads(environment: dict[str, str]) -> settings.Settings:
    """The settings of this environment, with something in place of what is given from outside."""
    ours = {key: value for key, value in environment.items() if key.startswith("ZHIWEI_")}
    filled = {key: FROM_OUTSIDE.sub("given", value) for key, value in ours.items()}
    return settings.load(DEPLOY / "zhiwei.toml", environment=filled)


def containerfile_environment() -> dict[str, str]:
    block = re.search(r"^ENV ((?:.*\\\n)*.*)$", CONTAINERFILE, re.MULTILINE)
    assert block is not None
    return dict(word.split("=", 1) for word in shlex.split(block[1].replace("\\\n", " ")))


@pytest.mark.parametrize("name", ROLES)
def test_a_service_runs_a_command_that_there_is_with_settings_that_load(name: str) -> None:
    told(ROLES[name]["command"])
    loaded = loads({**containerfile_environment(), **ROLES[name]["environment"]})
    assert loaded.kafka.servers
    assert loaded.database.url
    assert not loaded.mqtt.embedded


def test_workers_of_streams_have_names_of_their_own() -> None:
    commands = [one["command"] for one in ROLES.values() if one["command"][0] == "stream"]
    names = [command[command.index("--worker") + 1] for command in commands]
    assert len(names) > 1
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_outside_and_images_are_pinned(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(key):
            assert FROM_OUTSIDE.fullmatch(value), key
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        if source == "./mosquitto-passwords":
            assert source.removeprefix("./") in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        elif source.startswith("./"):
            assert (DEPLOY / source).is_file()
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_on_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


def test_health_and_metrics_are_asked_where_they_are_answered() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [target for one in scraped["scrape_configs"][0]["static_configs"] for target in one["targets"]]
    ports = {}
    for name, service in ROLES.items():
        port = getattr(loads(service["environment"]).metrics, service["command"][0])
        assert f"http://127.0.0.1:{port}/health" in service["healthcheck"]["test"][-1]
        ports[name] = port
    assert sorted(targets) == sorted(f"{name}:{port}" for name, port in ports.items())


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_a_unit_runs_a_command_that_there_is(file: Path) -> None:
    service = unit(file)["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "zhiwei"
    told(words)
    loads(dict([service["Environment"].split("=", 1)]))
    assert service["User"] == "zhiwei"
    assert service["Restart"] == "always"


def test_the_image_runs_as_somebody_and_is_made_of_what_is_pinned() -> None:
    base = re.search(r"^FROM (\S+)$", CONTAINERFILE, re.MULTILINE)
    assert base is not None
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base[1])
    uv = re.search(r"^UV_VERSION = (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert uv is not None
    assert f"uv=={uv[1]} " in CONTAINERFILE
    last = CONTAINERFILE[CONTAINERFILE.index("\nUSER ") :]
    assert "\nUSER zhiwei\n" in last
    assert "\nRUN " not in last
    command = re.search(r"^CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)
    assert command is not None
    told(json.loads(command[1]))
    port = loads(containerfile_environment()).metrics.alerts
    assert f"http://127.0.0.1:{port}/health" in CONTAINERFILE


def test_every_metric_on_the_dashboard_is_exported() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "zhiwei.json").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    names = {name for one in shown for name in re.findall(r"\bzhiwei_\w+", one)}
    assert len(names) > 10
    assert names <= exported()


@pytest.mark.parametrize("module", [health, watchdog])
def test_every_metric_that_health_is_judged_by_is_exported(module: Any) -> None:
    source = Path(module.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r'"(zhiwei_\w+)"', source))
    assert names
    assert names <= exported()
