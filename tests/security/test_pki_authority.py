"""The authority and what it issues, looked at with `cryptography` and OpenSSL, which share no code of ours."""

import ipaddress
import os
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from trunkline.security.pki import Bundle, CertificateAuthority, CertificateProblem

Kind = TypeVar("Kind", bound=x509.ExtensionType)
NOW = datetime(2031, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "pki", "PLANT01")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def extension(certificate: x509.Certificate, kind: type[Kind]) -> tuple[bool, Kind]:
    found = certificate.extensions.get_extension_for_class(kind)
    return found.critical, found.value


def openssl_verify(bundle: Path, trust: Path, purpose: str) -> subprocess.CompletedProcess[str]:
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(trust), str(bundle)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_authority_may_sign_leaves_only(authority: CertificateAuthority) -> None:
    """P-92: our own root; RFC 5280 4.2.1.9 and 4.2.1.3."""
    certificate = authority.certificate
    assert extension(certificate, x509.BasicConstraints) == (True, x509.BasicConstraints(ca=True, path_length=0))
    critical, usage = extension(certificate, x509.KeyUsage)
    assert critical
    assert usage.key_cert_sign
    assert not usage.digital_signature
    assert certificate.subject == certificate.issuer


def test_a_broker_certificate_serves_and_connects(authority: CertificateAuthority) -> None:
    """P-92, P-94: host names and addresses as subject alternative names; brokers connect to each other."""
    bundle = authority.issue(
        "kafka-broker", hosts=["kafka-1.plant.example", "127.0.0.1", "::1", "KAFKA-1.plant.example"], server=True, now=NOW
    )
    _, names = extension(bundle.certificate, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["kafka-1.plant.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    _, purposes = extension(bundle.certificate, x509.ExtendedKeyUsage)
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert extension(bundle.certificate, x509.BasicConstraints) == (True, x509.BasicConstraints(ca=False, path_length=None))
    critical, usage = extension(bundle.certificate, x509.KeyUsage)
    assert critical
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert isinstance(bundle.key, ec.EllipticCurvePrivateKey)
    assert isinstance(bundle.key.curve, ec.SECP256R1)
    assert bundle.certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert bundle.certificate.not_valid_after_utc == NOW + timedelta(days=30)


def test_a_client_certificate_is_no_server(authority: CertificateAuthority, tmp_path: Path) -> None:
    """PD-14: what a gateway holds cannot be used to pose as a broker."""
    path = authority.issue("gateway-g1").write(tmp_path / "g1.pem")
    assert openssl_verify(path, authority.trust_file, "sslclient").returncode == 0
    assert "unsuitable certificate purpose" in openssl_verify(path, authority.trust_file, "sslserver").stderr


def test_serial_numbers_and_keys_are_never_the_same(authority: CertificateAuthority) -> None:
    bundles = [authority.issue("gateway-g1") for _ in range(20)]
    assert len({bundle.certificate.serial_number for bundle in bundles}) == 20
    assert len({bundle.key_pem for bundle in bundles}) == 20
    assert min(bundle.certificate.serial_number.bit_length() for bundle in bundles) > 100


def test_the_file_is_what_kafka_and_librdkafka_read(authority: CertificateAuthority, tmp_path: Path) -> None:
    """One file: unencrypted PKCS#8 key, leaf, authority; only its owner may read it (PD-15)."""
    before = os.umask(0)
    try:
        path = authority.issue("kafka-broker", hosts=["localhost"], server=True).write(tmp_path / "certs" / "k1.pem")
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    text = path.read_text()
    assert [line for line in text.splitlines() if line.startswith("-----BEGIN")] == [
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----",
    ]
    leaf, root = x509.load_pem_x509_certificates(text.encode())
    key = load_pem_private_key(text.encode(), None)
    assert key.public_key() == leaf.public_key()
    assert root == authority.certificate
    assert Bundle.load(path).pem == text
    ssl.create_default_context(cafile=str(authority.trust_file)).load_cert_chain(path)


def test_the_authority_key_is_private(tmp_path: Path) -> None:
    """PD-14, PD-15: mode 0600; opened again it issues the same way."""
    CertificateAuthority.create(tmp_path, "PLANT01")
    (key,) = (tmp_path / "authorities").iterdir()
    assert mode(key) == 0o600
    again = CertificateAuthority.open(tmp_path)
    path = again.issue("gateway-g1").write(tmp_path / "g1.pem")
    assert openssl_verify(path, again.trust_file, "sslclient").returncode == 0
    key.chmod(0o640)
    with pytest.raises(CertificateProblem, match=r"other users may read this private key \(mode 0640\): run 'chmod 600"):
        CertificateAuthority.open(tmp_path)


def test_a_passphrase_locks_the_authority_key(tmp_path: Path) -> None:
    CertificateAuthority.create(tmp_path, "PLANT01", passphrase="correct horse")
    (key,) = (tmp_path / "authorities").iterdir()
    assert "BEGIN ENCRYPTED PRIVATE KEY" in key.read_text()
    CertificateAuthority.open(tmp_path, passphrase="correct horse").issue("gateway-g1")
    with pytest.raises(CertificateProblem, match="wrong passphrase"):
        CertificateAuthority.open(tmp_path, passphrase="wrong")
    with pytest.raises(CertificateProblem, match="the key is encrypted: give its passphrase"):
        CertificateAuthority.open(tmp_path)


def test_a_passphrase_for_an_open_key_is_an_error(authority: CertificateAuthority) -> None:
    with pytest.raises(CertificateProblem, match="the key is not encrypted: give no passphrase"):
        CertificateAuthority.open(authority.directory, passphrase="x")


def test_an_authority_is_never_overwritten(authority: CertificateAuthority) -> None:
    """PD-15: generators refuse to overwrite."""
    before = authority.trust_file.read_bytes()
    with pytest.raises(CertificateProblem, match="has an authority already: nothing was changed"):
        CertificateAuthority.create(authority.directory, "PLANT01")
    assert authority.trust_file.read_bytes() == before


def test_a_missing_authority_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match=r"ca\.pem: no such file or directory: make an authority with 'trunkline pki init'"):
        CertificateAuthority.open(tmp_path)


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "../x", ".x", "Ü", "a/b", "a\nb"])
def test_names_are_fit_for_files_and_principals(authority: CertificateAuthority, name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a certificate"):
        authority.issue(name)


@pytest.mark.parametrize("host", ["", "a b", "-a", "a..b", "*.plant.example", "host:9092", "anlage-ü.example", "a" * 64])
def test_hosts_are_names_or_addresses(authority: CertificateAuthority, host: str) -> None:
    with pytest.raises(ValueError, match="is neither an IP address nor a DNS name"):
        authority.issue("kafka-broker", hosts=[host], server=True)


def test_what_makes_no_sense_is_not_issued(authority: CertificateAuthority, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the host names"):
        authority.issue("kafka-broker", server=True)
    with pytest.raises(ValueError, match="has no purpose"):
        authority.issue("nobody", client=False)
    with pytest.raises(ValueError, match="must live longer"):
        authority.issue("gateway-g1", valid=timedelta(0))
    with pytest.raises(ValueError, match="too long for the name of an authority"):
        CertificateAuthority.create(tmp_path / "long", "a" * 53)


def test_a_leaf_ends_with_its_authority(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path, "PLANT01", valid=timedelta(days=10), now=NOW)
    bundle = authority.issue("gateway-g1", now=NOW)
    assert bundle.certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc
    with pytest.raises(CertificateProblem, match="expired at 2031-05-14 12:00 UTC: make its successor issue"):
        authority.issue("gateway-g1", now=NOW + timedelta(days=10))


def test_renewal_keeps_everything_but_key_serial_and_dates(authority: CertificateAuthority) -> None:
    old = authority.issue("kafka-broker", hosts=["localhost", "10.0.0.7"], server=True, valid=timedelta(days=7), now=NOW)
    new = authority.renew(old, now=NOW + timedelta(days=5))
    assert (new.name, new.hosts) == (old.name, old.hosts)
    assert extension(new.certificate, x509.ExtendedKeyUsage) == extension(old.certificate, x509.ExtendedKeyUsage)
    assert new.certificate.not_valid_after_utc == NOW + timedelta(days=12)
    assert new.key_pem != old.key_pem
    assert new.certificate.serial_number != old.certificate.serial_number


def test_nothing_shows_a_key_by_accident(authority: CertificateAuthority) -> None:
    bundle = authority.issue("gateway-g1")
    assert bundle.key_pem.splitlines()[1] not in f"{bundle!r} {authority!r}"


@pytest.mark.parametrize(("algorithm", "problem"), [("rsa:2048", ""), ("ed25519", "Kafka takes EC and RSA keys only")])
def test_files_of_other_authorities_are_read(tmp_path: Path, algorithm: str, problem: str) -> None:
    """An authority that is there already may stay; OpenSSL stands for it."""
    path, part = tmp_path / "kafka-1.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=kafka-broker", "-addext", "subjectAltName=DNS:kafka-1"]
    command = ["openssl", "req", "-x509", "-newkey", algorithm, "-noenc", "-keyout", str(path), "-out", str(part), *subject]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + part.read_text())
    if problem:
        with pytest.raises(CertificateProblem, match=problem):
            Bundle.load(path)
    else:
        bundle = Bundle.load(path)
        bundle.verify(path, [bundle.certificate], datetime.now(UTC), host="kafka-1")
        assert bundle.pem == path.read_text()
