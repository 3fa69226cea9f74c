"""What the historian tells each edge: which of its journal positions are stored (JSON records on `Layout.confirmations`, key: origin).

An edge may let its own copy go by age only when it is covered here (PD-10): that the site log took it proves little, for the site log
keeps telemetry a day.
"""

import msgspec

from trunkline.model.errors import CorruptData


class ConfirmedLane(msgspec.Struct, frozen=True):
    """What of one partition is stored.

    Attributes:
        topic: as the edge journal names it, a raw topic.
        partition: of that topic.
        ranges: journal positions [lo, hi), ascending, never touching each other; refused readings in dead letters count as stored.
    """

    topic: str
    partition: int
    ranges: list[tuple[int, int]]


class Confirmation(msgspec.Struct, frozen=True):
    """What is stored of one origin. It speaks of the partitions that one member of the historian owns: absolute, the newest holds.

    Attributes:
        origin: id of the edge journal.
        at_us: when it was told.
        lanes: by topic and partition.
    """

    origin: str
    at_us: int
    lanes: list[ConfirmedLane]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Confirmation)


def encode_confirmation(confirmation: Confirmation) -> bytes:
    """Return the record value."""
    return _encoder.encode(confirmation)


def decode_confirmation(value: bytes) -> Confirmation:
    """Return the confirmation. Raises CorruptData."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"confirmation cannot be read: {error}") from error
