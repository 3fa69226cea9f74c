"""The files of a pattern, each with how far it was read, over rotation and restarts.

A file that is renamed is followed while it stays in its folder, or as long as it is held open. A file that is truncated or written anew
is a new file. Where rows carry a time, a file that begins with what was read of another one is taken for its copy and read on from
there: equal rows of equal time are the same readings (`copytruncate`, exports that are written anew with more rows each time).
"""

import glob
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import structs

from trunkline.model.errors import SourceUnavailable
from trunkline.sources.file.tail import KNOWN, Place, Replaced, Tail

#: Files held open: those that changed last.
_MOST_OPEN: Final = 100
#: Files remembered that are not there any more.
_MOST_GONE: Final = 100

_Key = tuple[int, int]


class Watch:
    """Finds and follows files.

    Attributes:
        tails: files to read, those that changed first before those that changed last.
        unreadable: paths that cannot be read now, with the reason.
    """

    def __init__(self, pattern: str, *, timed: bool) -> None:
        """Prepare.

        Args:
            pattern: absolute path or glob.
            timed: rows carry a time, so that copies can be told from new files.
        """
        self.tails: list[Tail] = []
        self.unreadable: dict[str, str] = {}
        self._pattern = pattern
        self._timed = timed
        self._base = _base(pattern)
        self._places: list[Place] = []
        self._siblings: dict[str, dict[int, str]] = {}

    def restore(self, places: Sequence[Place], *, renamed: bool) -> None:
        """Take over how far files were read, for the next `look`.

        Args:
            places: of the files.
            renamed: those that were renamed out of the pattern are to be read on, too.
        """
        self._places = [place if renamed else structs.replace(place, path="") for place in places]

    def places(self) -> list[Place]:
        """Return how far every file was read, those that are not there included."""
        return [*self._places, *(tail.place for tail in self.tails if tail.offset)]

    def look(self) -> None:
        """See which files are there now. Raises SourceUnavailable when their folder is away."""
        self._siblings.clear()
        self.unreadable.clear()
        found = self._found()
        kept = self.tails = [tail for tail in self.tails if self._is_kept(tail, found)]
        for place in list(self._places):
            tail = None if place.inode in {one.inode for one in kept} else self._again(place, found)
            if tail is not None:
                self._places.remove(place)
                kept.append(tail)
        for key, (path, seen) in sorted(found.items(), key=lambda item: (item[1][1].st_mtime_ns, item[1][0])):
            with self._reporting(path):
                tail = self._fresh(path, key, seen.st_size)
                if tail is not None:
                    tail.changed = (seen.st_size, seen.st_mtime_ns)
                    kept.append(tail)
        kept.sort(key=lambda tail: (tail.changed[1], tail.path))
        del self._places[:-_MOST_GONE]
        for tail in kept[:-_MOST_OPEN]:
            if tail.offset >= tail.changed[0]:
                tail.release()

    def close(self) -> None:
        """Let go of every file."""
        for tail in self.tails:
            tail.release()
        self.tails = []

    def _found(self) -> dict[_Key, tuple[str, os.stat_result]]:
        """Return path and state of each regular file of the pattern, once each."""
        try:
            os.scandir(self._base).close()
        except OSError as error:
            mend = "let the gateway's user read it" if isinstance(error, PermissionError) else "create or mount it, or mend 'files'"
            raise SourceUnavailable(f"folder {self._base}: {(error.strerror or 'away').lower()}: {mend}") from error
        found: dict[_Key, tuple[str, os.stat_result]] = {}
        for path in sorted(glob.iglob(self._pattern, recursive=True)):  # noqa: PTH207 - pathlib takes no absolute patterns
            with self._reporting(path):
                seen = Path(path).stat()
                if stat.S_ISREG(seen.st_mode):
                    found.setdefault((seen.st_dev, seen.st_ino), (path, seen))
        return found

    def _is_kept(self, tail: Tail, found: dict[_Key, tuple[str, os.stat_result]]) -> bool:
        """Say whether a file is read on; it is taken out of `found` if so. What is not is remembered as a place."""
        key = (tail.device, tail.inode)
        path, seen = found.get(key) or self._renamed(tail)
        kept = False
        with suppress(OSError, Replaced):
            if seen is None:
                kept = _has_more(tail)
            else:
                tail.path = path
                now = (seen.st_size, seen.st_mtime_ns)
                kept = now == tail.changed or tail.unchanged()
                tail.changed = now
        if kept:
            found.pop(key, None)
        else:
            tail.release()
            self._remember(tail.place)
        return kept

    def _renamed(self, tail: Tail) -> tuple[str, os.stat_result | None]:
        path = self._sibling(tail.path, tail.inode)
        if path is not None:
            with suppress(OSError):
                return path, Path(path).stat()
        return tail.path, None

    def _sibling(self, path: str, inode: int) -> str | None:
        """Return which file of the same folder has an inode: where a file went that was renamed."""
        if not path:
            return None
        folder = str(Path(path).parent)
        if folder not in self._siblings:
            self._siblings[folder] = {}
            with suppress(OSError), os.scandir(folder) as entries:
                self._siblings[folder] = {entry.inode(): entry.path for entry in entries if entry.is_file()}
        return self._siblings[folder].get(inode)

    def _remember(self, place: Place) -> None:
        if place.offset:
            self._places.append(place)

    def _again(self, place: Place, found: dict[_Key, tuple[str, os.stat_result]]) -> Tail | None:
        """Return the file of a place, by its inode, if it is there and still holds what was read."""
        key = next((key for key in found if key[1] == place.inode), None)
        path = found[key][0] if key is not None else self._sibling(place.path, place.inode)
        if path is None:
            return None
        with self._reporting(path):
            seen = Path(path).stat()
            tail = Tail.resume(path, seen.st_dev, seen.st_ino, place)
            if tail is not None:
                found.pop((seen.st_dev, seen.st_ino), None)
                tail.changed = (seen.st_size, seen.st_mtime_ns)
            return tail
        return None

    def _fresh(self, path: str, key: _Key, size: int) -> Tail | None:
        """Return a file that was not there before; None while all it holds stands in another one. Raises OSError, Replaced."""
        if self._timed and not size:
            return None  # may become a copy
        if self._timed:
            for place in reversed(self._places):
                tail = Tail.resume(path, *key, place) if place.offset <= size else None
                if tail is not None:
                    self._places.remove(place)
                    return tail
            beginning = _bytes_of(path, key, 0, KNOWN)
            for other in self.tails:
                whole = other.changed[0]
                if not _agree(beginning, _bytes_of(other.path, (other.device, other.inode), 0, KNOWN)):
                    continue
                if whole < size and other.offset == whole:
                    tail = Tail.resume(path, *key, other.place)
                    if tail is not None:
                        return tail
                elif _same_end(other, path, key, min(size, whole)):
                    return None  # its rows are read from the other file; what it may have beyond them is looked at later
        return Tail(path, *key)

    def _reporting(self, path: str) -> "_Reporting":
        return _Reporting(self.unreadable, path)


class _Reporting:
    """Notes that a file cannot be read, and goes on with the others; a file that just went away is not worth a word."""

    def __init__(self, unreadable: dict[str, str], path: str) -> None:
        self._unreadable = unreadable
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            self._unreadable[self._path] = (error.strerror or str(error)).lower()
        return isinstance(error, OSError | Replaced)


def _has_more(tail: Tail) -> bool:
    """Tell whether a file that left its folder is read on: it was moved and is held open, or it was deleted and not read to its end."""
    if not tail.opened:
        return False
    before, tail.changed = tail.changed, (tail.size, tail.offset)
    return tail.linked or (tail.size > tail.offset and tail.changed != before)


def _bytes_of(path: str, key: _Key, offset: int, count: int) -> bytes:
    tail = Tail(path, *key)
    try:
        return tail.peek(offset, count)
    finally:
        tail.release()


def _agree(one: bytes, other: bytes) -> bool:
    """Tell whether the shorter of two beginnings is the beginning of the longer; nothing agrees with nothing."""
    shared = min(len(one), len(other))
    return shared > 0 and one[:shared] == other[:shared]


def _same_end(whole: Tail, path: str, key: _Key, size: int) -> bool:
    """Tell whether two files have the same bytes before a place."""
    at = max(0, size - KNOWN)
    return _bytes_of(path, key, at, size - at) == _bytes_of(whole.path, (whole.device, whole.inode), at, size - at)


def _base(pattern: str) -> str:
    """Return the folder that must be there: the one before the first part with a wildcard."""
    parts: list[str] = []
    for part in Path(pattern).parent.parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return str(Path(*parts))
