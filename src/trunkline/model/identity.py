"""Identities: UUID version 7 (RFC 9562), ordered by time."""

import secrets
import threading
import time
import uuid
from typing import Final

#: Readings that a third party wrote straight into the log have the topic after this as their origin, and their offset as position.
LOG_ORIGIN: Final = "log:"

_lock = threading.Lock()
_last_ms = 0
_counter = 0


def uuid7() -> uuid.UUID:
    """Return a UUIDv7; those of one process are strictly increasing (RFC 9562, 6.2, method 1)."""
    global _last_ms, _counter  # noqa: PLW0603 - one generator a process is the point
    with _lock:
        ms = time.time_ns() // 1_000_000
        if ms > _last_ms:
            _last_ms, _counter = ms, secrets.randbits(11)
        else:
            _counter += 1
            if _counter > 0xFFF:
                _last_ms, _counter = _last_ms + 1, 0
        value = (_last_ms << 80) | (0x7 << 76) | (_counter << 64) | (0b10 << 62) | secrets.randbits(62)
    return uuid.UUID(int=value)


def content_uuid(time_us: int, digest: bytes) -> uuid.UUID:
    """Return what stands for the same thing whenever it is met again: a UUID in version 7's shape, of its time and content.

    Args:
        time_us: µs UTC; the UUID keeps its milliseconds.
        digest: of the content; the first ten bytes count.
    """
    milliseconds = (time_us // 1000) & ((1 << 48) - 1)
    content = int.from_bytes(digest[:10], "big")
    return uuid.UUID(
        int=(milliseconds << 80) | (0x7 << 76) | (((content >> 62) & 0xFFF) << 64) | (0b10 << 62) | (content & ((1 << 62) - 1))
    )
