"""What is open now, for those who watch."""

from hypothesis import given
from hypothesis import strategies as st

from alerts.console import board as boards
from alerts.console.board import Board
from alerts.incident import Action, Command, fold

SAFETY = frozenset({"elevator.entrapment"})


def changes_of(records):
    incident, changes = None, []
    for record in records:
        incident, made = fold(incident, record, 1_000_000)
        changes += made
    return changes


def test_the_most_urgent_comes_first(finding, at):
    def one(name, **other):
        return changes_of([finding(name, entity=name, **other)])

    seen = Command(action=Action.ACKNOWLEDGE, who="Wang", at=at(99))
    board = Board(SAFETY)
    board.feed(one("old-minor", severity="minor", at=1))
    board.feed(one("new-minor", severity="minor", at=9))
    board.feed(one("safety", kind="elevator.entrapment", severity="major"))
    board.feed(one("critical", severity="critical"))
    board.feed(changes_of([finding("seen", entity="seen", severity="critical", at=50), seen]))
    order = [entry.incident.entity for entry in board.since(0).entries]
    assert order == ["safety", "critical", "seen", "new-minor", "old-minor"]
    assert (board.counts().total, board.counts().unhandled, board.counts().life_safety) == (5, 4, 1)


def test_after_a_number_only_what_came_later_is_told(finding):
    board = Board(SAFETY)
    board.feed(changes_of([finding("a", entity="a")]))
    seen = board.since(0).number
    assert board.since(seen).entries == ()
    b = changes_of([finding("b", entity="b")])
    board.feed(b)
    news = board.since(seen)
    assert ([entry.incident.entity for entry in news.entries], news.latest, news.everything) == (
        ["b"], tuple(b), False,
    )  # fmt: skip


def test_what_is_closed_is_removed_and_its_sequence_is_remembered(finding, at):
    opened, closed = changes_of([finding("a"), Command(action=Action.CLOSE, who="W", at=at(1))])
    board = Board(SAFETY)
    board.feed([opened])
    seen = board.since(0).number
    board.feed([closed])
    assert board.since(seen).removed == (opened.incident.id,)
    assert board.sequence(opened.incident.id) == 2
    board.feed([opened])
    assert board.since(0).entries == (), "an older change says nothing new"


def test_what_was_fed_while_the_store_was_read_is_newer(finding):
    first, second = changes_of([finding("a"), finding("a", rev=2, severity="critical", at=5)])
    board = Board(SAFETY)
    board.feed([second])
    board.load([(first.incident, first.finding)], [first])
    (entry,) = board.since(0).entries
    assert entry.incident == second.incident
    assert board.since(0).latest == (second, first)


def test_who_was_away_for_too_long_gets_everything(finding, monkeypatch):
    monkeypatch.setattr(boards, "_TOUCHED_MOST", 3)
    board = Board(SAFETY)
    board.feed(changes_of([finding("a", entity="a")]))
    seen = board.since(0).number
    for name in "bcdef":
        board.feed(changes_of([finding(name, entity=name)]))
    news = board.since(seen)
    assert news.everything
    assert len(news.entries) == 6


@given(st.data())
def test_a_page_that_takes_the_news_has_what_the_board_has(finding, at, data):
    board, page, seen = Board(SAFETY), {}, 0
    lives = {}
    for _ in range(data.draw(st.integers(1, 30))):
        name = data.draw(st.sampled_from("abcd"))
        incident, number = lives.get(name, (None, 0))
        record = finding(f"{name}{number}", rev=number + 1, entity=name, at=number)
        if incident is not None and data.draw(st.booleans()):
            record = Command(action=Action.CLOSE, who="W", at=at(number))
        incident, made = fold(incident, record, 1)
        lives[name] = (None if incident.state == "closed" else incident, number + 1)
        board.feed(made)
        if data.draw(st.booleans()):
            seen = take(page, board, seen)
    take(page, board, seen)
    assert page == {entry.incident.id: entry.incident for entry in board.since(0).entries}


def take(page, board, seen):
    news = board.since(seen)
    if news.everything:
        page.clear()
    for key in news.removed:
        page.pop(key, None)
    page.update({entry.incident.id: entry.incident for entry in news.entries})
    return news.number
