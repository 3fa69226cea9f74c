"""Security: policies, modes, our certificate, trust in the server's, logins (W-42)."""

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.crypto import cert_gen
from asyncua.ua.uaerrors import BadCertificateUntrusted
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from trunkline.model.errors import Misconfigured, SourceMisconfigured, SourceUnavailable
from trunkline.sources.opcua.certificates import fingerprint
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.opcua.tests.server import DeviceServer
from trunkline.sources.opcua.tests.support import Connected, first_of, settings, tag
from trunkline.sources.port import SourceContext

Policy = ua.SecurityPolicyType
NODE = "ns=2;s=Flow"


def server_pair(folder: Path) -> tuple[Path, Path]:
    key = cert_gen.generate_private_key()
    uri = x509.UniformResourceIdentifier("urn:freeopcua:python:server")
    certificate = cert_gen.generate_self_signed_app_certificate(key, "Test device", {}, [uri], [ExtendedKeyUsageOID.SERVER_AUTH])
    (folder / "server.der").write_bytes(certificate.public_bytes(Encoding.DER))
    (folder / "server.pem").write_bytes(cert_gen.dump_private_key_as_pem(key))
    return folder / "server.der", folder / "server.pem"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceServer]:
    """A server with every policy and with users, which also offers an unsecured endpoint."""
    certificate, key = server_pair(tmp_path_factory.mktemp("server"))
    policies = (
        Policy.NoSecurity,
        Policy.Basic256Sha256_Sign,
        Policy.Basic256Sha256_SignAndEncrypt,
        Policy.Aes128Sha256RsaOaep_SignAndEncrypt,
        Policy.Aes256Sha256RsaPss_Sign,
        Policy.Aes256Sha256RsaPss_SignAndEncrypt,
    )
    server = DeviceServer(policies=policies, certificate=certificate, key=key, users={"operator": "open-sesame"}).start()
    server.add("Flow", 12.5)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def named_users_only() -> Iterator[DeviceServer]:
    """A server without any security that wants a user name."""
    server = DeviceServer(users={"operator": "open-sesame"}, anonymous=False).start()
    server.add("Flow", 1.0)
    yield server
    server.stop()


def pin(server: DeviceServer) -> str:
    assert server.certificate is not None
    return fingerprint(server.certificate.read_bytes())


def config(server: DeviceServer, security: dict[str, Any] | None = None, **options: Any) -> Any:
    return settings(server.endpoint, [tag("P.FLOW", NODE)], security=security or {}, **options)


@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        ("Basic256Sha256", "sign"),
        ("Basic256Sha256", "sign_and_encrypt"),
        ("Aes128Sha256RsaOaep", "sign_and_encrypt"),
        ("Aes256Sha256RsaPss", "sign"),
        ("Aes256Sha256RsaPss", "sign_and_encrypt"),
    ],
)
async def test_secured_with_user(policy: str, mode: str, secured: DeviceServer, connected: Connected) -> None:
    """W-42: every policy and mode, with our generated certificate, a pinned server and a user whose password is a secret."""
    security = {"policy": policy, "mode": mode, "trust": [pin(secured)]}
    async with connected(config(secured, security, username="operator", password="${secret:opcua}")) as source:
        assert (await first_of(source, "P.FLOW"))["P.FLOW"].value == 12.5


async def test_anonymous_without_security(secured: DeviceServer, connected: Connected) -> None:
    async with connected(config(secured)) as source:
        assert (await first_of(source, "P.FLOW"))["P.FLOW"].value == 12.5


@pytest.mark.parametrize("security", [{}, {"policy": "Basic256Sha256", "mode": "sign_and_encrypt"}], ids=["none", "encrypted"])
async def test_wrong_password(
    security: dict[str, Any],
    secured: DeviceServer,
    connected: Connected,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """W-42: a refused login is a matter of configuration; the password never shows."""
    caplog.set_level("DEBUG")
    wrong = config(secured, {**security, "trust": [pin(secured)]}, username="operator", password="${secret:wrong}")
    with pytest.raises(SourceMisconfigured, match="refuses user 'operator'") as told:
        async with connected(wrong):
            pass
    assert "swordfish" not in str(told.value) + caplog.text + repr(wrong)


async def test_unknown_server_certificate(secured: DeviceServer, connected: Connected, context: SourceContext) -> None:
    """An unknown server is refused; the message names the fingerprint and the mend, and following it works."""
    security = {"policy": "Basic256Sha256", "mode": "sign_and_encrypt"}
    with pytest.raises(SourceMisconfigured) as told:
        async with connected(config(secured, security)):
            pass
    message = str(told.value)
    assert pin(secured) in message
    assert f"security: {{trust: ['{pin(secured)}']}}" in message
    (kept,) = (context.directory / "refused").iterdir()
    assert kept.read_bytes() == secured.certificate.read_bytes()  # type: ignore[union-attr]  # the fixture has one
    for trust in (["refused/" + kept.name], "any", ["sha256:" + "00" * 32, pin(secured).upper().replace("SHA256:", "sha256:")]):
        async with connected(config(secured, {**security, "trust": trust})) as source:
            assert (await first_of(source, "P.FLOW"))["P.FLOW"].value == 12.5


async def test_password_goes_only_to_a_trusted_certificate(secured: DeviceServer, connected: Connected) -> None:
    """Without a secure channel the password is encrypted for the server's certificate, so that must be trusted."""
    login: dict[str, Any] = {"username": "operator", "password": "${secret:opcua}"}
    with pytest.raises(SourceMisconfigured, match="is not trusted"):
        async with connected(config(secured, **login)):
            pass
    async with connected(config(secured, {"trust": [pin(secured)]}, **login)) as source:
        assert (await first_of(source, "P.FLOW"))["P.FLOW"].value == 12.5


async def test_plain_password_needs_consent(named_users_only: DeviceServer, connected: Connected) -> None:
    login: dict[str, Any] = {"username": "operator", "password": "${secret:opcua}"}
    with pytest.raises(SourceMisconfigured, match="allow_plain_password"):
        async with connected(config(named_users_only, **login)):
            pass
    async with connected(config(named_users_only, **login, allow_plain_password=True)) as source:
        assert (await first_of(source, "P.FLOW"))["P.FLOW"].value == 1.0


async def test_login_kinds_the_server_does_not_take(device: DeviceServer, named_users_only: DeviceServer, connected: Connected) -> None:
    with pytest.raises(SourceMisconfigured, match="does not accept anonymous users"):
        async with connected(config(named_users_only)):
            pass
    with pytest.raises(SourceMisconfigured, match="does not accept user names"):
        async with connected(config(device, username="operator", password="${secret:opcua}")):
            pass


async def test_policy_that_is_not_offered(device: DeviceServer, connected: Connected) -> None:
    with pytest.raises(SourceMisconfigured, match=r"does not offer .*; it offers: None with none"):
        async with connected(config(device, {"policy": "Basic256Sha256", "mode": "sign"})):
            pass


async def test_generated_identity_is_private_and_kept(secured: DeviceServer, connected: Connected, context: SourceContext) -> None:
    """Our certificate names our application URI, its key is readable by its owner only, and both survive a reconnect."""
    security = {"policy": "Basic256Sha256", "mode": "sign", "trust": "any"}
    async with connected(config(secured, security)):
        pass
    certificate = context.directory / "certificate.der"
    key = context.directory / "private_key.pem"
    first = certificate.read_bytes(), key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    names = x509.load_der_x509_certificate(first[0]).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uri.endswith(":trunkline:test:opc")
    async with connected(config(secured, security)):
        pass
    assert (certificate.read_bytes(), key.read_bytes()) == first


async def test_own_certificate_from_files(secured: DeviceServer, connected: Connected, context: SourceContext) -> None:
    server_pair(context.directory)
    security = {"policy": "Basic256Sha256", "mode": "sign", "trust": "any", "certificate": "server.der", "private_key": "server.pem"}
    async with connected(config(secured, security)) as source:
        assert (await first_of(source, "P.FLOW"))["P.FLOW"].value == 12.5
    (context.directory / "server.pem").write_bytes(cert_gen.dump_private_key_as_pem(cert_gen.generate_private_key()))
    with pytest.raises(SourceMisconfigured, match="does not belong to the certificate"):
        async with connected(config(secured, security)):
            pass
    (context.directory / "server.der").unlink()
    with pytest.raises(SourceMisconfigured, match="cannot load the certificate"):
        async with connected(config(secured, security)):
            pass


async def test_server_that_does_not_trust_us_is_tried_again(secured: DeviceServer, connected: Connected) -> None:
    """The mend is made on the server, so this is no misconfiguration; the message names our certificate."""

    async def distrust(*_: Any) -> None:
        raise BadCertificateUntrusted

    assert secured.server is not None
    secured.server.iserver.certificate_validator = distrust
    try:
        security = {"policy": "Basic256Sha256", "mode": "sign", "trust": "any"}
        with pytest.raises(SourceUnavailable, match="trust our certificate on the server"):
            async with connected(config(secured, security)):
                pass
    finally:
        secured.server.iserver.certificate_validator = None


async def test_unknown_secret(secured: DeviceServer, context: SourceContext) -> None:
    def nothing(reference: str) -> str:
        raise Misconfigured(f"no secret {reference}")

    source = OpcUaSource(config(secured, username="operator", password="${secret:none}"), replace(context, resolve_secret=nothing))
    with pytest.raises(SourceMisconfigured, match="no secret"):
        await source.connect()
