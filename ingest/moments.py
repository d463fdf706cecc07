"""A point in time as a payload writes it: ISO 8601 with an offset, or Unix milliseconds."""

from datetime import UTC, datetime

from zhiwei.clock import to_us

_EARLIEST_US = to_us(datetime.min.replace(tzinfo=UTC))
_LATEST_US = to_us(datetime.max.replace(tzinfo=UTC))


def moment(stamp: float | bool | str | list[str], name: str = "ts") -> int | str:
    """µs UTC, or what is wrong with it. name: the field, for the words."""
    if isinstance(stamp, str):
        try:
            said = datetime.fromisoformat(stamp)
        except ValueError:
            return f"{name} {stamp[:80]!r}: expected ISO 8601 with an offset, or Unix milliseconds"
        if said.tzinfo is None:
            return f"{name} {stamp[:80]!r}: has no offset from UTC, expected for example +08:00 or Z"
        us = to_us(said)
    elif isinstance(stamp, bool | list) or not abs(stamp) < 1e15:
        return f"{name} {stamp!r}: expected ISO 8601 with an offset, or Unix milliseconds"
    else:
        us = round(stamp * 1000)
    if not _EARLIEST_US <= us <= _LATEST_US:
        return f"{name} {str(stamp)[:80]}: expected a year from 1 to 9999"
    return us
