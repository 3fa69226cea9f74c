"""Certificates: our own application instance certificate, and which server certificates are trusted (OPC UA Part 4, 6.1)."""

import hashlib
import logging
import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asyncua.crypto import cert_gen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from trunkline.model.errors import SourceMisconfigured
from trunkline.sources.opcua.config import SecurityConfig, normalise_fingerprint

OWN_CERTIFICATE = "certificate.der"
OWN_KEY = "private_key.pem"
#: Certificates of servers that were refused are kept here so that they can be looked at and trusted.
REFUSED = "refused"

_VALID_DAYS = 5 * 365
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnIdentity:
    """Our certificate and key, and the application URI that the certificate names: a server checks that they agree."""

    certificate: x509.Certificate
    key: RSAPrivateKey
    application_uri: str
    place: str


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate as people write it into the site file: 'sha256:' and 64 hex digits."""
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def leaf(chain: bytes) -> bytes:
    """Return the first certificate of a DER chain: servers may append their issuers (OPC UA Part 6, 6.2.6)."""
    return chain[: 4 + int.from_bytes(chain[2:4], "big")] if chain[:2] == b"\x30\x82" else chain


def application_uri(gateway: str, source: str) -> str:
    """Return the name of this client among OPC UA applications: unique by host, gateway and source."""
    return f"urn:{socket.gethostname()}:trunkline:{gateway}:{source}"


def own_identity(security: SecurityConfig, password: str, directory: Path, uri: str) -> OwnIdentity:
    """Load the configured certificate and key, or those generated earlier, or generate them now.

    Args:
        security: the source's security settings.
        password: of the private key; empty for none.
        directory: where relative paths start and generated files are kept.
        uri: application URI for a certificate that is generated.

    Raises:
        SourceMisconfigured: a file is missing or unreadable, key and certificate do not belong together, or no application URI is in it.
    """
    if security.certificate:
        certificate_file, key_file = directory / security.certificate, directory / security.private_key
    else:
        certificate_file, key_file = directory / OWN_CERTIFICATE, directory / OWN_KEY
        if not (certificate_file.exists() and key_file.exists()):
            _generate(certificate_file, key_file, uri)
    certificate = load_certificate(certificate_file)
    key = _load_key(key_file, password)
    if key.public_key() != certificate.public_key():
        raise SourceMisconfigured(f"the private key {key_file} does not belong to the certificate {certificate_file}")
    if certificate.not_valid_after_utc < datetime.now(UTC):
        _log.error("our certificate %s expired on %s: servers will refuse it", certificate_file, certificate.not_valid_after_utc.date())
    return OwnIdentity(certificate, key, _uri_of(certificate, certificate_file), str(certificate_file))


def load_certificate(file: Path) -> x509.Certificate:
    """Load a PEM or DER certificate. Raises SourceMisconfigured naming the file."""
    try:
        content = file.read_bytes()
        return x509.load_pem_x509_certificate(content) if b"-----BEGIN" in content else x509.load_der_x509_certificate(content)
    except (OSError, ValueError) as error:
        raise SourceMisconfigured(f"cannot load the certificate {file}: {error}") from error


def check_trust(der: bytes, security: SecurityConfig, directory: Path, endpoint: str) -> None:
    """Check that the server's certificate is trusted.

    A pinned certificate stays trusted after its last day: its owner is known, and stopping a plant's data over a date helps nobody;
    it is logged.

    Args:
        der: the server's own certificate.
        security: the source's security settings.
        directory: where relative paths start and refused certificates are kept.
        endpoint: for the message.

    Raises:
        SourceMisconfigured: it is not; the message names the fingerprint and how to trust it. Or there is none.
    """
    if not der:
        raise SourceMisconfigured(f"{endpoint} shows no certificate: use security policy None, or have one installed on the server")
    if security.trust == "any":
        return
    found = fingerprint(der)
    if any(found == _fingerprint_of(entry, directory) for entry in security.trust):
        _warn_if_expired(der, endpoint)
        return
    kept = directory / REFUSED / f"{found.removeprefix('sha256:')}.der"
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(der)
    raise SourceMisconfigured(
        f"the certificate of {endpoint} is not trusted: subject {_subject(der)!r}, fingerprint {found}. Compare it with the one shown on "
        f"the server; if it is the same, add it to the source: security: {{trust: ['{found}']}}. The certificate was kept as {kept}"
    )


def _fingerprint_of(entry: str, directory: Path) -> str:
    digits = normalise_fingerprint(entry)
    return f"sha256:{digits}" if digits else fingerprint(load_certificate(directory / entry).public_bytes(Encoding.DER))


def _subject(der: bytes) -> str:
    try:
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()
    except ValueError:
        return "unreadable"


def _warn_if_expired(der: bytes, endpoint: str) -> None:
    try:
        last = x509.load_der_x509_certificate(der).not_valid_after_utc
    except ValueError as error:
        raise SourceMisconfigured(f"the certificate of {endpoint} cannot be read: {error}") from error
    if last < datetime.now(UTC):
        _log.warning("the trusted certificate of %s expired on %s", endpoint, last.date())


def _load_key(file: Path, password: str) -> RSAPrivateKey:
    try:
        content = file.read_bytes()
        load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
        key = load(content, password.encode() or None)
    except (OSError, ValueError, TypeError) as error:
        raise SourceMisconfigured(f"cannot load the private key {file}: {error}") from error
    if not isinstance(key, RSAPrivateKey):
        raise SourceMisconfigured(f"the private key {file} is not an RSA key, which every supported security policy needs")
    return key


def _uri_of(certificate: x509.Certificate, file: Path) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if not uris:
        raise SourceMisconfigured(f"the certificate {file} has no application URI in its subject alternative names (Part 6, 6.2.2)")
    return uris[0]


def _generate(certificate_file: Path, key_file: Path, uri: str) -> None:
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "localhost"
    key = cert_gen.generate_private_key()
    certificate = cert_gen.generate_self_signed_app_certificate(
        key,
        f"Trunkline on {host}"[:64],
        {"organizationName": "Trunkline"},
        [x509.UniformResourceIdentifier(uri), x509.DNSName(host)],
        [ExtendedKeyUsageOID.CLIENT_AUTH],
        days=_VALID_DAYS,
    )
    _write_private(key_file, cert_gen.dump_private_key_as_pem(key))
    _write_private(certificate_file, certificate.public_bytes(Encoding.DER))
    _log.info("generated the certificate %s, fingerprint %s", certificate_file, fingerprint(certificate.public_bytes(Encoding.DER)))


def _write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        os.fsync(stream.fileno())
    draft.replace(file)
