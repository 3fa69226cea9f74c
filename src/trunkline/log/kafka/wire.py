"""Requests of Kafka's protocol that librdkafka has no call for: one connection to one broker, a question and its answer at a time.

Source: https://kafka.apache.org/protocol (headers, SaslHandshake 1, SaslAuthenticate 1).
"""

import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

from trunkline.log.kafka.scram import HASHES, ScramClient, ScramError

T = TypeVar("T")

_SASL_HANDSHAKE: Final = 17
_SASL_AUTHENTICATE: Final = 36
_CLIENT: Final = b"trunkline"
#: An answer about the partitions of a cluster is far below it.
_MOST_BYTES: Final = 64 << 20


class WireError(Exception):
    """A broker did not answer, refused, or answered with what is not understood."""


class Reader:
    """Takes an answer apart. Lengths and numbers are those of the protocol's flexible versions (KIP-482)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes. Raises WireError at the end."""
        found = self._data[self._at : self._at + count]
        if count < 0 or len(found) < count:
            raise WireError("the broker's answer ends too early")
        self._at += count
        return found

    def number(self, form: str) -> int:
        """Return a number of a `struct` format, big-endian."""
        return int(struct.unpack(f">{form}", self.take(struct.calcsize(form)))[0])

    def varint(self) -> int:
        """Return an unsigned number of seven bits a byte."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> str:
        """Return a compact string; null is empty."""
        return self.take(max(0, self.varint() - 1)).decode(errors="replace")

    def array(self, item: Callable[["Reader"], T]) -> list[T]:
        """Return a compact array."""
        return [item(self) for _ in range(max(0, self.varint() - 1))]

    def tags(self) -> None:
        """Skip tagged fields."""
        for _ in range(self.varint()):
            self.varint()
            self.take(self.varint())


def compact(value: str) -> bytes:
    """Return a compact string."""
    data = value.encode()
    return _varint(len(data) + 1) + data


def compact_array(items: Sequence[bytes]) -> bytes:
    """Return a compact array."""
    return _varint(len(items) + 1) + b"".join(items)


def _varint(value: int) -> bytes:
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


class BrokerConnection:
    """One connection, logged in.

    Args:
        host: of the broker.
        port: of the broker.
        settings: of librdkafka: protocol, PEM files, mechanism, user and password.
        seconds: that any wait may take.

    Raises:
        WireError: why there is none. It never holds the password.
    """

    def __init__(self, host: str, port: int, settings: Mapping[str, object], seconds: float) -> None:
        self._number = 0
        try:
            self._socket = self._open(host, port, settings, seconds)
            try:
                if "sasl.mechanism" in settings:
                    self._log_in(settings)
            except BaseException:
                self._socket.close()
                raise
        except (OSError, ScramError) as error:
            raise WireError(f"{host}:{port}: {error}") from error

    def ask(self, key: int, version: int, body: bytes) -> Reader:
        """Send a request of a flexible version; return its answer behind the header. Raises WireError."""
        try:
            answer = self._exchange(key, version, body, flexible=True)
        except OSError as error:
            raise WireError(str(error)) from error
        answer.tags()
        return answer

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @staticmethod
    def _open(host: str, port: int, settings: Mapping[str, object], seconds: float) -> socket.socket:
        plain = socket.create_connection((host, port), seconds)
        if "security.protocol" not in settings:
            return plain
        try:
            return tls_context(settings).wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def _log_in(self, settings: Mapping[str, object]) -> None:
        mechanism = str(settings["sasl.mechanism"])
        if mechanism not in HASHES:
            raise WireError(f"no login by {mechanism}")
        client = ScramClient(mechanism, str(settings["sasl.username"]), str(settings["sasl.password"]))
        name = mechanism.encode()
        code = self._exchange(_SASL_HANDSHAKE, 1, struct.pack(">h", len(name)) + name).number("h")
        if code:
            raise WireError(f"the broker does not offer {mechanism}")
        client.finish(self._authenticate(client.final(self._authenticate(client.first()))))

    def _authenticate(self, token: bytes) -> bytes:
        answer = self._exchange(_SASL_AUTHENTICATE, 1, struct.pack(">i", len(token)) + token)
        code, length = answer.number("h"), answer.number("h")
        message = answer.take(max(0, length)).decode(errors="replace")
        if code:
            raise WireError(message or f"the broker refuses the login (error {code})")
        return answer.take(max(0, answer.number("i")))

    def _exchange(self, key: int, version: int, body: bytes, *, flexible: bool = False) -> Reader:
        self._number += 1
        header = struct.pack(">hhih", key, version, self._number, len(_CLIENT)) + _CLIENT + (b"\0" if flexible else b"")
        self._socket.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        (size,) = struct.unpack(">i", self._receive(4))
        if not 4 <= size <= _MOST_BYTES:
            raise WireError("the broker's answer has no sensible size")
        answer = Reader(self._receive(size))
        if answer.number("i") != self._number:
            raise WireError("the broker answers another request")
        return answer

    def _receive(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            more = self._socket.recv(min(count - len(data), 1 << 16))
            if not more:
                raise WireError("the broker hung up")
            data += more
        return bytes(data)


def tls_context(settings: Mapping[str, object]) -> ssl.SSLContext:
    """Return what TLS with the brokers needs, from librdkafka's settings. Raises OSError when a PEM file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority := settings.get("ssl.ca.location"):
        context.load_verify_locations(str(authority))
    else:
        context.load_default_certs()
    if certificate := settings.get("ssl.certificate.location"):
        context.load_cert_chain(str(certificate), str(settings["ssl.key.location"]))
    return context
