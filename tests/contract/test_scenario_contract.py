"""What holds for every scenario that is installed, in the tree or as a plug-in."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.engine.engine import Engine
from streams.engine.snapshot import copy_head, copy_rows, restore
from zhiwei import frames, registry
from zhiwei.clock import MICROS
from zhiwei.contracts import LogRecord, Scenario
from zhiwei.errors import ConfigError, ZhiweiError
from zhiwei.schema import Channel
from zhiwei.types import Finding

PLUGIN = Path(__file__).parents[1] / "plugin"
START = 1_750_000_000 * MICROS
IN_TREE = sorted(registry.names("scenarios"))


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    """The sample plug-in as pip would have put it: importable, with its entry point."""
    sys.path.insert(0, str(PLUGIN))
    registry.names.cache_clear()
    registry.load.cache_clear()
    yield
    sys.path.remove(str(PLUGIN))
    registry.names.cache_clear()
    registry.load.cache_clear()


@pytest.fixture(params=[*IN_TREE, "parking"])
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return registry.scenario(request.param)


def value_of(channel: Channel, draw: np.random.Generator) -> object:
    if draw.random() < 0.3:
        return None
    if channel.dtype == "bool":
        return bool(draw.random() < 0.5)
    if channel.dtype == "utf8":
        return str(draw.choice([*channel.values, "anything"]))
    if channel.dtype == "list":
        return [str(code) for code in draw.integers(0, 99, draw.integers(0, 3))]
    if channel.dtype == "int16":
        return int(draw.integers(-5, 40))
    low, high = channel.low or 0.0, channel.high if channel.high is not None else 100.0
    return float(np.round(draw.uniform(low - 0.2 * abs(high), high * 1.2), 3))


def log_of(scenario: Scenario, seed: int, rows: int, cuts: int) -> list[LogRecord]:
    """Random rows of a few entities, every channel now and then, in frames of random length."""
    draw = np.random.default_rng(seed)
    channels = [c for c in scenario.schema.channels if not c.family]
    if scenario.schema.open:
        channels = [Channel(name="a", dtype="float64"), Channel(name="b", dtype="float64")]
    values, at = [], START
    while rows > 0:
        count = int(min(rows, draw.integers(1, cuts + 1)))
        rows -= count
        times = []
        for _ in range(count):
            at += int(draw.choice([0, 1, 5, 30, 600])) * MICROS
            times.append(at)
        columns = {
            c.name: frames.arrow_column(c, [value_of(c, draw) for _ in range(count)]) for c in channels
        }
        values.append(
            frames.encode(
                scenario.schema,
                entity=[f"e{n}" for n in draw.integers(0, 3, count)],
                device=["d"] * count,
                ts=times,
                arrived=times,
                flags=[int(draw.choice([0, 0, 0, 64, 512, 1024]))] * count,
                channels=columns,
                clock="live",
            )
        )
    return [LogRecord(offset, value) for offset, value in enumerate(values)]


def engine_of(scenario: Scenario) -> Engine:
    return Engine(scenario, site="s", topic=f"readings.{scenario.name}", partition=0)


def keys(findings: list[Finding]) -> list[tuple[object, ...]]:
    said = [(f.entity, f.id, f.rev, f.kind, f.phase, f.onset, f.at, f.evidence) for f in findings]
    return sorted(said, key=lambda key: str(key[0]))


def test_the_registry_finds_it_by_its_own_name(scenario: Scenario) -> None:
    assert registry.scenario(scenario.name) is scenario
    assert scenario.schema.scenario == scenario.name
    assert scenario.main_kind.startswith(f"{scenario.name}.")
    assert scenario.life_safety <= {kind.name for kind in scenario.kinds}
    assert scenario.main_kind in {kind.name for kind in scenario.kinds}


def test_every_channel_that_a_kind_needs_is_in_the_schema(scenario: Scenario) -> None:
    needed = {channel for kind in scenario.kinds for one in kind.needs for channel in one}
    assert [name for name in needed if scenario.schema.channel(name) is None] == []


def test_channels_are_named_once_and_have_a_chinese_title(scenario: Scenario) -> None:
    names = [channel.name for channel in scenario.schema.channels]
    assert len(set(names)) == len(names)
    assert all(channel.title_zh for channel in scenario.schema.channels)


def test_the_shipped_policy_reads_back_as_itself(scenario: Scenario) -> None:
    policy = scenario.policy(None)
    again = scenario.policy(policy.text, file="again")
    assert (again.version, again.text, again.latency_us) == (policy.version, policy.text, policy.latency_us)
    assert policy.latency_of("anything") >= 0


@pytest.mark.parametrize("text", ["nonsense = 1\n", "[unclosed\n", "latency = 3\n"])
def test_a_broken_policy_is_refused_by_name(scenario: Scenario, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        scenario.policy(text, file="mine.toml")
    assert "mine.toml" in str(refused.value)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31))
def test_no_rows_make_a_rule_raise_or_warn(scenario: Scenario, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine = engine_of(scenario)
        out = engine.apply(log_of(scenario, seed, 60, 20))
    assert [aside.error for aside in out.set_aside] == []
    assert {f.kind for f in out.findings} <= {kind.name for kind in scenario.kinds}
    assert all(f.onset <= f.at for f in out.findings)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31))
def test_cuts_and_restarts_change_nothing(scenario: Scenario, seed: int) -> None:
    log = log_of(scenario, seed, 60, 7)
    whole = keys(engine_of(scenario).apply(log).findings)
    engine, pieces, chunks = engine_of(scenario), [], []
    for record in log:
        pieces += engine.apply([record]).findings
        chunks.append(copy_rows(engine, everything=not chunks))
        engine = restore(
            scenario, copy_head(engine), chunks, site="s", topic=f"readings.{scenario.name}", partition=0
        )
    assert keys(pieces) == whole


def test_two_plug_ins_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN["scenarios"], "parking", "elsewhere:SCENARIO")
    registry.names.cache_clear()
    with pytest.raises(ZhiweiError, match="two scenarios are called 'parking'"):
        registry.names("scenarios")
    registry.names.cache_clear()
