"""Channels by name, further probes included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiwei.schema import Channel, Schema, quantity_of

TURBIDITY = Channel(name="turbidity", unit="NTU", low=0.0, high=100.0)
PH = Channel(name="ph", dtype="float64")
SCHEMA = Schema(scenario="water", version=1, channels=(TURBIDITY, PH))
OPEN = Schema(scenario="generic", version=1, channels=(PH,), open=True)


@pytest.mark.parametrize("probe", range(2, 10))
def test_a_further_probe_is_its_quantity_under_its_own_name(probe: int) -> None:
    assert SCHEMA.channel(f"turbidity_{probe}") == Channel(
        name=f"turbidity_{probe}", unit="NTU", low=0.0, high=100.0
    )


@pytest.mark.parametrize(
    "name",
    ["turbidity_1", "turbidity_10", "turbidity_", "_2", "turbidity_2_2", "turbidity_２", "Turbidity", ""],
)
def test_a_name_that_the_schema_does_not_know_has_no_channel(name: str) -> None:
    assert SCHEMA.channel(name) is None


def test_an_open_schema_takes_any_other_name_as_a_number() -> None:
    assert OPEN.channel("voltage") == Channel(name="voltage", dtype="float64")
    assert OPEN.channel("ph_2") == Channel(name="ph_2", dtype="float64")


def test_a_listed_channel_is_not_taken_for_a_probe_of_another() -> None:
    flow = Channel(name="flow")
    flow_2 = Channel(name="flow_2", dtype="int16")
    both = Schema(scenario="s", version=1, channels=(flow, flow_2))
    assert both.channel("flow_2") == flow_2
    assert both.channel("flow_3") == Channel(name="flow_3")
    assert [both.order(name) for name in ("flow", "flow_2")] == [(0, "flow"), (1, "flow_2")]


def test_order_is_that_of_the_schema_with_probes_beside_their_quantity() -> None:
    names = ["zz", "ph_2", "turbidity", "ph", "aa", "turbidity_3", "turbidity_2"]
    assert sorted(names, key=SCHEMA.order) == [
        "turbidity", "turbidity_2", "turbidity_3", "ph", "ph_2", "aa", "zz",
    ]  # fmt: skip


@given(st.permutations(["ph", "turbidity", "ph_2", "other"]))
def test_order_does_not_depend_on_who_came_first(names: list[str]) -> None:
    assert sorted(names, key=SCHEMA.order) == ["turbidity", "ph", "ph_2", "other"]


@given(st.text(max_size=8))
def test_a_quantity_is_part_of_its_name(name: str) -> None:
    quantity = quantity_of(name)
    assert name == quantity or (name[:-2] == quantity and name[-2:] in {f"_{n}" for n in range(2, 10)})
