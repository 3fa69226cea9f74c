"""Several blocks encoded at once are the same readings as each encoded alone."""

import random

import numpy as np

from trunkline.log.codec.columns import Columns, Rewritten, decode, encode, encode_blocks
from trunkline.log.codec.head import BlockHead, Tally
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.port import Record, StoredRecord
from trunkline.model import times
from trunkline.model.reading import Kind, Reading, Value

START = 1_795_000_000 * times.SECOND


def stored(records: list[Record]) -> list[StoredRecord]:
    return [StoredRecord("t", 0, place, START, None, record.value, record.headers) for place, record in enumerate(records)]


def mixed_blocks(seed: int) -> list[StoredRecord]:
    """Five blocks of readings of every kind, from two sources, some absent, some bad."""
    chance = random.Random(seed)
    slots = [TagSlot.of(f"P.{kind.name}{n}", f"plc-{n % 2}", kind, 1) for kind in Kind for n in range(3)]
    records: list[Record] = []
    seq = 0
    for size in (1, 40, 7, 200, 13):
        pairs = []
        for _ in range(size):
            slot = chance.choice(slots)
            values: dict[Kind, Value] = {
                Kind.DOUBLE: chance.gauss(0, 1e6),
                Kind.INTEGER: chance.randrange(-(2**63), 2**63),
                Kind.BOOLEAN: chance.random() < 0.5,
                Kind.TEXT: chance.choice(("", "läuft", "x" * 300)),
            }
            value = None if chance.random() < 0.1 else values[slot.kind]
            at = START + chance.randrange(10**9)
            quality = chance.choice((0, 0, 0, 0x8000)) if size != 7 else 0
            pairs.append((slot, Reading(slot.path, value, quality, at, at + chance.randrange(10**6))))
        made, seq = write_blocks("edge", seq, {0: seq}, pairs)
        records += made
    return stored(records)


def rows(columns: Columns) -> list[tuple[object, ...]]:
    return [
        (
            int(columns.block[place]),
            columns.tags[columns.tag[place]],
            int(columns.kinds[columns.tag[place]]),
            columns.sources[columns.source[place]],
            int(columns.seq[place]),
            int(columns.time[place]),
            int(columns.gateway_time[place]),
            int(columns.quality[place]),
            columns.value(place),
        )
        for place in range(len(columns))
    ]


def test_blocks_encoded_at_once_decode_to_what_went_in() -> None:
    for seed in range(20):
        columns = decode(mixed_blocks(seed))
        heads = [BlockHead("edge", n, n + 1, (Tally("plc-0", 5, n),)) for n in range(len(columns.heads))]
        records = encode_blocks(columns, [Rewritten(n, head, n % 3) for n, head in enumerate(heads)])
        again = decode(stored(records))
        assert rows(again) == rows(columns)
        assert again.heads == heads
        assert [record.partition for record in records] == [0, 1, 2, 0, 1]


def test_a_block_encoded_alone_is_the_same_record() -> None:
    columns = decode(mixed_blocks(3))
    numbers = [1, 3, 4]
    kept = columns.select(np.isin(columns.block, numbers) & (columns.seq % 3 > 0))
    blocks = [Rewritten(number, columns.heads[number], 0) for number in numbers]
    together = encode_blocks(kept, blocks)
    alone = [encode(kept.select(kept.block == number), columns.heads[number], 0) for number in numbers]
    assert together == alone


def test_a_block_may_have_lost_all_of_its_readings() -> None:
    columns = decode(mixed_blocks(4))
    kept = columns.select(columns.block == 1)
    blocks = [Rewritten(number, columns.heads[number], 0) for number in (0, 1, 2)]
    again = decode(stored(encode_blocks(kept, blocks)))
    assert rows(again) == rows(kept)
    assert again.heads == columns.heads[:3]
    assert encode_blocks(kept.select(kept.block > 1), []) == []
