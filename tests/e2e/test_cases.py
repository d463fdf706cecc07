"""Every golden case through the embedded bed: MQTT in, findings log out, all cases beside each other.

Each case is a simulated source with a clock of its own, so that years and cases do not disturb each other.
Its entities are called ``<case>.<entity>``; its ticks are rows without channels of ``<case>.watch``,
and a row that arrives later than it was says so. Which lane a row takes is decided by ingest.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cases.case import DEVICE, FOLDERS, SITE, Case, Item, load
from tests.cases.lanes import WATCH, Lines, differing
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT
from zhiwei.types import Finding, FindingRecord
from zhiwei.wiring.audit import audit

CASES = [load(folder) for folder in FOLDERS]
SHIPPED = [case for case in CASES if not case.own_policy]
SHORT = [case for case in SHIPPED if len(case.items) <= 64]
"""For a second bed: all kinds of cases at a fifth of the rows."""
OWN = sorted(
    {(case.scenario.name, case.policy.version): case.policy.text for case in CASES if case.own_policy}.items()
)
"""((scenario, version), text) of each policy that a case brings."""

MakeBed = Callable[..., Any]


def config(cases: list[Case], *, partitions: int = 1, policies: str = "") -> str:
    parts = [f'site = "{SITE}"\n[ingest]\nunknown_devices = "provisional"\n[streams]\nsnapshot_s = 0.5\n']
    parts += [f"{policies}\n[log]\npartitions = {partitions}\n"]
    for case in cases:
        name = case.scenario.name
        topics = [f"zw/v1/{name}/{case.name}.{entity}/#" for entity in (*case.entities, WATCH)]
        parts.append(f'[[sources]]\nname = "{case.name}"\nclock = "simulated"\ntopics = {topics}\n')
        for entity, said in case.attributes.items():
            pairs = ", ".join(f'{key} = "{value}"' for key, value in said.items())
            parts.append(f'[[entities]]\nscenario = "{name}"\nentity = "{case.name}.{entity}"\n')
            parts.append(f"attributes = {{ {pairs} }}\n")
    # One filter that covers all: between two filters the broker keeps no order, and ticks must keep theirs.
    parts.append('[[sources]]\nname = "field"\ntopics = "zw/v1/#"\n')
    return "".join(parts)


def messages(case: Case) -> Iterator[tuple[int, str, bytes]]:
    """As a gateway publishes them: what calls for help also on the urgent level, and there first."""
    place = f"zw/v1/{case.scenario.name}/{case.name}."
    for item in case.items:
        if "tick" in item:
            yield 0, f"{place}{WATCH}/{WATCH}", msgspec.json.encode({"ts": item["tick"]})
            continue
        topic = f"{place}{case.entity_of(item)}/{item.get('device', DEVICE)}"
        body = msgspec.json.encode({key: item[key] for key in item if key not in ("entity", "device")})
        if calls(case, item):
            yield 0, f"{topic}/urgent", body
        yield 0, topic, body


def calls(case: Case, item: Item) -> bool:
    found = [case.scenario.schema.channel(name) for name, value in item.items() if value is True]
    return any(channel is not None and channel.trigger for channel in found)


def findings(bed: Any) -> list[Finding]:
    """Everything on the findings log, each partition in its order."""
    found = []
    with bed.log("findings") as log:
        for topic in (FINDINGS, FINDINGS_URGENT):
            for partition in range(log.partitions(topic)):
                offset, end = log.earliest(topic, partition), log.end(topic, partition)
                while offset < end:
                    for record in log.read(topic, partition, offset):
                        one = msgspec.json.decode(record.value, type=FindingRecord)
                        found += [one] if isinstance(one, Finding) else []
                        offset = record.offset + 1
    return found


def through(bed: Any, cases: list[Case]) -> dict[str, tuple[Lines, Lines]]:
    bed.publish(message for case in cases for message in messages(case))
    bed.drain(300)
    found = findings(bed)
    lines, balanced = audit(bed.settings)
    assert balanced, "\n".join(lines)
    return {key: pair for case in cases for key, pair in differing(case, found, f"{case.name}.").items()}


@pytest.mark.e2e
def test_all_cases_beside_each_other_give_their_findings_and_no_other(make_bed: MakeBed) -> None:
    assert through(make_bed(config(SHIPPED)), SHIPPED) == {}


@pytest.mark.e2e
def test_on_four_partitions_cases_give_the_same(make_bed: MakeBed) -> None:
    assert through(make_bed(config(SHORT, partitions=4)), SHORT) == {}


@pytest.mark.e2e
def test_cases_with_a_policy_of_their_own_do_so_too(make_bed: MakeBed, tmp_path: Path) -> None:
    """A bed for each such policy; none where all cases go by what is shipped."""
    for (scenario, version), text in OWN:
        file = tmp_path / f"{version}.toml"
        file.write_text(text, encoding="utf-8")
        cases = [case for case in CASES if (case.scenario.name, case.policy.version) == (scenario, version)]
        assert (
            through(make_bed(config(cases, policies=f'policies = {{ {scenario} = "{file}" }}')), cases) == {}
        )


def test_each_case_has_a_name_of_its_own() -> None:
    names = defaultdict(list)
    for folder in FOLDERS:
        names[folder.name].append(folder.parent.name)
    assert {name: where for name, where in names.items() if len(where) > 1} == {}
