"""Blocks into single Avro records or JSON envelopes, reading by reading; for `trunkline.log.codec.forms`.

Apart from it because of Arrow, which costs a gateway a third of its memory, and which one that writes blocks never needs.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec
import numpy as np

from trunkline.log.codec.columns import Columns, decode, encode
from trunkline.log.codec.envelope import decode_event_envelope, encode_envelopes, encode_event_envelope
from trunkline.log.codec.event_ids import ids_of
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.forms import Forms, as_record, named_node
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.records import EVENT_IDS
from trunkline.log.codec.single import encode_singles
from trunkline.log.codec.writer import ledger_hour
from trunkline.log.port import Record, StoredRecord
from trunkline.model.errors import CorruptData
from trunkline.model.identity import content_uuid
from trunkline.model.reading import Kind

_NO_ID: Final = bytes(16)


def telemetry(forms: Forms, blocks: Sequence[StoredRecord]) -> list[list[Record]]:
    """Return for each block a record for each of its readings, in the order of their positions; itself where the form cannot hold them."""
    try:
        columns = decode(blocks)
    except CorruptData:
        if len(blocks) == 1:
            return [[as_record(blocks[0])]]
        return [one for block in blocks for one in telemetry(forms, [block])]
    ids = ids_of(blocks, columns)
    return [_written(forms, block, number, columns, None if ids is None else ids.tolist()) for number, block in enumerate(blocks)]


def event(forms: Forms, value: bytes) -> bytes:
    """Return an event or alarm of ours as an envelope; as it is where an envelope cannot hold it."""
    told = decode_event(value)
    try:
        written = encode_event_envelope(told, named_node(told.source, forms.node))
        # the record's head tells origin and source; everything else must come back as it was
        same = decode_event_envelope(written, told.gateway_time)
    except (ValueError, OverflowError, CorruptData):
        return value
    return written if msgspec.structs.replace(same, origin=told.origin, source=told.source) == told else value


def _written(forms: Forms, block: StoredRecord, number: int, columns: Columns, ids: list[bytes] | None) -> list[Record]:
    here = columns.block == number
    own = columns.select(here)
    order: list[int] = np.argsort(own.seq, kind="stable").tolist()
    heads = _heads(own, order, columns.heads[number])
    values = _values(forms, own, None if ids is None else [ids[place] for place in np.flatnonzero(here).tolist()]) if heads else None
    if values is None:
        return [as_record(block)]
    extra = tuple(one for one in block.headers if one[0] not in {HEADER, EVENT_IDS})
    in_order = iter(order)
    return [
        (values[next(in_order)] if head.readings else encode(decode([]), head, block.partition))._replace(
            headers=((HEADER, encode_head(head)), *extra), timestamp=block.timestamp, partition=block.partition
        )
        for head in heads
    ]


def _values(forms: Forms, columns: Columns, ids: list[bytes] | None) -> list[Record] | None:
    """Return a record for each reading, or None when the form cannot hold one of them."""
    if forms.form == "single":
        return encode_singles(columns) if ids is None or not any(one != _NO_ID for one in ids) else None
    doubles = (columns.kinds[columns.tag] == Kind.DOUBLE) & ~columns.absent
    if not np.isfinite(columns.number[doubles]).all():
        return None
    try:
        return encode_envelopes(columns, forms.units, list(_identities(columns, ids)), _nodes(forms, columns))
    except (ValueError, OverflowError):
        return None


def _nodes(forms: Forms, columns: Columns) -> list[int]:
    """Return the node of each tag: of a third party's reading, the one that its envelope named."""
    source_of = dict(zip(columns.tag.tolist(), columns.source.tolist(), strict=True))
    sources = [columns.sources[source_of[tag]] if tag in source_of else "" for tag in range(len(columns.tags))]
    return [named_node(source, forms.nodes.get(path, 0)) for path, source in zip(columns.tags, sources, strict=True)]


def _heads(columns: Columns, order: Sequence[int], whole: BlockHead) -> list[BlockHead]:
    """Return the heads of a block's readings in order of position, and among them one of what validation took out, if it did.

    Nothing when there are no readings, or the positions do not tell where something was taken out.
    """
    gone = tuple(
        Tally(one.source, one.hour, 0, one.rejected, one.deduplicated) for one in whole.tallies if one.rejected or one.deduplicated
    )
    seqs = columns.seq[list(order)].tolist()
    free = _first_free(seqs, whole) if gone else None
    if not seqs or (gone and free is None):
        return []
    heads: list[BlockHead] = []
    reached = whole.lo
    for place, seq in zip(order, seqs, strict=True):
        if free is not None and free < seq:
            heads.append(BlockHead(whole.origin, reached, seq, gone))
            reached, free = seq, None
        end = whole.hi if seq == seqs[-1] and free is None else seq + 1
        hour = ledger_hour(int(columns.time[place]), int(columns.gateway_time[place]))
        heads.append(BlockHead(whole.origin, reached, end, (Tally(columns.sources[columns.source[place]], hour, 1),)))
        reached = end
    if free is not None:
        heads.append(BlockHead(whole.origin, reached, whole.hi, gone))
    return heads


def _first_free(seqs: Iterable[int], whole: BlockHead) -> int | None:
    """Return the first position of a block's range that none of its readings has."""
    expected = whole.lo
    for seq in seqs:
        if seq > expected:
            return expected
        expected = seq + 1
    return expected if expected < whole.hi else None


def _identities(columns: Columns, ids: list[bytes] | None) -> Iterable[UUID]:
    """Yield the id that a reading came with, else one that its origin and position always give (P-9, PD-24: UUIDv7)."""
    for place, (block, seq, time) in enumerate(
        zip(columns.block.tolist(), columns.seq.tolist(), columns.gateway_time.tolist(), strict=True)
    ):
        if ids is not None and ids[place] != _NO_ID:
            yield UUID(bytes=ids[place])
            continue
        yield content_uuid(time, hashlib.blake2b(f"{columns.heads[block].origin}|{seq}".encode(), digest_size=10).digest())
