"""What a gateway and the process of an isolated source say to each other, over a socket or, in a container, standard input and output.

A frame is a length (4 bytes, big endian) and a MessagePack message. The gateway asks, the process answers; of its own accord it only says
that it is alive. One read is under way at most, so no more than its answer can lie in between.
"""

import struct
from typing import Final, TypeAlias

import msgspec

#: Of these messages: a container's image may hold another Trunkline than the gateway. To be raised with every change of what they mean.
VERSION: Final = 1
_LENGTH: Final = struct.Struct(">I")
#: A read of more is no read: a source hands over a few thousand readings at once.
LONGEST: Final = 256_000_000
#: Exit status of a process that was refused memory.
OUT_OF_MEMORY: Final = 12


class Start(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Become a source.

    Attributes:
        number: of the call; as in every other message that is answered.
        plugin: name of the source plugin.
        section: its section of the site file, JSON; secrets are still references.
        gateway: id of the gateway.
        directory: folder of the source.
        data_limit: bytes of memory that it may allocate (RLIMIT_DATA); 0 for no limit.
        niceness: added to that of the gateway.
    """

    number: int
    plugin: str
    section: bytes
    gateway: str
    directory: str
    data_limit: int
    niceness: int


class Connect(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """`Source.connect`.

    Attributes:
        offset: µs by which the gateway's clock is ahead of the system's.
        secrets: value of every reference in the section.
        unresolved: of those that cannot be resolved, why not.
        checkpoint: the last one of the source that is durable.
    """

    number: int
    offset: int
    secrets: dict[str, str]
    unresolved: dict[str, str]
    checkpoint: str | None


class Read(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """`Source.read`."""

    number: int
    offset: int


class Write(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """`Source.write`."""

    number: int
    offset: int
    path: str
    value: float | int | bool | str | None


class Browse(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """`Source.browse`."""

    number: int
    offset: int
    at: str


class Close(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """`Source.close`."""

    number: int


class Verdict(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """`ReadBatch.ack`, or `nack` if there is a reason. Not answered."""

    batch: int
    refused: str | None


class Done(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """A call without a result is over."""

    number: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """A call raised. `kind`: 'unavailable', 'misconfigured', 'impossible' (NotImplementedError) or 'defect' (anything else)."""

    number: int
    kind: str
    text: str


class Columns(msgspec.Struct, frozen=True, array_like=True):
    """A scan: `trunkline.model.scan.Scan`, its arrays as bytes in native order.

    Attributes:
        roster: number of its roster.
        listed: the roster's tags and kinds when it comes for the first time.
    """

    roster: int
    listed: tuple[list[str], list[int]] | None
    gateway_time: bytes
    numbers: bytes
    integers: bytes
    texts: list[str]
    quality: bytes | None
    absent: bytes | None


class Brought(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """What a read brought.

    Attributes:
        batch: by which `Verdict` names it; 0 when the source waits for no verdict.
        scan: the readings as columns, instead of `readings`.
        readings: MessagePack of a list of `Reading`.
        events: MessagePack of each event, and whether it is an alarm.
        alive, late, checkpoint: as in `ReadBatch`.
    """

    number: int
    batch: int
    scan: Columns | None
    readings: msgspec.Raw
    events: list[tuple[bool, msgspec.Raw]]
    alive: bool
    late: bool
    checkpoint: str | None


class Written(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """How a write ended."""

    number: int
    outcome: str


class Browsed(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """What was found: (address, name, kind, branch) each."""

    number: int
    nodes: list[tuple[str, str, str, bool]]


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """The process is alive: its event loop turns.

    Attributes:
        rss_bytes: resident memory, as it sees it itself.
        cpu_seconds: of the processor since its start.
    """

    rss_bytes: int = 0
    cpu_seconds: float = 0.0


Call: TypeAlias = Start | Connect | Read | Write | Browse | Close | Verdict
Answer: TypeAlias = Done | Failed | Brought | Written | Browsed | Beat

_encoder = msgspec.msgpack.Encoder()
_calls = msgspec.msgpack.Decoder(Call)
_answers = msgspec.msgpack.Decoder(Answer)


class BadFrame(Exception):
    """The bytes are no message of these."""


def frame(message: Call | Answer) -> bytes:
    """Return the bytes to send. Raises TypeError or ValueError for values that MessagePack does not have."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def decode_call(body: bytes) -> Call:
    """Return a message to the process. Raises BadFrame."""
    try:
        call: Call = _calls.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFrame(str(error)) from error
    return call


def decode_answer(body: bytes) -> Answer:
    """Return a message of the process. Raises BadFrame."""
    try:
        answer: Answer = _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFrame(str(error)) from error
    return answer


class Frames:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies that are complete now. Raises BadFrame."""
        self._held += data
        bodies: list[bytes] = []
        start = 0
        while len(self._held) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._held, start)
            if size > LONGEST:
                raise BadFrame(f"a message of {size:,} bytes")
            end = start + _LENGTH.size + size
            if end > len(self._held):
                break
            with memoryview(self._held) as held:
                bodies.append(bytes(held[start + _LENGTH.size : end]))
            start = end
        del self._held[:start]
        return bodies
