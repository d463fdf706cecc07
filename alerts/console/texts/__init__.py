"""What the console says: one table a language, ``zh.toml`` and ``en.toml``, with the same keys.

A key is ``section.name``; what is in braces is filled in. Kinds, channels and words of evidence that a
table does not know are shown as they are: a scenario that was plugged in is never hidden.
"""

import tomllib
from enum import StrEnum
from functools import cache
from importlib.resources import files

LANGUAGE_COOKIE = "zhiwei_language"


class Language(StrEnum):
    """A language of the console. The first is the default."""

    ZH = "zh"
    EN = "en"

    @property
    def other(self) -> "Language":
        """The one to switch to."""
        return Language.EN if self is Language.ZH else Language.ZH

    @property
    def tag(self) -> str:
        """BCP 47."""
        return {"zh": "zh-CN", "en": "en"}[self.value]

    @property
    def own_name(self) -> str:
        """What it calls itself."""
        return {"zh": "中文", "en": "English"}[self.value]


def language_of(name: str | None) -> Language:
    """The language of this name; the default for any other."""
    return Language(name) if name in set(Language) else Language.ZH


@cache
def table(language: Language) -> dict[str, str]:
    """All texts of a language by key."""
    tree = tomllib.loads(files(__name__).joinpath(f"{language.value}.toml").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for section, texts in tree.items():
        for key, value in texts.items():
            found[f"{section}.{key}" if key else section] = value
    return found


def text(language: Language, key: str, **values: object) -> str:
    """The text of a key. Raises KeyError for one that is not in the table."""
    return table(language)[key].format(**values) if values else table(language)[key]


def known(language: Language, key: str) -> str | None:
    """The text of a key that may be unknown: of kinds, channels, words."""
    return table(language).get(key)
