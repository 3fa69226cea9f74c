"""Records as columns: what a poll hands over without an object for each record.

A topic of readings one to a record has hundreds of thousands of records a second, and nobody looks at them one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import Self, overload

import numpy as np
import numpy.typing as npt

from trunkline.log.port import StoredRecord, TopicPartition

I64 = npt.NDArray[np.int64]
Headers = tuple[tuple[str, bytes], ...]

_PLACE = itemgetter(0, 1)


@dataclass(frozen=True, eq=False)
class Run:
    """Records of one partition, at least one, offsets ascending.

    Attributes:
        topic, partition: where they live.
        offsets: per record.
        timestamps: per record, µs UTC.
        keys, values: per record.
        headers: per record; None when no record has any.
    """

    topic: str
    partition: int
    offsets: I64
    timestamps: I64
    keys: list[bytes | None]
    values: list[bytes]
    headers: list[Headers] | None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: int) -> StoredRecord:
        headers = self.headers[place] if self.headers is not None else ()
        offset, timestamp = int(self.offsets[place]), int(self.timestamps[place])
        return StoredRecord(self.topic, self.partition, offset, timestamp, self.keys[place], self.values[place], headers)

    def __iter__(self) -> Iterator[StoredRecord]:
        headers: Iterable[Headers] = self.headers if self.headers is not None else repeat(())
        columns = zip(self.offsets.tolist(), self.timestamps.tolist(), self.keys, self.values, headers, strict=False)
        return (StoredRecord(self.topic, self.partition, *fields) for fields in columns)

    @property
    def at(self) -> TopicPartition:
        """Where they live."""
        return TopicPartition(self.topic, self.partition)

    @cached_property
    def bytes(self) -> int:
        """Size of the values."""
        return sum(map(len, self.values))

    def part(self, start: int, end: int) -> "Run":
        """Return the records from place `start` to before place `end`."""
        some = slice(start, end)
        headers = self.headers[some] if self.headers is not None else None
        return Run(self.topic, self.partition, self.offsets[some], self.timestamps[some], self.keys[some], self.values[some], headers)


class Runs(Sequence[StoredRecord]):
    """Runs one after the other, seen as records; an object for a record is made when somebody asks for it.

    Attributes:
        runs: in order; none is empty.
    """

    __slots__ = ("_starts", "runs")

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self.runs = list(runs)
        self._starts = np.zeros(len(self.runs) + 1, np.int64)
        np.cumsum([len(run) for run in self.runs], out=self._starts[1:])

    @classmethod
    def of(cls, records: Sequence[StoredRecord]) -> Self:
        """Return records as runs, in their order; columns that are there already are taken as they are."""
        if isinstance(records, Runs):
            return cls(records.runs)
        return cls(_run(list(group)) for _, group in groupby(records, _PLACE))

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, place: int) -> StoredRecord: ...

    @overload
    def __getitem__(self, place: slice) -> list[StoredRecord]: ...

    def __getitem__(self, place: int | slice) -> StoredRecord | list[StoredRecord]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if place < 0:
            place += len(self)
        if not 0 <= place < len(self):
            raise IndexError(f"there is no record {place}")
        number = int(self._starts.searchsorted(place, "right")) - 1
        return self.runs[number][place - int(self._starts[number])]

    def __iter__(self) -> Iterator[StoredRecord]:
        return chain.from_iterable(self.runs)

    @property
    def starts(self) -> I64:
        """Place of the first record of each run; the number of records follows the last."""
        return self._starts

    def values(self) -> list[bytes]:
        """Return every record's value."""
        return list(chain.from_iterable(run.values for run in self.runs))

    def timestamps(self) -> I64:
        """Return every record's timestamp."""
        return np.concatenate([run.timestamps for run in self.runs]) if self.runs else np.empty(0, np.int64)

    def at(self, places: I64) -> list[StoredRecord]:
        """Return the records at these places."""
        return list(self) if len(places) == len(self) else [self[place] for place in places.tolist()]


def _run(records: list[StoredRecord]) -> Run:
    """Return records of one partition as a run."""
    topics, partitions, offsets, timestamps, keys, values, headers = zip(*records, strict=True)
    return Run(
        topics[0],
        partitions[0],
        np.array(offsets, np.int64),
        np.array(timestamps, np.int64),
        list(keys),
        list(values),
        list(headers) if any(headers) else None,
    )
