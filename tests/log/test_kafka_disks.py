"""Requests that librdkafka has no call for: the login by SCRAM, and the brokers' disks."""

import struct

import pytest

from trunkline.lab.kafka import Cluster
from trunkline.lab.ports import free_ports
from trunkline.log.kafka.disks import ask
from trunkline.log.kafka.scram import ScramClient, ScramError
from trunkline.log.kafka.wire import BrokerConnection, Reader, WireError

NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = rb"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def places(cluster: Cluster) -> list[tuple[int, str, int]]:
    split = (address.rpartition(":") for address in cluster.bootstrap.split(","))
    return [(number, host, int(port)) for number, (host, _, port) in enumerate(split, start=1)]


def test_login_is_that_of_the_standard() -> None:
    """The example of RFC 7677, section 3."""
    client = ScramClient("SCRAM-SHA-256", "user", "pencil", NONCE)
    assert client.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    proof = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert client.final(CHALLENGE) == proof
    client.finish(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ScramError, match="does not know the password"):
        client.finish(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ScramError, match="invalid-proof"):
        client.finish(b"e=invalid-proof")


@pytest.mark.parametrize(
    "challenge", [b"", b"\xff\xfe", b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", CHALLENGE[:-4] + b"0", CHALLENGE[:-4] + b"9" * 9]
)
def test_a_strange_challenge_is_refused(challenge: bytes) -> None:
    """Another's nonce, no rounds, rounds without end, garbage."""
    with pytest.raises(ScramError):
        ScramClient("SCRAM-SHA-256", "user", "pencil", NONCE).final(challenge)


def test_an_answer_that_ends_early_is_an_error() -> None:
    for data in (b"", b"\x80", b"\x05ab"):
        with pytest.raises(WireError, match="ends too early"):
            Reader(data).text()
    assert Reader(b"\x03ab").text() == "ab"
    assert Reader(b"\x03\0\1\0\2").array(lambda reader: reader.number("h")) == [1, 2]
    tagged = Reader(b"\x01\x07\x02xy" + struct.pack(">h", 3))
    tagged.tags()
    assert tagged.number("h") == 3


def test_disks_of_secured_brokers(secured_kafka: Cluster) -> None:
    """Issue 4, item 5: disk as a metric, over TLS with a login by SCRAM-SHA-512."""
    settings = secured_kafka.client_settings()
    told = ask(places(secured_kafka), settings, 10.0)
    assert (told.allowed, told.faults) == (True, [])
    assert [disk.broker for disk in told.brokers] == [1, 2, 3]
    assert all(disk.online and 0 < disk.free_bytes <= disk.total_bytes for disk in told.brokers)

    away = ask([(9, "127.0.0.1", free_ports(1)[0]), *places(secured_kafka)[:1]], settings, 10.0)
    assert [disk.broker for disk in away.brokers] == [1]
    assert away.faults[0].startswith("cannot ask broker 9 for its disks: ")

    (wrong,) = ask(places(secured_kafka)[:1], {**settings, "sasl.password": "not-it"}, 10.0).faults
    assert "Authentication failed" in wrong
    assert "not-it" not in wrong


def test_a_port_without_tls_and_a_strange_mechanism(secured_kafka: Cluster, kafka: Cluster) -> None:
    """Errors, not waiting."""
    settings = secured_kafka.client_settings()
    ((_, host, port),) = places(kafka)
    with pytest.raises(WireError):
        BrokerConnection(host, port, settings, 5.0)
    ((_, host, port), *_) = places(secured_kafka)
    with pytest.raises(WireError, match="no login by OAUTHBEARER"):
        BrokerConnection(host, port, {**settings, "sasl.mechanism": "OAUTHBEARER"}, 5.0)
