"""What the data of API frames say, and requests to a radio. Pure: no I/O.

Source: Digi XBee/XBee-PRO user guides, 'Frame descriptions'. Addresses of radios are eight bytes, as on the wire.
"""

from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from trunkline.sources.xbee.mapping import Channel

#: The 16-bit address of a radio whose 16-bit address is not known.
UNKNOWN_NETWORK_ADDRESS: Final = b"\xff\xfe"


class FrameType(IntEnum):
    """The first byte of a frame's data."""

    AT_REQUEST = 0x08
    TRANSMIT_REQUEST = 0x10
    REMOTE_AT_REQUEST = 0x17
    AT_RESPONSE = 0x88
    MODEM_STATUS = 0x8A
    TRANSMIT_STATUS = 0x8B
    RECEIVED = 0x90
    RECEIVED_EXPLICIT = 0x91
    SAMPLED = 0x92
    REMOTE_AT_RESPONSE = 0x97


class Received(NamedTuple):
    """0x90, 0x91: a radio sent bytes."""

    node: bytes
    payload: bytes


class Sampled(NamedTuple):
    """0x92: a radio sent the state of its own inputs: analog 0 to 1023, digital 0 or 1."""

    node: bytes
    values: dict[Channel, int]


class TransmitStatus(NamedTuple):
    """0x8B: what became of a transmit request."""

    frame_id: int
    status: int


class AtResponse(NamedTuple):
    """0x88: answer of the radio at the port to an AT command; status 0 is OK."""

    frame_id: int
    command: bytes
    status: int
    value: bytes


class RemoteAtResponse(NamedTuple):
    """0x97: answer of another radio to an AT command."""

    frame_id: int
    node: bytes
    command: bytes
    status: int
    value: bytes


class ModemStatus(NamedTuple):
    """0x8A: the radio at the port tells of itself."""

    status: int


class Other(NamedTuple):
    """A frame of a type that is not read here."""

    type: int


Message: TypeAlias = Received | Sampled | TransmitStatus | AtResponse | RemoteAtResponse | ModemStatus | Other

#: Bytes before the payload, by type of frame: type, 64-bit and 16-bit address, (endpoints, cluster, profile,) options.
_HEADS: Final[dict[int, int]] = {FrameType.RECEIVED: 12, FrameType.RECEIVED_EXPLICIT: 18, FrameType.SAMPLED: 12}
_SHORTEST: Final[dict[int, int]] = {
    **_HEADS,
    FrameType.AT_RESPONSE: 5,
    FrameType.MODEM_STATUS: 2,
    FrameType.TRANSMIT_STATUS: 7,
    FrameType.REMOTE_AT_RESPONSE: 15,
}
#: The upper half of an AT status is flags of some models.
_AT_STATUS: Final = 0x0F


def parse(data: bytes) -> Message:
    """Return what the data of a frame say.

    Raises:
        ValueError: the frame is shorter than its type asks for; says by how much.
    """
    kind = data[0]
    if len(data) < (least := _SHORTEST.get(kind, 1)):
        raise ValueError(f"a frame of type 0x{kind:02X} has at least {least} bytes, this one {len(data)}")
    message: Message = Other(kind)
    match kind:
        case FrameType.RECEIVED | FrameType.RECEIVED_EXPLICIT:
            message = Received(data[1:9], data[_HEADS[kind] :])
        case FrameType.SAMPLED:
            message = Sampled(data[1:9], sample(data[_HEADS[kind] :]))
        case FrameType.TRANSMIT_STATUS:
            message = TransmitStatus(data[1], data[5])
        case FrameType.AT_RESPONSE:
            message = AtResponse(data[1], data[2:4], data[4] & _AT_STATUS, data[5:])
        case FrameType.REMOTE_AT_RESPONSE:
            message = RemoteAtResponse(data[1], data[2:10], data[12:14], data[14] & _AT_STATUS, data[15:])
        case FrameType.MODEM_STATUS:
            message = ModemStatus(data[1])
        case _:
            pass
    return message


def sender(data: bytes) -> bytes | None:
    """Return the address in the data of a frame that may be damaged, if it has one."""
    return data[1:9] if data[:1] and data[0] in _HEADS and len(data) >= 9 else None


def sample(payload: bytes) -> dict[Channel, int]:
    """Return the inputs of an I/O sample: one set, 16 bits of digital mask, 8 of analog mask, then the values of what the masks name.

    Raises:
        ValueError: it is shorter than its masks say.
    """
    if len(payload) < 4:
        raise ValueError(f"an I/O sample has at least 4 bytes, this one {len(payload)}")
    digital, analog = int.from_bytes(payload[1:3], "big"), payload[3]
    values: dict[Channel, int] = {}
    words = [int.from_bytes(payload[at : at + 2], "big") for at in range(4, len(payload) - 1, 2)]
    analogs = [number for number in range(8) if analog >> number & 1]
    if len(words) < (digital != 0) + len(analogs):
        raise ValueError(f"an I/O sample with these masks has {4 + 2 * ((digital != 0) + len(analogs))} bytes, this one {len(payload)}")
    if digital:
        states = words.pop(0)
        values = {Channel("digital", number): states >> number & 1 for number in range(16) if digital >> number & 1}
    for number, word in zip(analogs, words, strict=False):
        values[Channel("analog", number)] = word
    return values


def at_request(frame_id: int, command: bytes) -> bytes:
    """Return the data of a frame that asks the radio at the port."""
    return bytes([FrameType.AT_REQUEST, frame_id]) + command


def transmit_request(frame_id: int, node: bytes, payload: bytes) -> bytes:
    """Return the data of a frame that sends a payload to a radio; with id 0 no status comes back. Broadcast radius and options are 0."""
    return bytes([FrameType.TRANSMIT_REQUEST, frame_id]) + node + UNKNOWN_NETWORK_ADDRESS + b"\0\0" + payload


def remote_at_request(frame_id: int, node: bytes, command: bytes) -> bytes:
    """Return the data of a frame that asks another radio; options are 0."""
    return bytes([FrameType.REMOTE_AT_REQUEST, frame_id]) + node + UNKNOWN_NETWORK_ADDRESS + b"\0" + command
