"""Readings in whatever form a record has: blocks, singles of any known vocabulary and version, JSON envelopes.

Everything that is not a block is put into columns here, and made into blocks for those who pass them on, so that what comes after knows
one form only. A block made here covers a run of records of one origin in one partition; replayed records give the same origin and
positions, so they are recognised as repeats.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np

from trunkline.log.codec.assembly import Assembled, Parts, assemble, merge
from trunkline.log.codec.columns import BOOL, I64, Columns, Rewritten, decode, encode_blocks, is_block
from trunkline.log.codec.envelope import decode_envelopes, is_envelope
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.codec.schemas import BLOCK_ID, FRAME_BYTES, schema_id_of
from trunkline.log.codec.single import reader_of
from trunkline.log.codec.sound import read_sound
from trunkline.log.port import StoredRecord
from trunkline.log.runs import Runs
from trunkline.model.errors import CorruptData
from trunkline.model.reading import Kind

#: Header with the identities that a third party gave its readings: 16 bytes each, in the order of the block (P-9).
EVENT_IDS: Final = "event-ids"

_JSON: Final = -1
_NONE: Final = -2
_START: Final = itemgetter(slice(FRAME_BYTES))
#: First bytes that tell the form: of a frame, of a JSON object.
_TELLING: Final = (b"\0", b"{")

Broken = list[tuple[StoredRecord, str]]


class Gathered(NamedTuple):
    """Records, all of them blocks.

    Attributes:
        blocks: in log order; one that was made here has the place of the first record it was made of.
        broken: records that are no readings, with the reason.
    """

    blocks: list[StoredRecord]
    broken: Broken


@dataclass(slots=True)
class Sorted:
    """Records by what they are.

    Attributes:
        blocks: records that are blocks, damaged or not, in log order.
        made: the readings of all others; None when there are none.
        broken: records that are no readings, with the reason.
    """

    blocks: list[StoredRecord]
    made: Assembled | None
    broken: Broken

    @property
    def plain(self) -> Assembled | None:
        """All that there is, if that is columns already: no blocks beside them."""
        return self.made if self.made is not None and not self.blocks else None

    def all_blocks(self) -> list[StoredRecord]:
        """Return the blocks, and the other readings made into blocks, in log order."""
        made = _as_blocks(self.made) if self.made is not None else []
        return sorted([*self.blocks, *made], key=lambda record: record[:3])


def decode_records(records: Sequence[StoredRecord], schemas: RegistryClient, kinds: Mapping[str, Kind]) -> tuple[Columns, Broken]:
    """Return the columns of records of any form, and the records that cannot be decoded with the reason.

    Args:
        records: in log order.
        schemas: what schema ids mean.
        kinds: what the configuration says of each tag, by path.

    Raises:
        CorruptData: a block is damaged; see `trunkline.log.codec.columns.decode`.
        RetryLater: a schema has to be asked for, and the registry is away.
    """
    found = sort_out(records, schemas, kinds)
    return found.plain.columns if found.plain is not None else decode(found.all_blocks()), found.broken


def gather(records: Sequence[StoredRecord], schemas: RegistryClient, kinds: Mapping[str, Kind]) -> Gathered:
    """Turn everything that is not a block into blocks. Arguments and RetryLater as in `decode_records`; damaged blocks pass."""
    found = sort_out(records, schemas, kinds)
    return Gathered(found.all_blocks(), found.broken)


def sort_out(records: Sequence[StoredRecord], schemas: RegistryClient, kinds: Mapping[str, Kind]) -> Sorted:
    """Tell blocks from other readings and put those into columns. Arguments and RetryLater as in `decode_records`."""
    table = Runs.of(records)
    values = table.values()
    wrong: dict[int, str] = {}
    blocks: list[StoredRecord] = []
    decoded: list[tuple[Parts, I64]] = []
    for form, places in _by_form(table, values, wrong):
        if form == BLOCK_ID:
            blocks = table.at(places)
        elif form == _JSON:
            decoded.append((decode_envelopes(table.at(places)), places))
        else:
            decoded.extend(_singles(form, table, values, places, schemas, wrong))
    made: Assembled | None = None
    if decoded:
        # readings of every form together: a range of offsets must not be told by two heads
        order = decoded[0][1] if len(decoded) == 1 else np.sort(np.concatenate([places for _, places in decoded]))
        parts = merge([(parts, order.searchsorted(places)) for parts, places in decoded])
        made = assemble(parts, table, order, kinds)
        wrong |= made.wrong
    return Sorted(blocks, made, [(table[place], wrong[place]) for place in sorted(wrong)])


def ids_left(event_ids: bytes, keep: BOOL) -> bytes:
    """Return the identities of a block's readings that are kept."""
    return b"".join(event_ids[16 * place : 16 * place + 16] for place in np.flatnonzero(keep).tolist())


def _by_form(table: Runs, values: list[bytes], wrong: dict[int, str]) -> Iterator[tuple[int, I64]]:
    """Yield the places of the records of each form; what has none is told in `wrong`."""
    starts = list(map(_START, values))
    # with a whole frame, or the start of an object, nothing behind it makes another form of the record
    form_of = {start: _form_of_start(start) for start in set(starts)}
    forms = set(form_of.values())
    if len(forms) == 1 and _NONE not in forms:
        yield forms.pop(), np.arange(len(values))
        return
    form = np.fromiter(map(form_of.__getitem__, starts), np.int64, len(starts))
    for place in np.flatnonzero(form == _NONE).tolist():
        try:
            form[place] = _form(table[place])
        except CorruptData as error:
            wrong[place] = str(error)
    order = np.argsort(form, kind="stable")
    ends = np.flatnonzero(np.diff(form[order])) + 1
    for places in np.split(order, ends):
        if len(places) and form[places[0]] != _NONE:
            yield int(form[places[0]]), places


def _form_of_start(start: bytes) -> int:
    """Return the form of values that start so, or `_NONE` where the start alone does not tell."""
    if len(start) < FRAME_BYTES or start[:1] not in _TELLING:
        return _NONE
    return _JSON if start[0] else int.from_bytes(start[1:], "big")


def _form(record: StoredRecord) -> int:
    """Return the schema id of a record, or `_JSON`. What claims to be a block is one, damaged or not. Raises CorruptData."""
    if is_envelope(record.value):
        return _JSON
    return BLOCK_ID if is_block(record) else schema_id_of(record.value)


def _singles(
    form: int, table: Runs, values: list[bytes], places: I64, schemas: RegistryClient, wrong: dict[int, str]
) -> list[tuple[Parts, I64]]:
    """Return the readings of records of one schema, and the places they are from."""
    try:
        reader = reader_of(schemas.schema(form))
    except CorruptData as error:
        wrong.update(dict.fromkeys(places.tolist(), str(error)))
        return []
    chosen = values if len(places) == len(values) else [values[place] for place in places.tolist()]
    parts, faults = read_sound(reader.read, chosen, table.timestamps()[places])
    wrong.update((int(places[at]), reason) for at, reason in faults.items())
    return [(part, places[at]) for part, at in parts]


def _as_blocks(made: Assembled) -> list[StoredRecord]:
    firsts, heads = made.firsts, made.columns.heads
    records = encode_blocks(
        made.columns, [Rewritten(number, head, first.partition) for number, (head, first) in enumerate(zip(heads, firsts, strict=True))]
    )
    ids = [b""] * len(records)
    if made.event_ids is not None:
        ends = np.cumsum(np.bincount(made.columns.block, minlength=len(records))).tolist()
        ids = [b"".join(made.event_ids[start:end]) for start, end in pairwise([0, *ends])]
    return [
        first._replace(key=None, value=record.value, headers=(*record.headers, (EVENT_IDS, own)) if own else record.headers)
        for record, first, own in zip(records, firsts, ids, strict=True)
    ]
