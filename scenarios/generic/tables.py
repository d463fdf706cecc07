"""Tables of a policy into structs, with an error that a person can act on."""

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from zhiwei.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)

_FIELD = re.compile(
    r"Object (?P<what>missing required|contains unknown) field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<at>.*)`)?"
)
_INVALID = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<at>.*)`)?")


def read(kind: type[S], table: Mapping[str, object], *, file: str, key: str = "") -> S:
    """The struct. key: where the table stands in the file.

    Raises ConfigError naming file, key, value and what would be right.
    """
    try:
        return msgspec.convert(dict(table), kind)
    except msgspec.ValidationError as error:
        message = str(error)
    if match := _FIELD.fullmatch(message):
        path = ".".join(part for part in (match["at"], match["field"]) if part)
        missing = match["what"].startswith("missing")
        expected = "this key to be given" if missing else "no such key"
    else:
        match = _INVALID.fullmatch(message)
        path = (match["at"] if match else None) or ""
        expected = (match["what"] if match else message).replace("Expected ", "").replace("`", "")
    raise ConfigError(
        file=file, key=".".join(filter(None, (key, path))), value=_at(table, path), expected=expected
    )


def _at(table: object, path: str) -> object:
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(table, Mapping):
            table = table.get(part)
        elif isinstance(table, list) and part.isdigit() and int(part) < len(table):
            table = table[int(part)]
        else:
            return None
    return "a table" if isinstance(table, Mapping) else table
