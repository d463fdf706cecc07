"""``zhiwei explain`` as it is called."""

import pytest
from click.testing import CliRunner

from zhiwei.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected an ID or --why-not ENTITY TIME"),
        (["abcd", "--why-not", "lift-1", "08:00"], "expected an ID or --why-not ENTITY TIME"),
        (["abcd", "--kind", "elevator.entrapment"], "--scenario and --kind go with --why-not"),
        (["abcd", "--lang", "fr"], "'fr' is not one of 'zh', 'en'"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, said):
    ran = CliRunner().invoke(main, ["explain", *arguments])
    assert (ran.exit_code, said in ran.output) == (2, True)


@pytest.mark.parametrize(
    ("locale", "said"), [("zh_CN.UTF-8", "里还没有日志"), ("en_GB.UTF-8", "has no log yet")]
)
def test_the_answer_is_in_the_locales_language_and_no_traceback(tmp_path, locale, said):
    ran = CliRunner(env={"LC_ALL": locale}).invoke(
        main, ["explain", "--why-not", "lift-1", "08:00", "--data-dir", str(tmp_path)]
    )
    assert (ran.exit_code, said in ran.output, "Traceback" in ran.output) == (1, True, False)
