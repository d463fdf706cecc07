"""Events against the JSON Schema that receivers are given."""

import json
from importlib.resources import files

import jsonschema
import msgspec
import pytest

from alerts import event
from alerts.batch import Decoded, View, fold_records
from alerts.incident import Action, Command, fold
from zhiwei.ids import digest

SCHEMA = json.loads(files("alerts").joinpath("schema/incident-event-1.json").read_text(encoding="utf-8"))


def strict(schema):
    """The same schema, with every member described: a new field must be described too."""
    if isinstance(schema, dict):
        inner = {key: strict(value) for key, value in schema.items() if key not in {"if", "then", "else"}}
        if "required" in schema and "properties" in schema:
            inner["additionalProperties"] = False
        return inner
    return [strict(item) for item in schema] if isinstance(schema, list) else schema


@pytest.fixture(scope="module")
def bodies(finding, tick):
    """A whole life: opened, updated, cleared, reopened, cleared, closed."""
    records = [
        finding("a1", phase="suspected", severity="minor"),
        finding("a1", rev=2, at=1.5, severity="critical"),
        finding("a1", rev=3, phase="cleared", at=10),
        finding("b2", at=20),
        finding("b2", rev=2, phase="cleared", at=30),
        tick(9000),
    ]
    folded = fold_records(View(), [Decoded(n, record) for n, record in enumerate(records)], 1_800_000_000)
    return [event.encode(event.event_of(change)) for change in folded.changes]


def test_every_kind_of_event_fits_the_schema_and_says_nothing_beyond_it(bodies):
    kinds = [json.loads(body)["type"].rpartition(".")[2] for body in bodies]
    assert kinds == ["opened", "updated", "cleared", "reopened", "cleared", "closed"]
    for schema in (SCHEMA, strict(SCHEMA)):
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        for body in bodies:
            validator.validate(json.loads(body))


def test_what_is_held_and_then_told_fits_the_schema(late, trapped):
    for end in (trapped(), late(rev=2, phase="cleared", at=9)):
        folded = fold_records(View(), [Decoded(0, late()), Decoded(1, end)], 1_800_000_000)
        for change in folded.changes:
            body = json.loads(event.encode(event.event_of(change)))
            jsonschema.Draft202012Validator(strict(SCHEMA)).validate(body)


def test_the_schema_refuses_what_is_no_event(bodies):
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for path, value in [
        (("id",), "short"),
        (("time",), "2025-06-01T00:00:00"),
        (("type",), "zhiwei.incident.lost"),
        (("data", "finding"), None),
        (("data", "incident", "sequence"), 0),
    ]:
        broken = json.loads(bodies[0])
        place = broken
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert not validator.is_valid(broken), path


def test_the_schema_is_whole_in_itself():
    def refs(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            for value in node.values():
                yield from refs(value)
        elif isinstance(node, list):
            for value in node:
                yield from refs(value)

    assert {ref.partition("/")[0] for ref in refs(SCHEMA)} == {"#"}


def test_the_envelope_names_site_incident_and_event_time(bodies):
    message = json.loads(bodies[1])
    incident = message["data"]["incident"]
    del message["data"]
    assert message == {
        "specversion": "1.0",
        "id": digest("event", incident["id"], 2),
        "source": "/zhiwei/local",
        "type": "zhiwei.incident.updated",
        "subject": incident["id"],
        "time": "2025-06-01T00:00:01.500000Z",
        "datacontenttype": "application/json",
        "dataschema": SCHEMA["$id"],
    }


def test_a_site_of_any_letters_makes_a_valid_source(finding):
    folded = fold_records(View(), [Decoded(0, finding(site="郑州?1"))], 1)
    assert event.event_of(folded.changes[0]).source == "/zhiwei/%E9%83%91%E5%B7%9E%3F1"


def test_an_event_reads_back_as_it_was(bodies):
    assert [event.encode(event.decode(body)) for body in bodies] == bodies


def test_equal_findings_are_equal_bytes_whatever_the_order_of_their_maps(finding):
    bodies = set()
    for versions in ({"policy": "1", "rules": "2"}, {"rules": "2", "policy": "1"}):
        one = msgspec.structs.replace(finding(), versions=versions)
        folded = fold_records(View(), [Decoded(0, one)], 1)
        bodies |= {event.encode(event.event_of(change)) for change in folded.changes}
    assert len(bodies) == 1


@pytest.mark.parametrize("action", ["acknowledge", "confirm", "reject", "close"])
def test_what_people_decide_fits_the_schema_and_only_they_have_a_command(finding, at, bodies, action):
    opened, _ = fold(None, finding("a1"), 1)
    command = Command(action=Action(action), who="王", why="误报", at=at(5))
    _, (change,) = fold(opened, command, 1)
    body = event.encode(event.event_of(change))
    for schema in (SCHEMA, strict(SCHEMA)):
        jsonschema.Draft202012Validator(schema).validate(json.loads(body))
    assert event.encode(event.decode(body)) == body
    assert all("command" not in json.loads(other)["data"] for other in bodies)
    broken = json.loads(body)
    broken["type"] = "zhiwei.incident.opened"
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(broken)
