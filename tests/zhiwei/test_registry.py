"""Parts by name: our own and plug-ins alike, imported at first use."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from zhiwei import registry
from zhiwei.errors import ZhiweiError
from zhiwei.registry import BUILT_IN, Group, UnknownPart

PARTS = [(group, name) for group, parts in BUILT_IN.items() for name in parts]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Plug-ins that count as installed; what the registry remembers is forgotten before and after."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    for cached in (registry.names, registry.load):
        cached.cache_clear()
    yield points
    for cached in (registry.names, registry.load):
        cached.cache_clear()


@pytest.mark.parametrize(("group", "name"), PARTS)
def test_every_built_in_part_is_there(group: Group, name: str) -> None:
    part = registry.load(group, name)
    # A sink is named by the settings, one for each receiver; the others have their name from the start.
    assert callable(part) if group == "sinks" else part.name == name


@pytest.mark.parametrize("name", BUILT_IN["scenarios"])
def test_a_scenario_reads_its_own_schema_and_policy(name: str) -> None:
    scenario = registry.scenario(name)
    assert scenario.schema.scenario == name
    assert scenario.policy(None).text
    assert scenario.main_kind.startswith(f"{name}.")


@pytest.mark.parametrize("name", BUILT_IN["detectors"])
def test_a_detector_has_the_verbs_of_one(name: str) -> None:
    part = registry.detector(name)
    assert [
        verb for verb in ("score", "expected", "learn", "rebase") if not callable(getattr(part, verb, None))
    ] == []


@pytest.mark.parametrize("name", BUILT_IN["discriminators"])
def test_a_discriminator_judges(name: str) -> None:
    assert callable(registry.discriminator(name).judge)


def test_a_plug_in_is_a_part_like_any_other(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("plain", "json:dumps", "zhiwei.codecs"))
    assert "plain" in registry.names("codecs")
    assert registry.load("codecs", "plain").__name__ == "dumps"


def test_a_plug_in_of_another_group_is_none_of_this(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("plain", "json:dumps", "zhiwei.codecs"))
    assert registry.names("sinks") == BUILT_IN["sinks"]


def test_two_parts_of_one_name_are_an_error_that_names_both(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("water", "other.water:SCENARIO", "zhiwei.scenarios"))
    with pytest.raises(ZhiweiError, match=r"'water': scenarios\.water:SCENARIO and other\.water:SCENARIO"):
        registry.names("scenarios")


def test_two_plug_ins_of_one_name_are_an_error_too(installed: list[EntryPoint]) -> None:
    installed += [EntryPoint("x", "a:b", "zhiwei.sinks"), EntryPoint("x", "c:d", "zhiwei.sinks")]
    with pytest.raises(ZhiweiError, match="a:b and c:d"):
        registry.names("sinks")


def test_an_unknown_name_is_answered_with_those_that_exist(installed: list[EntryPoint]) -> None:
    with pytest.raises(UnknownPart, match=r"^no scenario 'wter'; installed: .*generic, water$"):
        registry.scenario("wter")


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import sys; from zhiwei import registry; [registry.names(group) for group in registry.BUILT_IN];"
        "print([m for m in sys.modules if m.split('.')[0] in ('scenarios', 'models', 'ingest', 'alerts')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
