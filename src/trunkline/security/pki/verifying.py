"""Would others accept a certificate? The checks of a TLS peer, each failure with the mend."""

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from trunkline.model.errors import NotConnected
from trunkline.security.pki import profile
from trunkline.security.pki.errors import CertificateProblem

_CONNECT_SECONDS: Final = 10.0


def verify(place: str, leaf: x509.Certificate, trusted: Sequence[x509.Certificate], now: datetime, *, host: str = "") -> None:
    """Check a certificate.

    Args:
        place: file or server, for messages.
        leaf: the certificate.
        trusted: the authorities that the other side trusts.
        now: time of the check.
        host: name or address by which clients reach this server; empty for clients.

    Raises:
        CertificateProblem: it is not valid yet or any more, no trusted authority signed it, or it does not stand for `host`.
    """
    name = profile.common_name(leaf)
    if now > leaf.not_valid_after_utc:
        raise CertificateProblem(
            f"{place}: the certificate of {name!r} expired at {_time(leaf.not_valid_after_utc)}: run 'trunkline pki renew'"
        )
    if now < leaf.not_valid_before_utc:
        raise CertificateProblem(
            f"{place}: the certificate of {name!r} is not valid before {_time(leaf.not_valid_before_utc)}: set this machine's clock"
        )
    signer = issuer_of(leaf, trusted)
    if signer is None:
        known = ", ".join(repr(profile.common_name(one)) for one in trusted)
        raise CertificateProblem(
            f"{place}: {profile.common_name_of(leaf.issuer)!r} signed the certificate of {name!r}, trusted is {known}: "
            "issue it again with the trusted authority, or add the authority's certificate to the trust file"
        )
    if now > signer.not_valid_after_utc:
        raise CertificateProblem(
            f"{place}: the authority {profile.common_name(signer)!r} expired at {_time(signer.not_valid_after_utc)}: "
            "replace it and issue every certificate again"
        )
    hosts = profile.hosts_of(leaf)
    if host and not _stands_for(hosts, host):
        raise CertificateProblem(
            f"{place}: the certificate of {name!r} does not stand for {host!r}, only for {', '.join(hosts) or 'no host'}: "
            f"issue it again with '--host {host}', or let clients use a name that it has"
        )


def issuer_of(certificate: x509.Certificate, candidates: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Return the candidate whose key signed a certificate; names alone prove nothing."""
    for candidate in candidates:
        try:
            certificate.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return candidate
    return None


def served(host: str, port: int) -> x509.Certificate:
    """Return the certificate that a running server shows, unchecked: `verify` says what is wrong with it better than a handshake.

    Raises:
        NotConnected: nobody listens, or not with TLS.
    """
    # nothing is sent or believed over this connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), _CONNECT_SECONDS) as plain, context.wrap_socket(plain, server_hostname=host) as secured:
            shown = secured.getpeercert(binary_form=True)
    except (OSError, ValueError) as error:
        raise NotConnected(f"{host}:{port} shows no certificate: {error}: is this a TLS listener, and does it run?") from error
    if shown is None:
        raise NotConnected(f"{host}:{port} shows no certificate")
    return x509.load_der_x509_certificate(shown)


def _stands_for(hosts: Sequence[str], host: str) -> bool:
    try:
        return str(ipaddress.ip_address(host)) in hosts
    except ValueError:
        return host.lower() in {one.lower() for one in hosts}


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
