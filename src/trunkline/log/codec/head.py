"""The header of a block: what a hop needs for counting and de-duplication without opening the value."""

from typing import Final

import msgspec

from trunkline.model.errors import CorruptData

#: Name of the record header that carries a `BlockHead`.
HEADER: Final = "block"
#: Name of a record header that says: live data of the same tags may have overtaken this record, because it waited or was set aside.
BACKLOG: Final = "backlog"


class Tally(msgspec.Struct, array_like=True, frozen=True):
    """How many readings of one source and hour a block speaks of.

    Attributes:
        source: source id.
        hour: `times.hour_of` of the readings' time in history.
        readings: readings inside the block.
        rejected: readings that validation took out on the way and put into a dead-letter topic.
        deduplicated: repeats that validation took out.
    """

    source: str
    hour: int
    readings: int
    rejected: int = 0
    deduplicated: int = 0


class BlockHead(msgspec.Struct, array_like=True, frozen=True):
    """Identity and counts of a block.

    The block holds **every** reading of its partition whose journal position is in [lo, hi), less what validation took out; `lo` is the
    `hi` of the block before it. Consecutive blocks of one origin and partition therefore meet: a hole between them is a loss with an
    address (`trunkline.ledger.coverage`), and a range seen before is a repeat.

    Attributes:
        origin: edge journal id.
        lo, hi: range of journal positions covered in this partition.
        tallies: counts by source and hour.
    """

    origin: str
    lo: int
    hi: int
    tallies: tuple[Tally, ...]

    @property
    def readings(self) -> int:
        """Readings inside the block."""
        return sum(tally.readings for tally in self.tallies)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(BlockHead)


def encode_head(head: BlockHead) -> bytes:
    """Return the header value."""
    return _encoder.encode(head)


def decode_head(value: bytes) -> BlockHead:
    """Return the head. Raises CorruptData."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"block header cannot be read: {error}") from error
