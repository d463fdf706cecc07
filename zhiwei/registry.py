"""Parts by name: dotted strings for our own, entry points for plug-ins, loaded at first use.

A plug-in declares, for example ``[project.entry-points."zhiwei.scenarios"] parking = "pkg:SCENARIO"``.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, cast

from zhiwei.contracts import Codec, Detector, Discriminator, Scenario, Sink
from zhiwei.errors import ZhiweiError

Group = Literal["scenarios", "detectors", "discriminators", "codecs", "sinks"]

BUILT_IN: dict[Group, dict[str, str]] = {
    "scenarios": {
        "water": "scenarios.water:SCENARIO",
        "elevator": "scenarios.elevator:SCENARIO",
        "elderly": "scenarios.elderly:SCENARIO",
        "generic": "scenarios.generic:SCENARIO",
    },
    "detectors": {
        "mvnn": "models.mvnn:Mvnn",
        "robust_z": "models.robust_z:RobustZ",
        "isolation_forest": "models.isolation_forest:IsolationForest",
    },
    "discriminators": {"binomial": "models.binomial:Binomial"},
    "codecs": {"json": "ingest.codecs.json:JsonCodec"},
    "sinks": {
        "webhook": "alerts.dispatch.webhook:WebhookSink",
        "mqtt": "alerts.dispatch.mqtt:MqttSink",
        "file": "alerts.dispatch.file:FileSink",
    },
}


class UnknownPart(ZhiweiError):  # noqa: N818
    """No part of this name is installed."""


@cache
def names(group: Group) -> dict[str, str]:
    """Every installed part of a group: name → dotted path ``module:attribute``.

    Raises ZhiweiError where two parts claim one name.
    """
    found = dict(BUILT_IN[group])
    for point in entry_points(group=f"zhiwei.{group}"):
        if point.name in found:
            raise ZhiweiError(
                f"two {group} are called {point.name!r}: {found[point.name]} and {point.value}; "
                "uninstall one of the plug-ins"
            )
        found[point.name] = point.value
    return found


@cache
def load(group: Group, name: str) -> Any:
    """The part itself, imported at first use. Raises UnknownPart with the names that exist."""
    path = names(group).get(name)
    if path is None:
        raise UnknownPart(
            f"no {group.removesuffix('s')} {name!r}; installed: {', '.join(sorted(names(group)))}"
        )
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


def scenario(name: str) -> Scenario:
    """The scenario of this name."""
    return cast(Scenario, load("scenarios", name))


def detector(name: str) -> type[Detector]:
    """The class of this detector."""
    return cast("type[Detector]", load("detectors", name))


def discriminator(name: str) -> type[Discriminator]:
    """The class of this event discriminator."""
    return cast("type[Discriminator]", load("discriminators", name))


def codec(name: str) -> type[Codec]:
    """The class of this codec."""
    return cast("type[Codec]", load("codecs", name))


def sink(name: str) -> type[Sink]:
    """The class of this sink."""
    return cast("type[Sink]", load("sinks", name))
