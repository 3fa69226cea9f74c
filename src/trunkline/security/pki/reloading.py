"""Running brokers take over renewed files without a restart (PD-14).

A broker reads its keystore and truststore files again, on every listener, whenever one of its own settings is altered, even when nothing
changes by it (KIP-226; measured with Kafka 4.3 in KRaft mode). It answers before it has read them, and answers success also when it then
refuses a file, so that only its listeners tell.
"""

import re
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from cryptography import x509

from trunkline.log.kafka.errors import explain
from trunkline.model.errors import NotConnected
from trunkline.security.pki import profile
from trunkline.security.pki.verifying import served

_REQUEST_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.2
#: A listener's network threads take over one after the other, and each new connection goes to the next of them.
_ROUNDS: Final = 3
_ENDPOINT: Final = re.compile(r"(?P<name>[^:,/]+)://(?P<host>\[[^\]]*\]|[^:,]*):(?P<port>\d+)")


class Listener(NamedTuple):
    """A TLS listener of a broker, as far as it can be reached from here."""

    broker: int
    name: str
    host: str
    port: int
    threads: int


class Outcome(StrEnum):
    """What a listener shows."""

    CURRENT = "current"
    OUTDATED = "outdated"
    UNREACHABLE = "unreachable"


class Shown(NamedTuple):
    """What a listener shows after a reload, and the mend when it is not what it should be."""

    listener: Listener
    outcome: Outcome
    problem: str = ""


def tls_listeners(admin: AdminClient, principal: str = "") -> list[Listener]:
    """Return every TLS listener of every broker, those of controllers within brokers included.

    Args:
        admin: connected with an administrator's login.
        principal: whose login that is, for messages.

    Raises:
        TrunklineError: no broker answers, or this login may not read the brokers' settings.
    """
    try:
        known = admin.list_topics(timeout=_REQUEST_SECONDS).brokers
    except KafkaException as error:
        raise explain(error, doing="list the brokers", principal=principal) from error
    listeners: list[Listener] = []
    for broker in sorted(known):
        settings = _settings(admin, broker, principal)
        listeners += _listeners(broker, settings, str(known[broker].host))
    return listeners


def reload(admin: AdminClient, broker: int, principal: str = "") -> None:
    """Let a broker read its keystore and truststore files again; returns before it has.

    It is told to forget a setting that it does not have: nothing stays behind that would overrule its own file of settings later.

    Args:
        admin: connected with an administrator's login.
        broker: its number.
        principal: whose login that is, for messages.

    Raises:
        TrunklineError: the broker does not answer, or this login may not alter its settings.
    """
    nothing = ConfigEntry("listener.name.trunkline-reload.ssl.keystore.location", None, incremental_operation=AlterConfigOpType.DELETE)
    resource = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[nothing])
    for future in admin.incremental_alter_configs([resource], request_timeout=_REQUEST_SECONDS).values():
        try:
            future.result()
        except KafkaException as error:
            raise explain(error, doing=f"reload the certificates of broker {broker}", principal=principal) from error


def await_shown(listeners: Iterable[Listener], wanted: Iterable[x509.Certificate], seconds: float) -> Iterator[Shown]:
    """Wait until listeners show one of the certificates wanted on each of their network threads; yield what became of each.

    Args:
        listeners: where to look.
        wanted: the renewed certificates.
        seconds: how long to wait for all of them together.
    """
    accepted = frozenset(wanted)
    deadline = time.monotonic() + seconds
    for listener in listeners:
        yield _await(listener, accepted, deadline)


def _await(listener: Listener, wanted: frozenset[x509.Certificate], deadline: float) -> Shown:
    while True:
        try:
            shown = {served(listener.host, listener.port) for _ in range(listener.threads * _ROUNDS)}
        except NotConnected as error:
            return Shown(listener, Outcome.UNREACHABLE, str(error))
        others = shown - wanted
        if not others:
            return Shown(listener, Outcome.CURRENT)
        if time.monotonic() > deadline:
            return Shown(listener, Outcome.OUTDATED, _why(listener, others.pop()))
        time.sleep(_POLL_SECONDS)


def _why(listener: Listener, shown: x509.Certificate) -> str:
    return (
        f"broker {listener.broker}, listener {listener.name}: still shows the certificate of {profile.common_name(shown)!r} that ends at "
        f"{shown.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: copy the renewed file to the broker's keystore and reload again; a broker "
        "refuses a file with another common name, with fewer hosts, or from an authority that it did not trust before; its log says which"
    )


def _settings(admin: AdminClient, broker: int, principal: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.BROKER, str(broker))
    (future,) = admin.describe_configs([resource], request_timeout=_REQUEST_SECONDS).values()
    try:
        return {name: entry.value or "" for name, entry in future.result().items()}
    except KafkaException as error:
        raise explain(error, doing=f"read the settings of broker {broker}", principal=principal) from error


def _listeners(broker: int, settings: dict[str, str], host: str) -> Iterator[Listener]:
    protocols = dict(pair.split(":", 1) for pair in settings["listener.security.protocol.map"].split(",") if ":" in pair)
    endpoints = {
        found["name"]: found for key in ("listeners", "advertised.listeners") for found in _ENDPOINT.finditer(settings.get(key, ""))
    }
    threads = int(settings.get("num.network.threads") or 3)
    for name, found in endpoints.items():
        if protocols.get(name, "").endswith("SSL"):
            bound = found["host"].strip("[]")
            yield Listener(broker, name, host if bound in ("", "0.0.0.0", "::") else bound, int(found["port"]), threads)  # noqa: S104 - compared, not bound
