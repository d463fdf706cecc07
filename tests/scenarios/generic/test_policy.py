import pytest

from scenarios.generic import SCENARIO
from zhiwei.errors import ConfigError
from zhiwei.types import Flag, Severity


def test_the_shipped_policy_is_valid_and_speaks_of_itself(shipped: str) -> None:
    policy = SCENARIO.policy(None)
    assert policy.text == shipped
    assert (policy.detector_name, policy.discriminator_name) == ("robust_z", "binomial")
    assert (policy.latency_us, policy.severity) == (60_000_000, Severity.MINOR)
    assert policy.left_out_quality == (
        Flag.LATE | Flag.STOPPED | Flag.MAINTENANCE | Flag.MANUAL | Flag.FAULT | Flag.CALIBRATION
        | Flag.COMMUNICATION
    )  # fmt: skip


@pytest.mark.parametrize("detector", ["robust_z", "mvnn", "isolation_forest"])
@pytest.mark.parametrize("discriminator", ["binomial", "hold"])
def test_every_choice_that_the_shipped_policy_names_works(
    shipped: str, detector: str, discriminator: str
) -> None:
    text = shipped.replace('name = "robust_z"', f'name = "{detector}"')
    policy = SCENARIO.policy(text.replace('name = "binomial"', f'name = "{discriminator}"'))
    assert policy.detector(("ph",)).name == detector
    assert policy.discriminator().name == discriminator


def test_the_version_is_given_or_follows_from_the_text(shipped: str) -> None:
    same, other = SCENARIO.policy(shipped), SCENARIO.policy(shipped + "\n# a remark\n")
    assert same.version == SCENARIO.policy(None).version != other.version
    assert SCENARIO.policy('version = "2026-03"\n' + shipped).version == "2026-03"


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        ('name = "robust_z"', 'name = "robustz"', "p.toml: detector.name = 'robustz': expected one of "),
        ('name = "binomial"', 'name = "none"', "p.toml: discriminator.name = 'none': expected one of "),
        ("[detectors.robust_z]", "[detectors.other]", "p.toml: detectors.robust_z = None: expected a table"),
        ("window    = { value = 144", "window    = { value = 1", "robust_z.window = 1: expected int >= 2"),
        ("window    = { value = 144", "windw     = { value = 144", "robust_z.windw = 144: expected one of"),
        ("timeout     = { value = 12", "timeout     = { value = 0", "timeout = 0: expected int >= 1"),
        ('source = "ages', 'sorce = "ages', "p.toml: latency.sorce = 'ages at arrival"),
        ('unit = "s", ', "", "p.toml: latency.unit = None: expected this key to be given"),
        ('"minor"', '"bad"', "p.toml: severity.value = 'bad': expected"),
        ('"calibration"', '"calibrated"', "p.toml: left_out_quality.value[5] = 'calibrated': expected"),
        ("run_gap           = { value = 2", "run_gap = { value = -2", "run_gap.value = -2: expected int"),
        ("latency  ", "latncy  ", "p.toml: latncy = 'a table': expected no such key"),
        ("[detector]", "[detector", "p.toml: (syntax)"),
        ('"any number; the same one gives the same forest"', '""', "forest.seed.source = '': expected str"),
        ('seed     = { value = 0, unit = "",', 'seed = 0 #', "isolation_forest.seed = 0: expected a table {"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_answered_with_file_key_value_and_what_is_right(
    shipped: str, before: str, after: str, error: str
) -> None:
    assert shipped.count(before) == 1
    with pytest.raises(ConfigError) as raised:
        SCENARIO.policy(shipped.replace(before, after), file="p.toml")
    assert error in str(raised.value)


def test_hold_names_its_setting(shipped: str) -> None:
    text = shipped.replace('name = "binomial"', 'name = "hold"').replace(
        "clear_rows = { value = 3", "clear_rows = { value = 0"
    )
    with pytest.raises(ConfigError, match=r"discriminators\.hold\.clear_rows = 0: expected int >= 1"):
        SCENARIO.policy(text, file="p.toml")
