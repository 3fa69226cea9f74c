"""Our certificate authority: a directory with the keys of authorities and the file of those that are trusted.

    ca.pem                     trusted authorities, the one that issues first: every client and broker gets this file
    authorities/<serial>.key   their private keys, mode 0600: an offline copy is all that has to be kept safe

An authority is replaced without a stop in three steps, each one atomic change of `ca.pem`: `prepare_successor` makes the new one trusted,
`activate_successor` lets it issue, `retire` ends the trust in the old one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from trunkline.security.pki import profile
from trunkline.security.pki.bundle import Bundle
from trunkline.security.pki.errors import CertificateProblem
from trunkline.security.pki.files import read_certificates, read_private_file, sync_directory, to_pem, write_file
from trunkline.security.pki.verifying import issuer_of

TRUST_FILE: Final = "ca.pem"
AUTHORITY_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=30)

_KEYS: Final = "authorities"
_RESTORE: Final = "restore it from the offline copy"


class CertificateAuthority:
    """Issues certificates. Open it with `create` or `open`; not for use by several threads at once."""

    def __init__(self, directory: Path, trusted: tuple[x509.Certificate, ...], key: ec.EllipticCurvePrivateKey, passphrase: str) -> None:
        self.directory = directory
        self._trusted = trusted
        self._key = key
        self._passphrase = passphrase

    @classmethod
    def create(
        cls, directory: Path, name: str, *, passphrase: str = "", valid: timedelta = AUTHORITY_LIFE, now: datetime | None = None
    ) -> "CertificateAuthority":
        """Make an authority.

        Args:
            directory: where it is kept; made with mode 0700 if it is missing.
            name: of the site or company, part of the authority's name.
            passphrase: encrypts the key; empty leaves it to the file's mode.
            valid: life of the authority.
            now: time to count from; the clock's by default.

        Raises:
            CertificateProblem: there is an authority already, or the directory cannot be written.
            ValueError: `name` cannot be used.
        """
        if (directory / TRUST_FILE).exists():
            raise CertificateProblem(
                f"{directory} has an authority already: nothing was changed; use another directory or prepare a successor"
            )
        key, certificate = _new_authority(directory, name, passphrase, valid, now)
        _write_trusted(directory, (certificate,))
        return cls(directory, (certificate,), key, passphrase)

    @classmethod
    def open(cls, directory: Path, *, passphrase: str = "") -> "CertificateAuthority":
        """Open an authority.

        Raises:
            CertificateProblem: a file is missing, damaged or readable by others, or the passphrase is wrong.
        """
        trusted = read_certificates(directory / TRUST_FILE, "make an authority with 'trunkline pki init'")
        return cls(directory, trusted, _load_key(directory, trusted[0], passphrase), passphrase)

    @property
    def trust_file(self) -> Path:
        """The PEM file of trusted authorities."""
        return self.directory / TRUST_FILE

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """Trusted authorities, the one that issues first."""
        return self._trusted

    @property
    def certificate(self) -> x509.Certificate:
        """The authority that issues."""
        return self._trusted[0]

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = (),
        client: bool = True,
        server: bool = False,
        valid: timedelta = LEAF_LIFE,
        now: datetime | None = None,
    ) -> Bundle:
        """Issue a certificate with a new key; nothing is written.

        Args:
            name: common name: the principal of a gateway or service, `kafka-broker` for brokers.
            hosts: DNS names and addresses by which clients reach a server.
            client: it may open connections. Brokers need both: they connect to each other.
            server: it may accept connections.
            valid: life; shortened to that of the authority.
            now: time to count from; the clock's by default.

        Raises:
            CertificateProblem: the authority has expired.
            ValueError: the name, a host, the life or the purpose cannot be used.
        """
        moment = now or profile.utc_now()
        if moment >= self.certificate.not_valid_after_utc:
            raise CertificateProblem(
                f"{self.trust_file}: the authority {profile.common_name(self.certificate)!r} expired at "
                f"{self.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: make its successor issue"
            )
        key = profile.new_key()
        leaf = profile.leaf_certificate(
            name, key.public_key(), self.certificate, self._key, hosts=hosts, client=client, server=server, valid=valid, now=moment
        )
        return Bundle(key, leaf, (self.certificate,))

    def renew(self, bundle: Bundle, *, now: datetime | None = None) -> Bundle:
        """Issue a bundle's successor: same name, hosts, purposes and length of life; new key. Raises as `issue`."""
        old = bundle.certificate
        client, server = profile.purposes_of(old)
        # one that ended with its authority was cut short: that is no length to keep
        cut = any(old.not_valid_after_utc == authority.not_valid_after_utc for authority in bundle.chain)
        life = LEAF_LIFE if cut else old.not_valid_after_utc - old.not_valid_before_utc - profile.CLOCK_SKEW
        return self.issue(bundle.name, hosts=bundle.hosts, client=client, server=server, valid=life, now=now)

    def prepare_successor(self, name: str, *, valid: timedelta = AUTHORITY_LIFE, now: datetime | None = None) -> x509.Certificate:
        """Make the next authority and trust it; the present one still issues.

        Returns:
            The successor's certificate. Give `trust_file` to every broker and client, and only then activate it.

        Raises:
            CertificateProblem: one is prepared already, or a predecessor is not retired yet.
            ValueError: `name` cannot be used.
        """
        if len(self._trusted) > 1:
            raise CertificateProblem(
                f"{self.trust_file} trusts two authorities already: activate the successor or retire the predecessor first"
            )
        # strictly later than the present one: its beginning tells a successor from a predecessor
        begin = max(now or profile.utc_now(), self.certificate.not_valid_before_utc + profile.CLOCK_SKEW + timedelta(seconds=1))
        _, certificate = _new_authority(self.directory, name, self._passphrase, valid, begin)
        self._trust((self.certificate, certificate))
        return certificate

    def activate_successor(self) -> x509.Certificate:
        """Let the prepared successor issue; the predecessor stays trusted. Renew every certificate next.

        Raises:
            CertificateProblem: none is prepared, or its key cannot be read.
        """
        successor = self.successor
        if successor is None:
            raise CertificateProblem(f"{self.trust_file} holds no successor: prepare one, and give the file to everyone first")
        self._key = _load_key(self.directory, successor, self._passphrase)
        self._trust((successor, *(one for one in self._trusted if one != successor)))
        return successor

    def retire(self) -> x509.Certificate:
        """End the trust in the predecessor and delete its key.

        Raises:
            CertificateProblem: there is none.
        """
        if len(self._trusted) == 1 or self.successor is not None:
            raise CertificateProblem(f"{self.trust_file} holds no predecessor: nothing to retire")
        predecessor = self._trusted[1]
        self._trust((self.certificate,))
        _key_file(self.directory, predecessor).unlink(missing_ok=True)
        sync_directory(self.directory / _KEYS)
        return predecessor

    @property
    def successor(self) -> x509.Certificate | None:
        """The authority that is prepared and does not issue yet."""
        later = (one for one in self._trusted[1:] if one.not_valid_before_utc > self.certificate.not_valid_before_utc)
        return next(later, None)

    def _trust(self, certificates: tuple[x509.Certificate, ...]) -> None:
        _write_trusted(self.directory, certificates)
        self._trusted = certificates

    def signed(self, bundle: Bundle) -> bool:
        """Return whether the authority that issues now signed a bundle."""
        return issuer_of(bundle.certificate, [self.certificate]) is not None


def _new_authority(
    directory: Path, name: str, passphrase: str, valid: timedelta, now: datetime | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = profile.new_key()
    certificate = profile.authority_certificate(name, key, valid, now or profile.utc_now())
    lock: KeySerializationEncryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    write_file(_key_file(directory, certificate), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode("ascii"), mode=0o600)
    return key, certificate


def _load_key(directory: Path, certificate: x509.Certificate, passphrase: str) -> ec.EllipticCurvePrivateKey:
    path = _key_file(directory, certificate)
    text = read_private_file(path, _RESTORE)
    try:
        key = load_pem_private_key(text.encode("ascii"), passphrase.encode() or None)
    except TypeError as error:
        mend = "give no passphrase" if passphrase else "give its passphrase"
        raise CertificateProblem(f"{path}: the key is {'not ' if passphrase else ''}encrypted: {mend}") from error
    except ValueError as error:
        raise CertificateProblem(f"{path}: wrong passphrase, or the file is damaged: {_RESTORE}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateProblem(f"{path} is not the key of the authority {profile.common_name(certificate)!r}: {_RESTORE}")
    return key


def _key_file(directory: Path, certificate: x509.Certificate) -> Path:
    return directory / _KEYS / f"{certificate.serial_number:040x}.key"


def _write_trusted(directory: Path, certificates: Sequence[x509.Certificate]) -> None:
    write_file(directory / TRUST_FILE, to_pem(certificates), mode=0o644)
