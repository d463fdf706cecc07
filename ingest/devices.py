"""Who may speak: the devices and entities of the settings, and how many more are taken on trust."""

from ingest.topics import Address
from zhiwei.contracts import Refusal
from zhiwei.settings import Settings
from zhiwei.types import Reason

DEVICES_PER_ENTITY = 4
"""Bound on devices taken on trust, as a multiple of the bound on entities: each costs the engine memory."""


class Devices:
    """Decides on each address once; callers keep the answers."""

    def __init__(self, settings: Settings) -> None:
        self._known = {(d.scenario, d.entity, d.device) for d in settings.devices}
        self._entities = {(device.scenario, device.entity) for device in settings.devices}
        self._entities |= {(entity.scenario, entity.entity) for entity in settings.entities}
        self._trusting = settings.ingest.unknown_devices == "provisional"
        self._most = settings.ingest.entities_most
        self._trusted_entities: dict[str, set[str]] = {}
        self._trusted_devices: dict[str, set[tuple[str, str]]] = {}

    def refuse(self, address: Address) -> Refusal | None:
        """Why this address may not speak; None if it may.

        A device taken on trust counts against the bound until the process ends.
        """
        scenario, entity, device = address.scenario, address.entity, address.device
        if (scenario, entity, device) in self._known:
            return None
        known_entity = (scenario, entity) in self._entities
        if self._trusting:
            return self._trust(scenario, entity, device, known_entity=known_entity)
        if known_entity:
            return Refusal(
                Reason.UNKNOWN_DEVICE,
                "payload",
                f"device {device!r} of {scenario} {entity!r}: not in [[devices]]",
            )
        return Refusal(
            Reason.UNKNOWN_ENTITY, "payload", f"entity {entity!r} of {scenario}: not in [[devices]]"
        )

    def _trust(self, scenario: str, entity: str, device: str, *, known_entity: bool) -> Refusal | None:
        entities = self._trusted_entities.setdefault(scenario, set())
        devices = self._trusted_devices.setdefault(scenario, set())
        if not known_entity and entity not in entities and len(entities) >= self._most:
            return _too_many(scenario, f"entity {entity!r}", "entities", self._most)
        if (entity, device) not in devices and len(devices) >= DEVICES_PER_ENTITY * self._most:
            return _too_many(scenario, f"device {device!r}", "devices", DEVICES_PER_ENTITY * self._most)
        if not known_entity:
            entities.add(entity)
        devices.add((entity, device))
        return None


def _too_many(scenario: str, what: str, plural: str, most: int) -> Refusal:
    return Refusal(
        Reason.TOO_MANY_ENTITIES,
        "payload",
        f"{what} of {scenario}: {most} {plural} are taken on trust already ([ingest] entities_most); "
        "list it in [[devices]]",
    )
