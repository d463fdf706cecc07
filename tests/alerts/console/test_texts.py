"""What the console says: every language says everything."""

import re
from pathlib import Path

import pytest

from alerts.api import query
from alerts.console import texts
from alerts.console.texts import Language, known, language_of, table, text
from alerts.incident import Action, Handling, Kind, State
from alerts.store.outbox import Dispatched
from zhiwei.types import Phase, Reason, Severity

CONSOLE = Path(texts.__file__).parents[1]


def test_both_languages_have_the_same_keys_and_the_same_blanks():
    zh, en = table(Language.ZH), table(Language.EN)
    assert sorted(zh) == sorted(en)
    blanks = re.compile(r"\{\w+\}")
    assert {key: set(blanks.findall(zh[key])) for key in zh} == {
        key: set(blanks.findall(en[key])) for key in en
    }
    assert all(value.strip() for value in (*zh.values(), *en.values()))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("severity", Severity), ("state", State), ("handling", Handling), ("phase", Phase), ("change", Kind),
        ("action", Action), ("delivery", Dispatched), ("reason", Reason),
    ],
)  # fmt: skip
def test_every_word_of_ours_has_a_text(section, words):
    assert [word for word in words if known(Language.ZH, f"{section}.{word.value}") is None] == []


def test_every_key_that_the_pages_name_is_in_the_table():
    named = set()
    files = [*CONSOLE.rglob("*.py"), Path(query.__file__).with_name("sign_in.py"), *CONSOLE.glob("*.js")]
    for file in files:
        source = file.read_text(encoding="utf-8")
        named |= set(re.findall(r"""(?:say|text)\(\s*"([a-z_]+(?:\.[a-z_]+)?)[",)]""", source))
        named |= set(re.findall(r"""texts(?:\.value)?\['([a-z_]+\.[a-z_]+)'\]""", source))
    named = {key for key in named if not key.endswith(".")}
    assert len(named) > 40
    assert named - set(table(Language.ZH)) == set()


def test_a_language_that_nobody_speaks_is_chinese():
    assert [language_of(name) for name in ("en", "zh", "fr", "", None)] == [
        Language.EN, Language.ZH, Language.ZH, Language.ZH, Language.ZH,
    ]  # fmt: skip


def test_a_key_that_is_missing_is_an_error():
    with pytest.raises(KeyError):
        text(Language.ZH, "no.such")
