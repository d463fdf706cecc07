"""What a station can be found to be, and which probes it takes."""

from scenarios.water.words import INTRUSION, SOURCE_SWITCH
from zhiwei.contracts import Kind

_CHEMICAL = ("free_chlorine", "total_chlorine", "chlorine_dioxide", "toc")
_PHYSICAL = ("ph", "turbidity", "conductivity", "orp")

KINDS = (
    Kind(
        "water.event",
        tuple((channel,) for channel in (*_CHEMICAL, *_PHYSICAL)),
        "with a single quality channel it sees what that channel alone shows",
    ),
    Kind("water.chlorine_low", (("free_chlorine",), ("total_chlorine",)), "the disinfectant decides"),
    Kind("water.chlorine_high", (("free_chlorine",), ("total_chlorine",))),
    Kind("water.chlorine_prealarm", (("free_chlorine",), ("total_chlorine",))),
    Kind("water.chlorine_dioxide_low", (("chlorine_dioxide",),)),
    Kind("water.chlorine_dioxide_high", (("chlorine_dioxide",),)),
    Kind("water.turbidity_high", (("turbidity",),)),
    Kind("water.ph_low", (("ph",),)),
    Kind("water.ph_high", (("ph",),)),
    Kind("water.colour_high", (("colour",),)),
    Kind("water.cod_mn_high", (("cod_mn",),)),
    Kind("water.ammonia_high", (("ammonia",),)),
    Kind(
        "water.pressure_low",
        (("outlet_pressure",),),
        "attribute set_point (MPa): else it is learned from the first 6 h on",
    ),
    Kind("water.pressure_high", (("outlet_pressure",),), "as water.pressure_low"),
    Kind("water.tank_low", (("tank_level",),), "attribute tank_height (m): no verdict"),
    Kind("water.tank_overflow", (("tank_level",),), "attribute tank_height (m): no verdict"),
    Kind("water.flood", (("flood",),)),
    Kind("water.hatch_open", (("hatch_open",),), "work_order: every opening counts"),
    Kind(
        INTRUSION,
        tuple(
            (way, quality)
            for way in ("hatch_open", "door_open")
            for quality in ("turbidity", "free_chlorine", "total_chlorine", "chlorine_dioxide")
        ),
        "work_order: every opening counts",
    ),
    Kind("water.uv_off", (("uv_on", "flow"),)),
    Kind("water.pump_cycling", (("pump_starts",),), "attribute pump_limit (1/h): the policy's limit applies"),
    Kind(
        SOURCE_SWITCH,
        (("operator_state", "conductivity", "temperature"),),
        "a note in place of water.event",
    ),
    Kind("water.sensor_fault", ((),), "stuck and scale need a second channel that moves, or stays"),
    Kind("water.offline", ((),)),
)
