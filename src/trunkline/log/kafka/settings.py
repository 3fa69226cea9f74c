"""How clients of Kafka are set up: connection and security from the site file, the rest from measurements (docs/decisions/0009)."""

import logging
import threading
import time
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.log.kafka.errors import HOPELESS, Names, explain, is_about_connecting, is_about_login
from trunkline.log.kafka.handshake import finding
from trunkline.model.errors import Misconfigured, TrunklineError

__all__ = ["CONSUMING", "PRODUCING", "Connection", "Settings", "client_settings", "explain"]

Settings = dict[str, str | int | float | bool]

_log = logging.getLogger("trunkline.kafka")

#: Largest record, with key and headers: as much as the edge journal takes, so that the site log refuses nothing that the edge accepted.
MAX_RECORD_BYTES: Final = 8 << 20
#: What a request holds beside one record.
FRAME_BYTES: Final = 1 << 16
#: How often a broker that does not answer is asked why.
_LOOK_AGAIN_SECONDS: Final = 5.0

#: Fetching in bulk, and at most 16 MB of records in memory whatever the number of partitions. Beside each record the client keeps some
#: hundred bytes of its own, so small ones are bounded by their number as well. A partition with enough in memory is fetched again after
#: milliseconds, where the client's default of a second leaves a quick reader waiting (docs/benchmarks/kafka.md).
CONSUMING: Final[Settings] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "queued.min.messages": 50_000,
    "queued.max.messages.kbytes": 16_384,
    "fetch.message.max.bytes": 1 << 20,
    "fetch.max.bytes": MAX_RECORD_BYTES + FRAME_BYTES,
    "receive.message.max.bytes": 2 * (MAX_RECORD_BYTES + FRAME_BYTES),
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 5,
}
PRODUCING: Final[Settings] = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "batch.size": 1_000_000,
    "message.max.bytes": MAX_RECORD_BYTES + FRAME_BYTES,
    "queue.buffering.max.messages": 500_000,
    "queue.buffering.max.kbytes": 262_144,
}


def client_settings(config: LogConfig, secrets: SecretStore | None = None) -> Settings:
    """Return the settings of connection and security that every client needs.

    Args:
        config: the site log; its engine is Kafka.
        secrets: resolves the password and is where relative paths start; None for a connection without either.

    Raises:
        Misconfigured: a secret cannot be resolved.
    """
    milliseconds = round(config.timeout_seconds * 1000)
    settings: Settings = {
        "bootstrap.servers": config.bootstrap,
        "client.id": "trunkline",
        # every attempt to connect to a broker that is away would be a line; that the log is away is told by those who need it
        "log_level": 2,
        "socket.timeout.ms": milliseconds,
        "socket.keepalive.enable": True,
        "socket.connection.setup.timeout.ms": milliseconds,
        # a broker that comes back is found at once, not after the client's ten seconds
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        # a topic that is missing is known to be so after a second, not after thirty
        "topic.metadata.propagation.max.ms": 1000,
    }
    security = config.security
    if security is None:
        return settings
    base = secrets.base if secrets is not None else Path()
    settings["security.protocol"] = "SASL_SSL" if security.username else "SSL"
    files = {"ssl.ca.location": security.ca, "ssl.certificate.location": security.certificate, "ssl.key.location": security.key}
    settings |= {name: str(base / Path(file).expanduser()) for name, file in files.items() if file}
    if security.username:
        password = secrets.resolve(security.password) if secrets is not None else security.password
        settings |= {"sasl.mechanism": security.mechanism, "sasl.username": security.username, "sasl.password": password}
    return settings


class Connection:
    """What the clients of one handle have in common: settings, the time they may wait, and the last fault they were told of.

    Attributes:
        settings: of `client_settings`.
        principal: who this site is to the brokers, for people.
        timeout: seconds that any wait for a broker may take.
    """

    def __init__(self, config: LogConfig, secrets: SecretStore | None = None) -> None:
        """Raises Misconfigured when a secret cannot be resolved. Nothing is connected yet."""
        self.settings = client_settings(config, secrets)
        self._config, self._secrets = config, secrets
        self.principal = config.security.principal if config.security is not None else "a client without a login"
        self.timeout = config.timeout_seconds
        self._lock = threading.Lock()
        self._fault: KafkaError | None = None
        self._looked: tuple[float, str] | None = None

    def of_client(self, *parts: Settings) -> dict[str, Any]:
        """Return the whole settings of a client that tells its faults here."""
        merged: dict[str, Any] = dict(self.settings)
        for part in parts:
            merged |= part
        return {**merged, "error_cb": self.notice, "logger": _log}

    def notice(self, error: KafkaError) -> None:
        """Take note of what a client tells beside its calls."""
        if error.code() in HOPELESS or "incorrect security.protocol" in str(error.str()):
            with self._lock:
                self._fault = error

    def well(self) -> None:
        """Forget the fault: a broker answered."""
        self._fault = self._looked = None

    def late(self, doing: str, resource: str | Names = "") -> TrunklineError:
        """Return what to raise when an answer did not come in time."""
        return self.explain(KafkaError(KafkaError.REQUEST_TIMED_OUT, f"nothing came in {self.timeout:g} seconds"), doing, resource)

    def explain(self, error: KafkaError | KafkaException, doing: str = "", resource: str | Names = "") -> TrunklineError:
        """Return what to raise; see `trunkline.log.kafka.errors.explain`. When nobody answers, the brokers' ports are looked at."""
        fault = self._fault
        if is_about_connecting(error, fault) and (wrong := self._look()):
            return Misconfigured(f"cannot {doing}: {wrong}" if doing else wrong)
        if is_about_login(error, fault) and self._replaced():
            stale = (
                f"the brokers do not accept the password that {self.principal} began with; another is in place by now: restart this role"
            )
            return Misconfigured(f"cannot {doing}: {stale}" if doing else stale)
        return explain(error, doing=doing, resource=resource, principal=self.principal, fault=fault)

    def _replaced(self) -> bool:
        """Return whether the password was replaced where it is kept since this process read it."""
        try:
            return client_settings(self._config, self._secrets).get("sasl.password") != self.settings.get("sasl.password")
        except Misconfigured:
            return False

    def _look(self) -> str:
        """Return what a handshake finds wrong. What was found holds for a while: callers repeat what failed several times a second."""
        with self._lock:
            if self._looked is None or time.monotonic() - self._looked[0] > _LOOK_AGAIN_SECONDS:
                self._looked = time.monotonic(), finding(self.settings, self.principal)
            return self._looked[1]
