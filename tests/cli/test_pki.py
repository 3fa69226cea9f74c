"""`trunkline pki`: what people and scripts see."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.cli.support import trunkline

from trunkline.security.pki import Bundle, CertificateAuthority
from trunkline.security.pki.profile import utc_now


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    assert trunkline("pki", "init", tmp_path / "pki", "--name", "PLANT01").code == 0
    return tmp_path / "pki"


def test_a_site_gets_its_certificates(pki: Path) -> None:
    """P-92, P-102: authority, brokers, clients; then a check that scripts can read."""
    hosts = ("--host", "127.0.0.1", "--host", "localhost")
    assert trunkline("pki", "issue", pki, "kafka-broker", "--server", *hosts, "--file", "kafka-1").code == 0
    assert trunkline("pki", "issue", pki, "gateway-g1", "--days", "7").code == 0
    said = trunkline("pki", "check", pki, "--json")
    *certificates, summary = said.documents
    assert said.code == 0
    assert summary == {"certificates": 3, "valid": 3, "due": 0, "expired": 0, "unusable": 0, "passed": True}
    assert [(one["name"], one["hosts"]) for one in certificates[1:]] == [("gateway-g1", []), ("kafka-broker", ["localhost", "127.0.0.1"])]
    assert certificates[1]["days_left"] == 7.0


def test_an_expired_certificate_fails_the_check(pki: Path) -> None:
    """PD-14: the check is what a timer and an alarm can stand on."""
    ca = CertificateAuthority.open(pki)
    ca.issue("gateway-g1", now=utc_now() - timedelta(days=31)).write(pki / "gateway-g1.pem")
    ca.issue("gateway-g2", now=utc_now() - timedelta(days=25)).write(pki / "gateway-g2.pem")
    said = trunkline("pki", "check", pki)
    assert said.code == 1
    assert "expired" in said.text
    assert "gateway-g2.pem: the certificate of 'gateway-g2' ends soon: run 'trunkline pki renew'" in said.text
    said = trunkline("pki", "renew", pki)
    assert said.code == 0
    assert "2 of 2 renewed" in said.text
    assert trunkline("pki", "check", pki).code == 0


def test_due_alone_is_a_warning(pki: Path) -> None:
    CertificateAuthority.open(pki).issue("gateway-g1", now=utc_now() - timedelta(days=25)).write(pki / "gateway-g1.pem")
    *_, summary = (said := trunkline("pki", "check", pki, "--json")).documents
    assert (said.code, summary["due"], summary["passed"]) == (0, 1, True)


def test_renewal_fails_loudly(pki: Path) -> None:
    (pki / "broken.pem").touch(mode=0o600)
    said = trunkline("pki", "renew", pki, "--json")
    assert said.code == 1
    assert said.documents[-1] == {"files": 1, "renewed": 0, "failed": 1, "passed": False}


def test_issue_never_overwrites(pki: Path) -> None:
    trunkline("pki", "issue", pki, "gateway-g1")
    before = (pki / "gateway-g1.pem").read_bytes()
    said = trunkline("pki", "issue", pki, "gateway-g1")
    assert said.code == 2
    assert "exists already: renew it with" in said.text
    assert (pki / "gateway-g1.pem").read_bytes() == before
    assert trunkline("pki", "init", pki, "--name", "PLANT01").code == 2


def test_bad_input_is_an_error_and_no_traceback(pki: Path, tmp_path: Path) -> None:
    assert "is no name for a certificate" in trunkline("pki", "issue", pki, "../admin").text
    assert "needs the host names" in trunkline("pki", "issue", pki, "kafka-broker", "--server").text
    assert "make an authority with 'trunkline pki init'" in trunkline("pki", "issue", tmp_path / "none", "gateway-g1").text
    assert "is no server: write host:port" in trunkline("pki", "check", pki, "--server", "kafka").text


def test_keys_are_never_shown(pki: Path) -> None:
    """PD-15."""
    trunkline("pki", "issue", pki, "gateway-g1")
    secret = Bundle.load(pki / "gateway-g1.pem").key_pem.splitlines()[1]
    for arguments in (("show", pki / "gateway-g1.pem"), ("check", pki), ("renew", pki)):
        said = trunkline("pki", *arguments)
        assert secret not in said.out + said.text
    leaf, root, summary = trunkline("pki", "show", pki / "gateway-g1.pem", "--json").documents
    assert (leaf["name"], leaf["client"], leaf["server"]) == ("gateway-g1", True, False)
    assert root["name"] == leaf["issuer"]
    assert summary["certificates"] == 2


def test_the_passphrase_is_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PD-15: command lines are readable by every user of a machine."""
    said = trunkline("pki", "init", tmp_path / "pki", "--name", "PLANT01", "--passphrase", "open sesame")
    assert said.code == 2
    assert "others can read a command line" in said.text
    monkeypatch.setenv("PKI_PASSPHRASE", "open sesame")
    reference = ("--passphrase", "${env:PKI_PASSPHRASE}")
    assert trunkline("pki", "init", tmp_path / "pki", "--name", "PLANT01", *reference).code == 0
    assert "give its passphrase" in trunkline("pki", "issue", tmp_path / "pki", "gateway-g1").text
    assert trunkline("pki", "issue", tmp_path / "pki", "gateway-g1", *reference).code == 0


def test_the_authority_is_replaced(pki: Path) -> None:
    """PD-14: no step can be forgotten: the old authority cannot go while it is needed."""
    trunkline("pki", "issue", pki, "gateway-g1")
    assert trunkline("pki", "successor", "prepare", pki, "--name", "PLANT01").code == 0
    assert trunkline("pki", "successor", "activate", pki).code == 0
    said = trunkline("pki", "successor", "retire", pki)
    assert said.code == 2
    assert "the predecessor signed gateway-g1.pem: run 'trunkline pki renew" in said.text
    assert trunkline("pki", "renew", pki).code == 0
    assert trunkline("pki", "successor", "retire", pki).code == 0
    assert trunkline("pki", "check", pki).code == 0


def test_a_site_gets_its_credentials(pki: Path, tmp_path: Path) -> None:
    """PD-14: a password and a certificate for every gateway and service, made once and shown nowhere."""
    site = tmp_path / "site.yaml"
    site.write_text("site: plant01\ndata_dir: .\ngateways: [{id: g1}, {id: g2}]\n")
    said = trunkline("pki", "provision", pki, site)
    assert said.code == 0
    names = {"gateway-g1", "gateway-g2", "validate", "evaluate", "notify", "historian", "api", "site", "admin"}
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == {f"kafka-{name}" for name in names}
    assert {path.stem for path in pki.glob("*.pem")} == names | {"ca"}
    assert "gateway-g1: new password, new certificate" in said.text
    kept = {path: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    assert not any(secret.decode() in said.text for secret in kept.values())
    assert "gateway-g1: kept password, kept certificate" in trunkline("pki", "provision", pki, site).text
    assert {path: path.read_bytes() for path in (tmp_path / "secrets").iterdir()} == kept


def test_a_site_without_brokers_has_nothing_to_reload(pki: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("site: plant01\n")
    for arguments in (("reload", pki, site), ("password", site, "admin")):
        said = trunkline("pki", *arguments)
        assert said.code == 2
        assert "its log is not a secured Kafka" in said.text
