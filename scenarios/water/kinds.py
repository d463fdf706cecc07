"""What a station can be found to be, and which probes it takes."""

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
    Kind("water.sensor_fault", ((),), "stuck and scale need a second channel that moves, or stays"),
    Kind("water.offline", ((),)),
)
