"""One file that grows: its complete lines from where one left off, and the means to know the file again.

A file is known by its inode together with what stands at its beginning and right before the place that was reached. An inode alone is
not enough: it is given to another file once the first is deleted, and it stays the same when a file is truncated and written anew.
"""

import hashlib
import os
from typing import Final, NamedTuple, Self

import msgspec

#: Bytes read at once; more than the longest line may have.
CHUNK: Final = 1 << 20
#: Bytes at the beginning, and before the place reached, by which a file is known.
KNOWN: Final = 1024
#: Chunks of a line that is too long that are passed over in one go.
_CHUNKS_AT_ONCE: Final = 64


class Place(msgspec.Struct, frozen=True):
    """How far a file was read.

    Attributes:
        path: where it was last.
        inode: its number.
        offset: bytes read.
        line: lines read.
        head: digest of the first bytes read, KNOWN at most.
        tail: digest of the last bytes read, KNOWN at most.
    """

    path: str
    inode: int
    offset: int
    line: int
    head: str
    tail: str


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: counted from 1.
        data: without its end; None when it is longer than lines may be.
    """

    number: int
    data: bytes | None


class Replaced(Exception):
    """The file is not the one that was read: truncated, rewritten, or another one of its name."""


class Tail:
    """Reads one file from a place on.

    Attributes:
        path: where the file is now.
        device, inode: what it is on this machine.
        offset, line: bytes and lines read.
        head, tail: the first and the last of these bytes, KNOWN at most.
        changed: (size, time of change) when it was last looked at; (size, bytes read) once it is deleted.
    """

    def __init__(self, path: str, device: int, inode: int) -> None:
        """Begin at the beginning; nothing is opened yet."""
        self.path = path
        self.device = device
        self.inode = inode
        self.offset = 0
        self.line = 0
        self.head = b""
        self.tail = b""
        self.changed = (0, 0)
        self._scanned = 0
        self._fd: int | None = None

    @classmethod
    def resume(cls, path: str, device: int, inode: int, place: Place) -> Self | None:
        """Go on at a place; None if the file does not hold what was read up to there. Raises OSError, Replaced."""
        tail = cls(path, device, inode)
        try:
            tail.head = tail.peek(0, min(KNOWN, place.offset))
            tail.tail = tail.peek(max(0, place.offset - KNOWN), min(KNOWN, place.offset))
            if (_digest(tail.head), _digest(tail.tail)) == (place.head, place.tail):
                tail.offset, tail.line = place.offset, place.line
                return tail
        except BaseException:
            tail.release()
            raise
        tail.release()
        return None

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.path, self.inode, self.offset, self.line, _digest(self.head), _digest(self.tail))

    @property
    def size(self) -> int:
        """Bytes in the file now. Raises OSError, Replaced."""
        return os.fstat(self._open()).st_size

    @property
    def linked(self) -> bool:
        """Whether the open file still has a name somewhere; False when it is not open."""
        return self._fd is not None and os.fstat(self._fd).st_nlink > 0

    @property
    def opened(self) -> bool:
        """Whether the file is held open."""
        return self._fd is not None

    def peek(self, offset: int, count: int) -> bytes:
        """Return bytes of the file without moving. Raises OSError, Replaced."""
        return os.pread(self._open(), count, offset)

    def unchanged(self) -> bool:
        """Tell whether what was read last still stands before the place. Raises OSError, Replaced."""
        return self.peek(self.offset - len(self.tail), len(self.tail)) == self.tail

    def first(self, count: int) -> list[bytes] | None:
        """Return the first lines; None while there are not that many. Raises OSError, Replaced."""
        lines = self.peek(0, CHUNK).split(b"\n", count)
        return lines[:count] if len(lines) > count else None

    def lines(self, most: int, longest: int) -> list[Line]:
        """Return complete lines, `most` at most, and move behind them; a line without an end is left until it has one.

        Args:
            most: lines.
            longest: bytes of a line, CHUNK at most; longer ones are passed over.

        Raises:
            Replaced: the bytes before the place are others than those read.
            OSError: it cannot be read.
        """
        # one call reads the bytes known and those behind them: a file that is rewritten meanwhile cannot slip through
        data = self.peek(self.offset - len(self.tail), len(self.tail) + CHUNK)
        fresh = data[len(self.tail) :]
        if data[: len(self.tail)] != self.tail:
            raise Replaced(self.path)
        end = fresh.rfind(b"\n")
        if end < 0:
            return self._pass_over() if len(fresh) > longest else []
        found = fresh[:end].split(b"\n", most)[:most]
        self._move(fresh[: sum(map(len, found)) + len(found)])
        before, self.line = self.line, self.line + len(found)
        return [Line(before + place, text if len(text) <= longest else None) for place, text in enumerate(found, 1)]

    def rest(self, longest: int) -> Line | None:
        """Take what stands behind the last line end as a line; None when there is nothing. Raises OSError, Replaced."""
        left = self.peek(self.offset, longest + 1)
        if not left or len(left) > longest or b"\n" in left:
            return None
        self._move(left)
        self.line += 1
        return Line(self.line, left)

    def release(self) -> None:
        """Close the file; it is opened again when it is needed."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _open(self) -> int:
        if self._fd is None:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            now = os.fstat(fd)
            if (now.st_dev, now.st_ino) != (self.device, self.inode):
                os.close(fd)
                raise Replaced(self.path)
            self._fd = fd
        return self._fd

    def _move(self, read: bytes) -> None:
        self.offset += len(read)
        self.head = (self.head + read[:KNOWN])[:KNOWN]
        self.tail = (self.tail + read[-KNOWN:])[-KNOWN:]

    def _pass_over(self) -> list[Line]:
        """Look for the end of a line that is too long, without keeping it."""
        position = max(self._scanned, self.offset)
        for _ in range(_CHUNKS_AT_ONCE):
            data = self.peek(position, CHUNK)
            end = position + data.find(b"\n") + 1
            if end > position:
                self.offset, self._scanned = end, 0
                self.head, self.tail = self.peek(0, min(KNOWN, end)), self.peek(max(0, end - KNOWN), min(KNOWN, end))
                self.line += 1
                return [Line(self.line, None)]
            position += len(data)
            if not data:
                break
        self._scanned = position
        return []


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()
