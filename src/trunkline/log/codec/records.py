"""Readings in whatever form a record has: blocks, singles of any known vocabulary and version, JSON envelopes.

Everything that is not a block is turned into blocks here, so that what comes after knows one form only. A block made here covers a run of
records of one origin in one partition; replayed records give the same origin and positions, so they are recognised as repeats.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from trunkline.log.codec.assembly import Assembled, Parts, assemble, merge
from trunkline.log.codec.columns import BOOL, Columns, Rewritten, decode, encode_blocks, is_block
from trunkline.log.codec.envelope import decode_envelopes, is_envelope
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.codec.schemas import BLOCK_ID, FRAME_BYTES, schema_id_of
from trunkline.log.codec.single import decode_singles
from trunkline.log.port import StoredRecord
from trunkline.model.errors import CorruptData
from trunkline.model.reading import Kind

#: Header with the identities that a third party gave its readings: 16 bytes each, in the order of the block (P-9).
EVENT_IDS: Final = "event-ids"

_JSON: Final = -1
#: First bytes that tell the form: of a frame, of a JSON object.
_TELLING: Final = (b"\0", b"{")


class Gathered(NamedTuple):
    """Records, all of them blocks.

    Attributes:
        blocks: in log order; one that was made here has the place of the first record it was made of.
        broken: records that are no readings, with the reason.
    """

    blocks: list[StoredRecord]
    broken: list[tuple[StoredRecord, str]]


def decode_records(
    records: Sequence[StoredRecord], schemas: RegistryClient, kinds: Mapping[str, Kind]
) -> tuple[Columns, list[tuple[StoredRecord, str]]]:
    """Return the columns of records of any form, and the records that cannot be decoded with the reason.

    Args:
        records: in log order.
        schemas: what schema ids mean.
        kinds: what the configuration says of each tag, by path.

    Raises:
        CorruptData: a block is damaged; see `trunkline.log.codec.columns.decode`.
        RetryLater: a schema has to be asked for, and the registry is away.
    """
    gathered = gather(records, schemas, kinds)
    return decode(gathered.blocks), gathered.broken


def gather(records: Sequence[StoredRecord], schemas: RegistryClient, kinds: Mapping[str, Kind]) -> Gathered:
    """Turn everything that is not a block into blocks. Arguments and RetryLater as in `decode_records`; damaged blocks pass."""
    others: defaultdict[int, list[int]] = defaultdict(list)
    blocks: list[StoredRecord] = []
    broken: list[tuple[StoredRecord, str]] = []
    sure: dict[bytes, int] = {}
    for place, record in enumerate(records):
        start = record.value[:FRAME_BYTES]
        form = sure.get(start)
        if form is None:
            try:
                form = _form(record)
            except CorruptData as error:
                broken.append((record, str(error)))
                continue
            # with a whole frame, or the start of an object, nothing behind it makes another form of the record
            if len(start) == FRAME_BYTES and start[:1] in _TELLING:
                sure[start] = form
        if form == BLOCK_ID:
            blocks.append(record)
        else:
            others[form].append(place)
    if not others:
        return Gathered(blocks, broken)
    decoded = [one for form, places in others.items() for one in _decoded(records, places, _reader(form, schemas), broken)]
    if decoded:
        # readings of every form together: a range of offsets must not be told by two heads
        order = sorted(place for _, places in decoded for place in places)
        at = {place: number for number, place in enumerate(order)}
        parts = merge([(parts, [at[place] for place in places]) for parts, places in decoded])
        made = assemble(parts, [records[place] for place in order], kinds)
        broken.extend(made.broken)
        blocks.extend(_as_blocks(made))
    blocks.sort(key=lambda record: (record.topic, record.partition, record.offset))
    return Gathered(blocks, broken)


def ids_left(event_ids: bytes, keep: BOOL) -> bytes:
    """Return the identities of a block's readings that are kept."""
    return b"".join(event_ids[16 * place : 16 * place + 16] for place in np.flatnonzero(keep).tolist())


def _form(record: StoredRecord) -> int:
    """Return the schema id of a record, or `_JSON`. What claims to be a block is one, damaged or not. Raises CorruptData."""
    value = record.value
    if len(value) >= FRAME_BYTES and not value[0]:
        return int.from_bytes(value[1:FRAME_BYTES], "big")
    if is_envelope(value):
        return _JSON
    return BLOCK_ID if is_block(record) else schema_id_of(value)


def _reader(form: int, schemas: RegistryClient) -> Callable[[Sequence[StoredRecord]], Parts]:
    if form == _JSON:
        return decode_envelopes
    return lambda records: decode_singles(schemas.schema(form), records)


def _decoded(
    records: Sequence[StoredRecord],
    places: list[int],
    read: Callable[[Sequence[StoredRecord]], Parts],
    broken: list[tuple[StoredRecord, str]],
) -> list[tuple[Parts, list[int]]]:
    """Decode, and where that fails find the bad records by halving."""
    try:
        return [(read([records[place] for place in places]), places)]
    except CorruptData as error:
        if len(places) == 1:
            broken.append((records[places[0]], str(error)))
            return []
    middle = len(places) // 2
    return _decoded(records, places[:middle], read, broken) + _decoded(records, places[middle:], read, broken)


def _as_blocks(made: Assembled) -> list[StoredRecord]:
    rewritten = [
        Rewritten(number, head, run.partition) for number, (head, run) in enumerate(zip(made.columns.heads, made.runs, strict=True))
    ]
    records = encode_blocks(made.columns, rewritten)
    ids = [b""] * len(records)
    if made.event_ids is not None:
        ends = np.cumsum(np.bincount(made.columns.block, minlength=len(records))).tolist()
        ids = [b"".join(made.event_ids[start:end]) for start, end in pairwise([0, *ends])]
    return [
        StoredRecord(
            topic=run.first.topic,
            partition=run.partition,
            offset=run.first.offset,
            timestamp=run.first.timestamp,
            key=None,
            value=record.value,
            headers=(*record.headers, (EVENT_IDS, own)) if own else record.headers,
        )
        for record, run, own in zip(records, made.runs, ids, strict=True)
    ]
