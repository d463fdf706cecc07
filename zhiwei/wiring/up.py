"""``zhiwei up``: the whole pipeline on one machine; with ``--demo`` a real station and a receiver too."""

import secrets
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from alerts.api import access
from ingest.broker import require_free
from zhiwei import settings as settings_of
from zhiwei.clock import Clock
from zhiwei.errors import ZhiweiError
from zhiwei.settings import Settings
from zhiwei.wiring.receiver import Receiver
from zhiwei.wiring.supervisor import Child, Supervisor
from zhiwei.wiring.view import View

_DEMO = Path(__file__).with_name("demo.toml")
_RECORDED = Path(__file__).parents[2] / "simulators" / "recorded"
_MARK = "zhiwei-demo"
"""File that marks a data directory as the demo's, which the next demo may clear."""
DEMO_DAYS = 100
_DISTRICT = {"elevator": "12", "water": "4", "elderly": "4"}
_SCRIPT_SPEED = "10"


def children(settings: Settings, config: Path | None, workers: Sequence[str] = ()) -> list[Child]:
    """The roles of a bed, in the order in which they start and stop. workers: further ones of streams."""
    common = ["--supervised", "--data-dir", str(settings.data)]
    if config is not None:
        common += ["--config", str(config)]
    roles = ["broker"] if settings.mqtt.embedded else []
    after = ["telemetry"] if settings.influx.url else []
    after += [] if settings.console.in_alerts else ["console"]
    further = [
        Child(name, ["stream", "--worker", name, *common], settings.data / "run" / f"{name}.log")
        for name in workers
    ]
    return [
        *(
            Child(role, [role, *common], settings.data / "run" / f"{role}.log")
            for role in [*roles, "ingest", "stream", "alerts", *after]
        ),
        *further,
    ]


def up(settings: Settings, config: Path | None, clock: Clock, stop: threading.Event, view: View) -> None:
    """Run until told to stop. Raises ZhiweiError where a person must act."""
    _refuse_taken_port(settings)
    _show_console(settings)
    _run(children(settings, config), clock, stop, view)


def demo(data: Path, clock: Clock, stop: threading.Event, minutes: float) -> None:
    """Station B over MQTT, 100 days in so many minutes, and a receiver that shows what arrives.

    Raises ZhiweiError where a person must act.
    """
    _clear(data)
    secret = "whsec_" + secrets.token_urlsafe(24).replace("-", "A").replace("_", "B")
    with Receiver(port=0, secret=secret, now_us=clock.now_us) as receiver:
        config = data / "demo.toml"
        sink = (
            f'\n[[sinks]]\nkind = "webhook"\nname = "receiver"\nurl = "http://127.0.0.1:{receiver.port}/"\n'
        )
        config.write_text(
            _DEMO.read_text(encoding="utf-8") + sink + f'secret = "{secret}"\n', encoding="utf-8"
        )
        settings = settings_of.load(config, data_dir=str(data))
        _refuse_taken_port(settings)
        _show_console(settings)
        play: Sequence[str] = (
            "play", str(_RECORDED / "station_b.csv.gz"), "--map", str(_RECORDED / "station_b.toml"),
            "--scenario", "water", "--speed", f"{DEMO_DAYS * 1440 / minutes:.0f}",
            "--mqtt", f"mqtt://{settings.mqtt.host}:{settings.mqtt.port}", "--supervised",
        )  # fmt: skip
        station = Child("station", play, data / "run" / "station.log", once=True)
        parts = [*children(settings, config), station, *_city(settings)]
        _run(parts, clock, stop, View(settings, receiver))


def _city(settings: Settings) -> list[Child]:
    """The district that lives now, and the scripted minute."""
    url = f"mqtt://{settings.mqtt.host}:{settings.mqtt.port}"
    district = [(scenario, ["--entities", count, "--speed", "1"]) for scenario, count in _DISTRICT.items()]
    worlds = [*district, ("script", ["--speed", _SCRIPT_SPEED])]
    return [
        Child(
            name,
            ["simulate", name, "--start", "now", "--mqtt", url, "--supervised", *options],
            settings.data / "run" / f"simulate-{name}.log",
            once=True,
        )
        for name, options in worlds
    ]


def _run(parts: list[Child], clock: Clock, stop: threading.Event, view: View) -> None:
    supervisor = Supervisor(parts, clock, stop)
    with view:
        supervisor.run(lambda: view.refresh(parts, clock.monotonic_s()))


def _show_console(settings: Settings) -> None:
    """Where the console is; and its password, which is made here so that it is in no log."""
    settings.data.mkdir(parents=True, exist_ok=True)
    password = access.prepare(settings.data)
    print(f"console: http://{settings.console.host}:{settings.console.port}/")
    if password is not None:
        print(f"password, shown this once: {password}")


def _refuse_taken_port(settings: Settings) -> None:
    if settings.mqtt.embedded:
        require_free(settings.mqtt.host, settings.mqtt.port)


def _clear(data: Path) -> None:
    """An empty data directory of the demo. Raises ZhiweiError for a directory that is not the demo's."""
    if data.exists() and any(data.iterdir()):
        if not (data / _MARK).exists():
            raise ZhiweiError(f"{data} holds data that is not the demo's; give another --data-dir")
        shutil.rmtree(data)
    try:
        data.mkdir(parents=True, exist_ok=True)
        (data / _MARK).touch()
    except OSError as error:
        raise ZhiweiError(f"{data}: {error.strerror}; give another --data-dir") from None
