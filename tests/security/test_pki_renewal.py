"""Renewal, survey, and the errors of certificates that cannot be used."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server, socket

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from trunkline.security.pki import Bundle, CertificateAuthority, CertificateProblem
from trunkline.security.pki.files import read_certificates
from trunkline.security.pki.profile import new_key, utc_now
from trunkline.security.pki.renewal import State, left_behind, renew_all, renew_due, survey
from trunkline.security.pki.verifying import verify

NOW = datetime(2031, 5, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "pki", "PLANT01", now=NOW)


def broker(authority: CertificateAuthority, now: datetime = NOW) -> Path:
    bundle = authority.issue("kafka-broker", hosts=["localhost", "127.0.0.1"], server=True, now=now)
    return bundle.write(authority.directory / "kafka-1.pem")


def test_a_certificate_is_due_after_two_thirds_of_its_life(authority: CertificateAuthority) -> None:
    """PD-14: short leaf life, renewed while it still works."""
    bundle = authority.issue("gateway-g1", valid=30 * DAY, now=NOW)
    turn = bundle.certificate.not_valid_before_utc + (30 * DAY + timedelta(minutes=5)) * 2 / 3
    assert not renew_due(bundle, turn - timedelta(seconds=1))
    assert renew_due(bundle, turn)


def test_renewal_renews_what_is_due_and_says_what(authority: CertificateAuthority) -> None:
    """PD-14: renewed files are whole and keep their name; others stay as they are."""
    old = broker(authority)
    authority.issue("gateway-g1", now=NOW + 20 * DAY).write(authority.directory / "gateway-g1.pem")
    untouched = (authority.directory / "gateway-g1.pem").read_bytes()
    before = Bundle.load(old)
    gateway, renewed = renew_all(authority, now=NOW + 21 * DAY)
    assert (gateway.renewed, gateway.problem) == (False, "")
    assert (authority.directory / "gateway-g1.pem").read_bytes() == untouched
    assert (renewed.file, renewed.name, renewed.renewed, renewed.why) == (old, "kafka-broker", True, "due")
    after = Bundle.load(old)
    assert after.hosts == before.hosts
    assert after.certificate.not_valid_after_utc == renewed.ends == NOW + 51 * DAY
    assert sorted(path.name for path in authority.directory.iterdir()) == ["authorities", "ca.pem", "gateway-g1.pem", "kafka-1.pem"]


def test_expired_certificates_are_renewed_too(authority: CertificateAuthority) -> None:
    broker(authority)
    (renewed,) = renew_all(authority, now=NOW + 31 * DAY)
    assert renewed.why == "expired"


def test_one_bad_file_does_not_keep_the_others_from_renewal(authority: CertificateAuthority) -> None:
    broker(authority)
    (authority.directory / "a.pem").touch(mode=0o600)
    bad, good = renew_all(authority, now=NOW + 25 * DAY)
    assert "a.pem holds no unencrypted private key: issue it with 'trunkline pki issue'" in bad.problem
    assert good.renewed


def test_what_others_signed_is_not_renewed(authority: CertificateAuthority, tmp_path: Path) -> None:
    """Whoever can put a file there must not be able to choose a name, such as that of a super user."""
    foreign = CertificateAuthority.create(tmp_path / "foreign", "PLANT01", now=NOW)
    planted = foreign.issue("admin", now=NOW).write(authority.directory / "admin.pem")
    before = planted.read_bytes()
    (result,) = renew_all(authority, now=NOW + 31 * DAY)
    assert not result.renewed
    assert "signed it: issue it anew, or move it elsewhere" in result.problem
    assert planted.read_bytes() == before


def test_an_authority_is_replaced_in_three_steps(authority: CertificateAuthority) -> None:
    """PD-14: prepare (both trusted), activate and renew, retire; at each step every file in use is trusted by the file given out before."""
    path = broker(authority)
    first = authority.certificate
    only_old = authority.trusted

    second = authority.prepare_successor("PLANT01", now=NOW)
    both = read_certificates(authority.trust_file, "")
    assert both == (first, second)
    assert authority.issue("gateway-g1", now=NOW).chain == (first,)
    Bundle.load(path).verify(path, both, NOW)

    authority = CertificateAuthority.open(authority.directory)
    assert authority.activate_successor() == second
    assert [one.why for one in renew_all(authority, now=NOW + DAY)] == ["new authority"]
    Bundle.load(path).verify(path, both, NOW + DAY)
    with pytest.raises(CertificateProblem, match="signed the certificate of 'kafka-broker', trusted is 'PLANT01 CA"):
        Bundle.load(path).verify(path, only_old, NOW + DAY)
    assert left_behind(authority) == []

    assert authority.retire() == first
    assert read_certificates(authority.trust_file, "") == (second,)
    assert [key.stem for key in (authority.directory / "authorities").iterdir()] == [f"{second.serial_number:040x}"]
    CertificateAuthority.open(authority.directory).issue("gateway-g2", now=NOW + DAY)


def test_the_steps_of_a_replacement_have_an_order(authority: CertificateAuthority) -> None:
    with pytest.raises(CertificateProblem, match="holds no successor: prepare one"):
        authority.activate_successor()
    with pytest.raises(CertificateProblem, match="holds no predecessor"):
        authority.retire()
    authority.prepare_successor("PLANT01", now=NOW)
    with pytest.raises(CertificateProblem, match="trusts two authorities already"):
        authority.prepare_successor("PLANT01", now=NOW)
    with pytest.raises(CertificateProblem, match="holds no predecessor"):
        authority.retire()
    path = broker(authority)
    authority.activate_successor()
    assert left_behind(authority) == [path]
    with pytest.raises(CertificateProblem, match="holds no successor"):
        authority.activate_successor()


def test_a_leaf_that_its_authority_cut_short_is_renewed_for_the_usual_time(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path, "PLANT01", valid=10 * DAY, now=NOW)
    path = broker(authority)
    authority.prepare_successor("PLANT01", now=NOW)
    authority.activate_successor()
    list(renew_all(authority, now=NOW + 5 * DAY))
    assert Bundle.load(path).certificate.not_valid_after_utc == NOW + 35 * DAY


def test_the_survey_lists_days_left_and_what_is_wrong(authority: CertificateAuthority, tmp_path: Path) -> None:
    directory = authority.directory
    path = broker(authority)
    authority.issue("due", now=NOW - 25 * DAY).write(directory / "due.pem")
    authority.issue("expired", now=NOW - 31 * DAY).write(directory / "expired.pem")
    CertificateAuthority.create(tmp_path / "other", "OTHER", now=NOW).issue("foreign", now=NOW).write(directory / "foreign.pem")
    (directory / "mixed.pem").write_text(authority.issue("a").key_pem + authority.issue("b").certificate_pem)
    (directory / "mixed.pem").chmod(0o600)
    authority.issue("open").write(directory / "open.pem").chmod(0o644)
    found = {Path(one.place).stem: one for one in survey(directory, NOW)}
    assert {name: one.state for name, one in found.items()} == {
        "ca": State.VALID,
        "due": State.DUE,
        "expired": State.EXPIRED,
        "foreign": State.UNUSABLE,
        "kafka-1": State.VALID,
        "mixed": State.UNUSABLE,
        "open": State.UNUSABLE,
    }
    assert found["kafka-1"].left == 30 * DAY
    assert found["kafka-1"].hosts == ("localhost", "127.0.0.1")
    assert found["expired"].left == -DAY
    assert f"{directory}/due.pem: the certificate of 'due' ends soon: run 'trunkline pki renew'" in found["due"].problem
    assert f"{directory}/expired.pem: the certificate of 'expired' expired at 2031-05-03 12:00 UTC" in found["expired"].problem
    assert "'OTHER CA " in found["foreign"].problem
    assert "the private key does not belong to the certificate of 'b': put the pair" in found["mixed"].problem
    assert f"other users may read this private key (mode 0644): run 'chmod 600 {directory}/open.pem'" in found["open"].problem
    assert path.exists()


def test_the_survey_warns_of_an_authority_that_ends(authority: CertificateAuthority) -> None:
    (due,) = survey(authority.directory, NOW + 3000 * DAY)
    assert (due.state, due.authority) == (State.DUE, True)
    assert "make a successor with 'trunkline pki successor prepare'" in due.problem
    (ended,) = survey(authority.directory, NOW + 3651 * DAY)
    assert ended.state is State.EXPIRED


def test_a_clock_that_is_behind_is_named(authority: CertificateAuthority) -> None:
    path = broker(authority)
    with pytest.raises(CertificateProblem, match="is not valid before 2031-05-04 11:55 UTC: set this machine's clock"):
        Bundle.load(path).verify(path, authority.trusted, NOW - DAY)


def test_an_authority_that_ended_before_its_leaf_is_named() -> None:
    """Ours cut leaves short; those of others may not."""
    key, subject = new_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OTHER CA")])
    builder = x509.CertificateBuilder().issuer_name(subject).public_key(key.public_key()).not_valid_before(NOW)
    root = builder.subject_name(subject).serial_number(1).not_valid_after(NOW + DAY).sign(key, hashes.SHA256())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway-g1")])
    leaf = builder.subject_name(name).serial_number(2).not_valid_after(NOW + 9 * DAY).sign(key, hashes.SHA256())
    verify("gateway-g1.pem", leaf, [root], NOW + DAY)
    with pytest.raises(CertificateProblem, match=r"gateway-g1\.pem: the authority 'OTHER CA' expired at 2031-05-05 12:00 UTC: replace it"):
        verify("gateway-g1.pem", leaf, [root], NOW + 2 * DAY)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1"])
def test_a_server_stands_for_its_hosts(authority: CertificateAuthority, host: str) -> None:
    path = broker(authority)
    Bundle.load(path).verify(path, authority.trusted, NOW, host=host)


def test_a_host_that_is_missing_is_named_with_the_mend(authority: CertificateAuthority) -> None:
    path = broker(authority)
    with pytest.raises(
        CertificateProblem, match=r"does not stand for 'kafka-9', only for localhost, 127\.0\.0\.1: issue it again with '--host"
    ):
        Bundle.load(path).verify(path, authority.trusted, NOW, host="kafka-9")


@contextmanager
def tls_server(bundle: Path) -> Iterator[str]:
    """A TLS server of the standard library until the block ends; yields its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    with create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_greet, args=(listener, context))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(30)


def _greet(listener: socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    with context.wrap_socket(connection, server_side=True) as secured:
        secured.recv(1)


def test_the_survey_asks_a_running_server(tmp_path: Path) -> None:
    """What a broker shows is what counts: a renewed file that it did not read helps nobody."""
    authority = CertificateAuthority.create(tmp_path, "PLANT01")
    now = utc_now()
    path = authority.issue("kafka-broker", hosts=["kafka-1"], server=True).write(tmp_path / "kafka-1.pem")
    serial = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
    with tls_server(path) as address:
        *_, shown = survey(tmp_path, now, [address])
    assert (shown.place, shown.name, shown.state) == (address, "kafka-broker", State.UNUSABLE)
    assert "does not stand for '127.0.0.1', only for kafka-1" in shown.problem
    assert Bundle.load(path).certificate.serial_number == serial
    *_, silent = survey(tmp_path, now, [address])
    assert "shows no certificate" in silent.problem
    with pytest.raises(ValueError, match="'nowhere' is no server: write host:port"):
        list(survey(tmp_path, now, ["nowhere"]))
