"""What a bay reports."""

from zhiwei.schema import Channel, Schema

SCHEMA = Schema(
    scenario="parking",
    version=1,
    channels=(
        Channel(
            name="occupied",
            dtype="bool",
            title_zh="占用",
            meaning={"true": "a vehicle stands on the bay"},
        ),
        Channel(name="plate", dtype="utf8", title_zh="车牌"),
        Channel(name="image", dtype="utf8", title_zh="图片引用"),
        Channel(name="battery", unit="%", low=0, high=100, title_zh="电量"),
    ),
)
