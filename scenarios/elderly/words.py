"""How findings speak: kinds, and times and durations as people read them."""

from zhiwei.clock import MICROS, to_datetime

SOS, SMOKE, GAS, FALL = "elderly.sos", "elderly.smoke", "elderly.gas", "elderly.fall"
NO_ACTIVITY, NO_WATER = "elderly.no_activity", "elderly.no_water"
LONG_STAY, NIGHT_OUT, BED_ABSENT = "elderly.long_stay", "elderly.night_out", "elderly.bed_absent"
LEAK, HEAT, COLD = "elderly.leak", "elderly.heat", "elderly.cold"
DEVICE_SILENT, DEVICE_BATTERY = "elderly.device_silent", "elderly.device_battery"
NOT_BACK = "elderly.not_back"
"""Away for longer than the cap: a gentle note to the family, no alarm."""

KINDS = (
    *(SOS, SMOKE, GAS, FALL, NO_ACTIVITY, NO_WATER, LONG_STAY, NIGHT_OUT, BED_ABSENT),
    *(LEAK, HEAT, COLD, DEVICE_SILENT, DEVICE_BATTERY, NOT_BACK),
)
LIFE_SAFETY = frozenset({SOS, SMOKE, GAS, FALL})

LATE_DATA = "late_data"
"""Cause of an end: rows that came late show that the resident had moved."""

HOUR = 3600 * MICROS


def hours(us: int) -> float:
    """µs as hours, to the second or so."""
    return round(us / HOUR, 3)


def duration(us: int) -> str:
    """``3 h 10 min``; below a minute in seconds."""
    seconds = us // MICROS
    if seconds < 60:
        return f"{seconds} s"
    h, minutes = divmod(seconds // 60, 60)
    parts = (f"{h} h" if h else "", f"{minutes} min" if minutes else "")
    return " ".join(part for part in parts if part)


def clock_time(local_us: int) -> str:
    """Local µs as ``2026-03-02 06:40``: to the minute, as evidence needs it and no finer."""
    return to_datetime(local_us).strftime("%Y-%m-%d %H:%M")
