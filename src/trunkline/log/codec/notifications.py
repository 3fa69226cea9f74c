"""Notification requests and the delivery log as records: JSON, keyed by channel, so that order holds within each."""

import msgspec

from trunkline.log.port import Record, StoredRecord
from trunkline.model.errors import CorruptData
from trunkline.model.notifications import Delivery, NotificationRequest

_encoder = msgspec.json.Encoder()
_requests = msgspec.json.Decoder(NotificationRequest)
_deliveries = msgspec.json.Decoder(Delivery)


def encode_request(request: NotificationRequest) -> Record:
    """Return the record to append to the topic of requests."""
    return Record(_encoder.encode(request), request.channel.encode())


def decode_request(record: StoredRecord) -> NotificationRequest:
    """Return the request of a stored record. Raises CorruptData."""
    try:
        return _requests.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"notification request {record.topic}/{record.partition}@{record.offset} cannot be read: {error}") from error


def encode_delivery(delivery: Delivery) -> Record:
    """Return the record to append to the delivery log."""
    return Record(_encoder.encode(delivery), delivery.channel.encode())


def decode_delivery(record: StoredRecord) -> Delivery:
    """Return the entry of a stored record. Raises CorruptData."""
    try:
        return _deliveries.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"delivery {record.topic}/{record.partition}@{record.offset} cannot be read: {error}") from error
