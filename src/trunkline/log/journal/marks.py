"""The marks: a small file beside the journal that says what must never be forgotten, even if the journal is lost whole.

It holds the journal's id, the ceiling (no offset of any partition has ever reached it), where the topics' partitions lie and, of a sealed
journal, its wrapped key. It changes only when a topic is created, the key is wrapped anew or the ceiling is raised, about once in a million
records, so it costs nothing; a journal that is mended or replaced goes on above the ceiling and can never use an offset twice.
"""

import json
import os
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

#: The ceiling is raised by this many offsets at a time.
STEP: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Marks:
    """What the file says.

    Attributes:
        id: the journal's id.
        ceiling: every offset ever given out is below it.
        topics: by name, the lane of partition 0 and the number of partitions.
        key: the key of the records, wrapped; empty when the journal is not sealed.
    """

    id: str
    ceiling: int = STEP
    topics: dict[str, tuple[int, int]] = field(default_factory=dict)
    key: str = ""

    def above(self, offset: int) -> "Marks":
        """Return marks whose ceiling leaves a whole step of room above `offset`."""
        return replace(self, ceiling=max(self.ceiling, (offset // STEP + 2) * STEP))


def resume_at(marks: Marks | None, highest: int) -> int:
    """Return an offset that no partition can have reached, given the highest one known."""
    return max(highest, marks.ceiling if marks else (highest // STEP + 1) * STEP)


def load(path: Path) -> Marks | None:
    """Return the marks; None when there are none or they are damaged (the journal then knows as much)."""
    try:
        check, body = path.read_bytes().split(b"\n", 1)
        if int(check, 16) != zlib.crc32(body):
            return None
        content = json.loads(body)
        topics = {name: (int(lane), int(partitions)) for name, (lane, partitions) in content["topics"].items()}
        return Marks(str(content["id"]), int(content["ceiling"]), topics, str(content.get("key", "")))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save(path: Path, marks: Marks) -> None:
    """Replace the file, durably. Raises OSError; then the old one is still there."""
    content = {"id": marks.id, "ceiling": marks.ceiling, "topics": marks.topics} | ({"key": marks.key} if marks.key else {})
    body = json.dumps(content, indent=1).encode()
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(b"%08x\n%s" % (zlib.crc32(body), body))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
