"""From an id back to the readings, in both languages."""

import re

import pytest

from alerts.console.texts import Language
from zhiwei.errors import ZhiweiError
from zhiwei.wiring.explain import explain

ZH, EN = Language.ZH, Language.EN


@pytest.fixture
def entrapment(bed):
    """E1 on the log and in the event store; the settings, and the finding's id."""
    made = bed().case("elevator/E1")
    return made.settings, made.fold()[0].id


def told(settings, prefix, language):
    return [line.strip() for line in explain(settings, prefix, language)]


def test_a_finding_is_told_in_chinese_from_the_incident_to_the_readings(entrapment):
    settings, id_ = entrapment
    lines = told(settings, id_[:8], ZH)
    assert lines[0] == f"发现 {id_}"
    assert re.fullmatch(r"事件 \w+：电梯 lift-1，有人被困（elevator.entrapment），紧急，已恢复", lines[1])
    assert "电梯 lift-1：有人被困（elevator.entrapment）" in lines
    assert any(re.fullmatch(r"变化 \w+：发现，2026-03-02 08:00:55", line) for line in lines)
    assert any(re.fullmatch(r"通知 \w+ 发往 hook：等待，尝试 0 次", line) for line in lines)
    assert any(line.startswith("门在门区内打开：") and "，限值 ≥ 10 秒，" in line for line in lines)
    readings = [line for line in lines if "设备 kit：" in line]
    seen = r"2026-03-02 08:05:15 位点 \d+ 设备 kit：运行模式 正常，停止，在门区外，门已关闭，轿厢内有人"
    assert re.fullmatch(seen, readings[0])
    assert lines[-1] == "时间均为 Asia/Shanghai"
    said = re.sub(
        r"策略原文“.*?”|（[a-z]+\.[a-z_]+）|规则 \w+|策略 \w+|readings\.\w+/\d|\b[0-9a-f]{8,}\b",
        "",
        "\n".join(lines),
    )
    assert set(re.findall(r"[A-Za-z_]{3,}", said)) <= {"lift", "hook", "kit", "Asia", "Shanghai"}


def test_the_same_in_english(entrapment):
    settings, id_ = entrapment
    lines = told(settings, id_, EN)
    assert any(
        re.fullmatch(
            r"incident \w+: Lift lift-1, people trapped \(elevator.entrapment\), Critical, Cleared", line
        )
        for line in lines
    )
    assert any(line.startswith("door open in the zone: ") and ", limit ≥ 10 s, " in line for line in lines)
    assert not any(re.search("[一-鿿]", line) for line in lines)


def test_an_id_that_is_none_is_answered_in_the_language(entrapment):
    settings, _ = entrapment
    with pytest.raises(
        ZhiweiError, match="no incident, event, finding or dispatch has an id that begins with"
    ):
        told(settings, "0000ffff0000", EN)
    with pytest.raises(ZhiweiError, match="没有编号以 xyz 开头"):
        told(settings, "xyz", ZH)
