"""Blocks into columns and back: how steps and sinks see readings, thousands of blocks at a time, without per-reading objects."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from trunkline.log.codec.head import HEADER, BlockHead, decode_head, encode_head
from trunkline.log.codec.schemas import BLOCK, BLOCK_ID, FRAME_BYTES, frame, schema_id_of
from trunkline.log.port import Record, StoredRecord
from trunkline.model.errors import CorruptData
from trunkline.model.reading import Kind

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]
U16 = npt.NDArray[np.uint16]
BOOL = npt.NDArray[np.bool_]

_SCHEMA: Final = json.dumps(BLOCK)
_FRAME: Final = frame(BLOCK_ID)


@dataclass(slots=True)
class Columns:
    """Readings of several blocks, in log order. Every array of readings has the same length.

    Attributes:
        heads: one per block.
        block: per reading, index into `heads`.
        tags: distinct tag paths.
        kinds: per tag, a `Kind`.
        sources: distinct source ids.
        tag: per reading, index into `tags`.
        source: per reading, index into `sources`.
        seq: position in the origin's journal.
        time: time in history, µs UTC (source time, else gateway time).
        gateway_time: µs UTC.
        quality: 16-bit quality.
        number: value of double tags; NaN when absent; 0 for other kinds.
        integer: value of integer and boolean tags; 0 when absent or another kind.
        text: value of text tags by reading position; absent and other kinds are missing from it.
        absent: True where the reading has no value.
    """

    heads: list[BlockHead]
    block: I32
    tags: list[str]
    kinds: I32
    sources: list[str]
    tag: I32
    source: I32
    seq: I64
    time: I64
    gateway_time: I64
    quality: U16
    number: F64
    integer: I64
    text: dict[int, str]
    absent: BOOL

    def __len__(self) -> int:
        return len(self.tag)

    def select(self, keep: BOOL) -> "Columns":
        """Return the readings where `keep` is True. Heads stay as they are: the ranges covered do not change."""
        return self.take(np.flatnonzero(keep))

    def take(self, places: I64) -> "Columns":
        """Return the readings at these places, in that order. Heads stay as they are."""
        text = {new: self.text[old] for new, old in enumerate(places.tolist()) if old in self.text} if self.text else {}
        return Columns(
            heads=self.heads,
            block=self.block[places],
            tags=self.tags,
            kinds=self.kinds,
            sources=self.sources,
            tag=self.tag[places],
            source=self.source[places],
            seq=self.seq[places],
            time=self.time[places],
            gateway_time=self.gateway_time[places],
            quality=self.quality[places],
            number=self.number[places],
            integer=self.integer[places],
            text=text,
            absent=self.absent[places],
        )

    def value(self, position: int) -> float | int | bool | str | None:
        """Return the value of one reading as a Python object (for dead letters and displays, not for bulk work)."""
        if self.absent[position]:
            return None
        match Kind(int(self.kinds[self.tag[position]])):
            case Kind.DOUBLE:
                return float(self.number[position])
            case Kind.INTEGER:
                return int(self.integer[position])
            case Kind.BOOLEAN:
                return bool(self.integer[position])
            case Kind.TEXT:
                return self.text[position]


def is_block(record: StoredRecord) -> bool:
    """Return whether the record carries a block header."""
    return record.header(HEADER) is not None


def decode(records: Sequence[StoredRecord]) -> Columns:
    """Decode block records into columns.

    Raises:
        CorruptData: a record is no block or its columns disagree; the message names topic, partition and offset. Callers then decode one
            by one to find the bad record.
    """
    heads: list[BlockHead] = []
    bodies: list[bytes] = []
    for record in records:
        header = record.header(HEADER)
        if header is None or schema_id_of(record.value) != BLOCK_ID:
            raise CorruptData(f"{record.topic}/{record.partition}@{record.offset} is not a block of readings")
        heads.append(decode_head(header))
        bodies.append(record.value[FRAME_BYTES:])
    if not bodies:
        return _empty()
    first = records[0]
    try:
        batch = pyruhvro.deserialize_array(bodies, _SCHEMA)
        return _columns(batch, heads, first)
    except CorruptData:
        raise
    except Exception as error:
        raise CorruptData(f"block at or after {first.topic}/{first.partition}@{first.offset} cannot be decoded: {error}") from error


def _empty() -> Columns:
    def none(kind: type[np.generic]) -> npt.NDArray[np.generic]:
        return np.empty(0, kind)

    return Columns(
        heads=[],
        block=np.empty(0, np.int32),
        tags=[],
        kinds=np.empty(0, np.int32),
        sources=[],
        tag=np.empty(0, np.int32),
        source=np.empty(0, np.int32),
        seq=np.empty(0, np.int64),
        time=np.empty(0, np.int64),
        gateway_time=np.empty(0, np.int64),
        quality=np.empty(0, np.uint16),
        number=np.empty(0, np.float64),
        integer=np.empty(0, np.int64),
        text={},
        absent=np.empty(0, np.bool_),
    )


def _flat(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.generic]:
    flat: npt.NDArray[np.generic] = batch.column(name).flatten().to_numpy(zero_copy_only=False)
    return flat


def _lengths(batch: pa.RecordBatch, name: str) -> I64:
    lengths: I64 = pc.list_value_length(batch.column(name)).to_numpy().astype(np.int64)
    return lengths


def _starts(lengths: I64) -> I64:
    starts = np.zeros(len(lengths), np.int64)
    np.cumsum(lengths[:-1], out=starts[1:])
    return starts


def _dictionary(batch: pa.RecordBatch, name: str) -> tuple[list[str], I32]:
    encoded = batch.column(name).flatten().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int32)


def _shifted(batch: pa.RecordBatch, name: str, lengths: I64, targets: I64) -> I64:
    """Return indexes that each block counts from its own first target, counted from the first of all. Raises IndexError."""
    index: I64 = _flat(batch, name).astype(np.int64)
    if ((index < 0) | (index >= np.repeat(targets, lengths))).any():
        raise IndexError(f"an index in column {name!r} points nowhere")
    return index + np.repeat(_starts(targets), lengths)


def _columns(batch: pa.RecordBatch, heads: list[BlockHead], first: StoredRecord) -> Columns:
    counts = _lengths(batch, "tag")
    total = int(counts.sum())
    block = np.repeat(np.arange(len(heads), dtype=np.int32), counts)
    for name in ("seq", "time", "delay"):
        if not np.array_equal(_lengths(batch, name), counts):
            raise CorruptData(f"columns of a block at or after {first.topic}/{first.partition}@{first.offset} differ in length")

    tags, tag_ids = _dictionary(batch, "tags")
    sources, source_ids = _dictionary(batch, "sources")
    tag_lengths, source_lengths = _lengths(batch, "tags"), _lengths(batch, "sources")
    # indexes of a block are local to it: shift them to the flat lists, then look up the shared dictionary
    local_tag = _shifted(batch, "tag", counts, tag_lengths)
    local_source = _shifted(batch, "tag_source", tag_lengths, source_lengths)
    source_of_local_tag = source_ids[local_source] if len(local_source) else np.empty(0, np.int32)
    kinds = np.zeros(len(tags), np.int32)
    kinds[tag_ids] = _flat(batch, "tag_kind").astype(np.int32)
    tag = tag_ids[local_tag]

    time = _flat(batch, "time").astype(np.int64) + np.repeat(batch.column("base_time").to_numpy(), counts)
    quality = np.zeros(total, np.uint16)
    quality_lengths = _lengths(batch, "quality")
    graded = np.repeat(quality_lengths > 0, counts)
    quality[graded] = _flat(batch, "quality").astype(np.uint16)

    absent = np.zeros(total, np.bool_)
    absent_lengths = _lengths(batch, "absent")
    if absent_lengths.any():
        absent[_shifted(batch, "absent", absent_lengths, counts)] = True

    kind_of = kinds[tag]
    number = np.zeros(total, np.float64)
    integer = np.zeros(total, np.int64)
    text: dict[int, str] = {}
    try:
        number[kind_of == Kind.DOUBLE] = _flat(batch, "numbers")
        integer[(kind_of == Kind.INTEGER) | (kind_of == Kind.BOOLEAN)] = _flat(batch, "integers")
    except ValueError as error:
        raise CorruptData(f"values of a block at or after {first.topic}/{first.partition}@{first.offset}: {error}") from error
    places = np.flatnonzero(kind_of == Kind.TEXT).tolist()
    texts = batch.column("texts").flatten()
    if places or len(texts):
        text = {place: word for place, word in zip(places, texts.to_pylist(), strict=True) if not absent[place]}
    return Columns(
        heads=heads,
        block=block,
        tags=tags,
        kinds=kinds,
        sources=sources,
        tag=tag,
        source=source_of_local_tag[local_tag] if total else np.empty(0, np.int32),
        seq=_flat(batch, "seq").astype(np.int64) + np.repeat(batch.column("first_seq").to_numpy(), counts),
        time=time,
        gateway_time=time + _flat(batch, "delay").astype(np.int64),
        quality=quality,
        number=number,
        integer=integer,
        text=text,
        absent=absent,
    )


class Rewritten(NamedTuple):
    """A block to encode: its number in the columns, the head it gets (origin and range covered), its partition."""

    number: int
    head: BlockHead
    partition: int


def encode(columns: Columns, head: BlockHead, partition: int) -> Record:
    """Encode columns of one partition as one block record under `head` (which names the origin and the range covered)."""
    (record,) = encode_blocks(replace(columns, block=np.zeros(len(columns), np.int32)), [Rewritten(0, head, partition)])
    return record


def encode_blocks(columns: Columns, blocks: Sequence[Rewritten]) -> list[Record]:
    """Encode several blocks at once, which costs little more than one.

    Args:
        columns: readings of these blocks and no others, in log order.
        blocks: what to encode, numbers ascending; a block may have no readings left.
    """
    if not blocks:
        return []
    numbers = np.array([block.number for block in blocks])
    owner = np.searchsorted(numbers, columns.block)
    counts = np.bincount(owner, minlength=len(blocks))
    starts = _starts(counts)
    filled = counts > 0
    first = starts[filled]
    base_time, first_seq = np.zeros(len(blocks), np.int64), np.array([block.head.lo for block in blocks], np.int64)
    base_time[filled], first_seq[filled] = columns.time[first], columns.seq[first]

    tags, first_of_tag, tag = _by_block(owner, columns.tag, len(columns.tags))
    tag_owner = owner[first_of_tag]
    tag_counts = np.bincount(tag_owner, minlength=len(blocks))
    sources, first_of_source, source = _by_block(tag_owner, columns.source[first_of_tag], len(columns.sources))
    source_counts = np.bincount(tag_owner[first_of_source], minlength=len(blocks))

    kind_of = columns.kinds[columns.tag]
    double, text = kind_of == Kind.DOUBLE, kind_of == Kind.TEXT
    whole = (kind_of == Kind.INTEGER) | (kind_of == Kind.BOOLEAN)
    graded = (np.bincount(owner, columns.quality != 0, minlength=len(blocks)) > 0)[owner]

    def lists(values: pa.Array, lengths: I64) -> pa.ListArray:
        offsets = np.zeros(len(blocks) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        return pa.ListArray.from_arrays(pa.array(offsets), values)

    def picked(values: pa.Array, mask: BOOL) -> pa.ListArray:
        return lists(values, np.bincount(owner[mask], minlength=len(blocks)))

    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([block.head.origin for block in blocks]),
            pa.array(first_seq),
            pa.array(base_time),
            lists(pa.array([columns.sources[place] for place in sources.tolist()], pa.string()), source_counts),
            lists(pa.array([columns.tags[place] for place in tags.tolist()], pa.string()), tag_counts),
            lists(pa.array((source - np.repeat(_starts(source_counts), tag_counts)).astype(np.int32)), tag_counts),
            lists(pa.array(columns.kinds[tags]), tag_counts),
            lists(pa.array((tag - np.repeat(_starts(tag_counts), counts)).astype(np.int32)), counts),
            lists(pa.array(columns.seq - first_seq[owner]), counts),
            lists(pa.array(columns.time - base_time[owner]), counts),
            lists(pa.array(columns.gateway_time - columns.time), counts),
            picked(pa.array(columns.quality[graded].astype(np.int32)), graded),
            picked(pa.array(columns.number[double]), double),
            picked(pa.array(columns.integer[whole]), whole),
            picked(pa.array([columns.text.get(place, "") for place in np.flatnonzero(text).tolist()], pa.string()), text),
            picked(pa.array((np.flatnonzero(columns.absent) - starts[owner[columns.absent]]).astype(np.int32)), columns.absent),
        ],
        names=[field["name"] for field in BLOCK["fields"]],
    )
    bodies = pyruhvro.serialize_record_batch(batch, _SCHEMA, 1)[0].to_pylist()
    return [
        Record(value=_FRAME + body, headers=((HEADER, encode_head(block.head)),), partition=block.partition)
        for body, block in zip(bodies, blocks, strict=True)
    ]


def _by_block(owner: I64, values: I32, distinct: int) -> tuple[I64, I64, I64]:
    """Return the distinct values of each block, block after block; where each is first; and per value, its place among them."""
    keys, first, inverse = np.unique(owner * max(1, distinct) + values, return_index=True, return_inverse=True)
    return keys % max(1, distinct), first, inverse
