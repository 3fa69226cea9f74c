"""Dead letters: what could not be accepted, with the reason, where it came from, and its original bytes, so that it can be sent again."""

from typing import Final

import msgspec

from trunkline.log.port import Record, StoredRecord
from trunkline.model.errors import CorruptData
from trunkline.model.reading import Value

#: Header with the bytes as they came.
ORIGINAL: Final = "original"
#: Header naming the form of the original: 'single' (one reading), 'record' (a whole record, with its own headers lost).
FORM: Final = "form"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a dead-letter record (W-67, PD-22).

    Attributes:
        reason: for people; begins with the rule, for example 'range: 512.0 is above 500'.
        topic, partition, offset: where the bad record is in the log.
        at_us: when it was refused.
        gateway: origin, as far as known; '' otherwise.
        source, tag, value, time_us: of the reading, as far as known.
    """

    reason: str
    topic: str
    partition: int
    offset: int
    at_us: int
    gateway: str = ""
    source: str | None = None
    tag: str | None = None
    value: Value = None
    time_us: int | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DeadLetter)


def encode_dead_letter(letter: DeadLetter, original: bytes, form: str) -> Record:
    """Return the record to append to a dead-letter topic."""
    key = (letter.tag or letter.topic).encode()
    return Record(_encoder.encode(letter), key, ((ORIGINAL, original), (FORM, form.encode())))


def decode_dead_letter(record: StoredRecord) -> DeadLetter:
    """Return the letter of a stored record. Raises CorruptData."""
    try:
        return _decoder.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"dead letter {record.topic}/{record.partition}@{record.offset} cannot be read: {error}") from error
