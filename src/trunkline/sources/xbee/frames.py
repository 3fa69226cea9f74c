"""API frames of XBee radios on a byte stream, both ways. Pure: no I/O, no clock.

A frame is 0x7E, two bytes of length, so many bytes of data, and a checksum that makes the sum of data and checksum 0xFF in its last eight
bits. In API mode 2 whatever follows the 0x7E is escaped where it is one of four special bytes: 0x7D, then the byte with bit 5 turned.
Source: Digi XBee/XBee-PRO user guides, 'API frame format' and 'Operate in API mode'.
"""

from typing import Literal, NamedTuple, TypeAlias

ApiMode: TypeAlias = Literal[1, 2]

START = 0x7E
ESCAPE = 0x7D
XON, XOFF = 0x11, 0x13
_SPECIAL = frozenset({START, ESCAPE, XON, XOFF})
_TURNED = 0x20
#: More data than any radio of the family puts into one frame; a greater length is noise.
LONGEST_DATA = 2_100


class Damaged(NamedTuple):
    """A frame that began and did not end as it should.

    Attributes:
        data: its data as far as it came, escapes undone; not to be trusted.
        why: what is wrong with it.
    """

    data: bytes
    why: str


def checksum(data: bytes) -> int:
    """Return the checksum of a frame's data."""
    return 0xFF - (sum(data) & 0xFF)


def encode(data: bytes, mode: ApiMode) -> bytes:
    """Return the frame around `data`, ready to be sent."""
    body = len(data).to_bytes(2, "big") + data + bytes([checksum(data)])
    if mode == 1:
        return bytes([START]) + body
    wire = bytearray([START])
    for byte in body:
        wire += bytes([ESCAPE, byte ^ _TURNED]) if byte in _SPECIAL else bytes([byte])
    return bytes(wire)


class Decoder:
    """Finds frames in a stream that may be cut anywhere, begin anywhere and be damaged anywhere.

    After damage it looks for the next frame right behind the damaged one's first byte, so that a frame cut short never takes the whole
    one behind it along.

    Attributes:
        noise: bytes that belonged to no frame, since the start.
    """

    def __init__(self, mode: ApiMode) -> None:
        self._escaped = mode == 2
        self._buffer = bytearray()
        self.noise = 0

    @property
    def waiting(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)

    def feed(self, received: bytes) -> list[bytes | Damaged]:
        """Return the data of every frame that is complete now, and every frame found damaged, in their order."""
        self._buffer += received
        found: list[bytes | Damaged] = []
        while (one := self._take()) is not None:
            found.append(one)
        return found

    def give_up(self) -> list[bytes | Damaged]:
        """The line fell quiet, so what has begun will not end: return it as damaged, and whatever was hidden behind it."""
        found: list[bytes | Damaged] = []
        while self._buffer:
            data = self._walk()[0]
            self._drop(1)
            found.append(Damaged(bytes(data[2:]), "it ends before its length"))
            found += self.feed(b"")
        return found

    def _take(self) -> bytes | Damaged | None:
        """Take the next frame or damaged frame from the buffer; None when more bytes are needed."""
        start = self._buffer.find(START)
        self._drop(len(self._buffer) if start < 0 else start)
        body, used, cut = self._walk()
        if len(body) >= 2 and not 0 < _length(body) <= LONGEST_DATA:
            self._drop(1)
            return Damaged(bytes(body[2:]), f"its length of {_length(body)} cannot be")
        if cut:
            del self._buffer[:used]
            return Damaged(bytes(body[2:]), "another frame begins inside it")
        if len(body) < 2 or len(body) < _length(body) + 3:
            return None
        data, received = bytes(body[2:-1]), body[-1]
        if checksum(data) == received:
            del self._buffer[:used]
            return data
        self._drop(1)
        return Damaged(data, f"its checksum is 0x{received:02X}, not 0x{checksum(data):02X}")

    def _walk(self) -> tuple[bytearray, int, bool]:
        """Return length, data and checksum behind the start, escapes undone, as far as they are there.

        Returns:
            Those bytes; how many bytes of the buffer they and the start take; whether an unescaped start cut them short (mode 2).
        """
        if not self._escaped:
            wanted = int.from_bytes(self._buffer[1:3], "big") + 3
            body = self._buffer[1 : 1 + wanted]
            return body, 1 + len(body), False
        body, at = bytearray(), 1
        while at < len(self._buffer) and (len(body) < 2 or len(body) < _length(body) + 3):
            byte, size = self._buffer[at], 1
            if byte == ESCAPE:
                if at + 1 == len(self._buffer):
                    break
                byte, size = self._buffer[at + 1], 2
            if byte == START:
                return body, at + size - 1, True
            body.append(byte ^ _TURNED if size == 2 else byte)
            at += size
        return body, at, False

    def _drop(self, count: int) -> None:
        """Leave out bytes that begin no frame."""
        self.noise += count
        del self._buffer[:count]


def _length(body: bytes | bytearray) -> int:
    return int.from_bytes(body[:2], "big")
