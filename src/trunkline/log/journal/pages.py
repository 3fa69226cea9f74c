"""Rows out of raw database pages, whatever state the file is in.

Reads the SQLite file format itself (https://www.sqlite.org/fileformat2.html, sections 1.6, 2.1, 4), for two purposes: to see whether
the write-ahead log of a file that nobody has open is whole, and to find every row of a file whose trees cannot be walked any more.
Nothing here trusts a byte: what is found must prove itself by its checksum (`trunkline.log.journal.schema`).
"""

import mmap
import struct
from collections.abc import Callable, Iterator
from operator import mul
from pathlib import Path
from typing import Final

from trunkline.log.journal.schema import PAGE_SIZE

Value = int | str | bytes | None
Row = tuple[int, tuple[Value, ...]]
#: Told how much of how much is done.
Progress = Callable[[int, int], None]

_TELL_EVERY: Final = 4096
_WAL_HEAD: Final = struct.Struct(">8I")
_FRAME_HEAD: Final = struct.Struct(">6I")
_FRAME_BYTES: Final = _FRAME_HEAD.size + PAGE_SIZE
_MASK: Final = 0xFFFFFFFF

_FILE_HEAD: Final = b"SQLite format 3\0"
_TABLE_LEAF: Final = 0x0D
_PAGE_HEAD: Final = struct.Struct(">BHHH")
_U32: Final = struct.Struct(">I")
_INT_SIZES: Final = (0, 1, 2, 3, 4, 6, 8)
_FLOAT: Final = 7
#: No row of ours is larger: a batch is at most one record of the largest size, or about a megabyte of small ones.
_LARGEST_ROW: Final = 1 << 30


class Wal:
    """The write-ahead log of a database, as far as it belongs to the present generation and was committed.

    SQLite writes a frame's head and its page in two calls, and the frame that ends a transaction says so in its head. So the last
    transaction may look committed and hold a page that was never written: to SQLite, and here, it is none.

    Attributes:
        pages: by page number, where in the file its newest committed content lies.
        frames: where the pages of all committed frames lie, oldest first.
        whole: whether every transaction but the last is as it was written; SQLite stops reading at the first that is not, without a word.
        torn: whether the last transaction is not: what a process killed while writing leaves, or damage to the very last commit.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.pages: dict[int, int] = {}
        self.frames: list[int] = []
        self.whole = True
        self.torn = False
        if len(content) < _WAL_HEAD.size + _FRAME_BYTES:
            return
        magic, _, _, _, salt1, salt2, check1, check2 = _WAL_HEAD.unpack_from(content)
        order = ">" if magic & 1 else "<"
        chained = _checksum((0, 0), content[:24], order) == (check1, check2)
        # a damaged head does not hide the frames: the first one carries the salts too
        salts = (salt1, salt2) if chained else _FRAME_HEAD.unpack_from(content, _WAL_HEAD.size)[2:4]
        self._scan(salts, (check1, check2), order, chained=chained)

    def _scan(self, salts: tuple[int, ...], state: tuple[int, int], order: str, *, chained: bool) -> None:
        content = self.content
        transaction: list[tuple[int, int]] = []
        broken: list[tuple[int, int]] = []  # the newest transaction that has an end, but fails its checksums
        for at in range(_WAL_HEAD.size, len(content) - _FRAME_BYTES + 1, _FRAME_BYTES):
            number, size_after_commit, salt1, salt2, check1, check2 = _FRAME_HEAD.unpack_from(content, at)
            if (salt1, salt2) != salts:
                chained = False
                continue
            body = at + _FRAME_HEAD.size
            if chained:
                state = _checksum(state, content[at : at + 8] + content[body : body + PAGE_SIZE], order)
                chained = state == (check1, check2)
            self.torn = not chained
            transaction.append((number, body))
            if not size_after_commit:
                continue
            if broken:  # others were written behind it: it was whole once
                self.whole = False
                self._take(broken)
            if chained:
                self._take(transaction)
            else:
                broken = transaction
            transaction = []
        if not self.whole:
            self._take(broken)
        self.torn = self.torn and self.whole

    def _take(self, transaction: list[tuple[int, int]]) -> None:
        self.pages.update(transaction)
        self.frames += [body for _, body in transaction]


def _coefficients(pairs: int) -> tuple[list[int], list[int]]:
    """Return what each word of a message adds to the two halves of its checksum (the recurrence is linear modulo 2**32)."""
    first: list[int] = []
    second: list[int] = []
    a, b, c, d = 1, 0, 0, 1  # powers of [[1, 1], [1, 2]]
    for _ in range(pairs):
        first += (b, (a + b) & _MASK)
        second += (d, (c + d) & _MASK)
        a, b, c, d = (a + b) & _MASK, (a + 2 * b) & _MASK, (c + d) & _MASK, (c + 2 * d) & _MASK
    first.reverse()
    second.reverse()
    return first, second


_PAIRS: Final = (8 + PAGE_SIZE) // 8
_FIRST, _SECOND = _coefficients(_PAIRS + 1)


def _checksum(state: tuple[int, int], message: bytes, order: str) -> tuple[int, int]:
    """Return SQLite's WAL checksum of a message of whole 8-byte pairs, going on from `state` (file format, 4.2)."""
    # the state enters like a pair (x, y) before the message that leaves exactly this state behind a zero one
    words = (state[0], (state[1] - state[0]) & _MASK, *struct.unpack(f"{order}{len(message) // 4}I", message))
    return sum(map(mul, _FIRST[-len(words) :], words)) & _MASK, sum(map(mul, _SECOND[-len(words) :], words)) & _MASK


def wal_of(path: Path) -> Wal:
    """Read the write-ahead log beside a database."""
    try:
        return Wal(path.with_name(path.name + "-wal").read_bytes())
    except FileNotFoundError:
        return Wal(b"")


class Pages:
    """Pages of a database file under its write-ahead log."""

    def __init__(self, path: Path) -> None:
        self.wal = wal_of(path)
        self._file = path.open("rb")
        size = path.stat().st_size
        self._main: mmap.mmap | bytes = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""

    def close(self) -> None:
        """Release the file."""
        if isinstance(self._main, mmap.mmap):
            self._main.close()
        self._file.close()

    def page(self, number: int) -> bytes:
        """Return a page's newest content; empty when there is no such page."""
        at = self.wal.pages.get(number)
        if at is not None:
            return bytes(self.wal.content[at : at + PAGE_SIZE])
        page = bytes(self._main[(number - 1) * PAGE_SIZE : number * PAGE_SIZE])
        return page if len(page) == PAGE_SIZE else b""

    def rows(self, progress: Progress = lambda _done, _of: None) -> Iterator[Row]:
        """Yield every row, rowid and values, of every page that looks like a leaf of a table; also stale and nonsensical ones.

        Of a page with several versions all are looked at: the newest may be the damaged one, or another page's under a wrong number.
        """
        total = len(self._main) // PAGE_SIZE + len(self.wal.frames)
        for number, page in enumerate(self._contents()):
            if number % _TELL_EVERY == 0:
                progress(number, total)
            start = 100 if page[:16] == _FILE_HEAD else 0
            if len(page) != PAGE_SIZE or page[start] != _TABLE_LEAF:
                continue
            cells = _PAGE_HEAD.unpack_from(page, start)[2]
            if cells * 2 > PAGE_SIZE:
                continue
            for (pointer,) in struct.iter_unpack(">H", page[start + 8 : start + 8 + 2 * cells]):
                row = self._row(page, pointer)
                if row is not None:
                    yield row

    def _contents(self) -> Iterator[bytes]:
        for start in range(0, len(self._main), PAGE_SIZE):
            yield bytes(self._main[start : start + PAGE_SIZE])
        for start in self.wal.frames:
            yield bytes(self.wal.content[start : start + PAGE_SIZE])

    def _row(self, page: bytes, at: int) -> Row | None:
        try:
            size, at = _varint(page, at)
            rowid, at = _varint(page, at)
            payload = self._payload(page, at, size)
            return None if payload is None else (rowid - (1 << 64) if rowid >> 63 else rowid, _values(payload))
        except (IndexError, struct.error, UnicodeDecodeError):
            return None

    def _payload(self, page: bytes, at: int, size: int) -> bytes | None:
        if size > _LARGEST_ROW:
            return None
        local = size
        if size > PAGE_SIZE - 35:
            least = (PAGE_SIZE - 12) * 32 // 255 - 23
            local = least + (size - least) % (PAGE_SIZE - 4)
            local = local if local <= PAGE_SIZE - 35 else least
        parts = [page[at : at + local]]
        missing = size - len(parts[0])
        if missing and local == size:
            return None
        (following,) = _U32.unpack_from(page, at + local) if missing else (0,)
        while missing > 0:
            overflow = self.page(following) if following else b""
            if not overflow:
                return None
            (following,) = _U32.unpack_from(overflow)
            parts.append(overflow[4 : 4 + missing])
            missing -= len(parts[-1])
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9


def _values(payload: bytes) -> tuple[Value, ...]:
    head, at = _varint(payload, 0)
    types: list[int] = []
    while at < head:
        kind, at = _varint(payload, at)
        types.append(kind)
    values: list[Value] = []
    for kind in types:
        if kind >= 12:
            length = (kind - 12) // 2
            piece = payload[at : at + length]
            if len(piece) != length:
                raise IndexError(length)
            values.append(piece.decode() if kind & 1 else piece)
        elif kind in (8, 9):
            length = 0
            values.append(kind - 8)
        elif 0 < kind < _FLOAT:
            length = _INT_SIZES[kind]
            values.append(int.from_bytes(payload[at : at + length], "big", signed=True))
        elif kind == 0:
            length = 0
            values.append(None)
        else:
            raise IndexError(kind)  # no column of ours holds a float, and the rest is not in use
        at += length
    return tuple(values)
