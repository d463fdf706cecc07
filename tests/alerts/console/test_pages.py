"""The parts of pages as HTML: whole, and harmless whatever comes in."""

import msgspec
import pytest

from alerts.api.query import Delivery, Dossier, Refusal, Told
from alerts.api.sources import LastValue, Refused
from alerts.console.devices_page import devices
from alerts.console.incident_parts import course, facts, head
from alerts.console.quarantine_page import BYTES_MOST, hexdump, quarantine
from alerts.console.texts import Language
from alerts.console.words import Words
from alerts.incident import Action, Command, Kind, fold
from alerts.store.outbox import Dispatched
from zhiwei.clock import to_us
from zhiwei.types import Evidence, Observation, Reason, Rejection

WORDS = Words(Language.EN, {})
EVIL = "<script>alert(1)</script>\"'"


def dossier(records, deliveries=(), refused=(), findings=()):
    incident, history = None, []
    for record in records:
        incident, changes = fold(incident, record, 1)
        history += [
            Told(
                id=f"e{change.incident.sequence}", sequence=change.incident.sequence, kind=Kind(change.kind),
                at_us=to_us(change.at), finding=change.finding, command=change.command,
            )
            for change in changes
        ]  # fmt: skip
    return Dossier(
        incident=incident, findings=tuple(findings), history=tuple(history), earlier=0,
        deliveries=tuple(deliveries), refused=tuple(refused),
    )  # fmt: skip


def delivery(event, state="delivered", sink="desk", **other):
    return Delivery(
        event=event, sequence=1, sink=sink, state=Dispatched(state), reason="",
        attempts=other.get("attempts", 1), written_us=0, due_us=None, settled_us=None,
        last_error=other.get("error", ""),
    )  # fmt: skip


def test_the_course_goes_from_the_latest_back_and_folds_updates_up(finding, at):
    close = Command(action=Action.CLOSE, who="Wang", why="repaired", at=at(90))
    records = [finding(), *(finding(rev=n, at=n) for n in range(2, 6)), close]
    html = course(
        WORDS, dossier(records, [delivery("e1"), delivery("e3", "dead", error="410 Gone", attempts=2)])
    )
    places = [html.index(text) for text in ("repaired", "4 updates", "Opened")]
    assert places == sorted(places)
    assert "✕</span> desk · Given up · 2 attempts · 410 Gone" in html


def test_a_refused_command_stands_where_it_was_given(finding, at):
    refused = Refusal(
        action=Action.CONFIRM,
        who="Li",
        why="",
        at_us=to_us(at(95)),
        reason="unknown_transition",
        detail="closed",
    )
    close = Command(action=Action.CLOSE, who="Wang", at=at(90))
    html = course(WORDS, dossier([finding(), close], refused=[refused]))
    assert html.index("Not done: Confirm") < html.index("Closed") < html.index("Opened")


def test_what_came_after_a_person_had_ended_it_is_told(finding, at):
    close = Command(action=Action.REJECT, who="Wang", why="test", at=at(90))
    later = finding(rev=2, at=200, severity="critical")
    told = head(WORDS, dossier([finding(), close], findings=[later]), safety=True)
    assert "The finding has changed since (Raised, Critical)" in told
    assert "changed since" not in head(WORDS, dossier([finding(), close], findings=[finding()]), safety=True)


def test_nothing_from_outside_is_html(finding, at):
    one = finding(entity=EVIL, kind=f"water.{EVIL}", rule=EVIL, scenario=EVIL)
    close = Command(action=Action.CLOSE, who=EVIL, why=EVIL, at=at(9))
    made = dossier([one, close], [delivery("e1", "dead", sink=EVIL, error=EVIL)], findings=[one])
    value = LastValue(EVIL, EVIL, EVIL, EVIL, EVIL, 0, 0)
    rejection = Rejection(
        reason=Reason.NOT_JSON, scope="row", topic=EVIL, detail=EVIL, payload=EVIL.encode(), arrived=at(0)
    )
    parts = (
        head(WORDS, made, safety=True), course(WORDS, made), facts(WORDS, made), devices(WORDS, (value,), ""),
        quarantine(WORDS, (Refused(0, rejection),)),
    )  # fmt: skip
    for html in parts:
        assert "<script" not in html


def test_a_time_that_was_observed_is_in_the_readers_zone(finding):
    since = Observation(name="person_latched_since", observed="2026-05-20T02:25:15+00:00")
    one = msgspec.structs.replace(finding(), evidence=Evidence(observations=(since,)))
    assert '<td><zw-time ms="1779243915000.000"></zw-time></td>' in facts(
        WORDS, dossier([one], findings=[one])
    )


def test_bytes_are_shown_with_their_place_and_printable_letters():
    assert hexdump(b"\x00ab\xff" + b"c" * 14).splitlines() == [
        "000000  00 61 62 ff 63 63 63 63 63 63 63 63 63 63 63 63  .ab.cccccccccccc",
        "000010  63 63                                            cc",
    ]


def test_of_a_long_payload_the_first_part_is_shown_and_said(at):
    long = Rejection(
        reason=Reason.TOO_LARGE, scope="payload", topic="t", detail="d", payload=b"x" * 5000, arrived=at(0)
    )
    html = quarantine(WORDS, (Refused(0, long),))
    assert f"The first {BYTES_MOST:,} bytes are shown" in html
    assert "5,000 bytes" in html


@pytest.mark.parametrize(("search", "count"), [("", 2), ("L-1", 1), ("KIT", 2), ("nothing", 0)])
def test_devices_are_searched_by_entity_and_device(search, count):
    values = tuple(LastValue("elevator", entity, "kit", "speed", 1.0, 0, 0) for entity in ("L-1", "L-2"))
    assert devices(WORDS, values, search).count("<code>kit</code>") == count
