"""The replies to all requests of a scan into columns. Pure: no I/O.

What a scan brings is laid out once, when its requests are known: which bytes make which value. After that a scan is one gather of bytes
into native order, a view per number format, and one multiplication and addition for all scaled values. Python runs per tag only where a
value needs judging: sentinels, bit fields, strings, integers that may not fit.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trunkline.model.quality import Quality
from trunkline.model.reading import Kind
from trunkline.model.scan import F64, I64, Bools, Roster, Scan
from trunkline.sources.registers.codec import GOOD, Judged, Layout, byte_order, is_linear, is_plain, judge

#: Native types of the number formats, by their letters for the struct module.
_TYPES: Final = {code: np.dtype(code) for code in "hHiIqQfd"}
_WHOLE: Final = (Kind.INTEGER, Kind.BOOLEAN)


class Member(NamedTuple):
    """A tag within a part: how many registers (or coils) behind the part's first, and its layout."""

    position: int
    layout: Layout


class Part(NamedTuple):
    """What one request reads.

    Attributes:
        is_bits: whether coils or discrete inputs are read.
        size: how many of them, or how many registers.
        members: the tags.
    """

    is_bits: bool
    size: int
    members: tuple[Member, ...]

    @property
    def bytes(self) -> int:
        """Length of a reply's payload."""
        return (self.size + 7) // 8 if self.is_bits else 2 * self.size


class Outcome(NamedTuple):
    """What one request brought.

    Attributes:
        payload: the bytes as sent; None when there was no value.
        quality: why there was none; else what is to be said of the values, GOOD as a rule.
        at: when it was known, µs UTC.
    """

    payload: bytes | None
    quality: int
    at: int


class _Spot(NamedTuple):
    """A tag: number of its part, first byte (for a coil: bit) among those of all parts, and its layout."""

    part: int
    start: int
    layout: Layout


@dataclass(slots=True)
class _Lanes:
    """The spots of one sort of values, by what has to be done to get them; the sort's column holds the lanes one after the other."""

    plain: list[_Spot] = field(default_factory=list)
    linear: list[_Spot] = field(default_factory=list)
    coils: list[_Spot] = field(default_factory=list)
    judged: list[_Spot] = field(default_factory=list)

    def __iter__(self) -> Iterator[_Spot]:
        return chain(self.plain, self.linear, self.coils, self.judged)

    def arrange(self) -> None:
        """Put numbers of one format side by side."""
        for lane in (self.plain, self.linear):
            lane.sort(key=_format)


def _format(spot: _Spot) -> str:
    return spot.layout.format.code


class _Copy(NamedTuple):
    """A run of numbers of one format: where its bytes are among those gathered, and where its values go."""

    source: slice
    dtype: "np.dtype[np.generic]"
    target: slice


class Sheet:
    """Turns the outcomes of a fixed sequence of requests into a scan.

    Attributes:
        roster: the tags of the scan.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._blanks = [bytes(part.bytes) for part in parts]
        doubles, whole, texts = _lanes(parts)
        spots = [*doubles, *whole, *texts]
        self.roster = Roster(tuple(spot.layout.path for spot in spots), tuple(spot.layout.kind for spot in spots))
        self._part = np.array([spot.part for spot in spots], np.intp)
        self._doubles, self._wholes = len(list(doubles)), len(list(whole))
        gathered: list[int] = []
        self._double_copies = [*_copies(doubles.plain, 0, gathered), *_copies(doubles.linear, len(doubles.plain), gathered)]
        self._whole_copies = _copies(whole.plain, 0, gathered)
        self._gather = np.array(gathered, np.intp)
        self._linear = slice(len(doubles.plain), len(doubles.plain) + len(doubles.linear))
        self._scale = np.array([spot.layout.scale for spot in doubles.linear], np.float64)
        self._offset = np.array([spot.layout.offset for spot in doubles.linear], np.float64)
        self._coils = slice(len(whole.plain), len(whole.plain) + len(whole.coils))
        self._bits = np.array([spot.start for spot in whole.coils], np.intp)
        judged = {id(spot) for lanes in (doubles, whole, texts) for spot in lanes.judged}
        self._judges = [(place, _judge(spot)) for place, spot in enumerate(spots) if id(spot) in judged]

    def scan(self, outcomes: Sequence[Outcome]) -> Scan:
        """Return the scan of what the requests brought, in the order of the parts."""
        joined = b"".join([blank if one.payload is None else one.payload for one, blank in zip(outcomes, self._blanks, strict=True)])
        wire = np.frombuffer(joined, np.uint8)
        numbers, integers = self._numbers(wire)
        quality = np.zeros(len(self.roster.tags), np.int64)
        finite = np.isfinite(numbers)
        if not finite.all():
            quality[: self._doubles][~finite] = Quality.BAD_NOT_FINITE
        texts = self._judge(joined, numbers, integers, quality)
        if any(one.payload is not None and one.quality != GOOD for one in outcomes):
            doubts = np.array([GOOD if one.payload is None else one.quality for one in outcomes], np.int64)[self._part]
            quality[quality == GOOD] = doubts[quality == GOOD]
        if any(one.payload is None for one in outcomes):
            reasons = np.array([GOOD if one.payload is not None else one.quality for one in outcomes], np.int64)[self._part]
            silent = np.array([one.payload is None for one in outcomes], np.bool_)[self._part]
            quality[silent] = reasons[silent]
        absent: Bools | None = quality >= Quality.BAD if quality.any() else None
        at = np.array([one.at for one in outcomes], np.int64)[self._part]
        return Scan(self.roster, at, numbers, integers, texts, None if absent is None else quality, absent)

    def _numbers(self, wire: npt.NDArray[np.uint8]) -> tuple[F64, I64]:
        """Return the values that need no judging; 0 where others belong."""
        numbers, integers = np.zeros(self._doubles), np.zeros(self._wholes, np.int64)
        gathered = wire[self._gather]
        with np.errstate(all="ignore"):
            for source, dtype, target in self._double_copies:
                numbers[target] = gathered[source].view(dtype)
            for source, dtype, target in self._whole_copies:
                integers[target] = gathered[source].view(dtype)
            linear = numbers[self._linear]
            linear *= self._scale
            linear += self._offset
        if len(self._bits):
            integers[self._coils] = np.unpackbits(wire, bitorder="little")[self._bits]
        return numbers, integers

    def _judge(self, wire: bytes, numbers: F64, integers: I64, quality: I64) -> list[str]:
        """Fill in the values that need judging; return the texts."""
        texts = [""] * (len(self.roster.tags) - self._doubles - self._wholes)
        for place, judged in self._judges:
            value, grade = judged(wire)
            quality[place] = grade
            if isinstance(value, str):
                texts[place - self._doubles - self._wholes] = value
            elif isinstance(value, float):
                numbers[place] = value
            elif value is not None:
                integers[place - self._doubles] = value
        return texts


def _lanes(parts: Sequence[Part]) -> tuple[_Lanes, _Lanes, _Lanes]:
    """Return the lanes of doubles, of integers and booleans, and of texts."""
    doubles, whole, texts = _Lanes(), _Lanes(), _Lanes()
    start = 0
    for number, part in enumerate(parts):
        for position, layout in part.members:
            lanes = doubles if layout.kind is Kind.DOUBLE else whole if layout.kind in _WHOLE else texts
            if part.is_bits:
                lanes.coils.append(_Spot(number, 8 * start + position, layout))
                continue
            lane = lanes.plain if is_plain(layout) else lanes.linear if is_linear(layout) else lanes.judged
            lane.append(_Spot(number, start + 2 * position, layout))
        start += part.bytes
    for lanes in (doubles, whole, texts):
        lanes.arrange()
    return doubles, whole, texts


def _copies(spots: Sequence[_Spot], target: int, gathered: list[int]) -> list[_Copy]:
    """Return the copies of a lane whose column begins at `target`; the bytes they need are added to those gathered."""
    copies: list[_Copy] = []
    for code in dict.fromkeys(map(_format, spots)):
        mine = [spot for spot in spots if spot.layout.format.code == code]
        first = len(gathered)
        for spot in mine:
            gathered += [spot.start + byte for byte in _native(byte_order(spot.layout))]
        copies.append(_Copy(slice(first, len(gathered)), _TYPES[code], slice(target, target + len(mine))))
        target += len(mine)
    return copies


def _native(big_endian: list[int]) -> list[int]:
    return big_endian[::-1] if np.little_endian else big_endian


def _judge(spot: _Spot) -> Callable[[bytes], Judged]:
    """Return a function from all bytes of a scan to value and quality of one tag."""
    order = [spot.start + byte for byte in byte_order(spot.layout)]
    unpack = struct.Struct(">" + spot.layout.format.code).unpack
    judged = judge(spot.layout)
    return lambda wire: judged(unpack(bytes([wire[place] for place in order]))[0])
