"""A scan: one reading of each of a fixed list of tags, as columns.

A source that polls may hand its readings over like this. Whoever takes them as `Reading`s, one by one, notices no difference; the
gateway's own path takes the columns, and no object is made per reading.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from trunkline.model.reading import Kind, Reading, Value

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Roster:
    """The tags that a scan reads, each once, in order.

    Make one and hand it over with every scan of these tags: what follows from the tags alone is remembered by its identity.

    Attributes:
        tags: full tag paths.
        kinds: of their values.
    """

    tags: tuple[str, ...]
    kinds: tuple[Kind, ...]

    def __post_init__(self) -> None:
        if len(set(self.tags)) != len(self.tags) or len(self.kinds) != len(self.tags):
            raise ValueError("a roster names each tag once, with its kind")


@dataclass(frozen=True, slots=True, eq=False)
class Scan(Sequence[Reading]):
    """Readings of the tags of a roster, in its order, without a time of the device's own.

    Attributes:
        roster: the tags.
        gateway_time: per tag, when the gateway read it, µs UTC.
        numbers: values of the double tags; anything where there is none.
        integers: values of the integer and boolean tags (0 or 1); anything where there is none.
        texts: values of the text tags; anything where there is none.
        quality: per tag; None when every one is GOOD.
        absent: per tag, whether there is no value, which needs a BAD quality; None when all have one.
    """

    roster: Roster
    gateway_time: I64
    numbers: F64
    integers: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    texts: Sequence[str] = ()
    quality: I64 | None = None
    absent: Bools | None = None

    @override
    def __len__(self) -> int:
        return len(self.roster.tags)

    @overload
    def __getitem__(self, place: int) -> Reading: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Reading]: ...
    @override
    def __getitem__(self, place: int | slice) -> Reading | Sequence[Reading]:
        return self.readings()[place]

    @override
    def __iter__(self) -> Iterator[Reading]:
        return iter(self.readings())

    def readings(self) -> list[Reading]:
        """Return the readings as objects."""
        numbers, integers, texts = iter(self.numbers.tolist()), iter(self.integers.tolist()), iter(self.texts)
        columns: dict[Kind, Iterator[Value]] = {
            Kind.DOUBLE: numbers,
            Kind.INTEGER: integers,
            Kind.BOOLEAN: integers,
            Kind.TEXT: texts,
        }
        values: list[Value] = [next(columns[kind]) for kind in self.roster.kinds]
        if Kind.BOOLEAN in self.roster.kinds:
            values = [bool(value) if kind is Kind.BOOLEAN else value for kind, value in zip(self.roster.kinds, values, strict=True)]
        if self.absent is not None:
            for place in self.absent.nonzero()[0].tolist():
                values[place] = None
        quality = [0] * len(self) if self.quality is None else self.quality.tolist()
        return [
            Reading(tag, value, grade, None, read)
            for tag, value, grade, read in zip(self.roster.tags, values, quality, self.gateway_time.tolist(), strict=True)
        ]
