"""Rows of state of a rule, and how they are kept: one entry a row, plain numbers only."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from trunkline.log.codec.columns import BOOL
from trunkline.processing.anomaly.detector import Rows


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    """A row as it is kept: what it was made by, and its bytes, little-endian."""

    made_by: bytes
    row: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(_Entry)


def fingerprint(*words: str) -> bytes:
    """Return what tells rows of one meaning from those of another: a hash of the options that they depend on."""
    return hashlib.blake2b("\n".join(words).encode(), digest_size=8).digest()


class Table:
    """Rows of state, one for each path.

    Attributes:
        rows: structured array.
        changed: rows that changed since `take_changed`.
    """

    def __init__(self, prefix: str, paths: Sequence[str], blank: np.void, made_by: bytes, kept: Callable[[Rows], BOOL]) -> None:
        """Start with blank rows.

        Args:
            prefix: of the keys; unique to this table.
            paths: whose state the rows are.
            blank: a row before anything happened.
            made_by: see `fingerprint`; rows that were made by something else are not taken back.
            kept: tells which rows are worth keeping.
        """
        self.rows: Rows = np.full(len(paths), blank)
        self.changed: BOOL = np.zeros(len(paths), np.bool_)
        self._keys = [f"{prefix}{path}" for path in paths]
        self._place = {key: place for place, key in enumerate(self._keys)}
        self._made_by = made_by
        self._kept = kept

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield every row that is worth keeping."""
        for place in np.flatnonzero(self._kept(self.rows)).tolist():
            yield self._keys[place], self._encoded(place)

    def take_changed(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield the rows that changed since the last call; None for those that are not worth keeping any more."""
        places = np.flatnonzero(self.changed)
        kept = self._kept(self.rows[places])
        self.changed[:] = False
        for place, keep in zip(places.tolist(), kept.tolist(), strict=True):
            yield self._keys[place], self._encoded(place) if keep else None

    def restore(self, key: str, data: bytes) -> int | None:
        """Take a row back; return its place, or None when the entry is of no row of this table, of other options, or damaged."""
        place = self._place.get(key)
        if place is None:
            return None
        try:
            entry = _decoder.decode(data)
        except msgspec.MsgspecError:
            return None
        if entry.made_by != self._made_by or len(entry.row) != self.rows.dtype.itemsize:
            return None
        self.rows[place] = np.frombuffer(entry.row, self.rows.dtype)[0]
        return place

    def _encoded(self, place: int) -> bytes:
        return _encode(_Entry(self._made_by, self.rows[place].tobytes()))
