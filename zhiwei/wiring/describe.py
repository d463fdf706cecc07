"""``zhiwei scenarios`` and ``zhiwei schema``: what is installed, and what a reading looks like."""

from collections.abc import Collection, Iterator

from zhiwei import registry
from zhiwei.schema import Channel, Schema

Json = dict[str, "Json | list[Json] | list[str] | list[str | None] | str | float | bool | int"]
_TYPES = {
    "float32": "number",
    "float64": "number",
    "int16": "integer",
    "bool": "boolean",
    "utf8": "string",
}


def scenarios(kit: Collection[str] | None = None) -> Iterator[str]:
    """Every installed scenario with its kinds, and, for the channels of a kit, what it can still support.

    kit: channel names; None prints what each kind needs. Raises ZhiweiError for a scenario that cannot load.
    """
    for name in sorted(registry.names("scenarios")):
        scenario = registry.scenario(name)
        yield f"{name}: {len(scenario.schema.channels)} channels, schema {scenario.schema.version}"
        for kind in scenario.kinds:
            mark = " (life safety)" if kind.name in scenario.life_safety else ""
            if kit is None:
                needs = " or ".join(" + ".join(one) if one else "nothing" for one in kind.needs)
                note = f"; {kind.without}" if kind.without else ""
                yield f"  {kind.name}{mark}: needs {needs}{note}"
            else:
                yield f"  {'can   ' if kind.supported(kit) else 'cannot'} {kind.name}{mark}"


def schema(name: str) -> Json:
    """The JSON Schema of a native reading of a scenario, with units, enums and polarity."""
    found = registry.scenario(name).schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A reading of {name}",
        "description": "Published to zw/v1/<scenario>/<entity>/<device>, alone or in an array.",
        "type": "object",
        "properties": {
            "ts": {
                "description": "ISO 8601 with an offset, or Unix milliseconds; absent: time of arrival",
                "type": ["string", "number"],
            },
            "flags": {"description": "quality by HJ 212 letters: N F M S D C T B", "type": "string"},
            **{channel.name: _property(channel) for channel in found.channels if not channel.family},
        },
        "patternProperties": {
            **{f"^{channel.name}[.].+$": _property(channel) for channel in found.channels if channel.family},
            **_probes(found),
        },
        "additionalProperties": found.open,
        "minProperties": 1,
    }


def _probes(found: Schema) -> Json:
    """``_2`` … ``_9``: a further probe of the same quantity."""
    numbers = [c.name for c in found.channels if c.dtype in ("float32", "float64") and not c.family]
    return {f"^({'|'.join(numbers)})_[2-9]$": {"type": ["number", "null"]}} if numbers else {}


def _property(channel: Channel) -> Json:
    said: Json = {}
    words = [channel.title_zh, channel.unit, *(f"{k}: {v}" for k, v in channel.meaning.items())]
    if channel.low is not None or channel.high is not None:
        words.append(f"plausible {channel.low} to {channel.high}")
    if channel.trigger:
        words.append("calls for help at once; may use the topic level /urgent")
    said["description"] = "; ".join(word for word in words if word)
    if channel.dtype == "list":
        said["type"], said["items"] = ["array", "null"], {"type": ["string", "number"]}
    else:
        said["type"] = [_TYPES[channel.dtype], "null"]
    if channel.values:
        said["enum"] = [*channel.values, None]
    return said
