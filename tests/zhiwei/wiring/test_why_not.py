"""Why nothing was found: worked examples, in both languages."""

import re
from datetime import datetime

import pytest

from alerts.console.texts import Language
from zhiwei import registry
from zhiwei.clock import MICROS, to_us
from zhiwei.errors import ZhiweiError
from zhiwei.types import Reason, Rejection
from zhiwei.wiring.why_not import why_not
from zhiwei.wiring.wording import language_of_locale

ZH, EN = Language.ZH, Language.EN


@pytest.fixture
def ask(manual_clock):
    def asked(made, entity, moment, language=EN, **wanted):
        return [
            line.strip() for line in why_not(made.settings, entity, moment, language, manual_clock, **wanted)
        ]

    return asked


def ended(lines, beginning):
    return [line for line in lines if line.startswith(beginning)]


def test_a_lift_that_stood_40_s_of_45_s_lacks_the_hold_time_alone(bed, ask):
    made = bed().case("elevator/E1")
    lines = ask(made, "lift-1", "08:00:50", kind="elevator.entrapment")
    assert lines[0] == (
        "Lift lift-1: why was there no finding of people trapped (elevator.entrapment) "
        "at 2026-03-02 08:00:50 (Asia/Shanghai)?"
    )
    assert "in the 10 min before: 11 rows, of: kit" in lines
    assert "intake was proven live" in lines
    assert "nothing was open at that time" in lines
    assert ended(lines, "5 s later: people trapped (elevator.entrapment) raised at 08:00:55")
    place = lines.index("stopped outside the door zone with somebody inside:")
    assert lines[place + 1].startswith("does not hold: held 40 s of 45 s (since 08:00:10, source: ")
    assert lines[place + 2] == (
        "holds: mode normal, stopped, outside the door zone, somebody in the car (since 08:00:00), "
        "level sensor sound"
    )


def test_the_same_in_chinese_as_a_duty_engineer_says_it(bed, ask):
    made = bed().case("elevator/E1")
    lines = ask(made, "lift-1", "2026-03-02T08:00:50", ZH, kind="elevator.entrapment")
    assert lines[0] == (
        "电梯 lift-1：2026-03-02 08:00:50（Asia/Shanghai）为什么没有发现有人被困（elevator.entrapment）？"
    )
    assert "此前 10 分钟收到 11 行，设备：kit" in lines
    place = lines.index("停在门区外，轿厢内有人：")
    assert lines[place + 1].startswith("不成立：保持时长 40 秒，须满 45 秒（自 08:00:10 起，依据：四件套")
    assert lines[place + 2].startswith("成立：运行模式 正常，停止，在门区外，轿厢内有人（自 08:00:00 起）")


def test_what_was_open_at_the_time_is_named_with_its_id(bed, ask):
    lines = ask(bed().case("elevator/E1"), "lift-1", "08:01:00")
    there = "there was one: people trapped (elevator.entrapment), raised, since 08:00:10; see zhiwei explain "
    assert ended(lines, there)
    assert "nothing was open at that time" not in lines


@pytest.mark.parametrize(
    ("case", "entity", "moment", "english", "chinese"),
    [
        (
            "elevator/E5", "lift-1", "2026-03-02T08:20:00+08:00",
            "does not hold: mode inspection: nothing is judged in it", "不成立：运行模式 检修，此时不判",
        ),
        (
            "elevator/E2", "lift-1", "2026-03-02T08:03:00+08:00",
            "does not hold: held 170 s of 300 s (since 08:00:10",
            "不成立：保持时长 170 秒，须满 300 秒（自 08:00:10 起",
        ),
        (
            "elderly/h3_away", "home-1", "2026-03-17T15:00:00+08:00",
            "does not hold: the resident is out (since 08:10:00)", "不成立：人已外出（自 08:10:00 起）",
        ),
        (
            "elderly/h12_warm_up", "home-1", "2026-03-06T12:00:00+08:00",
            "beside: warm-up day 5 of 14: no personal line yet, fixed limits only",
            "另：学习期第 5 天（共 14 天）：还没有个人习惯线，只用固定上限",
        ),
        (
            "water/w4_chloramine_zone", "station-1", "2026-03-02T09:30:00+08:00",
            "does not hold: disinfectant of the zone total chlorine (chloramine) (takes free chlorine)",
            "不成立：本区消毒方式 总氯（氯胺）（须为 游离氯）",
        ),
    ],
)  # fmt: skip
def test_a_worked_example_says_what_was_missing(bed, ask, case, entity, moment, english, chinese):
    made = bed().case(case, ticks=False)
    assert ended(ask(made, entity, moment), english)
    lines = ask(made, entity, moment, ZH)
    assert ended(lines, chinese)
    said = re.sub(r"（[a-z]+\.[a-z_]+）|设备：?.*|策略 \w+|“[^”]*”|zhiwei \w+ ?\w*", "", "\n".join(lines[1:]))
    foreign = set(re.findall(r"[A-Za-z_]{3,}", said)) - {"live", "NTU", "CANARY", "Cuddihy", "ORP"}
    assert foreign == set(), "words left in English"


def test_channels_that_the_kit_lacks_are_named(bed, ask):
    lines = ask(bed().case("elevator/E1"), "lift-1", "08:00:50")
    (line,) = ended(lines, "what it sends cannot support: ")
    assert "overspeed (elevator.overspeed) (takes speed)" in line
    assert "elevator.entrapment" not in line


def test_input_that_was_refused_is_the_answer_where_nothing_else_came(bed, ask):
    made = bed().case("elevator/E1").refuse(
        Rejection(
            reason=Reason.UNKNOWN_DEVICE, scope="payload", topic="zw/v1/elevator/lift-9/kit",
            detail="device 'kit' of 'lift-9' is not registered", payload=b"{}", rows=1,
            arrived=datetime.fromisoformat("2026-03-02T08:00:40+08:00"),
        )
    )  # fmt: skip
    lines = ask(made, "lift-9", "08:00:50")
    assert "no row of it is in the log" in lines
    assert ended(lines, "refused 1 times: ")[0].endswith("is not registered")
    assert "there is nothing to replay" in lines
    assert ended(ask(made, "lift-9", "08:00:50", ZH), "拒收 1 次：未登记设备（整包）")


def test_an_entity_nobody_knows_is_answered_with_similar_names(bed, ask):
    made = bed().case("elevator/E1")
    with pytest.raises(ZhiweiError, match=r"nothing is known of lift-2.* similar names: lift-1"):
        ask(made, "lift-2", "08:00:50")
    with pytest.raises(ZhiweiError, match=r"没有叫 lift-2 的对象.*名字相近的有：lift-1"):
        ask(made, "lift-2", "08:00:50", ZH)


def test_a_time_that_the_log_does_not_reach_is_answered_as_such(bed, ask):
    made = bed().case("elevator/E1")
    assert ask(made, "lift-1", "07:00")[1].startswith("the log begins at 08:00:00")
    assert ask(made, "lift-1", "23:00")[1].startswith("the log goes up to 08:")
    assert len(ask(made, "lift-1", "23:00")) == 2


def test_a_log_without_ticks_says_so(bed, ask):
    lines = ask(bed().case("elevator/E5", ticks=False), "lift-1", "08:20:00")
    assert "clock live has no ticks: its time goes by the rows" in lines


def test_an_outage_of_intake_and_a_redelivery_are_told(bed, ask, frame, tick):
    part = registry.scenario("elevator")
    start = to_us(datetime.fromisoformat("2026-03-02T08:00:00+08:00"))
    row = frame(part, {"moving": False, "in_door_zone": True}, "lift-1", start)
    seconds = [*range(1, 10), *range(60, 90)]
    made = bed().rows("elevator", [row, row, *(tick(start + s * MICROS) for s in seconds)])
    lines = ask(made, "lift-1", "08:00:30")
    assert "intake was down: no tick from 08:00:09 to 08:01:00; this time counts as no silence" in lines
    assert "duplicate 1, late 0, set aside 0, historical (backlog) 0" in lines
    assert ended(
        lines, "what it sends cannot support: people trapped (elevator.entrapment) (takes door closed"
    )


@pytest.mark.parametrize("moment", ["soon", "25:00", "2026-13-01T00:00:00", "8", ""])
def test_what_is_no_time_is_refused_by_what_it_is(bed, ask, moment):
    with pytest.raises(ZhiweiError, match="is no time: expected ISO 8601"):
        ask(bed().case("elevator/E1"), "lift-1", moment)


def test_a_scenario_or_kind_that_does_not_exist_is_named(bed, ask):
    made = bed().case("elevator/E1")
    with pytest.raises(
        ZhiweiError, match=r"no kind is called elevator.flying; there are: .*elevator.entrapment"
    ):
        ask(made, "lift-1", "08:00:50", kind="elevator.flying")
    with pytest.raises(ZhiweiError, match="no scenario is called trams"):
        ask(made, "lift-1", "08:00:50", scenario="trams")


def test_an_empty_data_directory_is_said(tmp_path, bed, ask):
    made = bed(tmp_path / "a")
    made.settings = type(made.settings)(data_dir=str(tmp_path / "b"))
    with pytest.raises(ZhiweiError, match="has no log yet"):
        ask(made, "lift-1", "08:00:50")


def test_the_language_is_the_locales():
    said = [{"LANG": "zh_CN.UTF-8"}, {"LANG": "zh_CN", "LC_ALL": "C"}, {"LC_ALL": "", "LANG": "en_GB"}, {}]
    assert [language_of_locale(one) for one in said] == [ZH, EN, EN, EN]


def test_every_kind_in_the_tree_has_a_word_in_both_languages(bed):
    from zhiwei.wiring.wording import Speaker

    settings = bed().settings
    for name in ("water", "elevator", "elderly", "generic"):
        for kind in registry.scenario(name).kinds:
            zh, en = (Speaker(language, settings).kind(kind.name) for language in (ZH, EN))
            assert re.search("[一-鿿]", zh), kind.name
            assert en != kind.name
