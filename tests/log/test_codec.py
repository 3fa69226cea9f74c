"""Blocks of readings: written by the gateway's writer, read into columns, checked by an independent Avro implementation."""

import io
import math
import random
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.log.codec import avro
from trunkline.log.codec.columns import Columns, decode, encode, is_block
from trunkline.log.codec.head import HEADER, BlockHead, Tally, decode_head, encode_head
from trunkline.log.codec.schemas import BLOCK_ID, FRAME_BYTES, PARSED, frame, schema_id_of
from trunkline.log.codec.slots import Slots
from trunkline.log.codec.writer import TagSlot, history_time, ledger_hour, rows_of, rows_of_scan, write_blocks, write_rows
from trunkline.log.port import Record, StoredRecord
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.reading import INT64_MAX, INT64_MIN, Kind, Reading, Value
from trunkline.model.scan import Roster, Scan

PARTITIONS = 3
NOW = 1_795_000_000 * times.SECOND

TAGS = [TagSlot.of(f"PLANT01.U{i}.{kind.name}", f"source-{i % 3}", kind, PARTITIONS) for i in range(4) for kind in Kind]

VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.DOUBLE: st.floats(),
    Kind.INTEGER: st.integers(INT64_MIN, INT64_MAX),
    Kind.BOOLEAN: st.booleans(),
    Kind.TEXT: st.text(st.characters(codec="utf-8"), max_size=20),
}


@st.composite
def slotted(draw: st.DrawFn) -> tuple[TagSlot, Reading]:
    slot = draw(st.sampled_from(TAGS))
    gateway_time = draw(st.integers(NOW, NOW + times.DAY))
    return slot, Reading(
        tag=slot.path,
        value=draw(st.none() | VALUES[slot.kind]),
        quality=draw(st.sampled_from([0, 0, 0, 0x4090, 0x803C, 0xFFFF])),
        source_time=draw(st.none() | st.integers(gateway_time - times.HOUR, gateway_time + times.HOUR) | st.integers(0, 2**52)),
        gateway_time=gateway_time,
    )


def stored(records: Sequence[Record]) -> list[StoredRecord]:
    return [StoredRecord("t", r.partition or 0, offset, 0, r.key, r.value, r.headers) for offset, r in enumerate(records)]


def same(one: Value, other: Value) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("<d", one) == struct.pack("<d", other) or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and one == other


def check(columns: Columns, first_seq: int, readings: Sequence[tuple[TagSlot, Reading]]) -> None:
    assert len(columns) == len(readings)
    assert sorted(columns.seq.tolist()) == list(range(first_seq, first_seq + len(readings)))
    for place, seq in enumerate(columns.seq.tolist()):
        slot, reading = readings[seq - first_seq]
        assert columns.tags[columns.tag[place]] == slot.path
        assert columns.kinds[columns.tag[place]] == slot.kind
        assert columns.sources[columns.source[place]] == slot.source
        assert columns.time[place] == history_time(reading)
        assert columns.gateway_time[place] == reading.gateway_time
        assert columns.quality[place] == reading.quality
        assert same(columns.value(place), reading.value)


@given(st.lists(slotted(), max_size=60), st.integers(0, 2**40))
def test_round_trip(readings: list[tuple[TagSlot, Reading]], first_seq: int) -> None:
    """Every kind of value, absent ones, every quality, several partitions, times with and without a device's clock."""
    records, end = write_blocks("origin", first_seq, {}, readings)
    assert end == first_seq + len(readings)
    assert [record.partition for record in records] == sorted({slot.partition for slot, _ in readings})
    columns = decode(stored(records))
    check(columns, first_seq, readings)
    for index, record in enumerate(records):
        seqs = columns.seq[columns.block == index]
        assert (np.diff(seqs) > 0).all(), "readings of a block keep their order"
        assert {slot.partition for slot, _ in (readings[seq - first_seq] for seq in seqs.tolist())} == {record.partition}


@given(st.lists(slotted(), min_size=1, max_size=40), st.integers(0, 2**40))
def test_another_implementation_reads_the_same(readings: list[tuple[TagSlot, Reading]], first_seq: int) -> None:
    """fastavro, with the published schema, as the oracle."""
    records, _ = write_blocks("origin", first_seq, {}, readings)
    for record in records:
        assert schema_id_of(record.value) == BLOCK_ID
        body = io.BytesIO(record.value[FRAME_BYTES:])
        block: dict[str, Any] = fastavro.schemaless_reader(body, PARSED[BLOCK_ID], None)  # type: ignore[assignment]  # a record schema
        assert body.read() == b""
        mine = [(seq, *pair) for seq, pair in enumerate(readings) if pair[0].partition == record.partition]
        assert block["origin"] == "origin"
        assert [block["first_seq"] + seq for seq in block["seq"]] == [first_seq + seq for seq, _, _ in mine]
        assert [block["tags"][tag] for tag in block["tag"]] == [slot.path for _, slot, _ in mine]
        assert [block["sources"][block["tag_source"][tag]] for tag in block["tag"]] == [slot.source for _, slot, _ in mine]
        assert [block["base_time"] + time for time in block["time"]] == [history_time(reading) for _, _, reading in mine]
        assert (block["quality"] or [0] * len(mine)) == [reading.quality for _, _, reading in mine]
        assert block["absent"] == [place for place, (_, _, reading) in enumerate(mine) if reading.value is None]
        texts = [reading.value or "" for _, slot, reading in mine if slot.kind is Kind.TEXT]
        assert block["texts"] == texts
        whole = [int(reading.value or 0) for _, slot, reading in mine if slot.kind in (Kind.INTEGER, Kind.BOOLEAN)]
        assert block["integers"] == whole


@given(st.lists(st.lists(slotted(), min_size=1, max_size=20), min_size=1, max_size=4), st.integers(0, 2**40))
def test_parts_are_written_as_if_they_were_one(parts: list[list[tuple[TagSlot, Reading]]], first_seq: int) -> None:
    """What several sources submitted makes one block a partition, and readings keep the order in which they came."""
    records, end = write_rows("origin", first_seq, {}, [rows_of(part) for part in parts])
    together = [pair for part in parts for pair in part]
    assert (records, end) == write_blocks("origin", first_seq, {}, together)
    check(decode(stored(records)), first_seq, together)


@given(st.data(), st.integers(0, 2**40))
def test_a_scan_is_written_as_its_readings(data: st.DataObject, first_seq: int) -> None:
    slots = data.draw(st.lists(st.sampled_from(TAGS), min_size=1, unique_by=lambda slot: slot.path))
    kinds = [slot.kind for slot in slots]
    numbers = [data.draw(st.floats()) for kind in kinds if kind is Kind.DOUBLE]
    integers = [data.draw(st.integers(INT64_MIN, INT64_MAX)) if kind is Kind.INTEGER else 1 for kind in kinds if kind in (1, 2)]
    texts = [data.draw(VALUES[Kind.TEXT]) for kind in kinds if kind is Kind.TEXT]
    gone = np.array([data.draw(st.booleans()) for _ in slots])
    scan = Scan(
        Roster(tuple(slot.path for slot in slots), tuple(kinds)),
        np.array([NOW + data.draw(st.integers(0, times.HOUR)) for _ in slots]),
        np.array(numbers, np.float64),
        np.array(integers, np.int64),
        [str(text) for text in texts],
        np.where(gone, 0x8000, 0) if gone.any() else None,
        gone if gone.any() else None,
    )
    pairs = list(zip(slots, scan, strict=True))
    assert write_rows("origin", first_seq, {}, [rows_of_scan(Slots(slots), scan)]) == write_blocks("origin", first_seq, {}, pairs)


@given(st.lists(slotted(), min_size=1, max_size=40), st.data())
def test_columns_are_encoded_again_without_loss(readings: list[tuple[TagSlot, Reading]], data: st.DataObject) -> None:
    """What validation does: take some readings out of each block and write the rest under the same range."""
    records, _ = write_blocks("origin", 5, {}, readings)
    columns = decode(stored(records))
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(columns), max_size=len(columns))), np.bool_)
    kept = columns.select(keep)
    again: list[Record] = []
    for index, record in enumerate(records):
        block = kept.select(kept.block == index)
        again.append(encode(block, columns.heads[index], record.partition or 0))
    result = decode(stored(again))
    assert result.heads == columns.heads
    wanted = {seq: readings[seq - 5] for seq in columns.seq[keep].tolist()}
    assert sorted(result.seq.tolist()) == sorted(wanted)
    for place, seq in enumerate(result.seq.tolist()):
        slot, reading = wanted[seq]
        assert result.tags[result.tag[place]] == slot.path
        assert same(result.value(place), reading.value)
        assert result.time[place] == history_time(reading)
        assert result.quality[place] == reading.quality


@settings(max_examples=30)
@given(st.lists(st.lists(slotted(), min_size=1, max_size=10), min_size=1, max_size=8))
def test_ranges_of_consecutive_blocks_meet(calls: list[list[tuple[TagSlot, Reading]]]) -> None:
    """A hole between two blocks of a partition would be a loss with an address, so a whole run has none."""
    covered: dict[int, int] = {}
    seq = 0
    ranges: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for readings in calls:
        records, seq = write_blocks("origin", seq, covered, readings)
        for record in records:
            head = decode_head(record.headers[0][1])
            ranges[record.partition or 0].append((head.lo, head.hi))
            covered[record.partition or 0] = head.hi
            mine = [pair for pair in readings if pair[0].partition == record.partition]
            assert head.readings == len(mine)
            counted = Counter((slot.source, ledger_hour(history_time(reading), reading.gateway_time)) for slot, reading in mine)
            assert {(tally.source, tally.hour): tally.readings for tally in head.tallies} == counted
    for chain in ranges.values():
        assert chain[0][0] == 0
        assert all(before[1] == after[0] for before, after in pairwise(chain))


def block() -> StoredRecord:
    slot = TAGS[0]
    readings = [(slot, Reading(slot.path, float(i), 0, NOW + i, NOW + i)) for i in range(20)]
    return stored(write_blocks("origin", 0, {}, readings)[0])[0]


def test_what_is_no_block_is_corrupt_data() -> None:
    whole = block()
    assert is_block(whole)
    for broken in (
        whole._replace(headers=()),
        whole._replace(value=b""),
        whole._replace(value=b"\x01" + whole.value[1:]),
        whole._replace(value=frame(2) + whole.value[FRAME_BYTES:]),
        whole._replace(headers=((HEADER, b"\xc1"),)),
        whole._replace(value=whole.value[:40]),
        whole._replace(value=whole.value[: FRAME_BYTES + 1]),
    ):
        with pytest.raises(CorruptData):
            decode([broken])


def test_columns_that_disagree_are_corrupt_data() -> None:
    whole = block()
    body = fastavro.schemaless_reader(io.BytesIO(whole.value[FRAME_BYTES:]), PARSED[BLOCK_ID], None)
    assert isinstance(body, dict)
    changes: list[dict[str, list[float]]] = [
        {"seq": [1, 2]},
        {"time": []},
        {"delay": [0]},
        {"numbers": [1.0, 2.0]},
        {"tag": [1] * 20},
        {"tag": [-1] * 20},
        {"tag_source": [7]},
        {"absent": [20]},
        {"tag_kind": []},
    ]
    for change in changes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, PARSED[BLOCK_ID], body | change)
        with pytest.raises(CorruptData, match="t/"):
            decode([whole._replace(value=frame(BLOCK_ID) + out.getvalue())])


def test_any_damage_is_corrupt_data_or_other_readings() -> None:
    """Never another error, whatever a value holds."""
    chance = random.Random(1)
    whole = block()
    outcomes = Counter[str]()
    for _ in range(2000):
        value = bytearray(whole.value)
        for _ in range(chance.choice([1, 1, 3])):
            value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
        try:
            decode([whole, whole._replace(value=bytes(value))])
            outcomes["decoded"] += 1
        except CorruptData:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100


def test_nothing_decodes_to_nothing() -> None:
    assert len(decode([])) == 0
    assert write_blocks("origin", 7, {}, []) == ([], 7)


def test_impossible_times_share_one_hour_of_the_ledger() -> None:
    """W-110: a lying clock cannot fill the ledger with hours."""
    assert ledger_hour(0, NOW) == 0
    assert ledger_hour(NOW + 2 * times.DAY, NOW) == 0
    assert ledger_hour(NOW, NOW) == NOW // times.HOUR


def test_heads_round_trip() -> None:
    head = BlockHead("origin", 3, 9, (Tally("plc", 7, 4, 1, 1), Tally("opc", 8, 0)))
    assert decode_head(encode_head(head)) == head
    assert head.readings == 4
    with pytest.raises(CorruptData):
        decode_head(b"")


def test_the_writer_needs_no_arrow() -> None:
    """A gateway's memory is small: what it writes with must not load Arrow, which takes 41 MB."""
    script = """
import sys, trunkline.log.codec.writer, trunkline.log.journal.journal
sys.exit('pyarrow' in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


LONGS = [st.integers(-(2**bits), 2**bits - 1) for bits in (3, 6, 13, 27, 55, 56, 63)]


@given(st.lists(st.sampled_from(LONGS).flatmap(lambda longs: st.lists(longs, max_size=60)), max_size=6))
def test_arrays_of_longs_are_what_another_implementation_writes(arrays: list[list[int]]) -> None:
    """Of every size, few and many, and sizes mixed."""
    schema = fastavro.parse_schema({"type": "array", "items": "long"})
    wanted = []
    for values in arrays:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, values)
        wanted.append(out.getvalue())
    assert avro.longs([np.array(values, np.int64) for values in arrays]) == wanted


def test_a_long_takes_another_byte_every_seven_bits() -> None:
    """Where a length changes, in each of the ways in which arrays are encoded."""
    schema = fastavro.parse_schema({"type": "array", "items": "long"})
    for bits in range(64):
        for value in {max(INT64_MIN, min(INT64_MAX, edge)) for edge in (2**bits - 1, 2**bits, -(2**bits), -(2**bits) - 1)}:
            for count in (1, 100):
                out = io.BytesIO()
                fastavro.schemaless_writer(out, schema, [value] * count)
                assert avro.longs([np.full(count, value)]) == [out.getvalue()]


def test_a_long_beyond_64_bits_is_refused() -> None:
    for value in (INT64_MAX + 1, INT64_MIN - 1):
        with pytest.raises(OverflowError):
            avro.long(value)
        with pytest.raises(OverflowError):
            write_blocks("origin", 0, {}, [(TAGS[1], Reading(TAGS[1].path, value, 0, NOW, NOW))])
