"""Many records at once give what each of them gives alone: forms mixed, broken ones among them, one after the other or far apart."""

import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Final

import fastavro
import numpy as np
import pytest
from tests.log.readings import COUNT, FLOW, KINDS, MODE, NOW, OFFLINE, RUNS, envelope, single, stored, written

from trunkline.log.codec.builtin.gateway import TELEMETRY_READING_IDS
from trunkline.log.codec.builtin.petroleum import TELEMETRY_RAW_IDS
from trunkline.log.codec.columns import I64, Columns, decode
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.records import decode_records, sort_out
from trunkline.log.codec.registry import WriterSchema
from trunkline.log.codec.schemas import FRAME_BYTES, PARSED, SINGLE, SINGLE_ID, frame
from trunkline.log.codec.single import reader_of
from trunkline.log.codec.sound import read_sound
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.port import Record, StoredRecord
from trunkline.log.runs import Runs
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading, Value

_SLOT: Final = TagSlot.of("P.A.U.BLOCK", "s", Kind.DOUBLE, 1)
Reduced = tuple[str, object, int, int, int, str, int]


def _single(draw: random.Random) -> bytes:
    readings: list[tuple[str, Value]] = [
        (FLOW, draw.gauss(0, 1e3)),
        (FLOW, draw.randrange(-(2**40), 2**40)),
        (COUNT, draw.getrandbits(63)),
        (RUNS, draw.random() < 0.5),
        (MODE, draw.choice(["AUTO", "", "°" * draw.randrange(90)])),
        (FLOW, None),
        ("no tag", 1.0),
        (COUNT, "x"),
    ]
    tag, value = draw.choice(readings)
    quality = draw.choice([0, 0, 0, Quality.BAD, 1 << 17]) if value is not None else draw.choice([0, Quality.BAD])
    times_known = {} if draw.random() < 0.8 else {"source_time": None}
    return single(tag, value, draw.randrange(10_000), quality=quality, **times_known)


def _gateway(draw: random.Random) -> bytes:
    version = draw.choice(TELEMETRY_READING_IDS)
    body: dict[str, Any] = {"asset_id": "well_12", "parameter": "pressure", "unit": "psi", "value": draw.random()}
    if version != TELEMETRY_READING_IDS[0]:
        body["quality"] = draw.choice(["GOOD", "BAD", "SUSPECT", "PERHAPS"])
    return written(version, body)


def _petroleum(draw: random.Random) -> bytes:
    base = {"timestamp": NOW // 1000 + draw.randrange(99), "deviceId": "pump_1", "tagId": "rate", "sourceProtocol": "OPCUA"}
    return written(draw.choice(TELEMETRY_RAW_IDS), {**base, "value": draw.random(), "quality": draw.choice([192, 64, 0, 17])})


def _broken(draw: random.Random) -> bytes:
    whole = draw.choice([_single, _gateway, _petroleum])(draw)
    return draw.choice([whole[: draw.randrange(len(whole))], frame(draw.choice([5, 999])) + whole, b"junk", b"\0\0\0\0\x02" + b"\xff" * 30])


def _ours(draw: random.Random, position: int) -> Record:
    head = encode_head(BlockHead("gw", position, position + 1, (Tally("s", times.hour_of(NOW), 1),)))
    return Record(_single(draw), headers=((HEADER, head if draw.random() < 0.9 else b"junk"),))


def _block(draw: random.Random, position: int) -> Record:
    (block,), _ = write_blocks("edge", position, {0: position}, [(_SLOT, Reading(_SLOT.path, draw.random(), 0, NOW, NOW))])
    return block


Maker = Callable[[random.Random, int], Record]
_PLAIN: Final[list[Maker]] = [lambda draw, _: Record(_single(draw)), lambda draw, _: Record(_broken(draw)), _ours]
_MAKERS: Final[list[Maker]] = [
    *([lambda draw, _: Record(_single(draw))] * 6),
    lambda draw, _: Record(_gateway(draw)),
    lambda draw, _: Record(_petroleum(draw)),
    lambda draw, _: Record(envelope(draw.random(), tag="OTHER", node_id=7)),
    lambda draw, _: Record(_broken(draw)),
    _ours,
    _block,
]


def _records(seed: int, makers: Sequence[Maker], count: int) -> list[StoredRecord]:
    draw = random.Random(seed)
    found = []
    for partition in range(3):
        values = [draw.choice(makers)(draw, partition * count + number) for number in range(count)]
        found += [one._replace(partition=partition, timestamp=NOW + number) for number, one in enumerate(stored(*values))]
    return found


def _reduced(columns: Columns) -> list[Reduced]:
    def one(place: int) -> Reduced:
        tag, value = columns.tags[columns.tag[place]], columns.value(place)
        numbers = (int(columns.quality[place]), int(columns.time[place]), int(columns.gateway_time[place]))
        return (tag, value, *numbers, columns.heads[columns.block[place]].origin, int(columns.seq[place]))

    return [one(place) for place in range(len(columns))]


@pytest.mark.parametrize("seed", range(12))
def test_records_together_give_what_each_gives_alone(seed: int) -> None:
    records = _records(seed, _MAKERS, 400)
    columns, broken = decode_records(records, OFFLINE, KINDS)
    alone = [decode_records([record], OFFLINE, KINDS) for record in records]
    assert sorted(_reduced(columns), key=repr) == sorted((one for found, _ in alone for one in _reduced(found)), key=repr)
    assert dict(broken) == {record: reason for _, refused in alone for record, reason in refused}
    assert broken == sorted(broken, key=lambda one: records.index(one[0])), "in log order"
    covered = {(head.origin, place) for head in columns.heads for place in range(head.lo, head.hi)}
    assert {(origin, seq) for *_, origin, seq in _reduced(columns)} <= covered
    assert sum(head.readings for head in columns.heads) == len(columns), "the heads count what is there"


@pytest.mark.parametrize("seed", range(6))
def test_columns_are_what_blocks_made_of_them_hold(seed: int) -> None:
    """A sink takes the columns as they are; what passes readings on makes blocks of them. Both mean the same."""
    makers: list[Callable[[random.Random, int], Record]] = [
        lambda draw, _: Record(_single(draw)),
        lambda draw, _: Record(_broken(draw)),
        _ours,
    ]
    found = sort_out(_records(seed, makers, 300), OFFLINE, KINDS)
    assert found.plain is not None
    direct, by_blocks = found.plain.columns, decode(found.all_blocks())
    assert sorted(_reduced(direct), key=repr) == sorted(_reduced(by_blocks), key=repr)
    assert sorted(direct.tags) == sorted(by_blocks.tags), "a tag that only refused readings had is no series"
    assert sorted(direct.heads, key=repr) == sorted(by_blocks.heads, key=repr)
    lengths = {len(getattr(direct, one.name)) for one in fields(Columns) if isinstance(getattr(direct, one.name), np.ndarray)}
    assert lengths <= {len(direct), len(direct.tags)}
    assert (direct.block[1:] >= direct.block[:-1]).all()
    assert [first.offset for first in found.plain.firsts if not first.headers] == [
        head.lo for head in direct.heads if head.origin.startswith("log:")
    ]


def test_blocks_beside_them_leave_readings_to_blocks() -> None:
    """Envelopes do not: they become columns as well."""
    plain = Record(single(FLOW, 1.0))
    for other, whole in ((_block(random.Random(1), 0), False), (Record(envelope(1.0)), True)):
        found = sort_out(stored(plain, other), OFFLINE, KINDS)
        assert (found.plain is not None) is whole
        assert len(decode(found.all_blocks())) == 2
    assert sort_out([], OFFLINE, KINDS).plain is None


def test_an_independent_decoder_reads_the_same() -> None:
    """Own singles against fastavro, more than one piece of them."""
    draw = random.Random(3)
    records = stored(*(single(FLOW, draw.gauss(0, 1e6), draw.randrange(10**6)) for _ in range(5000)))
    columns, broken = decode_records(Runs.of(records), OFFLINE, KINDS)
    assert broken == []
    expected: list[Any] = [fastavro.schemaless_reader(io.BytesIO(one.value[FRAME_BYTES:]), PARSED[SINGLE_ID], None) for one in records]
    assert columns.number.tolist() == [one["value"] for one in expected]
    assert columns.time.tolist() == [times.from_datetime(one["source_time"]) for one in expected]
    assert columns.seq.tolist() == [record.offset for record in records]


# --- broken records among many


class _Decoder:
    """Refuses values of one word, together with all that come in the same call; counts the calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.seen = 0

    def read(self, values: Sequence[bytes], _: I64) -> int:
        self.calls += 1
        self.seen += len(values)
        if b"broken" in values or b"cut" in values:
            raise CorruptData("one of them")
        return len(values)


@pytest.mark.parametrize("word", [b"cut", b"broken"])
@pytest.mark.parametrize("bad", [[], [0], [9_999], list(range(7, 10_000, 1000)), list(range(10_000))])
def test_exactly_the_broken_ones_are_found_with_few_calls(bad: list[int], word: bytes) -> None:
    """PD-11: damage that changes the length, and damage that does not."""
    decoder = _Decoder()
    values = [word if place in set(bad) else b"reader" for place in range(10_000)]
    found, broken = read_sound(decoder.read, values, np.zeros(10_000, np.int64))
    assert sorted(broken) == bad
    assert set(broken.values()) <= {"one of them"}
    kept = sorted(place for _, places in found for place in places.tolist())
    assert kept == [place for place in range(10_000) if place not in set(bad)]
    if len(bad) < 100:
        assert decoder.calls <= 25 + 20 * len(bad)


def test_damage_that_changes_the_length_costs_one_more_pass() -> None:
    decoder = _Decoder()
    values = [b"cut" if place % 1000 == 7 else b"reader" for place in range(100_000)]
    _, broken = read_sound(decoder.read, values, np.zeros(100_000, np.int64))
    assert len(broken) == 100
    assert decoder.calls < 250
    assert decoder.seen < 205_000


def test_a_type_that_the_decoder_does_not_know_breaks_the_record_not_the_process() -> None:
    """The decoder panics on it, which is no Exception; a newer writer may have such a field."""
    schema = {**SINGLE, "fields": [*SINGLE["fields"], {"name": "mark", "type": {"type": "fixed", "name": "Mark", "size": 4}}]}
    out = io.BytesIO()
    fields_of = {"tag": FLOW, "value": 1.0, "source_time": NOW, "gateway_time": NOW, "mark": b"1234"}
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), fields_of)
    reader = reader_of(WriterSchema(1000, "io.trunkline.Reading", json.dumps(schema), None))
    with pytest.raises(CorruptData, match="cannot be decoded"):
        reader.read([frame(1000) + out.getvalue()], np.zeros(1, np.int64))
