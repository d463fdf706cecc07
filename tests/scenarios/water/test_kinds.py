"""Every kind has its words in both languages of the console."""

import tomllib
from pathlib import Path

import pytest

from scenarios.water import SCENARIO

TEXTS = Path(__file__).parents[3] / "alerts/console/texts"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_each_kind_has_a_text_of_its_own(language: str) -> None:
    said = tomllib.loads((TEXTS / f"{language}.toml").read_text(encoding="utf-8"))["kind"]
    names = [kind.name for kind in SCENARIO.kinds]
    assert [name for name in names if name not in said] == []
    assert len({said[name] for name in names}) == len(names)
