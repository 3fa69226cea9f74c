"""What a drill's writer was told is safe, against what a history holds, tag by tag."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trunkline.historian.reader import MAX_ROWS, Reader, UnknownTag
from trunkline.log.codec import columns as codec
from trunkline.log.port import Record, StoredRecord
from trunkline.model import times

_AT_ONCE = 500
_END = times.from_iso("2200-01-01T00:00:00Z")
_EXAMPLES = 20

#: By tag, times (µs UTC, ascending, each once) and values of its readings, all of quality GOOD.
Told = Mapping[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]


@dataclass(slots=True)
class Difference:
    """How many readings are not as they were acknowledged; `examples` names a few tags."""

    stored: int = 0
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    changed: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether there is none."""
        return not (self.lost or self.doubled or self.invented or self.changed)

    def figures(self) -> dict[str, int]:
        """Return the counts as drills report them."""
        return {name: getattr(self, name) for name in ("stored", "lost", "doubled", "invented", "changed")}


def told_by(blocks: Iterable[Record]) -> Told:
    """Return the readings of blocks that were acknowledged."""
    records = [StoredRecord("", one.partition or 0, 0, 0, one.key, one.value, one.headers) for one in blocks]
    tags: dict[str, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]] = {}
    for begin in range(0, len(records), _AT_ONCE):
        columns = codec.decode(records[begin : begin + _AT_ONCE])
        order = np.argsort(columns.tag, kind="stable")
        bounds = np.searchsorted(columns.tag[order], np.arange(len(columns.tags) + 1))
        for number, tag in enumerate(columns.tags):
            places = order[bounds[number] : bounds[number + 1]]
            tags.setdefault(tag, []).append((columns.time[places], columns.number[places]))
    return {tag: _in_order(*(np.concatenate(column) for column in zip(*parts, strict=True))) for tag, parts in tags.items()}


def _in_order(time: npt.NDArray[np.int64], value: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    order = np.argsort(time, kind="stable")
    return time[order], value[order]


def compare(told: Told, conninfo: str) -> Difference:
    """Compare a history with what was acknowledged."""
    found = Difference()
    with Reader(conninfo) as reader:
        for tag, (time, value) in told.items():
            try:
                raw = reader.raw(tag, times.EARLIEST, _END, MAX_ROWS)
            except UnknownTag:
                found.lost += len(time)
                found.examples.append(f"{tag}: none of its {len(time)} readings")
                continue
            there, first = np.unique(raw.time, return_index=True)
            _, mine, theirs = np.intersect1d(time, there, assume_unique=True, return_indices=True)
            wrong = (value[mine] != raw.number[first[theirs]]) | (raw.quality[first[theirs]] != 0)
            counts = len(time) - len(mine), len(raw.time) - len(there), len(there) - len(mine), int(np.count_nonzero(wrong))
            found.stored += len(raw.time)
            for name, count in zip(("lost", "doubled", "invented", "changed"), counts, strict=True):
                setattr(found, name, getattr(found, name) + count)
            if any(counts) and len(found.examples) < _EXAMPLES:
                found.examples.append(f"{tag}: {counts[0]} lost, {counts[1]} doubled, {counts[2]} invented, {counts[3]} changed")
    return found


def digest(conninfo: str) -> str:
    """Return a checksum of everything that a history holds of readings: tags, times, values, qualities, and the latest of each tag."""
    whole = hashlib.sha256()
    with Reader(conninfo) as reader:
        names = sorted(one.tag for one in reader.tags(limit=MAX_ROWS).tags)
        for name in names:
            raw = reader.raw(name, times.EARLIEST, _END, MAX_ROWS)
            order = np.lexsort((raw.number, raw.time))
            whole.update(name.encode())
            for column in (raw.time, raw.number, raw.integer, raw.quality, raw.absent):
                whole.update(np.ascontiguousarray(column[order]).tobytes())
        for last in sorted(reader.latest(names), key=lambda one: one.tag):
            whole.update(repr((last.tag, last.time, last.value, last.quality)).encode())
    return whole.hexdigest()
