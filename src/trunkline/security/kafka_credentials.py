"""Passwords of Kafka principals: one for each gateway and service, in the site's secrets, known to nobody (PD-14, PD-15).

The site file refers to them as `${secret:kafka-PRINCIPAL}`. Kafka keeps one SCRAM-SHA-512 credential for a principal, so a new password
replaces the old one at once: connections that are open stay until the brokers ask them to log in again (`connections.max.reauth.ms`).
"""

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ScramMechanism, UserScramCredentialDeletion

from trunkline.config.secrets import SecretStore
from trunkline.log.kafka.errors import code_of, explain
from trunkline.security.pki.files import sync_directory

#: 256 random bits in letters, digits, '-' and '_': nothing that a URL, a properties file or Kafka's tools would read otherwise (PD-15).
_BYTES: Final = 32
_REQUEST_SECONDS: Final = 30.0


class Provided(NamedTuple):
    """Where a principal's password is, and whether it is new."""

    principal: str
    file: Path
    made: bool


def secret_name(principal: str) -> str:
    """Return what the password of a principal is called among the site's secrets."""
    return f"kafka-{principal}"


def provision(store: SecretStore, principals: Iterable[str]) -> Iterator[Provided]:
    """Give every principal a password; those that have one keep it.

    Raises:
        SecretUnavailable: a password that is there cannot be used; the text says why and never what it is.
        ValueError: a principal's name cannot be that of a file.
    """
    for principal in principals:
        name = secret_name(principal)
        made = True
        try:
            store.put(name, secrets.token_urlsafe(_BYTES))
        except FileExistsError:
            made = False
        store.resolve(_reference(name))
        yield Provided(principal, store.directory / name, made)
    if store.directory.is_dir():
        sync_directory(store.directory)


def rotate(store: SecretStore, principal: str, set_password: Callable[[str, str], None]) -> Path:
    """Give a principal a new password on the brokers, then in the site's secrets.

    The new one is written beside the old one first, and a run that finds one left over uses it: killed at any point, the next run ends
    with brokers and secrets agreeing. Clients that log in between the two steps are refused and try again.

    Args:
        store: the site's secrets.
        principal: whose password.
        set_password: sets it on the brokers; called with principal and password.

    Returns:
        The secret's file.

    Raises:
        SecretUnavailable: the principal has no password yet.
        TrunklineError: what `set_password` raises; the old password is still in use then.
    """
    name = secret_name(principal)
    present = store.resolve(_reference(name))
    following = f"{name}.next"
    draft = store.directory / following
    if draft.exists() and store.resolve(_reference(following)) == present:
        # the run before ended after all was done but this
        draft.unlink()
    with contextlib.suppress(FileExistsError):
        store.put(following, secrets.token_urlsafe(_BYTES))
        sync_directory(store.directory)
    password = store.resolve(_reference(following))
    set_password(principal, password)
    path = store.put(name, password, overwrite=True)
    sync_directory(store.directory)
    draft.unlink()
    return path


def revoke(store: SecretStore, principal: str, admin: AdminClient) -> bool:
    """Delete a principal's credential on the brokers, then its secret. Open connections end at their next login.

    Returns:
        Whether the brokers had one.

    Raises:
        TrunklineError: the brokers do not answer, or this login may not delete users; the secret is still there then.
    """
    deletion = UserScramCredentialDeletion(principal, ScramMechanism.SCRAM_SHA_512)
    (future,) = admin.alter_user_scram_credentials([deletion], request_timeout=_REQUEST_SECONDS).values()
    known = True
    try:
        future.result()
    except KafkaException as error:
        if code_of(error).code() != KafkaError.RESOURCE_NOT_FOUND:
            raise explain(error, doing=f"delete the user {principal}") from error
        known = False
    for name in (secret_name(principal), f"{secret_name(principal)}.next"):
        (store.directory / name).unlink(missing_ok=True)
    if store.directory.is_dir():
        sync_directory(store.directory)
    return known


def _reference(name: str) -> str:
    return "${secret:" + name + "}"
