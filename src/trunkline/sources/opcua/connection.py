"""From an endpoint to an activated session: discovery, trust, secure channel, login. A fresh client every time."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.crypto import security_policies
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trunkline.model.errors import Misconfigured, SourceMisconfigured, SourceUnavailable
from trunkline.sources.opcua import certificates
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.stack import Client, StatusCodes, UaError, UaStatusCodeError, status_name
from trunkline.sources.port import SourceContext

#: Longest time for the courtesies of leaving: after it the socket is cut.
GOODBYE_SECONDS = 1.0

_NO_SECURITY = security_policies.SecurityPolicyNone.URI
_POLICIES: dict[str, Any] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_MODES = {
    "none": ua.MessageSecurityMode.None_,
    "sign": ua.MessageSecurityMode.Sign,
    "sign_and_encrypt": ua.MessageSecurityMode.SignAndEncrypt,
}
_LOGIN_REFUSED = frozenset(
    {
        StatusCodes.BadIdentityTokenInvalid,
        StatusCodes.BadIdentityTokenRejected,
        StatusCodes.BadUserAccessDenied,
        StatusCodes.BadUserSignatureInvalid,
    }
)
#: The server does not accept our certificate. The mend is made on the server, so it is worth trying again.
_CERTIFICATE_REFUSED = frozenset(
    {
        StatusCodes.BadSecurityChecksFailed,
        StatusCodes.BadCertificateInvalid,
        StatusCodes.BadCertificateTimeInvalid,
        StatusCodes.BadCertificateUntrusted,
        StatusCodes.BadCertificateUriInvalid,
        StatusCodes.BadCertificateUseNotAllowed,
        StatusCodes.BadCertificateChainIncomplete,
        StatusCodes.BadCertificateRevoked,
        StatusCodes.BadCertificatePolicyCheckFailed,
    }
)
_SETTINGS_REFUSED = frozenset(
    {
        StatusCodes.BadSecurityPolicyRejected,
        StatusCodes.BadSecurityModeRejected,
        StatusCodes.BadSecurityModeInsufficient,
        StatusCodes.BadServerUriInvalid,
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """Who we are to the server. Has no repr: it must not reach a log."""

    username: str
    password: str


async def open_client(config: OpcUaConfig, context: SourceContext) -> Client:
    """Connect, secure and log in.

    Returns:
        A client with an activated session; give it back with `drop`.

    Raises:
        SourceUnavailable: the server does not answer, answers nonsense, or does not accept our certificate yet.
        SourceMisconfigured: the settings cannot work with this server, its certificate is not trusted, or the login is refused.
    """
    login, identity = await _credentials(config, context)
    name = identity.application_uri if identity else certificates.application_uri(context.gateway, config.id)
    client = _client(config, name)
    try:
        endpoint = await _discover(client, config)
        _check_login(endpoint, config)
        if identity:
            await drop(client, polite=False)
            shown = certificates.leaf(endpoint.ServerCertificate or b"")
            certificates.check_trust(shown, config.security, context.directory, config.endpoint)
            client = _client(config, name)
            _secure(client, endpoint, config, identity)
            await _open_channel(client)
        await client.create_session()
        if _password_needs_certificate(endpoint, config):
            certificates.check_trust(client.security_policy.peer_certificate or b"", config.security, context.directory, config.endpoint)
        await client.activate_session(username=login.username or None, password=login.password or None)
    except BaseException as error:
        await drop(client, polite=False)
        if isinstance(error, Exception):
            raise _explain(error, config, identity) from error
        raise
    return client


async def drop(client: Client, *, polite: bool) -> None:
    """Leave the server and cut the socket; takes at most `GOODBYE_SECONDS` and never raises but when cancelled.

    Args:
        client: whatever its state.
        polite: close session and channel first, so that the server frees them at once.
    """
    protocol = client.uaclient.protocol
    try:
        if polite:
            with suppress(OSError, TimeoutError, UaError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await client.close_session()
                    await client.close_secure_channel()
    finally:
        client.disconnect_socket()
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()
    await asyncio.sleep(0)


async def _credentials(config: OpcUaConfig, context: SourceContext) -> tuple[Login, certificates.OwnIdentity | None]:
    try:
        login = Login(config.username, context.resolve_secret(config.password) if config.password else "")
        key_password = context.resolve_secret(config.security.private_key_password) if config.security.private_key_password else ""
    except Misconfigured as error:
        raise SourceMisconfigured(str(error)) from error
    if config.security.policy == "None":
        return login, None
    uri = certificates.application_uri(context.gateway, config.id)
    # Generating a key takes a good part of a second: other sources must not wait for it.
    return login, await asyncio.to_thread(certificates.own_identity, config.security, key_password, context.directory, uri)


def _client(config: OpcUaConfig, application_uri: str) -> Client:
    library = logging.getLogger("asyncua")
    if library.level == logging.NOTSET:
        library.setLevel(logging.WARNING)
    client = Client(config.endpoint, timeout=config.timeout)
    client.name = client.description = f"Trunkline {config.id}"
    client.application_uri = application_uri
    client.product_uri = "urn:trunkline"
    client.session_timeout = int(config.session_timeout * 1000)
    client.secure_channel_timeout = int(config.channel_lifetime * 1000)
    return client


async def _open_channel(client: Client) -> None:
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()


async def _discover(client: Client, config: OpcUaConfig) -> ua.EndpointDescription:
    """Return the server's endpoint with our policy and mode; leaves the client on an unsecured channel."""
    await _open_channel(client)
    offered = [one for one in await client.get_endpoints() if one.EndpointUrl.startswith("opc.tcp")]
    policy = _POLICIES[config.security.policy].URI if config.security.policy in _POLICIES else _NO_SECURITY
    for one in offered:
        if one.SecurityPolicyUri == policy and one.SecurityMode == _MODES[config.security.mode]:
            return one
    names = {value: key for key, value in _MODES.items()}
    have = sorted({f"{one.SecurityPolicyUri.rpartition('#')[2]} with {names.get(one.SecurityMode, 'none')}" for one in offered})
    raise SourceMisconfigured(
        f"{config.endpoint} does not offer security policy {config.security.policy} with mode {config.security.mode}; "
        f"it offers: {', '.join(have) or 'nothing'}"
    )


def _token_policy(endpoint: ua.EndpointDescription, kind: ua.UserTokenType) -> str | None:
    """Return the policy URI under which the server takes this kind of login, None if it does not take it."""
    for token in endpoint.UserIdentityTokens:
        if token.TokenType == kind:
            return str(token.SecurityPolicyUri or endpoint.SecurityPolicyUri)
    return None


def _check_login(endpoint: ua.EndpointDescription, config: OpcUaConfig) -> None:
    if not config.username:
        if _token_policy(endpoint, ua.UserTokenType.Anonymous) is None:
            raise SourceMisconfigured(f"{config.endpoint} does not accept anonymous users: give 'username' and 'password'")
        return
    policy = _token_policy(endpoint, ua.UserTokenType.UserName)
    if policy is None:
        raise SourceMisconfigured(f"{config.endpoint} does not accept user names: leave out 'username' and 'password'")
    encrypted = policy != _NO_SECURITY or config.security.mode == "sign_and_encrypt"
    if config.password and not encrypted and not config.allow_plain_password:
        raise SourceMisconfigured(
            f"{config.endpoint} would receive the password unencrypted: use security mode sign_and_encrypt, or set "
            "'allow_plain_password: true' if nobody can listen on this network"
        )


def _password_needs_certificate(endpoint: ua.EndpointDescription, config: OpcUaConfig) -> bool:
    """Without a secure channel, only the server's certificate says who will be able to decrypt the password."""
    policy = _token_policy(endpoint, ua.UserTokenType.UserName)
    return bool(config.password) and config.security.policy == "None" and policy != _NO_SECURITY


def _secure(client: Client, endpoint: ua.EndpointDescription, config: OpcUaConfig, identity: certificates.OwnIdentity) -> None:
    server = x509.load_der_x509_certificate(certificates.leaf(endpoint.ServerCertificate))
    policy = _POLICIES[config.security.policy](server, identity.certificate, identity.key, _MODES[config.security.mode])
    client.security_policy = policy
    client.uaclient.set_security(policy)


def _explain(error: Exception, config: OpcUaConfig, identity: certificates.OwnIdentity | None) -> Exception:
    if isinstance(error, SourceMisconfigured | SourceUnavailable):
        return error
    if isinstance(error, UaStatusCodeError):
        return _explain_status(error.code, config, identity)
    if isinstance(error, TimeoutError):
        return SourceUnavailable(f"{config.endpoint} does not answer within {config.timeout:g} s")
    return SourceUnavailable(f"{config.endpoint}: {str(error) or type(error).__name__}")


def _explain_status(code: int, config: OpcUaConfig, identity: certificates.OwnIdentity | None) -> Exception:
    told = f"{config.endpoint} answered {status_name(code)}"
    if code in _LOGIN_REFUSED:
        who = f"user {config.username!r}" if config.username else "an anonymous user"
        return SourceMisconfigured(f"{told}: it refuses {who}; check 'username' and 'password'")
    if code in _SETTINGS_REFUSED:
        return SourceMisconfigured(f"{told}: check 'endpoint' and 'security'")
    if code in _CERTIFICATE_REFUSED and identity:
        ours = certificates.fingerprint(identity.certificate.public_bytes(Encoding.DER))
        return SourceUnavailable(f"{told}: trust our certificate on the server ({identity.place}, fingerprint {ours})")
    return SourceUnavailable(told)
