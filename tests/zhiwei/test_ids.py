"""Ids and places that must never change: expected values are written out, not computed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiwei.ids import BUCKETS, bucket_of, digest, finding_id, is_name, partition_of

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@pytest.mark.parametrize(
    ("entity", "bucket", "partitions"),
    [
        ("station-b", 10, {1: 0, 2: 0, 3: 0, 4: 0, 64: 10}),
        ("lift-0001", 11, {1: 0, 2: 0, 3: 0, 4: 0, 64: 11}),
        ("e", 26, {1: 0, 2: 0, 3: 1, 4: 1, 64: 26}),
        ("泵房-1", 39, {1: 0, 2: 1, 3: 1, 4: 2, 64: 39}),
        ("home-17", 48, {1: 0, 2: 1, 3: 2, 4: 3, 64: 48}),
        ("Ω", 51, {1: 0, 2: 1, 3: 2, 4: 3, 64: 51}),
    ],
)
def test_an_entity_keeps_its_place_for_ever(entity: str, bucket: int, partitions: dict[int, int]) -> None:
    assert bucket_of(entity) == bucket
    assert {count: partition_of(entity, count) for count in partitions} == partitions


@given(text, text, st.integers(1, BUCKETS))
def test_a_bucket_moves_as_a_whole(one: str, other: str, partitions: int) -> None:
    places = partition_of(one, partitions), partition_of(other, partitions)
    assert all(0 <= place < partitions for place in places)
    if bucket_of(one) == bucket_of(other):
        assert places[0] == places[1]
    if bucket_of(one) < bucket_of(other):
        assert places[0] <= places[1]


@pytest.mark.parametrize("partitions", [1, 2, 4, 8, 16, 32, 64])
def test_buckets_are_shared_out_evenly(partitions: int) -> None:
    entities: dict[int, str] = {}
    number = 0
    while len(entities) < BUCKETS:
        entities.setdefault(bucket_of(f"e{number}"), f"e{number}")
        number += 1
    shares = Counter(partition_of(entity, partitions) for entity in entities.values())
    assert shares == dict.fromkeys(range(partitions), BUCKETS // partitions)


def test_ids_keep_their_value_for_ever() -> None:
    assert digest("a", "b") == "9655976b2813029a1042f63386d1dbae"
    assert (
        finding_id(
            site="local",
            scenario="water",
            entity="station-b",
            kind="water.event",
            rule="mvnn",
            first_onset_us=1_140_939_600_000_000,
            episode=1,
        )
        == "a707a3d45408485e21a3e40df872d57e"
    )


@given(st.lists(text | st.just("\x1f"), max_size=4), st.lists(text | st.just("\x1f"), max_size=4))
def test_different_parts_have_different_ids(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab"], ["a", "b"]),
        (["a", ""], ["a"]),
        (["a\x1fb"], ["a", "b"]),
        (["1:a,1:b"], ["a", "b"]),
        ([""], []),
    ],
)
def test_parts_cannot_run_into_each_other(one: list[str], other: list[str]) -> None:
    assert digest(*one) != digest(*other)


@pytest.mark.parametrize("name", ["a", "泵房-1", "x" * 128, "lift:1", "$sys", "a.b", "é", "👵"])
def test_a_name_is_what_fits_in_a_topic(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 129,
        "a b",
        "a/b",
        "+",
        "#",
        "a\n",
        "a\x00",
        "\x7f",
        "\x85",
        "\x9f",
        "\u3000",
        "\u2028",
        "\ud800",
    ],
)
def test_a_name_holds_nothing_blank_wild_or_unwritable(name: str) -> None:
    assert not is_name(name)


@given(st.text(max_size=5))
def test_every_name_has_a_place(name: str) -> None:
    if is_name(name):
        assert 0 <= bucket_of(name) < BUCKETS
