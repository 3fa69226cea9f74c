"""Quantile sketches: DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019) with a relative error of at most 1 %.

A sketch counts values in bins whose bounds grow by a constant factor, so that a quantile read from it is within `ERROR` of the value
of that rank, and sketches of parts add up to the sketch of the whole, exactly. Readings are binned here, whole flushes at a time; merging
and reading quantiles is the library's.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from ddsketch import DDSketch

from trunkline.historian.segments import F64, I64

#: Relative error of a quantile, at most.
ERROR: Final = 0.01
_MAPPING: Final = DDSketch(ERROR)._mapping  # noqa: SLF001 - the library's own bins, so that its sketches and ours are the same
_PER_LOG2: Final = float(_MAPPING._multiplier)  # noqa: SLF001
_SMALLEST: Final = float(_MAPPING.min_possible)
_ZERO: Final = 1 << 20

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[int]).decode


def sketches(group: I64, values: F64, groups: int) -> list[bytes | None]:
    """Return the sketch of each group's values; None for a group without any.

    Args:
        group: per value, the group in 0..groups-1, ascending.
        values: finite numbers.
        groups: how many there are.
    """
    found: list[bytes | None] = [None] * groups
    if not len(values):
        return found
    size = np.abs(values)
    zero = size <= _SMALLEST
    key = np.ceil(np.log2(np.where(zero, 1.0, size)) * _PER_LOG2).astype(np.int64)
    # one number per bin, ascending: negative values, zero, positive values
    code = np.where(zero, _ZERO, np.where(values < 0, key, key + 2 * _ZERO))
    bins, counts = np.unique(group * (4 * _ZERO) + code + _ZERO // 2, return_counts=True)
    owner = bins // (4 * _ZERO)
    codes = bins % (4 * _ZERO) - _ZERO // 2
    first = np.flatnonzero(np.append(True, np.diff(owner) != 0))
    ends = np.append(first[1:], len(owner)).tolist()
    pairs = np.stack([codes, counts], axis=1)
    pairs[1:, 0] -= np.where(np.diff(owner) == 0, codes[:-1], 0)  # small numbers take fewer bytes
    for place, begin, end in zip(owner[first].tolist(), first.tolist(), ends, strict=True):
        found[place] = _encode(pairs[begin:end].ravel().tolist())
    return found


def merged(parts: Iterable[bytes | None]) -> DDSketch:
    """Return the sketch of everything that the parts have seen."""
    whole = DDSketch(ERROR)
    for part in parts:
        if part is None:
            continue
        numbers = _decode(part)
        code = 0
        for step, count in zip(numbers[::2], numbers[1::2], strict=True):
            code += step
            _add(whole, code, count)
    return whole


def _add(whole: DDSketch, code: int, count: int) -> None:
    """Add one bin."""
    if code < _ZERO // 2:
        whole._negative_store.add(code, count)  # noqa: SLF001 - the library takes single values only
    elif code < _ZERO + _ZERO // 2:
        whole._zero_count += count  # noqa: SLF001
    else:
        whole._store.add(code - 2 * _ZERO, count)  # noqa: SLF001
    whole._count += count  # noqa: SLF001
