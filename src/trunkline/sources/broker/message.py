"""A message on its way from the broker."""

from typing import NamedTuple


class Message(NamedTuple):
    """A message as the broker delivered it.

    Attributes:
        sequence: place in the order of arrival within one connection.
        topic: topic name.
        payload: bytes as sent.
        qos: 0 to 2.
        packet: packet identifier to acknowledge; 0 at QoS 0.
        retained: kept by the broker from before the subscription.
        received: when it arrived, µs UTC.
    """

    sequence: int
    topic: str
    payload: bytes
    qos: int
    packet: int
    retained: bool
    received: int
