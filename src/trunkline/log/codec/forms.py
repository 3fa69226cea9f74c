"""Records in the form that the site file asks for: blocks become single Avro records or JSON envelopes, and no account is lost.

The records of a block cover together what the block covered, each with a head of its own. Readings that validation took out are told by an
empty block in the place of one of them. What a form cannot hold stays as it is, and every reader takes every form: a block with a number
that JSON does not know or with a time beyond the calendar, a single with an event id, an event whose asset has not three parts.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import msgspec
import numpy as np

from trunkline.config.tags import SourceConfig
from trunkline.log.codec.columns import Columns, decode, encode
from trunkline.log.codec.envelope import decode_event_envelope, encode_envelopes, encode_event_envelope
from trunkline.log.codec.event_ids import ids_of
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.records import EVENT_IDS
from trunkline.log.codec.single import encode_singles
from trunkline.log.codec.writer import ledger_hour
from trunkline.log.layouts.spec import Form
from trunkline.log.port import Record, StoredRecord
from trunkline.model.errors import CorruptData
from trunkline.model.reading import Kind

_NUMBER: Final = re.compile(r"(\d{1,9})$")
#: Source of a third party's record, made of its envelope's node.
_NODE: Final = re.compile(r"node-(\d{1,19})")
_NO_ID: Final = bytes(16)
#: UUIDv7 (RFC 9562, section 5.7): 48 bits of ms, version, 12 bits, variant, 62 bits.
_MS_BITS: Final = (1 << 48) - 1


def node_of(gateway: str) -> int:
    """Return the number at the end of a gateway's name, 42 of 'node-042'; 0 where there is none (P-15)."""
    found = _NUMBER.search(gateway)
    return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class Forms:
    """Writes one site's records in its form.

    Attributes:
        form: of telemetry; events and alarms are envelopes when it is 'json', else Avro.
        units: engineering unit by tag path.
        nodes: number of the node by tag path, for envelopes.
        node: number of the node that events come from whose source does not tell one.
    """

    form: Form = "block"
    units: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)
    node: int = 0

    def telemetry(self, blocks: Sequence[StoredRecord]) -> list[list[Record]]:
        """Return for each block the records to write for it: itself, or one for each reading in the order of their positions."""
        if self.form == "block":
            return [[_as_record(block)] for block in blocks]
        try:
            columns = decode(blocks)
        except CorruptData:
            if len(blocks) == 1:
                return [[_as_record(blocks[0])]]
            return [one for block in blocks for one in self.telemetry([block])]
        ids = ids_of(blocks, columns)
        return [self._written(block, number, columns, None if ids is None else ids.tolist()) for number, block in enumerate(blocks)]

    def event(self, value: bytes) -> bytes:
        """Return an event or alarm of ours in the site's form."""
        if self.form != "json":
            return value
        event = decode_event(value)
        try:
            written = encode_event_envelope(event, _named_node(event.source, self.node))
            # the record's head tells origin and source; everything else must come back as it was
            same = decode_event_envelope(written, event.gateway_time)
        except (ValueError, OverflowError, CorruptData):
            return value
        return written if msgspec.structs.replace(same, origin=event.origin, source=event.source) == event else value

    def _written(self, block: StoredRecord, number: int, columns: Columns, ids: list[bytes] | None) -> list[Record]:
        here = columns.block == number
        own = columns.select(here)
        order: list[int] = np.argsort(own.seq, kind="stable").tolist()
        heads = _heads(own, order, columns.heads[number])
        values = self._values(own, None if ids is None else [ids[place] for place in np.flatnonzero(here).tolist()]) if heads else None
        if values is None:
            return [_as_record(block)]
        extra = tuple(one for one in block.headers if one[0] not in {HEADER, EVENT_IDS})
        in_order = iter(order)
        return [
            (values[next(in_order)] if head.readings else encode(decode([]), head, block.partition))._replace(
                headers=((HEADER, encode_head(head)), *extra), timestamp=block.timestamp, partition=block.partition
            )
            for head in heads
        ]

    def _values(self, columns: Columns, ids: list[bytes] | None) -> list[Record] | None:
        """Return a record for each reading, or None when the form cannot hold one of them."""
        if self.form == "single":
            return encode_singles(columns) if ids is None or not any(one != _NO_ID for one in ids) else None
        doubles = (columns.kinds[columns.tag] == Kind.DOUBLE) & ~columns.absent
        if not np.isfinite(columns.number[doubles]).all():
            return None
        try:
            return encode_envelopes(columns, self.units, list(_identities(columns, ids)), self._nodes(columns))
        except (ValueError, OverflowError):
            return None

    def _nodes(self, columns: Columns) -> list[int]:
        """Return the node of each tag: of a third party's reading, the one that its envelope named."""
        source_of = dict(zip(columns.tag.tolist(), columns.source.tolist(), strict=True))
        sources = [columns.sources[source_of[tag]] if tag in source_of else "" for tag in range(len(columns.tags))]
        return [_named_node(source, self.nodes.get(path, 0)) for path, source in zip(columns.tags, sources, strict=True)]


def forms_of(form: Form, sources: Mapping[str, Sequence[SourceConfig]]) -> Forms:
    """Return how records are written, with what the site file says of tags.

    Args:
        form: the site log's.
        sources: by id of their gateway.
    """
    tags = [(gateway, tag) for gateway, several in sources.items() for source in several for tag in source.tags]
    return Forms(
        form,
        units={tag.path: tag.unit for _, tag in tags if tag.unit},
        nodes={tag.path: node_of(gateway) for gateway, tag in tags},
        node=node_of(next(iter(sources))) if len(sources) == 1 else 0,
    )


def _named_node(source: str, otherwise: int) -> int:
    found = _NODE.fullmatch(source)
    return int(found[1]) if found else otherwise


def _as_record(stored: StoredRecord) -> Record:
    return Record(stored.value, stored.key, stored.headers, stored.timestamp, stored.partition)


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
        digest = hashlib.blake2b(f"{columns.heads[block].origin}|{seq}".encode(), digest_size=10).digest()
        random = int.from_bytes(digest, "big")
        ms = (time // 1000) & _MS_BITS
        yield UUID(int=ms << 80 | 7 << 76 | (random >> 62 & 0xFFF) << 64 | 2 << 62 | random & ((1 << 62) - 1))
