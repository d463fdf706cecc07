"""The channels of a pump room of the secondary water supply (二次供水).

Units are fixed here; a source in another unit is converted by its map. ``low`` and ``high`` are what a
working probe can say: outside is a probe fault, not a rejection.
"""

from zhiwei.schema import Channel, Schema


def _measured(name: str, unit: str, low: float, high: float, title_zh: str) -> Channel:
    return Channel(name=name, unit=unit, low=low, high=high, title_zh=title_zh)


def _switch(name: str, title_zh: str) -> Channel:
    return Channel(name=name, dtype="bool", title_zh=title_zh)


SCHEMA = Schema(
    scenario="water",
    version=1,
    channels=(
        _measured("free_chlorine", "mg/L", 0, 5, "游离氯"),
        _measured("total_chlorine", "mg/L", 0, 5, "总氯"),
        _measured("chlorine_dioxide", "mg/L", 0, 5, "二氧化氯"),
        _measured("toc", "mg/L", 0, 50, "总有机碳"),
        _measured("cod_mn", "mg/L", 0, 100, "高锰酸盐指数"),
        _measured("ammonia", "mg/L", 0, 50, "氨氮"),
        _measured("ph", "1", 0, 14, "pH"),
        _measured("turbidity", "NTU", 0, 100, "浑浊度"),
        _measured("conductivity", "µS/cm", 10, 3000, "电导率"),
        _measured("orp", "mV", -500, 1200, "氧化还原电位"),
        _measured("temperature", "°C", 0, 40, "水温"),
        _measured("dissolved_oxygen", "mg/L", 0, 30, "溶解氧"),
        _measured("colour", "degree", 0, 500, "色度"),
        _measured("flow", "m³/h", 0, 10_000, "流量"),
        _measured("inlet_pressure", "MPa", 0, 2.5, "进水压力"),
        _measured("outlet_pressure", "MPa", 0, 2.5, "出水压力"),
        _measured("tank_level", "m", 0, 20, "水箱水位"),
        _measured("stage", "m", -100, 100, "水位"),
        _measured("pump_current", "A", 0, 2000, "水泵电流"),
        _measured("pump_vibration", "mm/s", 0, 100, "水泵振动"),
        _measured("pump_starts", "1/h", 0, 1000, "水泵启动次数"),
        _switch("hatch_open", "人孔开启"),
        _switch("door_open", "门禁开启"),
        _switch("flood", "集水坑水浸"),
        _switch("uv_on", "紫外灯"),
        _switch("work_order", "工单"),
        Channel(name="operator_state", dtype="utf8", title_zh="运行状态"),
    ),
)
"""Ranges of turbidity to temperature are those of probes on the market; those without a published range
(``toc`` … ``ammonia``, ``dissolved_oxygen``, ``colour``, ``flow``, pumps, levels) are set wide: they only
catch a logger's no-data code such as -9999."""
