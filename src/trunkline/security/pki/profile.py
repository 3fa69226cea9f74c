"""What our certificates say: names, key usage and life (RFC 5280 section 4.2, RFC 9525 for host names)."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Certificates begin a little in the past: clocks of field machines differ.
CLOCK_SKEW: Final = timedelta(minutes=5)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_MAX_DNS: Final = 253
#: Longest common name (RFC 5280 appendix A.1, ub-common-name), less what is added to an authority's.
_MAX_AUTHORITY: Final = 64 - len(" CA 01234567")


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key on P-256: what every TLS library of the last ten years takes."""
    return ec.generate_private_key(ec.SECP256R1())


def check_name(name: str) -> str:
    """Return a common name if it can also be a file name and a Kafka principal. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name for a certificate: use up to 64 letters, digits, '_', '-' and '.', the first a letter or digit"
        )
    return name


def authority_certificate(name: str, key: ec.EllipticCurvePrivateKey, valid: timedelta, now: datetime) -> x509.Certificate:
    """Return the self-signed certificate of an authority that may sign leaves only.

    The common name ends in part of the serial number: an authority and its successor must not be mixed up by their names.

    Raises:
        ValueError: the name or the life cannot be used.
    """
    if len(check_name(name)) > _MAX_AUTHORITY:
        raise ValueError(f"{name!r} is too long for the name of an authority: use up to {_MAX_AUTHORITY} characters")
    if valid <= timedelta(0):
        raise ValueError(f"the authority {name!r} must live longer than {valid}")
    serial = x509.random_serial_number()
    subject = _subject(f"{name} CA {serial & 0xFFFFFFFF:08x}")
    builder = _builder(subject, subject, key.public_key(), serial, now, now + valid)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256())


def leaf_certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    hosts: Sequence[str],
    client: bool,
    server: bool,
    valid: timedelta,
    now: datetime,
) -> x509.Certificate:
    """Return a certificate for one process, signed by an authority. It ends with its authority at the latest.

    Raises:
        ValueError: the name, a host, the life or the purpose cannot be used.
    """
    if not (client or server):
        raise ValueError(f"the certificate {name!r} has no purpose: choose client, server or both")
    if server and not hosts:
        raise ValueError(f"the server certificate {name!r} needs the host names and addresses by which clients reach it")
    if valid <= timedelta(0):
        raise ValueError(f"the certificate {name!r} must live longer than {valid}")
    end = min(now + valid, issuer.not_valid_after_utc)
    builder = _builder(_subject(check_name(name)), issuer.subject, key, x509.random_serial_number(), now, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=False), critical=True)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names(hosts)), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def general_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Return hosts as subject alternative names, each once: addresses as addresses, the rest as DNS names. Raises ValueError."""
    names: dict[x509.GeneralName, None] = {}
    for host in hosts:
        try:
            names[x509.IPAddress(ipaddress.ip_address(host))] = None
        except ValueError:
            if len(host) > _MAX_DNS or not all(_LABEL.fullmatch(label) for label in host.split(".")):
                raise ValueError(f"{host!r} is neither an IP address nor a DNS name: write names beyond ASCII in their xn-- form") from None
            names[x509.DNSName(host.lower())] = None
    return list(names)


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names and addresses that a certificate stands for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (*names.get_values_for_type(x509.DNSName), *(str(one) for one in names.get_values_for_type(x509.IPAddress)))


def purposes_of(certificate: x509.Certificate) -> tuple[bool, bool]:
    """Return whether a certificate serves a client, and a server."""
    try:
        usage = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return False, False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage, ExtendedKeyUsageOID.SERVER_AUTH in usage


def common_name(certificate: x509.Certificate) -> str:
    """Return the common name of whom a certificate is for."""
    return common_name_of(certificate.subject)


def common_name_of(name: x509.Name) -> str:
    """Return the common name within a name; those of others may have none: then the whole name."""
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else name.rfc4514_string()


def utc_now() -> datetime:
    """Return the time as certificates count it."""
    return datetime.now(UTC)


def _subject(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    # leaves only sign the handshake: TLS 1.3 and ECDHE need nothing else of an EC key
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
