"""What an MQTT topic says: the native grammar, and topic filters. Bytes in, an address or a reason out."""

from collections.abc import Sequence
from dataclasses import dataclass

from zhiwei.contracts import Refusal
from zhiwei.errors import ConfigError
from zhiwei.ids import is_name
from zhiwei.settings import Settings, Source
from zhiwei.types import Reason

PREFIX = ("zw", "v1")
URGENT = "urgent"
CANARY = "zw/canary/"
"""Our own messages, by which intake proves that it is live; followed by the client id."""

NATIVE = "zw/v1/#"
"""The filter of everything native."""

LIVE = "live"
"""The clock of live sources."""

GRAMMAR = "zw/v1/<scenario>/<entity>/<device>[/urgent]"


@dataclass(frozen=True, slots=True)
class Address:
    """Who speaks: a device, for an entity, in a scenario."""

    scenario: str
    entity: str
    device: str
    urgent: bool = False


def parse(topic: bytes) -> Address | Refusal:
    """The address in a native topic, or a refusal that names the level. Never raises."""
    try:
        text = topic.decode()
    except UnicodeDecodeError as error:
        return _bad(f"topic: byte {error.start} is not UTF-8")
    levels = text.split("/")
    if tuple(levels[:2]) != PREFIX or len(levels) not in (5, 6):
        return _bad(f"topic {text[:200]!r}: expected {GRAMMAR}")
    scenario, entity, device = levels[2:5]
    for name, level in (("scenario", scenario), ("entity", entity), ("device", device)):
        if not is_name(level):
            return _bad(
                f"{name} {level[:160]!r}: expected 1 to 128 characters without blanks, control characters, "
                "'+' and '#'"
            )
    if len(levels) == 6 and levels[5] != URGENT:
        return _bad(f"topic level 6 {levels[5][:160]!r}: expected {URGENT!r} or nothing")
    return Address(scenario, entity, device, urgent=len(levels) == 6)


def _bad(detail: str) -> Refusal:
    return Refusal(Reason.BAD_TOPIC, "payload", detail)


def readable(topic: bytes) -> str:
    """The topic as text for people; what is not UTF-8 is written as escapes."""
    return topic.decode(errors="backslashreplace")


def urgent_filter(scenario: str) -> str:
    """The filter of a scenario's urgent messages."""
    return "/".join((*PREFIX, scenario, "+", "+", URGENT))


def shared(filters: Sequence[str], group: str) -> list[str]:
    """The same filters, subscribed to together with others of the group; as they are if it is empty."""
    if not group:
        return list(filters)
    return [text if text.startswith("$share/") else f"$share/{group}/{text}" for text in filters]


class Filter:
    """An MQTT topic filter (3.1.1 §4.7), also ``$share/<group>/<filter>``."""

    def __init__(self, text: str, *, file: str = "settings", key: str = "sources.topics") -> None:
        """Raises ConfigError for what is no filter."""
        self.text = text
        levels = text.split("/")
        if levels[0] == "$share":
            levels = levels[2:]
        wrong = (
            not levels
            or text == ""
            or len(text.encode()) > 65_535
            or "\0" in text
            or "#" in levels[:-1]
            or any(len(level) > 1 and ("+" in level or "#" in level) for level in levels)
        )
        if wrong:
            raise ConfigError(
                file=file,
                key=key,
                value=text,
                expected="a topic filter: '+' and '#' stand alone in their level, '#' only in the last",
            )
        self._levels = levels

    def matches(self, topic: str) -> bool:
        """Whether a message to this topic is delivered under this filter."""
        return not (topic.startswith("$") and self._levels[0] in ("+", "#")) and _covers(
            self._levels, topic.split("/")
        )

    def covers(self, other: "Filter") -> bool:
        """Whether everything that the other filter matches is matched by this one."""
        return _covers(self._levels, other._levels)


def filters_of(settings: Settings) -> list[tuple[Filter, Source]]:
    """Every filter of the sources, in the order in which they are tried; all native topics where there is
    none. Raises ConfigError for what is no filter."""
    sources = settings.sources or (Source(name=LIVE, topics=NATIVE),)
    return [
        (Filter(text, key=f"sources[{place}].topics"), source)
        for place, source in enumerate(sources)
        for text in source.filters
    ]


def source_of(sources: Sequence[tuple[Filter, Source]], topic: str) -> Source | None:
    """The source that a message to this topic is from: the first whose filter matches."""
    return next((source for item, source in sources if item.matches(topic)), None)


def _covers(wide: list[str], narrow: list[str]) -> bool:
    for place, level in enumerate(wide):
        if level == "#":
            return True
        if place >= len(narrow) or narrow[place] == "#":
            return False
        if level not in ("+", narrow[place]):
            return False
    return len(wide) == len(narrow)
