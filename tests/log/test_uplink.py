"""What a producer sends over the link, and what it says it sent.

The brokers are librdkafka's own stand-ins on loopback: they keep what they get and know nothing of disks. What is looked at is on this side
of the connection and real: the client, its batches and their compression, the bytes on the socket. Real brokers: tests/log/test_kafka.py.
"""

import random
import time

import pytest

from trunkline.config.site import LogConfig
from trunkline.log.kafka.producing import BatchProducer
from trunkline.log.kafka.records import Outgoing
from trunkline.log.kafka.settings import Connection
from trunkline.log.port import Record
from trunkline.log.uplink import Uplink

#: A million bytes that are made of eight.
VALUES = [bytes(random.Random(number).choices(b"abcdefgh", k=10_000)) for number in range(100)]


def producer(uplink: Uplink) -> BatchProducer:
    connection = Connection(LogConfig(engine="kafka", bootstrap="127.0.0.1:1", insecure=True, profile="development"))
    connection.settings |= {"test.mock.num.brokers": 1}
    return BatchProducer(connection, uplink)


def heard(uplink: Uplink) -> int:
    """Return what the client says once it says no more."""
    last, deadline = -1, time.monotonic() + 60
    while (uplink.sent_bytes != last or not last) and time.monotonic() < deadline:
        last = uplink.sent_bytes
        for _ in range(15):  # three of its words
            time.sleep(0.1)
            uplink.serve()
    return uplink.sent_bytes


def sent(compression: str) -> int:
    uplink = Uplink(compression)
    one = producer(uplink)
    one.append([Outgoing("telemetry.raw", 0, Record(value)) for value in VALUES])
    counted = heard(uplink)
    one.close()
    return counted


def test_the_meter_counts_bytes_after_compression() -> None:
    """ED-19: compressed at the producer. Eight letters are three bits each; what the protocol adds is little."""
    plain, small = sent("none"), sent("zstd")
    assert 1_000_000 < plain < 1_050_000
    assert 350_000 < small < 550_000


def test_the_meter_goes_on_over_clients() -> None:
    uplink = Uplink("none")
    one = producer(uplink)
    for _ in range(2):
        one.append([Outgoing("telemetry.raw", 0, Record(VALUES[0]))])
        assert heard(uplink)
        one.close()
    assert uplink.sent_bytes > 2 * len(VALUES[0])
    uplink.serve()  # there is no client: nothing to ask


@pytest.mark.parametrize("compression", ["none", "snappy", "lz4", "zstd", "gzip"])
def test_every_compression_of_the_site_file_is_one_of_the_client(compression: str) -> None:
    one = producer(Uplink(compression))
    assert one.append([Outgoing("telemetry.raw", 0, Record(VALUES[0]))])
    one.close()
