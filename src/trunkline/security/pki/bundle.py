"""A leaf certificate with its key and its authority, and the one PEM file that holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from trunkline.security.pki import profile
from trunkline.security.pki.errors import CertificateProblem
from trunkline.security.pki.files import parse_certificates, read_private_file, to_pem, write_file
from trunkline.security.pki.verifying import verify

_ISSUE: Final = "issue it with 'trunkline pki issue'"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A certificate, its key and the certificates above it.

    Attributes:
        key: the private key; ours are on P-256, those of other authorities may be RSA.
        certificate: the leaf.
        chain: the authority that signed it; more only in bundles of others.
    """

    key: EllipticCurvePrivateKey | RSAPrivateKey
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
        if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
            raise CertificateProblem(f"{path}: Kafka takes EC and RSA keys only, this is another kind: {_ISSUE}")
        certificate, *chain = parse_certificates(text, path, _ISSUE)
        if certificate.public_key() != key.public_key():
            raise CertificateProblem(
                f"{path}: the private key does not belong to the certificate of {profile.common_name(certificate)!r}: "
                "put the pair that was issued together into the file, or issue it again"
            )
        return cls(key, certificate, tuple(chain))

    def verify(self, path: Path, trusted: Sequence[x509.Certificate], now: datetime, *, host: str = "") -> None:
        """Check that others will accept it. Arguments and errors as `trunkline.security.pki.verifying.verify`."""
        verify(str(path), self.certificate, trusted, now, host=host)
