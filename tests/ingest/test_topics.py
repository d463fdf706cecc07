import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.topics import Address, Filter, parse, readable, shared
from zhiwei.contracts import Refusal
from zhiwei.errors import ConfigError
from zhiwei.types import Reason


def refused(topic: bytes) -> str:
    answer = parse(topic)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.scope) == (Reason.BAD_TOPIC, "payload")
    return answer.detail


def test_a_native_topic_is_an_address() -> None:
    assert parse(b"zw/v1/water/station-7/probe_1") == Address("water", "station-7", "probe_1")
    assert parse(b"zw/v1/elderly/h1/sos/urgent") == Address("elderly", "h1", "sos", urgent=True)
    assert parse("zw/v1/water/泵房/浊度".encode()) == Address("water", "泵房", "浊度")


@pytest.mark.parametrize(
    ("topic", "part"),
    [
        (b"zw/v1/water/a", "expected zw/v1/<scenario>"),
        (b"zw/v2/water/a/b", "expected zw/v1/<scenario>"),
        (b"zw/v1/water/a/b/urgent/c", "expected zw/v1/<scenario>"),
        (b"", "expected zw/v1/<scenario>"),
        (b"zw/v1/water/+/b", "entity '+'"),
        (b"zw/v1/water/a/#", "device '#'"),
        (b"zw/v1/water/a/b#c", "device 'b#c'"),
        (b"zw/v1//a/b", "scenario ''"),
        (b"zw/v1/water//b", "entity ''"),
        (b"zw/v1/water/a b/c", "entity 'a b'"),
        (b"zw/v1/water/a\0b/c", "entity 'a\\x00b'"),
        (b"zw/v1/water/" + b"x" * 129 + b"/c", "entity 'xxx"),
        (b"zw/v1/water/a/b/soon", "level 6 'soon'"),
        (b"zw/v1/water/\xff/b", "byte 12 is not UTF-8"),
    ],
)
def test_a_topic_outside_the_grammar_is_refused_with_the_level_that_is_wrong(topic: bytes, part: str) -> None:
    assert part in refused(topic)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_address_or_a_refusal_and_can_be_shown(topic: bytes) -> None:
    assert isinstance(parse(topic), Address | Refusal)
    readable(topic).encode()


def test_the_detail_of_a_refusal_stays_short_however_long_the_topic() -> None:
    assert len(refused(b"zw/v1/water/" + b"x" * 60_000 + b"/c")) < 400


# ------------------------------------------------------------------ filters


@pytest.mark.parametrize(
    ("text", "matching", "others"),
    [
        ("zw/v1/#", ["zw/v1", "zw/v1/a", "zw/v1/a/b"], ["zw", "zw/v2/a", "x/zw/v1"]),
        ("zw/+/a", ["zw/x/a", "zw//a"], ["zw/a", "zw/x/y/a", "zw/x/a/b"]),
        ("+/b", ["a/b", "/b"], ["a/c", "$SYS/b"]),
        ("#", ["a", "a/b"], ["$SYS/a"]),
        ("$SYS/#", ["$SYS/a"], ["a"]),
        ("$share/group/zw/#", ["zw/a"], ["$share/group/zw/a"]),
        ("a", ["a"], ["a/", "b"]),
    ],
)
def test_filters_match_as_in_mqtt_3_1_1(text: str, matching: list[str], others: list[str]) -> None:
    one = Filter(text)
    assert [topic for topic in [*matching, *others] if one.matches(topic)] == matching


@pytest.mark.parametrize("text", ["", "a/#/b", "a#", "a/b+", "+a/b", "a\0b", "$share/group"])
def test_what_is_no_filter_is_an_error_that_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigError, match=r"sources\[0\].topics"):
        Filter(text, key="sources[0].topics")


levels = st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4)


@given(levels, st.booleans(), levels, st.booleans(), st.lists(st.sampled_from("ab"), min_size=1, max_size=5))
def test_a_filter_that_covers_another_matches_whatever_that_one_matches(
    wide: list[str], wide_open: bool, narrow: list[str], narrow_open: bool, topic: list[str]
) -> None:
    one = Filter("/".join([*wide, "#"] if wide_open else wide))
    other = Filter("/".join([*narrow, "#"] if narrow_open else narrow))
    if one.covers(other) and other.matches("/".join(topic)):
        assert one.matches("/".join(topic))


def test_covering_is_found() -> None:
    assert Filter("zw/v1/#").covers(Filter("zw/v1/water/+/d"))
    assert Filter("zw/+/x").covers(Filter("zw/v1/x"))
    assert not Filter("zw/v1/x").covers(Filter("zw/+/x"))
    assert not Filter("zw/+").covers(Filter("zw/#"))


def test_filters_are_shared_in_a_group_unless_they_are_already_or_there_is_none() -> None:
    assert shared(["zw/v1/#", "$share/g/a"], "intake") == ["$share/intake/zw/v1/#", "$share/g/a"]
    assert shared(["zw/v1/#"], "") == ["zw/v1/#"]
