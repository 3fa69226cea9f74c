"""Who the source is to the broker, and whom it trusts."""

import ssl
from collections.abc import Callable
from pathlib import Path

from trunkline.model.errors import Misconfigured, SourceMisconfigured
from trunkline.sources.broker.config import BrokerConfig, TlsConfig


def resolve(reference: str, resolve_secret: Callable[[str], str]) -> str:
    """Return what a secret reference stands for; other text stands for itself. Raises SourceMisconfigured."""
    if not reference.startswith("${"):
        return reference
    try:
        return resolve_secret(reference)
    except Misconfigured as error:
        raise SourceMisconfigured(f"secret {reference}: {error}") from error
    except (LookupError, ValueError, OSError) as error:
        raise SourceMisconfigured(f"secret {reference} cannot be resolved ({type(error).__name__}): store it, or mend the name") from error


def login(config: BrokerConfig, resolve_secret: Callable[[str], str]) -> tuple[str, str | None] | None:
    """Return user name and password; None for an anonymous connection. Raises SourceMisconfigured."""
    if not config.username:
        return None
    password = resolve(config.password, resolve_secret) if config.password else None
    return resolve(config.username, resolve_secret), password


def tls_context(tls: TlsConfig, directory: Path, resolve_secret: Callable[[str], str]) -> ssl.SSLContext:
    """Return a client context that checks the broker's certificate and name, TLS 1.2 or newer.

    Args:
        tls: files are absolute, or relative to `directory`.
        directory: the source's own folder.
        resolve_secret: turns secret references into values.

    Raises:
        SourceMisconfigured: a file is missing or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    password = resolve(tls.key_password, resolve_secret) if tls.key_password else ""
    try:
        if tls.ca_file:
            context.load_verify_locations(directory / tls.ca_file)
        else:
            context.load_default_certs()
    except OSError as error:  # SSLError is one
        raise SourceMisconfigured(f"tls.ca_file {tls.ca_file!r}: {error.strerror or error}") from error
    try:
        if tls.cert_file:
            # an empty password, not None: None would ask on the terminal
            context.load_cert_chain(directory / tls.cert_file, directory / tls.key_file, password)
    except OSError as error:
        raise SourceMisconfigured(f"tls.cert_file {tls.cert_file!r} with key_file {tls.key_file!r}: {error.strerror or error}") from error
    return context
