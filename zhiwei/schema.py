"""What a scenario's readings look like: a table of channels, from which everything else is made."""

import re
from functools import cached_property

import msgspec

_PROBE = re.compile(r"(?P<quantity>.+)_(?P<number>[2-9])")


LARGEST = 1e9
"""No quantity of a city's sensors is larger; what is, is a counter gone wrong or a broken decoder. Refused at
every door, live or replayed."""
_FOUND_MOST = 1000
"""Names of channels whose place in a schema is remembered: an open one takes any."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of a scenario. The unit is fixed; a source in another unit is converted by its map."""

    name: str
    unit: str = ""
    dtype: str = "float32"
    """``float32``, ``float64``, ``bool``, ``int16``, ``utf8`` or ``list`` (of texts: message codes)."""
    low: float | None = None
    """Plausible range of a working probe; outside is a probe fault, not a rejection."""
    high: float | None = None
    title_zh: str = ""
    values: tuple[str, ...] = ()
    """What a ``utf8`` channel may say; empty = anything."""
    meaning: dict[str, str] = {}
    """What a value stands for, where it does not say so itself: the polarity of a switch."""
    family: bool = False
    """Any suffix after a dot is a channel of this kind: ``motion`` → ``motion.kitchen``."""
    trigger: bool = False
    """True calls for help at once: such a row also travels on the urgent lane."""
    amends: bool = False
    """What it says may be judged anew when it comes late: an old row of the backlog that has such a value is
    shown to the rules of the ordinary lane as well (``contracts.Amends``)."""


class Schema(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The channels of one scenario."""

    scenario: str
    version: int
    channels: tuple[Channel, ...]
    open: bool = False
    """Any further channel is taken as a float64 (``generic``)."""

    def channel(self, name: str) -> Channel | None:
        """The channel of this name, or of its quantity for a further probe (``turbidity_2``).

        None if the schema has no such channel: the caller refuses it.
        """
        try:
            return self._found[name]
        except KeyError:
            pass
        channel = self._find(name)
        if len(self._found) < _FOUND_MOST:
            self._found[name] = channel
        return channel

    @cached_property
    def _found(self) -> dict[str, Channel | None]:
        """Answers of ``channel``: it is asked for each column of each frame."""
        return {}

    def _find(self, name: str) -> Channel | None:
        # The name as it stands comes first: a schema may itself list a channel that ends in ``_2``.
        for known in (name, quantity_of(name)):
            for channel in self.channels:
                if channel.name == known:
                    return msgspec.structs.replace(channel, name=name)
        family, dot, suffix = name.partition(".")
        if dot and suffix:
            for channel in self.channels:
                if channel.family and channel.name == family:
                    return msgspec.structs.replace(channel, name=name)
        return Channel(name=name, dtype="float64") if self.open else None

    def order(self, name: str) -> tuple[int, str]:
        """Sort key: place of the quantity in the schema, then the name. One order everywhere."""
        for known in (name, quantity_of(name), name.partition(".")[0]):
            for place, channel in enumerate(self.channels):
                if channel.name == known:
                    return place, name
        return len(self.channels), name


def names_of(name: str) -> tuple[str, str, str]:
    """Under what a schema may list a channel: its name, its quantity (``sos_2``), its family (``sos.wc``)."""
    return name, quantity_of(name), name.partition(".")[0]


def quantity_of(name: str) -> str:
    """``turbidity_2`` → ``turbidity``; other names as they are."""
    match = _PROBE.fullmatch(name)
    return match["quantity"] if match else name
