"""What a home can be found to be in, and which devices it takes."""

from scenarios.elderly import words
from zhiwei.contracts import Kind

KINDS = (
    Kind(words.SOS, (("sos",),)),
    Kind(words.SMOKE, (("smoke",),)),
    Kind(words.GAS, (("gas",),)),
    Kind(words.FALL, (("fall",),), "posture or motion: a near-fall is not told from a fall"),
    Kind(words.NO_ACTIVITY, (("motion",), ("door",), ("water_m3",)), "14 days of history: caps only"),
    Kind(words.NO_WATER, (("water_m3",),)),
    Kind(words.LONG_STAY, (("motion",), ("presence",))),
    Kind(words.NIGHT_OUT, (("door",),)),
    Kind(words.BED_ABSENT, (("bed",),)),
    Kind(words.LEAK, (("water_m3",),)),
    Kind(words.HEAT, (("temperature",),)),
    Kind(words.COLD, (("temperature",),)),
    Kind(words.DEVICE_SILENT, ((),)),
    Kind(words.DEVICE_BATTERY, (("battery",),)),
    Kind(words.NOT_BACK, (("door",),)),
)
