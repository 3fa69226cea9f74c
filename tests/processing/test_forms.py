"""Validation takes readings and events in every form; what comes out is ours (PD-11, PD-21, PD-22, W-95)."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fastavro
import pytest
from tests.log.readings import FLOW, MODE, NOW, envelope, single, stored

from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec import columns as codec
from trunkline.log.codec.event_records import decode_event_record
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.codec.records import EVENT_IDS, decode_records, gather
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.codec.schemas import BY_ID, EVENT_ID, frame
from trunkline.log.layouts.spec import Form
from trunkline.log.port import Record, StoredRecord
from trunkline.log.topics import Layout
from trunkline.log.unpack import form_of
from trunkline.model.errors import RetryLater
from trunkline.model.events import Alarm, Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category
from trunkline.processing.deadletter import DeadLetter, decode_dead_letter
from trunkline.processing.port import Outputs
from trunkline.processing.validate import ValidateStep

LAYOUT = Layout("gateway", 1)
RAW, CLEAN, DEAD = (LAYOUT.topic(Category.TELEMETRY, stage) for stage in ("raw", "clean", "dead"))
EVENTS, CLEAN_EVENTS = (LAYOUT.topic(Category.EVENT, stage) for stage in ("raw", "clean"))
ALARMS, CLEAN_ALARMS = (LAYOUT.topic(Category.ALARM, stage) for stage in ("raw", "clean"))
TAGS = {FLOW: TagConfig(path=FLOW, min=0, max=500), MODE: TagConfig(path=MODE, kind="text")}


def step(schemas: RegistryClient | None = None, forms: Forms | None = None) -> ValidateStep:
    return ValidateStep(LAYOUT, TAGS, ValidationConfig(), clock=lambda: NOW, schemas=schemas, forms=forms)


def emitted(out: Outputs, topic: str) -> list[StoredRecord]:
    return [StoredRecord(topic, 0, number, NOW, one.key, one.value, one.headers) for number, one in enumerate(out.get(topic, []))]


def letters(out: Outputs) -> list[DeadLetter]:
    return sorted((decode_dead_letter(one) for one in emitted(out, DEAD)), key=lambda letter: letter.offset)


def test_singles_become_blocks_with_their_place_as_identity() -> None:
    out = step().process(stored(single(FLOW, 1.0, 0), single(MODE, "AUTO", 1), envelope(2.0), single(FLOW, 900.0, 2), b"poison"))
    (block,) = emitted(out, CLEAN)
    columns = codec.decode([block])
    assert [columns.value(place) for place in range(len(columns))] == [1.0, "AUTO", 2.0]
    head = columns.heads[0]
    assert (head.origin, head.lo, head.hi) == ("log:telemetry.raw", 100, 104)
    assert (head.readings, sum(one.rejected for one in head.tallies)) == (3, 1)
    refused, broken = letters(out)
    assert (refused.offset, refused.tag, refused.value) == (103, FLOW, 900.0), "the place of the record itself, not of its block"
    assert broken.offset == 104
    ids = block.header(EVENT_IDS)
    assert ids is not None
    assert [any(ids[16 * place : 16 * place + 16]) for place in range(3)] == [False, False, True]


def test_replayed_singles_add_nothing() -> None:
    """P-121: a worker that starts again with its own output knows what was judged."""
    records = stored(single(FLOW, 1.0, 0), envelope(2.0))
    first = step()
    out = first.process(records)
    assert first.process(records) == {}
    second = step()
    second.recover(emitted(out, CLEAN))
    assert second.process(records) == {}
    later = stored(single(FLOW, 3.0, 3), first=102)
    (block,) = emitted(second.process([*records, *later]), CLEAN)
    assert decode_head(block.header(HEADER) or b"").lo == 100, (
        "a batch that is new in part is passed on whole: the historian drops what it knows"
    )


@pytest.mark.parametrize("form", ["single", "json"])
def test_clean_records_are_written_in_the_form_of_the_site(form: Form) -> None:
    """P-8, PD-11: one record a reading, and together the account of what came in; a worker that starts again knows what was judged."""
    blocks = gather(stored(single(FLOW, 1.0, 0), single(FLOW, 900.0, 1), single(FLOW, 2.0, 2)), RegistryClient(), {}).blocks
    forms = Forms(form)
    first = step(forms=forms)
    out = first.process(blocks)
    clean = emitted(out, CLEAN)
    assert [form_of(one) for one in clean] == [form, "block", form]
    heads = [decode_head(one.header(HEADER) or b"") for one in clean]
    assert [(head.lo, head.hi) for head in heads] == [(100, 101), (101, 102), (102, 103)]
    assert [(head.readings, sum(one.rejected for one in head.tallies)) for head in heads] == [(1, 0), (0, 1), (1, 0)]
    columns, broken = decode_records(clean, RegistryClient(), {})
    assert (broken, [columns.value(place) for place in range(len(columns))]) == ([], [1.0, 2.0])
    second = step(forms=forms)
    second.recover(clean)
    assert second.process(blocks) == {}
    happened = envelope(None, tag="MODE_CHANGE", category="event", before="AUTO", after="MANUAL")
    (event,) = emitted(first.process(stored(happened, topic=EVENTS)), CLEAN_EVENTS)
    assert form_of(event) == ("json" if form == "json" else "event")
    assert decode_event_record(event, RegistryClient()).before == "AUTO"


def test_an_event_id_with_other_content_is_refused() -> None:
    """PD-23, P-76: an equal repeat is dropped and counted; another reading under a known id is a dead letter. Also after a restart."""
    later = {"timestamp": "2026-01-01T12:00:01Z"}
    others = [str(uuid7()) for _ in range(2)]
    sent = stored(envelope(1.0), envelope(1.0), envelope(2.0, **later), envelope(5.0, event_id=others[0], **later))
    first = step()
    out = first.process(sent)
    (block,) = emitted(out, CLEAN)
    columns = codec.decode([block])
    assert [columns.value(place) for place in range(len(columns))] == [1.0, 5.0]
    assert (first.counts["rejected"], first.counts["deduplicated"]) == (1, 1)
    (letter,) = letters(out)
    assert (letter.offset, letter.reason) == (102, "event_id: 0197d2a0-0000-7000-8000-00000000002a is known with other content")
    second = step()
    second.recover(emitted(out, CLEAN))
    again = stored(envelope(3.0, event_id=others[0], **later), envelope(4.0, event_id=others[1], **later), first=104)
    (letter,) = letters(second.process(again))
    assert (letter.offset, letter.value) == (104, 3.0)


def test_events_and_alarms_of_third_parties_come_out_as_ours() -> None:
    records = [
        *stored(envelope(None, tag="MODE_CHANGE", category="event", before="AUTO", after="MANUAL"), topic=EVENTS),
        *stored(envelope(321.0, tag="HIGH_TEMP", category="alarm", severity="HIGH"), envelope(category="event"), topic=ALARMS),
    ]
    out = step().process(records)
    event = decode_event(emitted(out, CLEAN_EVENTS)[0].value)
    alarm = decode_event(emitted(out, CLEAN_ALARMS)[0].value)
    assert (type(event), event.type, event.before, event.after) == (Event, "MODE_CHANGE", "AUTO", "MANUAL")
    assert isinstance(alarm, Alarm)
    assert (alarm.type, alarm.value, alarm.severity.name) == ("HIGH_TEMP", 321.0, "HIGH")
    assert len(out[LAYOUT.topic(Category.ALARM, "dead")]) == 1


class _Registry(BaseHTTPRequestHandler):
    """A registry that knows id 1234: our event as a newer version would have it."""

    def do_GET(self) -> None:
        newer = {**BY_ID[EVENT_ID], "fields": [*BY_ID[EVENT_ID]["fields"], {"name": "shift", "type": "string", "default": ""}]}
        known = self.path == "/schemas/ids/1234"
        body = json.dumps({"schema": json.dumps(newer)} if known else {"error_code": 40403, "message": "Schema not found"}).encode()
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def newer_event() -> bytes:
    schema = {**BY_ID[EVENT_ID], "fields": [*BY_ID[EVENT_ID]["fields"], {"name": "shift", "type": "string", "default": ""}]}
    out = io.BytesIO()
    out.write(frame(1234))
    fields = {"id": str(uuid7()), "type": "UNIT_START", "time": NOW, "gateway_time": NOW, "shift": "night"}
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), fields)
    return out.getvalue()


def test_a_newer_version_of_our_event_is_read_through_the_registry(registry: str) -> None:
    out = step(RegistryClient(registry)).process(stored(newer_event(), topic=EVENTS))
    assert decode_event(emitted(out, CLEAN_EVENTS)[0].value).type == "UNIT_START"


def test_the_step_waits_while_the_registry_is_away_and_refuses_what_nobody_knows(registry: str) -> None:
    """RetryLater: nothing is committed and the same records come again. Unknown to the registry: a dead letter."""
    away = RegistryClient("http://127.0.0.1:9", timeout=1)
    for record in (*stored(newer_event(), topic=EVENTS), *stored(frame(1234) + b"x")):
        with pytest.raises(RetryLater, match=r"registry http://127\.0\.0\.1:9 is away"):
            step(away).process([record])
    out = step(RegistryClient(registry)).process(stored(frame(4321) + b"x", Record(frame(1234) + b"x")))
    unknown, no_reading = letters(out)
    assert "schema id 4321 is unknown to the registry" in unknown.reason
    assert "schema id 1234 (io.trunkline.Event) is no reading" in no_reading.reason
