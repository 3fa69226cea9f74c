"""Who may ask: loopback only unless there is a password and TLS; pages of other sites never (P-94, P-96)."""

import base64
import logging
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.registry.support import Running, record, serving

from trunkline.config.registry import RegistryConfig
from trunkline.log.codec.registry import RegistryClient
from trunkline.model.errors import Misconfigured
from trunkline.registry.credential import Credential, credential_in
from trunkline.registry.serve import check_exposure
from trunkline.registry.sqlite import SqliteDatabase


@pytest.fixture
def credential(tmp_path: Path) -> Credential:
    return credential_in(tmp_path / "secrets" / "schema-registry")


@pytest.fixture
def guarded(tmp_path: Path, credential: Credential) -> Iterator[Running]:
    with serving(SqliteDatabase(tmp_path / "registry.sqlite"), credential=credential) as started:
        yield started


def test_only_who_knows_the_credential_is_let_in(guarded: Running, credential: Credential, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = guarded.url + "/subjects"
    assert httpx.get(url).status_code == 401
    refused = httpx.get(url, auth=(credential.username, credential.password + "x"))
    assert refused.status_code == 401
    assert refused.json()["error_code"] == 40101
    assert refused.headers["www-authenticate"].startswith("Basic")
    for header in ("Basic", "Basic ====", "Basic " + base64.b64encode(b"\xff\xfe").decode(), "Bearer " + credential.password):
        assert httpx.get(url, headers={"Authorization": header}).status_code == 401
    assert httpx.get(url, auth=(credential.username, credential.password)).status_code == 200
    assert credential.password not in caplog.text
    assert credential.password not in repr(credential)


def test_our_client_logs_in_and_says_who_was_refused(guarded: Running, credential: Credential) -> None:
    client = RegistryClient(guarded.url, username=credential.username, password=credential.password)
    assert client.register("flow-value", record(("a", "int"))) == 1000
    with pytest.raises(Misconfigured, match="refuses 'trunkline'") as refused:
        RegistryClient(guarded.url, username="trunkline", password="guessed").subjects()
    assert "guessed" not in str(refused.value)
    with pytest.raises(Misconfigured, match="refuses 'nobody'"):
        RegistryClient(guarded.url).schema(1000)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_pages_of_other_sites_are_refused(on_sqlite: Running, headers: dict[str, str]) -> None:
    """A registry without a password must not be written to by a page in somebody's browser."""
    answer = httpx.post(on_sqlite.url + "/subjects/x/versions", content=b'{"schema":"\\"int\\""}', headers=headers)
    assert answer.status_code == 403
    assert "x" not in httpx.get(on_sqlite.url + "/subjects").json()


def test_the_credential_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "new" / "schema-registry"
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: credential_in(file), range(16)))
    assert len(made) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["schema-registry"]
    assert len(made.pop().password) >= 43
    file.chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 600"):
        credential_in(file)
    file.chmod(0o600)
    file.write_text("nothing\n")
    with pytest.raises(Misconfigured, match="user:password"):
        credential_in(file)


def test_beyond_loopback_needs_a_password_and_a_certificate() -> None:
    check_exposure(RegistryConfig())
    check_exposure(RegistryConfig(host="0.0.0.0", authentication="basic", certificate="c.pem", key="k.pem"))
    with pytest.raises(Misconfigured, match="add authentication: basic and certificate"):
        check_exposure(RegistryConfig(host="0.0.0.0"))
    with pytest.raises(Misconfigured, match="add certificate"):
        check_exposure(RegistryConfig(host="192.0.2.1", authentication="basic"))
    with pytest.raises(ValueError, match="'certificate' is given without 'key'"):
        RegistryConfig(certificate="c.pem")
    with pytest.raises(ValueError, match="use 'username' and 'password'"):
        RegistryConfig(url="http://me:secret@localhost:8081")
