"""Why nobody answers at a broker's port: a handshake of our own tells what librdkafka keeps to itself.

librdkafka calls an expired certificate of a broker unverifiable, takes a broker that refuses an expired client certificate for one that
is away, and knows nothing of TLS when it speaks plain text. Looked at only after a call failed, at one broker, for at most a second.
"""

import socket
import ssl
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from trunkline.config.kafka import addresses
from trunkline.log.kafka.wire import tls_context

_SECONDS: Final = 1.0
#: A broker that refuses a client's certificate says so after the handshake (RFC 8446, section 4.4.2.4); one that accepts it says nothing.
_REFUSAL_SECONDS: Final = 0.3
#: ApiVersions, version 0, with a correlation id and no client id (https://kafka.apache.org/protocol#The_Messages_ApiVersions).
_NUMBER: Final = b"look"
_ASK_VERSIONS: Final = struct.pack(">ihh4sh", 10, 18, 0, _NUMBER, -1)
#: X509_V_ERR codes of OpenSSL (x509_vfy.h).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})


def finding(settings: Mapping[str, object], principal: str) -> str:
    """Return what is wrong between this site and its brokers, with the mend, or '' when a handshake shows nothing.

    Args:
        settings: of librdkafka, with addresses and PEM files.
        principal: who this site is to the brokers, for people.
    """
    for host, port in addresses(str(settings["bootstrap.servers"])):
        try:
            with socket.create_connection((host, port), _SECONDS) as connection:
                if "security.protocol" in settings:
                    return _secured(connection, settings, principal, host, port)
                return _plain(connection, principal, f"{host}:{port}")
        except OSError:
            continue
    return ""


def _plain(connection: socket.socket, principal: str, place: str) -> str:
    """Ask for TLS without a wish for a certificate: a broker in plain text hangs up or says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.wrap_socket(connection).close()
    except ssl.SSLError as error:
        if "ALERT" not in (error.reason or ""):
            return ""
    except OSError:
        return ""
    return f"the broker at {place} expects TLS, and {principal} speaks plain text: add a 'log.security' section"


def _secured(connection: socket.socket, settings: Mapping[str, object], principal: str, host: str, port: int) -> str:
    certificate = str(settings.get("ssl.certificate.location", ""))
    try:
        context = tls_context(settings)
    except OSError:
        return ""  # librdkafka reads the same files when it starts, and says what is wrong with them
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            secured.settimeout(_REFUSAL_SECONDS)
            secured.recv(1)
    except TimeoutError:
        return ""
    except ssl.SSLCertVerificationError as error:
        return _broker_certificate(error, f"{host}:{port}")
    except OSError as error:
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            return _refused(f"{host}:{port}", principal, certificate, error.reason)
        return _no_tls(host, port, principal)
    return ""


def _broker_certificate(error: ssl.SSLCertVerificationError, place: str) -> str:
    whose = f"the certificate of the broker at {place}"
    if error.verify_code == _EXPIRED:
        return f"{whose} has expired: renew it there ('trunkline pki renew'), and look at the clocks of both machines"
    if error.verify_code == _NOT_YET_VALID:
        return f"{whose} is not valid yet: look at the clocks of both machines"
    if error.verify_code in _OTHER_NAME:
        return f"{whose} is not for this name: write one into 'log.bootstrap' that it holds"
    return f"{whose} comes from an unknown authority: name its authority's PEM file in 'log.security.ca' ({error.verify_message})"


def _refused(place: str, principal: str, certificate: str, reason: str) -> str:
    if not certificate:
        return f"the broker at {place} wants a certificate of {principal}: name one in 'log.security.certificate' and 'key'"
    ended = _end(certificate)
    if ended is not None and ended <= datetime.now(UTC):
        return (
            f"the broker at {place} refuses {principal}: the certificate {certificate} expired at {ended:%Y-%m-%d %H:%M} UTC: "
            "renew it ('trunkline pki renew')"
        )
    mend = "name one in 'log.security.certificate' that an authority of the brokers issued"
    return f"the broker at {place} refuses {principal} with the certificate {certificate}: {mend} ({reason.replace('_', ' ').lower()})"


def _no_tls(host: str, port: int, principal: str) -> str:
    """A broker in plain text hangs up on TLS, and so does one that is about to stop: ask for its versions in plain text."""
    try:
        with socket.create_connection((host, port), _SECONDS) as connection:
            connection.sendall(_ASK_VERSIONS)
            answer = connection.recv(8)
    except OSError:
        return ""
    if answer[4:] != _NUMBER:
        return ""
    return f"the broker at {host}:{port} speaks plain text, and {principal} expects TLS: name its port for TLS in 'log.bootstrap'"


def _end(certificate: str) -> datetime | None:
    """Return when a certificate's life ends; None when its file cannot be read any more."""
    try:
        return x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0].not_valid_after_utc
    except (OSError, ValueError):
        return None
