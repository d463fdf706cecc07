"""``zhiwei simulate`` and ``zhiwei evaluate`` as a person or a program calls them."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from zhiwei.cli import main


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, Path]:
    """A day of three pump rooms in a file, its labels, and what the rules of water found in it."""
    out, labels, findings = (tmp_path / name for name in ("world.jsonl", "labels.jsonl", "findings.jsonl"))
    done = call(
        "simulate", "water", "--entities", "3", "--days", "1", "--event-rate", "1",
        "--seed", "3", "--out", out, "--labels", labels,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "4320 reports written" in done.output
    done = call("replay", out, "--scenario", "water", "--out", findings)
    assert done.exit_code == 0, done.output
    assert "refused" not in done.output
    return findings, labels


def test_lines_and_labels_have_the_documented_keys(tmp_path: Path) -> None:
    out, labels = tmp_path / "w.jsonl", tmp_path / "l.jsonl"
    done = call("simulate", "elderly", "--event-rate", "1", "--days", "2", "--out", out, "--labels", labels)
    assert done.exit_code == 0, done.output
    first = json.loads(out.read_text().splitlines()[0])
    assert list(first)[:3] == ["ts", "entity", "device"]
    for line in labels.read_text().splitlines():
        said = json.loads(line)
        assert list(said) == ["entity", "kind", "onset", "end", "life_safety", "fault", "detail", "world"]
        assert said["onset"].endswith("Z")
        assert said["fault"] is None
        assert said["world"]["entities"] == 10


def test_a_simulated_day_is_replayed_and_evaluated(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    findings, labels = labelled
    report = tmp_path / "report.html"
    done = call("evaluate", findings, "--labels", labels, "--scenario", "water", "--html", report)
    assert done.exit_code == 0, done.output
    assert "watched water: 3 × 1 d" in done.output
    as_json = json.loads(call("evaluate", findings, "--labels", labels, "--json").output)
    assert as_json["worlds"] == {"water": {"entities": 3, "days": 1.0}}
    kinds = {one["kind"]: one for one in as_json["kinds"]}
    limits = [kinds[kind] for kind in ("water.chlorine_low", "water.turbidity_high") if kind in kinds]
    assert any(one["found"]["of"] for one in limits)
    assert all(one["found"]["hits"] == one["found"]["of"] for one in limits)
    assert as_json["all"]["found"]["of"] == len(labels.read_text().splitlines())


class Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.refers += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_stands_alone_and_escapes_what_it_shows(tmp_path: Path) -> None:
    labels, findings, report = tmp_path / "l.jsonl", tmp_path / "f.jsonl", tmp_path / "r.html"
    evil = "<script>alert(1)</script>"
    labels.write_text(json.dumps({
        "entity": evil, "kind": "water.x", "onset": "2026-01-05T00:00:00Z", "end": "2026-01-05T01:00:00Z",
        "life_safety": True, "fault": None, "detail": "any text",
    }))  # fmt: skip
    findings.write_text("")
    done = call("evaluate", findings, "--labels", labels, "--entities", "2", "--days", "3", "--html", report)
    assert done.exit_code == 0, done.output
    page = Page(report.read_text())
    assert page.refers == []
    assert evil in page.text
    assert evil not in report.read_text()
    assert "Missed: 1" in page.text


LABEL = '{"entity":"a","kind":"water.x","onset":"2026-01-05T00:00:00Z","end":"2026-01-05T01:00:00Z"}'


@pytest.mark.parametrize(
    ("labels", "findings", "text"),
    [
        ("nonsense", "", "l.jsonl, line 1: no label: JSON is malformed"),
        ('{"entity":"a"}', "", "l.jsonl, line 1: no label: Object missing required field `kind`"),
        (LABEL.replace('T00:00:00Z"', 'T00:00:00"'), "", "onset and end need an offset"),
        (LABEL.replace("01:00:00Z", "01:00:00Z").replace("00:00:00Z", "02:00:00Z"), "", "is before onset"),
        (LABEL, "{}", "f.jsonl, line 1: no finding"),
        (LABEL, "", "no world of water: give --entities and --days"),
        ("", "", "nothing to compare"),
    ],
)
def test_files_that_cannot_be_compared_are_named_with_the_line(
    tmp_path: Path, labels: str, findings: str, text: str
) -> None:
    (tmp_path / "l.jsonl").write_text(labels + "\n")
    (tmp_path / "f.jsonl").write_text(findings + "\n")
    done = call("evaluate", tmp_path / "f.jsonl", "--labels", tmp_path / "l.jsonl")
    assert done.exit_code == 1
    assert text in done.output
    assert "Traceback" not in done.output


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    done = call("evaluate", tmp_path / "f.jsonl", "--labels", tmp_path / "l.jsonl")
    assert (done.exit_code, "l.jsonl: cannot be read" in done.output) == (1, True)
    done = call("simulate", "water", "--out", tmp_path / "no" / "where.jsonl")
    assert (done.exit_code, "cannot be written" in done.output) == (1, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["water"], "give either --mqtt URL or --out FILE"),
        (["water", "--out", "x", "--mqtt", "mqtt://h"], "give either --mqtt URL or --out FILE"),
        (["water", "--out", "x", "--speed", "2"], "--speed is a number above 0, and goes with --mqtt"),
        (["water", "--out", "x", "--start", "yesterday"], "--start yesterday: expected ISO 8601"),
        (["water", "--out", "x", "--start", "2026-01-05"], "--start 2026-01-05: expected ISO 8601"),
        (["parking", "--out", "x"], "no simulator 'parking'"),
        (["script", "--out", "x"], "the script has three scenarios and a file has one"),
        (["water", "--mqtt", "http://h"], "expected mqtt://host:port"),
        (["water", "--out", "x", "--faults", "none.toml"], "none.toml: (file)"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_refused_and_writes_nothing(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("simulate", *words)
    assert done.exit_code in (1, 2)
    assert text in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_faults_can_be_listed_without_a_scenario() -> None:
    done = call("simulate", "--list-faults")
    assert done.exit_code == 0
    assert "clock_offset" in done.output
    assert "(s/d)" in done.output
