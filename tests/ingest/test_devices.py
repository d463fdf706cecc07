from ingest.devices import DEVICES_PER_ENTITY, Devices
from ingest.topics import Address
from zhiwei.settings import Device, Entity, Ingest, Settings
from zhiwei.types import Reason


def reason(devices: Devices, scenario: str, entity: str, device: str) -> Reason | None:
    refusal = devices.refuse(Address(scenario, entity, device))
    return refusal.reason if refusal else None


def test_only_what_the_settings_list_may_speak() -> None:
    devices = Devices(
        Settings(
            devices=(Device(scenario="water", entity="a", device="p1"),),
            entities=(Entity(scenario="water", entity="b"),),
        )
    )
    assert reason(devices, "water", "a", "p1") is None
    assert reason(devices, "water", "a", "p2") == Reason.UNKNOWN_DEVICE
    assert reason(devices, "water", "b", "p1") == Reason.UNKNOWN_DEVICE
    assert reason(devices, "water", "c", "p1") == Reason.UNKNOWN_ENTITY
    assert reason(devices, "elderly", "a", "p1") == Reason.UNKNOWN_ENTITY


def test_what_is_taken_on_trust_is_bounded_by_scenario_and_what_is_listed_does_not_count() -> None:
    devices = Devices(
        Settings(
            ingest=Ingest(unknown_devices="provisional", entities_most=2),
            devices=(Device(scenario="water", entity="known", device="p"),),
        )
    )
    assert reason(devices, "water", "known", "p") is None
    assert reason(devices, "water", "known", "q") is None
    assert [reason(devices, "water", entity, "p") for entity in "abc"] == [
        None,
        None,
        Reason.TOO_MANY_ENTITIES,
    ]
    assert reason(devices, "water", "a", "q") is None
    assert reason(devices, "elderly", "c", "p") is None


def test_devices_of_one_trusted_entity_are_bounded_too() -> None:
    devices = Devices(Settings(ingest=Ingest(unknown_devices="provisional", entities_most=2)))
    most = 2 * DEVICES_PER_ENTITY
    answers = [reason(devices, "water", "a", f"p{number}") for number in range(most + 1)]
    assert answers == [None] * most + [Reason.TOO_MANY_ENTITIES]


def test_a_refusal_names_who_and_the_setting() -> None:
    refusal = Devices(Settings()).refuse(Address("water", "a", "p"))
    assert refusal is not None
    assert refusal.detail == "entity 'a' of water: not in [[devices]]"
