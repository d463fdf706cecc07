"""What a station can be found to be, and which probes it takes."""

from scenarios.water.words import INTRUSION, SOURCE_SWITCH
from zhiwei.contracts import Kind

_CHEMICAL = ("free_chlorine", "total_chlorine", "chlorine_dioxide", "toc")
_SET_POINT = "without the attribute set_point (MPa) it is learned, with no verdict in the first 6 h"
_HEIGHT = "without the attribute tank_height (m) no verdict at all"
_ORDER = "without rows of work_order every opening counts"
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
        _SET_POINT,
    ),
    Kind("water.pressure_high", (("outlet_pressure",),), _SET_POINT),
    Kind("water.tank_low", (("tank_level",),), _HEIGHT),
    Kind("water.tank_overflow", (("tank_level",),), _HEIGHT),
    Kind("water.flood", (("flood",),)),
    Kind("water.hatch_open", (("hatch_open",),), _ORDER),
    Kind(
        INTRUSION,
        tuple(
            (way, quality)
            for way in ("hatch_open", "door_open")
            for quality in ("turbidity", "free_chlorine", "total_chlorine", "chlorine_dioxide")
        ),
        _ORDER,
    ),
    Kind("water.uv_off", (("uv_on", "flow"),)),
    Kind(
        "water.pump_cycling",
        (("pump_starts",),),
        "without the attribute pump_limit (1/h) the limit of the policy applies",
    ),
    Kind(
        SOURCE_SWITCH,
        (("operator_state", "conductivity", "temperature"),),
        "without a row of operator_state that says so it is a water.event",
    ),
    Kind("water.sensor_fault", ((),), "stuck and scale need a second channel that moves, or stays"),
    Kind("water.offline", ((),)),
)
