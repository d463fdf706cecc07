"""The channels of a lift (电梯), normalised: every source is brought to this before a rule sees it.

Null is "not known", never 0 and never "normal". The sense of a switch is that of ``meaning``; a source with
another sense is turned by its map.
"""

from zhiwei.schema import Channel, Schema

MODES = (
    "out_of_service", "normal", "inspection", "fire_return",
    "firefighter", "emergency_power", "earthquake", "unknown",
)  # fmt: skip
"""Service modes in the order of GB/T 24476-2017, 0 to 7."""

DIRECTIONS = ("none", "up", "down")
DOOR_STATES = ("closed", "open", "closing", "opening")
POWERS = ("mains", "battery", "other")


def _switch(name: str, title_zh: str, true: str, false: str, *, trigger: bool = False) -> Channel:
    return Channel(
        name=name,
        dtype="bool",
        title_zh=title_zh,
        meaning={"true": true, "false": false},
        trigger=trigger,
    )


def _enum(name: str, title_zh: str, values: tuple[str, ...], **meaning: str) -> Channel:
    return Channel(name=name, dtype="utf8", title_zh=title_zh, values=values, meaning=meaning)


def _measured(
    name: str, title_zh: str, unit: str, low: float, high: float, dtype: str = "float32", **meaning: str
) -> Channel:
    return Channel(name=name, dtype=dtype, title_zh=title_zh, unit=unit, low=low, high=high, meaning=meaning)


SCHEMA = Schema(
    scenario="elevator",
    version=1,
    channels=(
        _enum(
            "mode",
            "服务模式",
            MODES,
            out_of_service="停止服务",
            normal="正常运行",
            inspection="检修",
            fire_return="消防返回",
            firefighter="消防员运行",
            emergency_power="应急电源运行",
            earthquake="地震模式",
            unknown="未知",
        ),
        _switch("moving", "轿厢运行状态", "the car runs", "the car stands"),
        _enum("direction", "运行方向", DIRECTIONS),
        _switch(
            "in_door_zone",
            "门区",
            "the car is in the unlocking zone (平层)",
            "the car is outside of it; kits' floor_status has the opposite sense (0 = in the zone)",
        ),
        _switch(
            "door_closed",
            "关门到位",
            "closed to the end position",
            "not closed to the end position, not even nearly",
        ),
        _enum("door_state", "门状态", DOOR_STATES),
        _switch(
            "person",
            "轿内是否有人",
            "somebody is in the car",
            "nobody; raw PIR inputs may be active-low (0 = somebody)",
        ),
        _measured("floor", "当前楼层", "landing", -100, 1000, "int16"),
        _measured("speed", "速度", "m/s", -20, 20, positive="up where the source signs it, else any way"),
        _switch("alarm_button", "报警按钮", "the car's alarm is pressed", "it is not", trigger=True),
        _measured(
            "calls", "轿内登记呼梯数", "1", 0, 1000, "int16", value="car calls that are not served yet"
        ),
        _enum("power", "供电状态", POWERS),
        _measured("run_count", "累计运行次数", "1", 0, 1e12, "float64"),
        _measured("run_hours", "累计运行时间", "h", 0, 1e7, "float64"),
        Channel(
            name="codes",
            dtype="list",
            title_zh="信息代码",
            meaning={"list": "message codes as the source sent them; the entity's code_table reads them"},
        ),
        _switch("up_limit", "上极限开关", "the upper limit switch has acted", "it has not"),
        _switch("down_limit", "下极限开关", "the lower limit switch has acted", "it has not"),
        _measured("level_offset", "平层误差", "mm", -5000, 5000, positive="car above the landing"),
        _measured("ebike", "电动车识别置信度", "1", 0, 1, value="confidence of the camera's recognition"),
        Channel(name="ebike_class", dtype="utf8", title_zh="识别类别"),
        Channel(name="ebike_image", dtype="utf8", title_zh="图像引用"),
        _switch("work_order", "维保工单", "somebody works on the lift by order", "nobody does"),
        _measured("acc_x", "水平加速度 X", "m/s²", -100, 100),
        _measured("acc_y", "水平加速度 Y", "m/s²", -100, 100),
        _measured("acc_z", "垂直加速度", "m/s²", -100, 100),
    ),
)
