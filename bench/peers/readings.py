"""The readings that every way is given: a plant of many tags, each read once a second, in time order."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from trunkline.log.codec.columns import Columns, Rewritten, encode_blocks
from trunkline.log.codec.head import BlockHead, Tally
from trunkline.log.partitioner import partition_of
from trunkline.log.port import Record
from trunkline.model import times

START: Final = 1_767_225_600 * times.SECOND  # 2026-01-01T00:00:00Z
MILLISECOND: Final = times.SECOND // 1000
ORIGIN: Final = "bench"
SOURCE: Final = "plc"
#: Readings in a block.
BLOCK: Final = 200
#: Blocks encoded in one call.
_BLOCKS: Final = 500

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings in time order, all of quality GOOD.

    Attributes:
        tags: path by tag id.
        homes: partition by tag id.
        tag: per reading, tag id.
        time: per reading, µs UTC in whole milliseconds; a tag never has two of one time.
        value: per reading, three decimals.
    """

    tags: list[str]
    homes: I32
    tag: I32
    time: I64
    value: F64

    def __len__(self) -> int:
        return len(self.tag)

    @property
    def partition(self) -> I32:
        """Per reading, the partition that its tag lives in."""
        return self.homes[self.tag]


def make(count: int, tags: int, partitions: int, seed: int = 7) -> Readings:
    """Make readings: every tag once a second, jittered by up to 49 ms, a random walk of three decimals."""
    random = np.random.default_rng(seed)
    seconds = -(-count // tags)
    paths = [f"PLANT01.AREA{n // 100:02}.UNIT_{n // 10 % 10:02}.T{n % 10}" for n in range(tags)]
    second, tag = np.divmod(np.arange(count), tags)
    milliseconds = second * 1000 + tag * 900 // tags + random.integers(0, 50, count)
    walk = random.normal(50, 10, tags) + random.normal(0, 0.05, (seconds, tags)).cumsum(axis=0)
    homes = np.array([partition_of(path.encode(), partitions) for path in paths], np.int32)
    return Readings(paths, homes, tag.astype(np.int32), START + milliseconds * MILLISECOND, np.round(walk.reshape(-1)[:count], 3))


def blocks(readings: Readings, size: int = BLOCK) -> Iterator[Record]:
    """Yield the readings as blocks of `size`, as edge journals write them: a block holds readings of one partition, in time order.

    A reading's position in the journal follows the blocks: each covers the positions from the end of the one before it in its partition.
    """
    # reading by reading, partition after partition; then block by block, in the order in which blocks are full
    order = np.argsort(readings.partition, kind="stable")
    homes = readings.partition[order]
    starts = np.searchsorted(homes, np.arange(homes.max() + 1))
    rank = np.arange(len(order)) - starts[homes]
    runs = np.split(order, np.flatnonzero(rank % size == 0)[1:])
    runs.sort(key=lambda run: int(run[-1]))
    covered: dict[int, int] = {}
    seq = 0
    waiting = iter(runs)
    while some := list(islice(waiting, _BLOCKS)):
        heads = []
        for run in some:
            partition = int(readings.partition[run[0]])
            heads.append(_head(readings, run, covered.get(partition, 0), seq + len(run)))
            seq = covered[partition] = seq + len(run)
        picked = np.concatenate(some)
        owner = np.repeat(np.arange(len(some), dtype=np.int32), [len(run) for run in some])
        columns = _columns(readings, picked, owner, heads, seq - len(picked))
        places = [int(readings.partition[run[0]]) for run in some]
        yield from encode_blocks(columns, [Rewritten(n, head, place) for n, (head, place) in enumerate(zip(heads, places, strict=True))])


def _head(readings: Readings, run: I64, lo: int, hi: int) -> BlockHead:
    hours, counts = np.unique(readings.time[run] // times.HOUR, return_counts=True)
    tallies = tuple(Tally(SOURCE, hour, count) for hour, count in zip(hours.tolist(), counts.tolist(), strict=True))
    return BlockHead(ORIGIN, lo, hi, tallies)


def _columns(readings: Readings, picked: I64, owner: I32, heads: list[BlockHead], seq: int) -> Columns:
    total = len(picked)
    return Columns(
        heads=heads,
        block=owner,
        tags=readings.tags,
        kinds=np.zeros(len(readings.tags), np.int32),
        sources=[SOURCE],
        tag=readings.tag[picked],
        source=np.zeros(total, np.int32),
        seq=seq + np.arange(total),
        time=readings.time[picked],
        gateway_time=readings.time[picked] + 2 * MILLISECOND,
        quality=np.zeros(total, np.uint16),
        number=readings.value[picked],
        integer=np.zeros(total, np.int64),
        text={},
        absent=np.zeros(total, np.bool_),
    )


def write_csv(readings: Readings, order: I64, path: Path) -> None:
    """Write `tag_id,time,value,quality` lines in the given order (indexes of readings)."""
    stamps = readings.time[order].astype("datetime64[us]").astype("datetime64[ms]").astype(str)
    with path.open("w") as out:
        rows = zip(readings.tag[order].tolist(), stamps.tolist(), readings.value[order].tolist(), strict=True)
        out.writelines(f"{tag},{stamp}+00,{value!r},0\n" for tag, stamp, value in rows)
