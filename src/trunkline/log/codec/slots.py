"""What follows from the tags of readings alone: where each goes, in what order, and the parts of blocks that say so.

Sources bring the same tags in the same order again and again. So all of this is worked out once and remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, pairwise
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trunkline.log.codec import avro
from trunkline.log.codec.avro import I64
from trunkline.log.partitioner import partition_of
from trunkline.model.reading import Kind

_PARTITION: Final = attrgetter("partition")
_WHOLE: Final = (Kind.INTEGER, Kind.BOOLEAN)


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


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """The tags of readings, one per reading, in their order; known by its identity.

    Attributes:
        slots: per reading.
        kinds: per reading, of its value.
        plain: whether every value is a double.
    """

    slots: list[TagSlot]
    kinds: I64 = field(init=False, repr=False)
    plain: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", np.fromiter([slot.kind for slot in self.slots], np.int64, len(self.slots)))
        object.__setattr__(self, "plain", not np.count_nonzero(self.kinds))


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
    slots = list(chain.from_iterable(part.slots for part in parts))
    kinds = np.concatenate([part.kinds for part in parts])
    partition = np.fromiter(map(_PARTITION, slots), np.int64, len(slots))
    order = partition.argsort(kind="stable")
    sorts = [np.isin(kinds, sort) for sort in ((Kind.DOUBLE,), _WHOLE, (Kind.TEXT,))]
    # place of each reading's value among those of its sort, in sorted order
    numbers, integers, texts = ((sort.cumsum() - 1)[order][sort[order]] for sort in sorts)
    source_places = {source: place for place, source in enumerate(dict.fromkeys(slot.source for slot in slots))}
    sources = np.fromiter([source_places[slot.source] for slot in slots], np.int64, len(slots))[order]
    names = list(source_places)
    partitions, starts = np.unique(partition[order], return_index=True)
    ends = [0, *starts[1:].tolist(), len(slots)]
    bounds = [np.concatenate([[0], sort[order].cumsum()])[ends].tolist() for sort in sorts]
    shares = []
    for number, (of, (start, end)) in enumerate(zip(partitions.tolist(), pairwise(ends), strict=True)):
        places = order[start:end]
        counts = np.bincount(sources[start:end], minlength=len(names)).tolist()
        shares.append(
            Share(
                partition=of,
                fixed=_fixed([slots[place] for place in places.tolist()], places),
                rows=slice(start, end),
                numbers=slice(*bounds[0][number : number + 2]),
                integers=slice(*bounds[1][number : number + 2]),
                texts=slice(*bounds[2][number : number + 2]),
                cells=sorted((names[place], count) for place, count in enumerate(counts) if count),
            )
        )
    return Arrangement(order, numbers, integers, texts.tolist(), sources, names, shares)


def _fixed(slots: Sequence[TagSlot], places: I64) -> bytes:
    """Return the columns of a block that its tags and their order decide."""
    tags = {slot.path: slot for slot in slots}
    tag_places = {path: place for place, path in enumerate(tags)}
    sources = {source: place for place, source in enumerate(dict.fromkeys(slot.source for slot in tags.values()))}

    def longs(values: Sequence[int]) -> npt.NDArray[np.int64]:
        return np.fromiter(values, np.int64, len(values))

    return b"".join(
        (
            avro.strings(list(sources)),
            avro.array(len(tags), b"".join([slot.encoded for slot in tags.values()])),
            *avro.longs(
                [
                    longs([sources[slot.source] for slot in tags.values()]),
                    longs([slot.kind for slot in tags.values()]),
                    longs([tag_places[slot.path] for slot in slots]),
                    places,
                ]
            ),
        )
    )
