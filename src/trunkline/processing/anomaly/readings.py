"""What rules see of columns: GOOD numbers with where they come from (E-73)."""

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trunkline.log.codec.columns import F64, I32, I64, Columns
from trunkline.model.quality import SEVERITY_SHIFT
from trunkline.model.reading import Kind

U64 = npt.NDArray[np.uint64]


class Readings(NamedTuple):
    """GOOD readings of numeric tags, in log order. Every array of readings has the same length.

    Attributes:
        tags: distinct tag paths.
        tag: per reading, index into `tags`.
        origin: per reading, a hash of where it was first journaled.
        seq: position there.
        time: source time, µs UTC.
        value: finite.
    """

    tags: list[str]
    tag: I32
    origin: U64
    seq: I64
    time: I64
    value: F64


def good(columns: Columns) -> Readings:
    """Return the readings that may be judged: quality GOOD, a number, present and finite."""
    kinds = columns.kinds[columns.tag]
    value = np.where(kinds == Kind.INTEGER, columns.integer.astype(np.float64), columns.number)
    numeric = (kinds == Kind.DOUBLE) | (kinds == Kind.INTEGER)
    use = numeric & ~columns.absent & np.isfinite(value) & (columns.quality >> SEVERITY_SHIFT == 0)
    origins: U64 = np.array([_hash(head.origin) for head in columns.heads], np.uint64)
    return Readings(columns.tags, columns.tag[use], origins[columns.block[use]], columns.seq[use], columns.time[use], value[use])


def _hash(origin: str) -> int:
    return int.from_bytes(hashlib.blake2b(origin.encode(), digest_size=8).digest(), "little")
