"""The last readings of every input: what held at a moment, as columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from trunkline.log.codec.columns import BOOL, F64, I64, U16, Columns
from trunkline.model.reading import Kind

#: Readings remembered of each input.
KEPT: Final = 64
#: Most readings of one input that are taken in at once, so that what was not reckoned yet is still remembered.
AT_ONCE: Final = KEPT // 2
#: In the place of a time: before every reading.
NEVER: Final = np.iinfo(np.int64).min


class Arrived(NamedTuple):
    """Readings of inputs, in order of time; arrays of one length. `value` is of float64, or of objects where texts are among them."""

    row: I64
    time: I64
    value: npt.NDArray[Any]
    quality: U16

    def take(self, places: I64) -> "Arrived":
        """Return the readings at these places."""
        return Arrived(self.row[places], self.time[places], self.value[places], self.quality[places])


class Held(NamedTuple):
    """What several inputs had at several moments: arrays (inputs, moments).

    Attributes:
        known: whether there was a reading at or before the moment.
        forgotten: whether there may have been one that is no longer remembered.
        time, number, quality: of the newest reading not after the moment; NaN where it is not known or no number.
        texts: of inputs that are texts, by place among the inputs: an array (moments,) of str or None.
    """

    known: BOOL
    forgotten: BOOL
    time: I64
    number: F64
    quality: U16
    texts: dict[int, npt.NDArray[Any]]


class _Stored(msgspec.Struct, array_like=True):
    """An input as an entry: oldest first."""

    times: bytes
    qualities: bytes
    numbers: bytes
    texts: list[str | None] | None


class InputMemory:
    """Rows of readings, the newest at the right end.

    Args:
        inputs: paths, and the kinds of their values.
    """

    def __init__(self, inputs: Mapping[str, Kind]) -> None:
        self.rows = {path: row for row, path in enumerate(inputs)}
        self.time: I64 = np.full((len(inputs), KEPT), NEVER)
        self._number: F64 = np.full((len(inputs), KEPT), np.nan)
        self._quality: U16 = np.zeros((len(inputs), KEPT), np.uint16)
        self._text = {self.rows[path]: np.full(KEPT, None, np.object_) for path, kind in inputs.items() if kind is Kind.TEXT}

    @property
    def newest(self) -> I64:
        """Time of each input's newest reading."""
        newest: I64 = self.time[:, -1]
        return newest

    def arrived(self, columns: Columns, skip: frozenset[str]) -> Arrived:
        """Return the readings of inputs among `columns`, except those of the tags in `skip`."""
        row_of = np.array([-1 if tag in skip else self.rows.get(tag, -1) for tag in columns.tags] or [-1], np.int64)
        row = row_of[columns.tag] if len(columns) else np.empty(0, np.int64)
        places = np.flatnonzero(row >= 0)
        places = places[np.argsort(columns.time[places], kind="stable")]
        whole = np.isin(columns.kinds, (Kind.INTEGER, Kind.BOOLEAN))[columns.tag[places]]
        value: npt.NDArray[Any] = np.where(whole, columns.integer[places].astype(np.float64), columns.number[places])
        value = np.where(columns.absent[places], np.nan, value)
        if self._text and (texts := [(at, columns.text.get(place)) for at, place in enumerate(places.tolist()) if place in columns.text]):
            value = value.astype(np.object_)
            for at, text in texts:
                value[at] = text
        return Arrived(row[places], columns.time[places], value, columns.quality[places])

    def portions(self, arrived: Arrived) -> Iterator[Arrived]:
        """Yield the readings in order, never more than `AT_ONCE` of one input at once."""
        waiting = [(0, len(arrived.row))]
        while waiting:
            start, end = waiting.pop()
            if end - start <= AT_ONCE or np.bincount(arrived.row[start:end]).max() <= AT_ONCE:
                if end > start:
                    yield arrived.take(np.arange(start, end))
            else:
                middle = (start + end) // 2
                waiting += [(middle, end), (start, middle)]

    def add(self, arrived: Arrived) -> None:
        """Remember readings: a portion of them."""
        behind = arrived.time < self.newest[arrived.row]
        for place in np.flatnonzero(behind).tolist():
            self._insert(int(arrived.row[place]), int(arrived.time[place]), arrived.value[place], int(arrived.quality[place]))
        left = np.flatnonzero(~behind)
        while len(left):  # the first of each row that is left, for all rows at once
            rows, first = np.unique(arrived.row[left], return_index=True)
            places = left[first]
            for column in (self.time, self._number, self._quality):
                column[rows, :-1] = column[rows, 1:]
            self.time[rows, -1], self._quality[rows, -1] = arrived.time[places], arrived.quality[places]
            if self._text or arrived.value.dtype == np.object_:
                for row, value in zip(rows.tolist(), arrived.value[places].tolist(), strict=True):
                    self._put(row, KEPT - 1, value)
            else:
                self._number[rows, -1] = arrived.value[places]
            left = np.delete(left, first)

    def _put(self, row: int, at: int, value: float | str | None) -> None:
        """Set a value, and move the older texts of a row aside; its numbers were moved already."""
        text = self._text.get(row)
        if text is not None:
            text[:at] = text[1 : at + 1]
            text[at] = value if isinstance(value, str) else None
        self._number[row, at] = np.nan if isinstance(value, str) or value is None else value

    def _insert(self, row: int, time: int, value: float | str | None, quality: int) -> None:
        """Remember a reading among newer ones; one that is older than all that is remembered stays forgotten."""
        at = int(np.searchsorted(self.time[row], time, "right")) - 1
        if at < 0:
            return
        for column in (self.time, self._number, self._quality):
            column[row, :at] = column[row, 1 : at + 1]
        self.time[row, at], self._quality[row, at] = time, quality
        self._put(row, at, value)

    def held(self, rows: I64, moments: I64) -> Held:
        """Return what the inputs of these rows had at these moments."""
        remembered = self.time[rows]
        if len(moments) == 1:
            places = np.count_nonzero(remembered <= moments[0], axis=1)[:, None] - 1
        else:
            places = np.array([np.searchsorted(times, moments, "right") for times in remembered]) - 1
        flat = np.maximum(places, 0) + rows[:, None] * KEPT
        forgotten = places < 0  # a row with room left begins with NEVER, which is before every moment
        time = self.time.take(flat)
        known = (time != NEVER) & ~forgotten
        texts = {at: self._text[row][places[at]] for at, row in enumerate(rows.tolist()) if row in self._text} if self._text else {}
        return Held(known, forgotten, time, self._number.take(flat), self._quality.take(flat), texts)

    def times(self, row: int) -> I64:
        """Return the times that are remembered of an input, oldest first."""
        times: I64 = self.time[row][self.time[row] != NEVER]
        return times

    def entry(self, path: str) -> bytes:
        """Return an input as bytes."""
        row = self.rows[path]
        some = self.time[row] != NEVER
        text = self._text.get(row)
        texts = None if text is None else text[some].tolist()
        stored = _Stored(self.time[row][some].tobytes(), self._quality[row][some].tobytes(), self._number[row][some].tobytes(), texts)
        return msgspec.msgpack.encode(stored)

    def restore(self, path: str, entry: bytes) -> None:
        """Take over an input from its entry; one that is no input any more is left out."""
        row = self.rows.get(path)
        if row is None:
            return
        stored = msgspec.msgpack.decode(entry, type=_Stored)
        times = np.frombuffer(stored.times, np.int64)
        if not len(times):
            return
        self.time[row, -len(times) :] = times
        self._quality[row, -len(times) :] = np.frombuffer(stored.qualities, np.uint16)
        self._number[row, -len(times) :] = np.frombuffer(stored.numbers, np.float64)
        text = self._text.get(row)
        if text is not None and stored.texts is not None:
            text[-len(times) :] = np.array([*stored.texts, None], np.object_)[:-1]

    def paths(self) -> Sequence[str]:
        """Return the paths of all inputs."""
        return list(self.rows)
