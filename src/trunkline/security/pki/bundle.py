"""A leaf certificate with its key and its authority, and the one PEM file that holds them."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from trunkline.security.pki import profile
from trunkline.security.pki.errors import CertificateProblem
from trunkline.security.pki.files import parse_certificates, read_private_file, to_pem, write_file

_ISSUE: Final = "issue it with 'trunkline pki issue'"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A certificate, its key and the certificates above it.

    Attributes:
        key: the private key.
        certificate: the leaf.
        chain: the authority that signed it; more only in bundles of others.
    """

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]

    @property
    def name(self) -> str:
        """The common name; Kafka's principal of an mTLS listener is `User:CN=` and this."""
        return profile.common_name(self.certificate)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The DNS names and addresses that it stands for as a server."""
        return profile.hosts_of(self.certificate)

    @property
    def key_pem(self) -> str:
        """The key as unencrypted PKCS#8 PEM, the only form that Kafka reads without a password."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")

    @property
    def certificate_pem(self) -> str:
        """The leaf as PEM."""
        return to_pem([self.certificate])

    @property
    def chain_pem(self) -> str:
        """The certificates above the leaf as PEM."""
        return to_pem(self.chain)

    @property
    def pem(self) -> str:
        """Key, leaf and chain: Kafka's PEM keystore, and librdkafka's `ssl.certificate.location` and `ssl.key.location` at once."""
        return self.key_pem + self.certificate_pem + self.chain_pem

    def write(self, path: Path) -> Path:
        """Write `pem` to a file that only its owner may read, replacing it as a whole. Raises CertificateProblem."""
        write_file(path, self.pem, mode=0o600)
        return path

    @classmethod
    def load(cls, path: Path) -> "Bundle":
        """Read what `write` wrote.

        Raises:
            CertificateProblem: the file is missing, no bundle, readable by others, or key and certificate do not belong together.
        """
        text = read_private_file(path, _ISSUE)
        try:
            key = load_pem_private_key(text.encode("ascii"), password=None)
        except (ValueError, TypeError) as error:
            raise CertificateProblem(f"{path} holds no unencrypted private key: {_ISSUE}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateProblem(f"{path}: the private key is no EC key: {_ISSUE}")
        certificate, *chain = parse_certificates(text, path, _ISSUE)
        if certificate.public_key() != key.public_key():
            raise CertificateProblem(
                f"{path}: the private key does not belong to the certificate of {profile.common_name(certificate)!r}: "
                "put the pair that was issued together into the file, or issue it again"
            )
        return cls(key, certificate, tuple(chain))

    def verify(self, path: Path, trusted: Sequence[x509.Certificate], now: datetime, *, host: str = "") -> None:
        """Check that others will accept it.

        Args:
            path: where it was read, for messages.
            trusted: the authorities that the other side trusts.
            now: time of the check.
            host: name or address by which clients reach this server; empty for clients.

        Raises:
            CertificateProblem: it is not valid yet or any more, no trusted authority signed it, or it does not stand for `host`.
        """
        leaf = self.certificate
        if now > leaf.not_valid_after_utc:
            raise CertificateProblem(
                f"{path}: the certificate of {self.name!r} expired at {_time(leaf.not_valid_after_utc)}: run 'trunkline pki renew'"
            )
        if now < leaf.not_valid_before_utc:
            raise CertificateProblem(
                f"{path}: the certificate of {self.name!r} is not valid before {_time(leaf.not_valid_before_utc)}: set this machine's clock"
            )
        signer = issuer_of(leaf, trusted)
        if signer is None:
            known = ", ".join(repr(profile.common_name(one)) for one in trusted)
            raise CertificateProblem(
                f"{path}: {profile.common_name_of(leaf.issuer)!r} signed the certificate of {self.name!r}, trusted is {known}: "
                "issue it again with the trusted authority, or add the authority's certificate to the trust file"
            )
        if now > signer.not_valid_after_utc:
            raise CertificateProblem(
                f"{path}: the authority {profile.common_name(signer)!r} expired at {_time(signer.not_valid_after_utc)}: "
                "replace it and issue every certificate again"
            )
        if host and not self.stands_for(host):
            names = ", ".join(self.hosts) or "no host"
            raise CertificateProblem(
                f"{path}: the certificate of {self.name!r} does not stand for {host!r}, only for {names}: "
                f"issue it again with '--host {host}', or let clients use a name that it has"
            )

    def stands_for(self, host: str) -> bool:
        """Return whether a client that connects to this name or address accepts the certificate."""
        try:
            return str(ipaddress.ip_address(host)) in self.hosts
        except ValueError:
            return host.lower() in {one.lower() for one in self.hosts}


def issuer_of(certificate: x509.Certificate, candidates: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Return the candidate whose key signed a certificate; names alone prove nothing."""
    for candidate in candidates:
        try:
            certificate.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return candidate
    return None


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
