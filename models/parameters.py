"""Settings of a detector or discriminator: from a policy's mapping to a checked struct.

Nothing here has a default: a threshold is chosen in a policy, where its source stands beside it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from zhiwei.errors import ConfigError

Rows = Annotated[int, msgspec.Meta(ge=2, le=10_000)]
"""Length of a window; int16 counters and the memory of an entity set the bound."""
Threshold = Annotated[float, msgspec.Meta(gt=0.0, le=1e6)]


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the settings of one part; subclasses only name fields and bounds."""


P = TypeVar("P", bound=Parameters)

_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<field>[^`]*)`.*")
_INVALID = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<at>.*)`)?")


def parse(kind: type[P], settings: Mapping[str, object], *, file: str, part: str) -> P:
    """Checked settings. part: the name that keys begin with (``mvnn.history``).

    Raises ConfigError naming file, key, value and what would be right.
    """
    try:
        return msgspec.convert(dict(settings), kind)
    except msgspec.ValidationError as error:
        message = str(error)
    if match := _FIELD.fullmatch(message):
        key = match["field"]
        expected = (
            "this setting to be given"
            if match["what"].startswith("missing")
            else f"one of {', '.join(kind.__struct_fields__)}"
        )
    else:
        match = _INVALID.fullmatch(message)
        key = (match["at"] if match else None) or ""
        expected = (match["what"] if match else message).replace("Expected ", "").replace("`", "")
    value = settings.get(key.split(".")[0].split("[")[0])
    raise ConfigError(file=file, key=f"{part}.{key}" if key else part, value=value, expected=expected)
