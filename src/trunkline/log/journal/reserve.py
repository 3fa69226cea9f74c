"""Room on the disk held for what must get in when the disk is full.

A file of nothing, beside the journal. When the disk is full it is emptied: the journal can then carry its write-ahead log over and append
alarms, until there is room again and the file is made anew. What is left of it meanwhile says how much is to be held again, also to who
opens the journal anew: room that was let go is not room to spare.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

#: The journal's write-ahead log has to be carried over before anything else helps, and holds 4 MB and a transaction then.
LARGEST_RESERVE: Final = 16 << 20
_SMALLEST: Final = 256 << 10
#: A reserve takes no more than this part of what is free, so that a small disk is not full for its sake.
_SHARE: Final = 4


class Reserve:
    """The file that holds the room.

    Args:
        path: of the file.
        wanted: bytes to hold; no more than 16 MB, nor than a quarter of what is free on the disk when it is first made.
    """

    def __init__(self, path: Path, wanted: int) -> None:
        self._path = path
        self._wanted = min(wanted, LARGEST_RESERVE)
        self._known = self.held or self._told()

    @property
    def held(self) -> int:
        """Bytes held now."""
        size = self._size()
        return size if size >= _SMALLEST else 0

    @property
    def spent(self) -> bool:
        """Whether it was let go, by whomever, and is not held again."""
        return self._path.exists() and not self.held

    def hold(self) -> bool:
        """Hold the room, if the disk has it to spare; return whether the disk has room."""
        if held := self.held:
            self._known = held
            return True
        try:
            disk = os.statvfs(self._path.parent)
            free = disk.f_bavail * disk.f_frsize
            size = self._known or min(self._wanted, free // _SHARE)
            # one that was used waits for more than itself, or it would be what fills the disk again
            if free < max(2 * size, _SMALLEST):
                return False
            if size < _SMALLEST:
                return True  # not worth a file
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            self._empty()
            return False
        self._known = size
        return True

    def release(self) -> None:
        """Let go of the room."""
        if not self.spent:
            self._empty()

    def _empty(self) -> None:
        with contextlib.suppress(OSError), self._path.open("wb") as file:  # a disk that cannot be written has more to tell than this
            file.write(b"%d" % self._known)

    def _told(self) -> int:
        """Return how many bytes are to be held again; 0 when nobody says so."""
        try:
            return min(int(self._path.read_bytes()), self._wanted)
        except (OSError, ValueError):
            return 0

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
