"""What an event's fields become, whatever a server puts into them."""

from datetime import datetime
from typing import Any

import pytest
from asyncua import ua
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from trunkline.log.codec.events import decode_event, encode_event
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.sources.opcua.config import SeverityBands
from trunkline.sources.opcua.eventbook import HELD_CONDITIONS, Entry, EventBook, Held
from trunkline.sources.opcua.eventfilter import ALL_FIELDS, SPECIAL, event_filter
from trunkline.sources.opcua.eventmapping import EventMapper
from trunkline.sources.opcua.eventtypes import UNNAMED, EventTypes, event_name
from trunkline.sources.opcua.stack import node_id
from trunkline.sources.opcua.tests.support import settings

NOW = times.from_iso("2026-11-21T13:00:00Z")
CONFIG = settings("opc.tcp://192.0.2.1", [], events=[{}])
MAPPER = EventMapper(CONFIG, "gateway", "urn:server", ("", "urn:server"), EventTypes())

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.lists(st.integers(), max_size=3),
    st.builds(ua.LocalizedText, st.text()),
    st.builds(ua.NodeId, st.one_of(st.integers(0, 2**32 - 1), st.text()), st.integers(0, 5)),
    st.builds(ua.StatusCode, st.integers(0, 2**32 - 1)),
)


@example({"ConditionId": ua.NodeId(1, 2), "ActiveState/Id": True, "Severity": 2**64 - 1})  # type: ignore[arg-type]  # library's types
@examples(deadline=None)
@given(st.dictionaries(st.sampled_from([field.name for field in ALL_FIELDS]), anything))
def test_any_event_is_taken(facts: dict[str, Any]) -> None:
    """A server that gives fields of a wrong type, or none, cannot stop the others: the event is taken, and can be journaled (W-55)."""
    heard = MAPPER.heard(CONFIG.events[0], facts, NOW)
    assert heard == MAPPER.heard(CONFIG.events[0], facts, NOW)
    event = heard.event
    assert decode_event(encode_event(event)) == event
    assert times.EARLIEST <= event.time <= NOW + times.DAY
    assert isinstance(event, Alarm) == bool(heard.state)
    assert "\0" not in event.text


@pytest.mark.parametrize(
    ("browse_name", "name"),
    [
        ("BaseEventType", "BASE_EVENT"),
        ("ExclusiveLevelAlarmType", "EXCLUSIVE_LEVEL_ALARM"),
        ("AuditOpenSecureChannelEventType", "AUDIT_OPEN_SECURE_CHANNEL_EVENT"),
        ("PLCFault2Type", "PLC_FAULT_2"),
        ("motor tripped", "MOTOR_TRIPPED"),
        ("Type", UNNAMED),
        ("", UNNAMED),
    ],
)
def test_names_of_types(browse_name: str, name: str) -> None:
    assert event_name(browse_name) == name


def test_severities_of_the_site_file() -> None:
    """P-16: the bands are settings; a server that calls everything 500 or more can still be told apart."""
    bands = SeverityBands(medium=600, high=700, critical=800)
    assert [bands.severity(value).name for value in (599, 600, 699, 700, 799, 800)] == [
        "LOW",
        "MEDIUM",
        "MEDIUM",
        "HIGH",
        "HIGH",
        "CRITICAL",
    ]
    assert SeverityBands().severity(0) is AlarmSeverity.LOW


def test_a_filter_lists_the_types_of_its_own_too() -> None:
    """Part 9, 4.5: refresh and overflow come whatever is asked for; servers that filter them too are asked for them."""
    kind = node_id(9, 2)
    (element,) = event_filter(ALL_FIELDS, [kind]).WhereClause.Elements
    literals = [operand.Value.Value for operand in element.FilterOperands[1:]]
    assert set(literals) == {kind, *SPECIAL}
    assert not event_filter(ALL_FIELDS, []).WhereClause.Elements


def test_the_book_is_bounded_and_survives_a_checkpoint_it_cannot_read() -> None:
    """Conditions beyond the bound let the oldest go; a damaged checkpoint costs a repeat, not the source."""
    book = EventBook(lambda: '{"a": 1}')
    assert book.begin() == []
    assert book.held == {}
    heard = MAPPER.heard(CONFIG.events[0], {"EventId": b"1", "Time": datetime(2026, 11, 21)}, NOW)  # noqa: DTZ001 - as the library gives it
    for number in range(HELD_CONDITIONS + 1):
        book.take(Entry(heard.event, str(number), Held("i=2253", str(number), NOW, "ALARM", 500)))
    assert len(book.held) == HELD_CONDITIONS
    assert "0" not in book.held
    assert book.knows(heard.event.id, "")
    assert book.knows("5", "5")
    assert not book.knows("5", "6")
