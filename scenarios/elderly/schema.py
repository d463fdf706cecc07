"""The channels of a home. Each may carry a suffix behind a dot: a room, a door, a device.

The suffix is what rules know a place by: ``motion.bathroom`` and ``fall.bathroom`` are one room. No channel
may ever hold a name, an address or a picture.
"""

from zhiwei.schema import Channel, Schema


def _switch(
    name: str, title_zh: str, on: str, off: str, *, trigger: bool = False, amends: bool = False
) -> Channel:
    return Channel(
        name=name,
        dtype="bool",
        title_zh=title_zh,
        meaning={"true": on, "false": off},
        family=True,
        trigger=trigger,
        amends=amends,
    )


def _measured(
    name: str, unit: str, low: float, high: float, title_zh: str, dtype: str = "float32"
) -> Channel:
    return Channel(name=name, unit=unit, low=low, high=high, title_zh=title_zh, dtype=dtype, family=True)


SCHEMA = Schema(
    scenario="elderly",
    version=1,
    channels=(
        _switch("sos", "紧急按钮", "pressed", "released", trigger=True),
        _switch("smoke", "烟感", "alarm", "no alarm", trigger=True),
        _switch("gas", "燃气", "alarm", "no alarm", trigger=True),
        _switch("fall", "跌倒雷达", "a fall was seen", "no fall"),
        # Signs of activity amend. Not the water meter: its next reading tells what was used till then.
        _switch("motion", "红外", "motion", "no motion since the device's hold time", amends=True),
        _switch("door", "门磁", "open", "closed", amends=True),
        _switch("bed", "床垫", "in bed", "out of bed", amends=True),
        _switch("presence", "毫米波存在", "somebody is in the room", "nobody is in the room", amends=True),
        Channel(
            name="posture",
            dtype="utf8",
            title_zh="姿态",
            values=("upright", "sitting", "lying"),
            family=True,
            amends=True,
        ),
        _switch("gas_valve", "燃气阀", "open", "shut"),
        # The register is cumulative: as float32 a meter at 1,000 m³ would lose single litres.
        _measured("water_m3", "m³", 0, 1e6, "水表读数", "float64"),
        _measured("power_w", "W", 0, 100_000, "用电功率"),
        _measured("heart_rate", "1/min", 20, 250, "心率"),
        _measured("breath_rate", "1/min", 3, 80, "呼吸率"),
        _measured("temperature", "°C", -40, 80, "温度"),
        _measured("humidity", "%", 0, 100, "湿度"),
        _measured("battery", "%", 0, 100, "电量"),
        Channel(
            name="operator_state",
            dtype="utf8",
            title_zh="登记状态",
            values=("home", "away", "hospital", "visitor", "false_press"),
            meaning={
                "away": "declared travel",
                "hospital": "declared stay in hospital",
                "visitor": "a second person is present",
                "home": "ends what was declared before",
                "false_press": "the resident answered that the button was pressed by mistake",
            },
        ),
    ),
)
"""``temperature.outdoor`` is the air outside; every other temperature is a room's."""
