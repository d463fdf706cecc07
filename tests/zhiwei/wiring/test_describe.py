"""What is installed, what a reading looks like, and a new scenario that runs as it is written."""

import sys
from importlib import import_module
from pathlib import Path

import jsonschema
import pytest

from zhiwei import registry
from zhiwei.errors import ZhiweiError
from zhiwei.wiring.describe import scenarios, schema
from zhiwei.wiring.scaffold import new_scenario


def test_a_kit_is_told_what_it_can_and_cannot_support() -> None:
    lines = list(scenarios(["turbidity"]))
    assert "  can    water.turbidity_high" in lines
    assert "  cannot water.ph_low" in lines


@pytest.mark.parametrize("name", sorted(registry.names("scenarios")))
def test_the_schema_of_a_reading_is_a_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_the_schema_takes_a_good_reading_and_refuses_a_bad_one() -> None:
    check = jsonschema.Draft202012Validator(schema("water"))
    assert check.is_valid({"ts": 1767225600000, "turbidity": 0.3, "turbidity_2": None, "hatch_open": False})
    assert not check.is_valid({"turbidity": "0.3"})
    assert not check.is_valid({"turbidityy": 0.3})
    assert not check.is_valid({})


def test_a_new_scenario_loads_and_keeps_its_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scenarios").mkdir()
    said = list(new_scenario("noise_level", tmp_path))
    assert said[-2].startswith('register it: "noise_level"')
    import scenarios

    monkeypatch.setattr(scenarios, "__path__", [*scenarios.__path__, str(tmp_path / "scenarios")])
    made = import_module("scenarios.noise_level").SCENARIO
    assert (made.name, made.main_kind) == ("noise_level", "noise_level.held")
    assert made.policy(None).held_us == 900_000_000
    for name in [name for name in sys.modules if name.startswith("scenarios.noise_level")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "words"), [("Water", "lower-case"), ("water", "installed already"), ("../x", "lower-case")]
)
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "scenarios").mkdir()
    with pytest.raises(ZhiweiError, match=words):
        list(new_scenario(name, tmp_path))
