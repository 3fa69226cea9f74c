"""What follows from the tags of readings alone: where each goes, in what order, and the parts of blocks that say so.

Sources bring the same tags in the same order again and again. So all of this is worked out once and remembered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, groupby, islice, pairwise
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from trunkline.log.codec import avro
from trunkline.log.codec.avro import I64
from trunkline.log.partitioner import partition_of
from trunkline.model.reading import Kind

_PARTITION: Final = attrgetter("partition")
#: What shares a column of values in a block.
_SORTS: Final = ((Kind.DOUBLE,), (Kind.INTEGER, Kind.BOOLEAN), (Kind.TEXT,))
#: Columns tag_source, tag_kind, tag and seq.
_FIXED_LONGS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class TagSlot:
    """What the writer must know of a tag: computed once, when the configuration is read.

    Attributes:
        path: full tag path.
        source: id of the source that reads the tag.
        kind: of the tag's values.
        partition: where the tag's readings go.
        encoded: the path as a block holds it.
    """

    path: str
    source: str
    kind: Kind
    partition: int
    encoded: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoded", avro.string(self.path))

    @classmethod
    def of(cls, path: str, source: str, kind: Kind, partitions: int) -> "TagSlot":
        """Return the slot of a tag on a topic of `partitions`."""
        return cls(path, source, kind, partition_of(path.encode(), partitions))


class Slots:
    """The tags of readings, one per reading, in their order; known by its identity.

    Attributes:
        slots: per reading.
        tags: the distinct tags, sorted by partition.
        tag: per reading, index into `tags`.
        kinds: per reading, of its value.
        plain: whether every value is a double.
    """

    __slots__ = ("kinds", "plain", "slots", "tag", "tags")

    def __init__(self, slots: list[TagSlot]) -> None:
        paths = [slot.path for slot in slots]
        self.slots = slots
        self.tags = sorted(dict(zip(paths, slots, strict=True)).values(), key=_PARTITION)
        places = {slot.path: place for place, slot in enumerate(self.tags)}
        self.tag = np.fromiter(map(places.__getitem__, paths), np.int64, len(paths))
        self.kinds = _longs([slot.kind for slot in self.tags])[self.tag]
        self.plain = not np.count_nonzero(self.kinds)


class RecentSlots:
    """The slots met last, so that a run of tags that was met before is known by the same object again."""

    _KEPT: Final = 8

    def __init__(self) -> None:
        self._known: tuple[Slots, ...] = ()

    def of(self, slots: list[TagSlot]) -> Slots:
        """Return the object that stands for these slots."""
        known = next((one for one in self._known if one.slots == slots), None)  # of two lists that differ, the first items mostly do
        if known is None:
            known = Slots(slots)
            self._known = (known, *self._known[: self._KEPT - 1])
        return known


class Share(NamedTuple):
    """What one partition gets of the readings once they are sorted by partition.

    Attributes:
        partition: which.
        fixed: columns sources, tags, tag_source, tag_kind, tag and seq, encoded.
        rows: which of the sorted readings.
        numbers, integers, texts: which of the sorted values of double, of integer and boolean, and of text tags.
        cells: source and number of readings.
    """

    partition: int
    fixed: bytes
    rows: slice
    numbers: slice
    integers: slice
    texts: slice
    cells: list[tuple[str, int]]


class Arrangement(NamedTuple):
    """How readings are sorted by partition; those of one partition stay in the order in which they were read.

    Attributes:
        order: places of the readings, sorted.
        numbers, integers, texts: places among the values of that sort, sorted.
        sources: per sorted reading, index into `names`.
        names: ids of sources.
        shares: one per partition, ascending.
    """

    order: I64
    numbers: I64
    integers: I64
    texts: list[int]
    sources: I64
    names: list[str]
    shares: list[Share]


@lru_cache(maxsize=16)  # as many as a gateway's sources bring by turns; an arrangement of 1,000 readings takes 40 kB
def arrange(parts: tuple[Slots, ...]) -> Arrangement:
    """Return how the readings of these parts, one part after the other, are sorted."""
    all_of_them = parts[0] if len(parts) == 1 else Slots(list(chain.from_iterable(part.slots for part in parts)))
    tags, tag = all_of_them.tags, all_of_them.tag
    partition = _longs([slot.partition for slot in tags]).astype(np.uint16)
    order = partition[tag].argsort(kind="stable")  # of 16-bit integers: a radix sort
    tag, kinds = tag[order], all_of_them.kinds
    sources = {source: place for place, source in enumerate(dict.fromkeys(slot.source for slot in tags))}
    source = _longs([sources[slot.source] for slot in tags])[tag]
    values, ends_of_values = zip(*(_values_of(sort, kinds, order) for sort in _SORTS), strict=True)
    partitions = [partition for partition, _ in groupby(tags, _PARTITION)]
    tag_ends = partition.searchsorted(partitions, "right").tolist()
    ends = partition[tag].searchsorted(partitions, "right").tolist()
    columns = iter(_fixed(tags, tag, order, list(zip(pairwise([0, *tag_ends]), pairwise([0, *ends]), strict=True))))
    shares = []
    for of, (start, end) in zip(partitions, pairwise([0, *ends]), strict=True):
        numbers, integers, texts = (slice(*reached[[start, end]].tolist()) for reached in ends_of_values)
        counts = np.bincount(source[start:end], minlength=len(sources)).tolist()
        cells = sorted((name, count) for name, count in zip(sources, counts, strict=True) if count)
        shares.append(Share(of, next(columns), slice(start, end), numbers, integers, texts, cells))
    return Arrangement(order, values[0], values[1], values[2].tolist(), source, list(sources), shares)


def _longs(values: Sequence[int]) -> I64:
    return np.fromiter(values, np.int64, len(values))


def _values_of(sort: Sequence[Kind], kinds: I64, order: I64) -> tuple[I64, I64]:
    """Return the places of one sort's values among themselves, in sorted order, and how many come before each sorted reading."""
    mine = (kinds == sort[0]) | (kinds == sort[-1])
    reached = np.zeros(len(order) + 1, np.int64)
    if not np.count_nonzero(mine):
        return np.empty(0, np.int64), reached
    in_order = mine[order]
    np.cumsum(in_order, out=reached[1:])
    return (mine.cumsum() - 1)[order[in_order]], reached


def _fixed(tags: list[TagSlot], tag: I64, order: I64, bounds: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> Iterator[bytes]:
    """Yield, for each share of tags and sorted readings, the columns of its block that the tags and their order decide."""
    names: list[bytes] = []
    columns: list[I64] = []
    for (first, last), (start, end) in bounds:
        mine = tags[first:last]
        sources = {source: place for place, source in enumerate(dict.fromkeys(slot.source for slot in mine))}
        names.append(avro.strings(list(sources)) + avro.array(len(mine), b"".join([slot.encoded for slot in mine])))
        columns += (_longs([sources[slot.source] for slot in mine]), _longs([slot.kind for slot in mine]))
        columns += (tag[start:end] - first, order[start:end])
    encoded = iter(avro.longs(columns))
    for name in names:
        yield name + b"".join(islice(encoded, _FIXED_LONGS))
