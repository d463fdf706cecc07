"""Settings: what is wrong is said by file, key and value; what the page says is what the code does."""

import json
import os
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiwei.errors import ConfigError
from zhiwei.settings import File, Mqtt, Settings, Webhook, load, of_instance

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


def loaded(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "zhiwei.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environment=environment or {})


# ------------------------------------------------------------------ what is right


def test_nothing_set_is_everything_at_its_default(tmp_path: Path) -> None:
    assert load(environment={}) == loaded(tmp_path, "") == Settings()


def test_the_file_says_what_differs(tmp_path: Path) -> None:
    text = 'site = "east"\n[mqtt]\nport = 1884\n[[sinks]]\nkind = "file"\nname = "a"\npath = "events.jsonl"\n'
    expected = Settings(site="east", mqtt=Mqtt(port=1884), sinks=(File(name="a", path="events.jsonl"),))
    assert loaded(tmp_path, text) == expected


def test_a_broker_that_is_not_ours_is_spoken_to_in_mqtt_5_with_a_larger_window(tmp_path: Path) -> None:
    for text, expected in {
        "": (3, 100),
        "[mqtt]\nembedded = false": (5, 2000),
        "[mqtt]\nembedded = false\nversion = 3": (3, 100),
        "[mqtt]\nembedded = false\n[ingest]\nwindow = 20": (5, 20),
    }.items():
        settings = loaded(tmp_path, text)
        assert (settings.mqtt.version, settings.ingest.window) == expected
    assert (
        loaded(tmp_path, "", {"ZHIWEI_MQTT__EMBEDDED": "false", "ZHIWEI_MQTT__VERSION": "5"}).mqtt.version
        == 5
    )


def test_an_ingest_process_with_a_name_has_a_client_id_of_its_own(tmp_path: Path) -> None:
    settings = loaded(tmp_path, '[mqtt]\nshare = "intake"\nclient_id = "east"')
    assert of_instance(settings, "b").mqtt.client_id == "east-b"
    with pytest.raises(ConfigError, match="--instance = 'a b'"):
        of_instance(settings, "a b")
    with pytest.raises(ConfigError, match=r"mqtt\.share.*a group for the shared subscription"):
        of_instance(Settings(), "b")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert loaded(tmp_path, '\ufeffsite = "east"').site == "east"


def test_the_environment_wins_over_the_file_and_options_over_both(tmp_path: Path) -> None:
    file = tmp_path / "zhiwei.toml"
    file.write_text('site = "file"\ndata_dir = "file"\nlog_level = "DEBUG"\n')
    environment = {"ZHIWEI_SITE": "environment", "ZHIWEI_DATA_DIR": "environment", "OTHER": "x"}
    settings = load(file, environment=environment, data_dir="option", log_level=None)
    assert (settings.site, settings.data_dir, settings.log_level) == ("environment", "option", "DEBUG")


def test_the_process_environment_is_what_counts_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in os.environ:
        if key.startswith("ZHIWEI_"):
            monkeypatch.delenv(key)
    monkeypatch.setenv("ZHIWEI_SITE", "east")
    assert load().site == "east"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("ZHIWEI_MQTT__PORT", "1884", "mqtt.port", 1884),
        ("ZHIWEI_MQTT__EMBEDDED", "false", "mqtt.embedded", False),
        ("ZHIWEI_MQTT__PASSWORD", "1234", "mqtt.password", "1234"),
        ("ZHIWEI_SITE", "null", "site", "null"),
        ("ZHIWEI_INGEST__LINGER_MS", "5", "ingest.linger_ms", 5.0),
        ("ZHIWEI_LOG__KEEP_HOURS", "1.5", "log.keep_hours", 1.5),
    ],
)
def test_a_variable_becomes_what_its_key_holds(variable: str, text: str, key: str, value: object) -> None:
    found: object = load(environment={variable: text})
    for part in key.split("."):
        found = getattr(found, part)
    assert (found, type(found)) == (value, type(value))


def test_a_variable_reaches_into_tables_and_lists(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.touch()
    sinks = '[[sinks]]\nkind = "webhook"\nname = "a"\nurl = "http://h/"\n'
    environment = {"ZHIWEI_SINKS__0__SECRET": "s", "ZHIWEI_STREAMS__POLICIES__WATER": str(policy)}
    settings = loaded(tmp_path, sinks, environment)
    assert settings.sinks == (Webhook(name="a", url="http://h/", secret="s"),)
    assert settings.streams.policies == {"water": str(policy)}


def test_the_data_directory_is_absolute() -> None:
    assert load(environment={}, data_dir="x").data == Path.cwd() / "x"


# ------------------------------------------------------------------ what is wrong

SINK = '[[sinks]]\nkind = "webhook"\nname = "a"\nurl = "http://h/"\n'
MQTT_SINK = '[[sinks]]\nkind = "mqtt"\nname = "m"\n'
NAME = "1 to 128 characters without blanks, '/', '+' or '#'"


@pytest.mark.parametrize(
    ("text", "key", "value", "expected"),
    [
        # types and ranges
        ('mqtt.port = "abc"', "mqtt.port", "abc", "int, got str"),
        ("mqtt.port = 0", "mqtt.port", 0, "int >= 1"),
        ("mqtt.port = 65536", "mqtt.port", 65536, "int <= 65535"),
        ("mqtt.port = 1883.5", "mqtt.port", 1883.5, "int, got float"),
        ("mqtt.port = true", "mqtt.port", True, "int, got bool"),
        ("mqtt.port = 99999999999999999999999", "mqtt.port", 99999999999999999999999, "int <= 65535"),
        ('mqtt.embedded = "yes"', "mqtt.embedded", "yes", "bool, got str"),
        ("mqtt.host = 1", "mqtt.host", 1, "str, got int"),
        ("mqtt = 3", "mqtt", 3, "table, got int"),
        ("sinks = 3", "sinks", 3, "list, got int"),
        ('streams.scenarios = "water"', "streams.scenarios", "water", "list, got str"),
        ("streams.scenarios = [1]", "streams.scenarios[0]", 1, "str, got int"),
        ("streams.policies = { water = 3 }", "streams.policies.water", 3, "str, got int"),
        (
            '[telemetry.elevator]\n[telemetry.water]\nkeep = "some"',
            "telemetry.water.keep",
            "some",
            "all or every or on_change",
        ),
        (
            "telemetry.water.dead_band = { toc = { value = 1 }, ph = { value = -1 } }",
            "telemetry.water.dead_band.ph.value",
            -1,
            "float >= 0.0",
        ),
        ("telemetry.water.evry_s = 3", "telemetry.water.evry_s", 3, "no such key; see docs/settings.md"),
        (
            "telemetry.wter.every_s = 3",
            "telemetry.wter",
            "a table",
            "a scenario of ['water', 'elevator', 'elderly']",
        ),
        (
            "health.drill_s = 50",
            "health.drill_s",
            50.0,
            "at least twice [drill] every_s (30), or one that is late is bad",
        ),
        (
            "console.in_alerts = false",
            "console.in_alerts",
            False,
            "true, or a [database] url: over files alerts serves it",
        ),
        ("drill.every_s = -1", "drill.every_s", -1, "float >= 0.0"),
        (
            "retention.water.log_hours = 0.5",
            "retention.water.log_hours",
            0.5,
            "0, as [log] says, or at least 1",
        ),
        ("retention.water.log_hours = -1", "retention.water.log_hours", -1, "float >= 0.0"),
        ("retention.water.telemetry_days = 0", "retention.water.telemetry_days", 0, "float >= 1.0"),
        ("retention.water.days = 3", "retention.water.days", 3, "no such key; see docs/settings.md"),
        (
            "retention.wter.log_hours = 24",
            "retention.wter",
            "a table",
            "a scenario of ['water', 'elevator', 'elderly']",
        ),
        (
            "kafka.servers = 'k:9092'\nretention.water.telemetry_days = 90",
            "retention.water.telemetry_days",
            90.0,
            "no such key with [kafka] servers: InfluxDB's bucket says how long it keeps",
        ),
        ("influx.url = 'db:8086'", "influx.url", "db:8086", "an http:// or https:// address"),
        ("""influx.bucket = 'a"b'""", "influx.bucket", 'a"b', "a name without quotes, backslashes and '$'"),
        ("log.keep_hours = inf", "log.keep_hours", float("inf"), "float <= 1000000000.0"),
        ("log.keep_hours = 0", "log.keep_hours", 0, "float > 0.0"),
        ("alerts.close_after_s = inf", "alerts.close_after_s", float("inf"), "float <= 1000000000.0"),
        # words
        ('log_level = "LOUD"', "log_level", "LOUD", "DEBUG or ERROR or INFO or WARNING"),
        ('ingest.unknown_devices = "x"', "ingest.unknown_devices", "x", "provisional or quarantine"),
        ('[[sources]]\nname = "s"\ntopics = "a"\nclock = "x"', "sources[0].clock", "x", "live or simulated"),
        ('[[sinks]]\nkind = "smtp"\nname = "a"', "sinks[0].kind", "smtp", "webhook or mqtt or file"),
        # keys that are not, and keys that must be
        ("prot = 3", "prot", 3, "no such key; see docs/settings.md"),
        ("mqtt.prot = 3", "mqtt.prot", 3, "no such key; see docs/settings.md"),
        ("[a]\nb = 1", "a", "a table", "no such key; see docs/settings.md"),
        (SINK + "path = 'x'", "sinks[0].path", "x", "no such key; see docs/settings.md"),
        ('[[sinks]]\nname = "a"', "sinks[0].kind", None, "a value; this key must be given"),
        ('[[sinks]]\nkind = "webhook"\nname = "a"', "sinks[0].url", None, "a value; this key must be given"),
        # what types alone cannot say
        ('site = "a b"', "site", "a b", NAME),
        ('data_dir = " "', "data_dir", " ", "not blank"),
        ('mqtt.host = ""', "mqtt.host", "", "not blank"),
        ('mqtt.client_id = ""', "mqtt.client_id", "", "not blank"),
        ("mqtt.version = 4", "mqtt.version", 4, "3 or 5"),
        ("mqtt.version = 5", "mqtt.version", 5, "3: the embedded broker speaks MQTT 3.1.1 only"),
        ('mqtt.share = "a/b"', "mqtt.share", "a/b", NAME),
        (SINK + SINK, "sinks[1].name", "a", "a name that no other sink has"),
        (SINK.replace("http:", "ftp:"), "sinks[0].url", "ftp://h/", "an http:// or https:// address"),
        (SINK.replace("//h", "//"), "sinks[0].url", "http:///", "an http:// or https:// address"),
        (SINK.replace("//h", "//[::1"), "sinks[0].url", "http://[::1/", "an http:// or https:// address"),
        (SINK.replace("//h", "//h:x"), "sinks[0].url", "http://h:x/", "an http:// or https:// address"),
        (SINK.replace('"a"', '""'), "sinks[0].name", "", NAME),
        (MQTT_SINK + 'topic = "a/+"', "sinks[0].topic", "a/+", "an MQTT topic without wildcards"),
        (MQTT_SINK + 'topic = ""', "sinks[0].topic", "", "an MQTT topic without wildcards"),
        ('[[sinks]]\nkind = "file"\nname = "f"\npath = ""', "sinks[0].path", "", "a file to append to"),
        ('[[sources]]\nname = "s"\ntopics = "a/#/b"', "sources[0].topics", "a/#/b", "an MQTT topic filter"),
        ('[[sources]]\nname = "s"\ntopics = "a+"', "sources[0].topics", "a+", "an MQTT topic filter"),
        ('[[sources]]\nname = ""\ntopics = "a"', "sources[0].name", "", NAME),
        (
            '[[sources]]\nname = "s"\ntopics = "a"\n' * 2,
            "sources[1].name",
            "s",
            "a name that no other source has",
        ),
        (
            '[[sources]]\nname = "live"\ntopics = "#"\nclock = "simulated"',
            "sources[0].name",
            "live",
            "another name: 'live' is the clock of live sources",
        ),
        ('[[devices]]\nscenario = "s"\nentity = "a/b"\ndevice = "d"', "devices[0].entity", "a/b", NAME),
        ('[[devices]]\nscenario = "s"\nentity = "e"\ndevice = ""', "devices[0].device", "", NAME),
        ('[[entities]]\nscenario = "s"\nentity = "a b"', "entities[0].entity", "a b", NAME),
        (
            '[[entities]]\nscenario = "s"\nentity = "e"\n' * 2,
            "entities[1].entity",
            "e",
            "an entity that is not listed before",
        ),
        ("streams.scenarios = []", "streams.scenarios", "", "at least one scenario, or nothing is watched"),
        (
            'streams.scenarios = ["water", "water"]',
            "streams.scenarios[1]",
            "water",
            "a scenario that is not listed before",
        ),
        (
            'streams.policies.wter = "x"',
            "streams.policies.wter",
            "x",
            "a scenario of ['water', 'elevator', 'elderly']",
        ),
        ('streams.policies.water = "none"', "streams.policies.water", "none", "a policy file that exists"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_right(
    tmp_path: Path, text: str, key: str, value: object, expected: str
) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text)
    file = str(tmp_path / "zhiwei.toml")
    assert vars(error.value) == {"file": file, "key": key, "value": value, "expected": expected}
    assert str(error.value) == f"{file}: {key} = {value!r}: expected {expected}"


@pytest.mark.parametrize("text", ["a = [", "a = 1\na = 2", "= 3"])
def test_what_is_no_toml_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"zhiwei\.toml: \(syntax\) = .*(line|end of document)") as error:
        loaded(tmp_path, text)
    assert error.value.expected == "TOML in UTF-8"


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "zhiwei.toml"
    file.write_bytes('site = "郑州"'.encode("gbk"))
    with pytest.raises(ConfigError, match="expected TOML in UTF-8"):
        load(file, environment={})


def test_a_file_that_is_not_there_or_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a file that exists"):
        load(tmp_path / "none.toml", environment={})
    with pytest.raises(ConfigError, match="expected a file that can be read"):
        load(tmp_path, environment={})


@pytest.mark.parametrize(
    ("environment", "key", "value"),
    [
        ({"ZHIWEI_MQTT__PORT": "18x"}, "mqtt.port", "18x"),
        ({"ZHIWEI_MQTT__PROT": "1"}, "mqtt.prot", "1"),
        ({"ZHIWEI_MQTT": "x"}, "mqtt", "x"),
        ({"ZHIWEI_MQTT__PORT__X": "1"}, "mqtt.port", "a table"),
        ({"ZHIWEI_STREAMS__SCENARIOS": "water,generic"}, "streams.scenarios", "water,generic"),
        ({"ZHIWEI_": "x"}, "(top)", None),
    ],
)
def test_a_wrong_variable_is_named_too(environment: dict[str, str], key: str, value: object) -> None:
    with pytest.raises(ConfigError) as error:
        load(environment=environment)
    assert (error.value.file, error.value.key, error.value.value) == (
        f"defaults with {next(iter(environment))}",
        key,
        value,
    )


@pytest.mark.parametrize("variable", ["ZHIWEI_SINKS__1__SECRET", "ZHIWEI_SINKS__X__SECRET", "ZHIWEI_SITE__X"])
def test_a_variable_for_a_place_that_is_not_there_is_not_lost(tmp_path: Path, variable: str) -> None:
    with pytest.raises(ConfigError, match=f"^environment: {variable} = .*: expected a key of a section"):
        loaded(tmp_path, 'site = "east"\n' + SINK, {variable: "x"})


def test_every_variable_that_was_used_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^defaults with ZHIWEI_LOG_LEVEL, ZHIWEI_SITE: site = 'a b'"):
        load(environment={"ZHIWEI_SITE": "a b", "ZHIWEI_LOG_LEVEL": "DEBUG"})


@pytest.mark.parametrize("text", ["mqtt.password = 5555", "mqtt.passwort = '5555'", SINK + "secret = 5555"])
def test_a_secret_is_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="hidden") as error:
        loaded(tmp_path, text)
    assert "5555" not in str(error.value)


values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["kind", "name", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from([*Settings.__struct_fields__, "other"]),
        values
        | st.dictionaries(
            st.sampled_from([*Mqtt.__struct_fields__, "scenarios", "policies"]), values, max_size=2
        ),
        max_size=2,
    )
)
def test_whatever_is_set_is_taken_or_refused_as_a_setting(tree: dict[str, object]) -> None:
    found = None
    with suppress(ConfigError):
        found = load(environment={}, **tree)
    assert found is None or isinstance(found, Settings)


# ------------------------------------------------------------------ the page


Keys = dict[str, str]
"""Key → default as TOML writes it; empty where a value must be given."""


def on_page() -> dict[str, Keys]:
    """Section → keys with defaults, as docs/settings.md has them. A sink's section is ``sinks.<kind>``."""
    found: dict[str, Keys] = {}
    section = kind = ""
    for line in PAGE.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if heading := re.match(r"## (Top level|`\[\[?(\w+)(?:\.<\w+>)?\]\]?`)", line):
            section, kind = heading[2] or "", ""
        elif line.startswith("|") and cells[0] not in {"key", "kind", "---"}:
            if section == "sinks":
                kind, cells = cells[0] or kind, cells[1:]
            found.setdefault(f"{section}.{kind}" if kind else section, {})[cells[0]] = cells[1]
    return found


def in_code() -> dict[str, Keys]:
    """The same, from zhiwei/settings.py."""
    found: dict[str, Keys] = {"": {}}
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found[field.encode_name] = defaults(field.type)
        elif get_origin(field.type) is tuple:
            element = get_args(field.type)[0]
            for struct in get_args(element) or [element]:
                tag = struct.__struct_config__.tag
                found[f"{field.encode_name}.{tag}" if tag else field.encode_name] = defaults(struct)
        elif get_origin(field.type) is dict:
            found[field.encode_name] = defaults(get_args(field.type)[1])
        else:
            found[""][field.encode_name] = toml(field.default)
    return found


def defaults(struct: type[msgspec.Struct]) -> Keys:
    return {
        field.encode_name: toml(
            field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        )
        for field in msgspec.structs.fields(struct)
    }


def toml(value: object) -> str:
    return "" if value is msgspec.NODEFAULT else json.dumps(value)


def test_the_page_has_every_section_and_key_with_its_default() -> None:
    assert on_page() == in_code()


def test_the_example_on_the_page_is_taken(tmp_path: Path) -> None:
    example = PAGE.split("```toml\n")[1].split("```")[0]
    assert loaded(tmp_path, example).site == "east"
    assert tomllib.loads(example)["sinks"][0]["kind"] in {"webhook", "mqtt", "file"}
