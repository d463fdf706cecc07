"""What the console asks of the embedded bed's files."""

from pathlib import Path

from zhiwei.settings import Settings
from zhiwei.wiring.sources import sources


def test_what_is_no_channel_has_an_empty_history_and_no_error(tmp_path: Path) -> None:
    asked = sources(Settings(site="x", data_dir=str(tmp_path))).history
    for scenario, name in (("water", "branch"), ("parking", "bay")):
        found = asked.series(scenario, "e", name, 0, 1_000_000, 1_000)
        assert (len(found.times), found.intervals) == (0, ())
