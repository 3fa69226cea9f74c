"""What a power cut leaves of a journal: everything that was synced, and of the rest whatever the disk happened to have.

The page cache goes with the power; a kill leaves it. So after a kill the files are copied, and what the file system had not been told to
sync is lost or torn in the copy, as the seed picks. SQLite says in its shared memory what that is (https://www.sqlite.org/walformat.html,
2.1 and 2.2): frames of the write-ahead log up to mxFrame are synced before it is raised, and pages of the database between nBackfill and
nBackfillAttempted are being written without having been synced.
"""

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

#: Both copies of the index header; fields from iVersion to aSalt.
_INDEX: Final = struct.Struct("=IIIBBHIIII8s")
_INDEX_BYTES: Final = 48
_BACKFILL: Final = struct.Struct("=I")
_BACKFILL_AT: Final = 96
_ATTEMPTED_AT: Final = 128
_WAL_HEAD: Final = 32
_SALT_AT: Final = 16
_FRAME_HEAD: Final = struct.Struct(">I")
_FRAME_HEAD_BYTES: Final = 24
_SECTOR: Final = 512
_FILES: Final = ("", "-wal", ".marks")


class Synced(NamedTuple):
    """How far a write-ahead log is on the disk.

    Attributes:
        page_size: of the database, bytes.
        frames: synced for sure.
        torn: frames whose pages the database may hold in part: [first, end).
    """

    page_size: int
    frames: int
    torn: tuple[int, int]


def synced(journal: Path) -> Synced | None:
    """Return how far a killed process had synced; None when the write-ahead log holds nothing of the present."""
    try:
        index = journal.with_name(f"{journal.name}-shm").read_bytes()
        with journal.with_name(f"{journal.name}-wal").open("rb") as file:
            head = file.read(_WAL_HEAD)
    except FileNotFoundError:
        return None
    if len(index) < _ATTEMPTED_AT + _BACKFILL.size or len(head) < _WAL_HEAD:
        return None
    copies = [_INDEX.unpack_from(index, at) for at in (0, _INDEX_BYTES)]
    if any(one[-1] != head[_SALT_AT : _SALT_AT + 8] for one in copies):
        return None  # it was begun anew, which happens once the database holds everything
    size = 65_536 if copies[0][5] == 1 else copies[0][5]
    frames = min(one[6] for one in copies)
    done, tried = (_BACKFILL.unpack_from(index, at)[0] for at in (_BACKFILL_AT, _ATTEMPTED_AT))
    return Synced(size, frames, (done, max(done, min(tried, frames))))


def cut_power(journal: Path, aside: Path, chance: random.Random, let_go: Callable[[], None], *, lying: bool = False) -> int:
    """Put in the place of a journal what a power cut would have left of it.

    Args:
        journal: its file; nobody writes to it.
        aside: a folder on the same file system, made and removed.
        chance: picks what is lost.
        lying: the disk said 'synced' of what it only had in memory.
        let_go: called once the files are copied: whoever looks at the journal closes it, which may tidy up what is thrown away then.

    Returns:
        bytes that are gone or changed.
    """
    known = synced(journal)
    if known is not None and lying:
        known = known._replace(frames=chance.randrange(known.frames + 1))
    aside.mkdir()
    for suffix in _FILES:
        file = journal.with_name(journal.name + suffix)
        if file.exists():
            shutil.copyfile(file, aside / file.name)
    changed = _tear(aside / journal.name, known, chance) if known is not None else 0
    let_go()
    for file in journal.parent.glob(f"{journal.name}*"):
        file.unlink()
    for file in aside.iterdir():
        file.replace(journal.with_name(file.name))
    aside.rmdir()
    return changed


def _tear(journal: Path, known: Synced, chance: random.Random) -> int:
    log = bytearray(journal.with_name(f"{journal.name}-wal").read_bytes())
    frame = _FRAME_HEAD_BYTES + known.page_size
    end = _WAL_HEAD + known.frames * frame
    changed = _tear_pages(journal, log, known, chance)
    if len(log) > end:
        changed += _tear_tail(log, end, chance)
        journal.with_name(f"{journal.name}-wal").write_bytes(log)
    return changed


def _tear_tail(log: bytearray, end: int, chance: random.Random) -> int:
    """Lose what lies behind the synced frames: from some place on, or sector by sector."""
    before = len(log)
    if chance.random() < 0.5:
        del log[chance.randrange(end, before) :]
        return before - len(log)
    changed = 0
    for at in range(end, before, _SECTOR):
        if chance.random() < 0.5:
            stop = min(at + _SECTOR, before)
            log[at:stop] = chance.randbytes(stop - at) if chance.random() < 0.5 else bytes(stop - at)
            changed += stop - at
    return changed


def _tear_pages(journal: Path, log: bytearray, known: Synced, chance: random.Random) -> int:
    """Tear pages that a checkpoint was writing: the write-ahead log still has them."""
    frame = _FRAME_HEAD_BYTES + known.page_size
    changed = 0
    with journal.open("r+b") as file:
        for number in range(*known.torn):
            (page,) = _FRAME_HEAD.unpack_from(log, _WAL_HEAD + number * frame)
            if chance.random() < 0.5:
                file.seek((page - 1) * known.page_size + chance.randrange(0, known.page_size, _SECTOR))
                changed += file.write(chance.randbytes(_SECTOR))
    return changed
