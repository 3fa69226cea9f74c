"""What operators ask of alarms, and the answers, as JSON records."""

from typing import TypeVar

import msgspec

from trunkline.log.port import Record, StoredRecord
from trunkline.model.alarms import Action
from trunkline.model.errors import CorruptData


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An action on its way to the alarm step.

    Attributes:
        id: UUID; its answer has the same.
        action: what is wanted.
        asked_at: µs UTC.
        expires_at: µs UTC after which it must not be done any more: nobody is surprised by what was asked long ago.
    """

    id: str
    action: Action
    asked_at: int
    expires_at: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request.

    Attributes:
        id: of the request.
        key: of the alarm.
        done: whether it was done.
        text: what was done, or why it was not and what to do.
        at: µs UTC.
    """

    id: str
    key: str
    done: bool
    text: str
    at: int


_T = TypeVar("_T")
_encoder = msgspec.json.Encoder()
_requests = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(Answer)


def encode_request(request: Request) -> Record:
    """Return the record to append to the topic of actions."""
    return Record(_encoder.encode(request), request.action.key.encode())


def decode_request(record: StoredRecord) -> Request:
    """Return the request of a record. Raises CorruptData."""
    return _decoded(record, _requests)


def encode_answer(answer: Answer) -> Record:
    """Return the record to append to the topic of answers."""
    return Record(_encoder.encode(answer), answer.key.encode())


def decode_answer(record: StoredRecord) -> Answer:
    """Return the answer of a record. Raises CorruptData."""
    return _decoded(record, _answers)


def _decoded(record: StoredRecord, decoder: "msgspec.json.Decoder[_T]") -> _T:
    try:
        return decoder.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"{record.topic}/{record.partition}@{record.offset} cannot be read: {error}") from error
