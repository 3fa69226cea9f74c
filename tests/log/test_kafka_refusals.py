"""Certificates out of date, the wrong port, and rights that are taken away: what a runtime is told, and that nothing is lost."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from tests.log.behaviour import eventually, everything
from tests.log.kafka_engine import config_of

from trunkline.config.kafka import KafkaSecurity
from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.lab.kafka import Cluster
from trunkline.log.kafka.consumer import KafkaConsumer
from trunkline.log.kafka.engine import KafkaLog
from trunkline.log.kafka.errors import Names, explain
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.security.pki import CertificateAuthority

SECONDS: Final = 60.0
#: Issued and ended before now.
BEGUN: Final = datetime.now(UTC) - timedelta(days=40)
LIFE: Final = timedelta(days=30)
SECRET: Final = "kafka-of-the-test"
PASSWORD: Final = "its-password"


def open_log(bootstrap: str, security: KafkaSecurity, timeout: float = 1.0) -> KafkaLog:
    config = LogConfig(engine="kafka", bootstrap=bootstrap, security=security, timeout_seconds=timeout)
    return KafkaLog(config, SecretStore(Path("/"), Path("/")))


def refusal(log: KafkaLog) -> str:
    with log, pytest.raises(Misconfigured) as told:
        log.topics()
    return str(told.value)


# ---------------------------------------------------------------------- certificates and ports


@pytest.fixture
def authority(secured_kafka: Cluster) -> CertificateAuthority:
    """The one that issued the brokers' certificates."""
    return CertificateAuthority.open(secured_kafka.directory / "ca")


def controllers(cluster: Cluster) -> str:
    """Return the ports at which real brokers ask for a client's certificate: those for controllers."""
    return ",".join(f"127.0.0.1:{ports.controller}" for ports in cluster.ports)


@contextmanager
def tls_port(certificate: Path) -> Iterator[str]:
    """A port that shakes hands with this certificate, and does nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_broker_whose_certificate_is_over(authority: CertificateAuthority, tmp_path: Path) -> None:
    """PD-14, ED-4: it is told from one of an unknown authority, which is all that librdkafka says.

    The port is a TLS server of Python's: the shared brokers have certificates that last.
    """
    login = KafkaSecurity(username="gateway-g1", password=PASSWORD, ca=str(authority.trust_file))
    over, early, elsewhere = (tmp_path / f"{name}.pem" for name in ("over", "early", "elsewhere"))
    authority.issue("kafka-broker", hosts=("127.0.0.1",), server=True, now=BEGUN, valid=LIFE).write(over)
    authority.issue("kafka-broker", hosts=("127.0.0.1",), server=True, now=datetime.now(UTC) + timedelta(days=9)).write(early)
    authority.issue("kafka-broker", hosts=("kafka-1.plant.example",), server=True).write(elsewhere)
    for certificate, reason in (
        (over, "has expired: renew it there ('trunkline pki renew')"),
        (early, "is not valid yet: look at the clocks"),
        (elsewhere, "is not for this name: write one into 'log.bootstrap'"),
    ):
        with tls_port(certificate) as port:
            assert f"the certificate of the broker at {port} {reason}" in refusal(open_log(port, login))


def test_a_client_whose_certificate_is_over(secured_kafka: Cluster, authority: CertificateAuthority, tmp_path: Path) -> None:
    """PD-14, ED-4: real brokers hang up on it without a word that librdkafka would hear; the ports are those for controllers."""
    over, strange = tmp_path / "over.pem", tmp_path / "strange.pem"
    authority.issue("gateway-g1", now=BEGUN, valid=LIFE).write(over)
    CertificateAuthority.create(tmp_path / "other", "other").issue("gateway-g1").write(strange)
    port = controllers(secured_kafka)
    for certificate, reason in ((over, "expired at "), (strange, "'log.security.certificate' that an authority of the brokers issued")):
        security = KafkaSecurity(ca=str(authority.trust_file), certificate=str(certificate), key=str(certificate))
        told = refusal(open_log(port, security))
        assert f"refuses the subject of {certificate}" in told
        assert reason in told
    security = KafkaSecurity(username="gateway-g1", password=PASSWORD, ca=str(authority.trust_file))
    assert "wants a certificate of User:gateway-g1: name one" in refusal(open_log(port, security))


def test_plain_text_and_tls_at_each_others_port(secured_kafka: Cluster, kafka: Cluster) -> None:
    """P-124, PD-12: both are refused, and both are told why."""
    told = refusal(KafkaLog(config_of(secured_kafka.bootstrap, timeout=1.0)))
    assert "expects TLS, and a client without a login speaks plain text: add a 'log.security' section" in told
    ca = secured_kafka.client_settings()["ssl.ca.location"]
    told = refusal(open_log(kafka.bootstrap, KafkaSecurity(username="gateway-g1", password=PASSWORD, ca=ca)))
    assert "speaks plain text, and User:gateway-g1 expects TLS: name its port for TLS in 'log.bootstrap'" in told


def test_a_password_that_was_replaced_since_the_start(secured_kafka: Cluster, topic_prefix: str, tmp_path: Path) -> None:
    """PD-14: whoever still has the old one is told to start again, which a supervisor does by itself; it then goes on."""
    user, secrets = f"{topic_prefix}user", SecretStore(tmp_path / "secrets", tmp_path)
    Rights(secured_kafka, user)
    ca = secured_kafka.client_settings()["ssl.ca.location"]
    security = KafkaSecurity(username=user, password=f"${{secret:{SECRET}}}", ca=ca)
    config = LogConfig(engine="kafka", bootstrap=secured_kafka.bootstrap, security=security, timeout_seconds=1.0)
    secrets.put(SECRET, "the one before")
    with KafkaLog(config, secrets) as log:
        with pytest.raises(Misconfigured, match=f"User:{user}: set its password anew"):
            log.topics()
        secrets.put(SECRET, PASSWORD, overwrite=True)
        with pytest.raises(Misconfigured, match=f"the password that User:{user} began with; another is in place by now: restart this role"):
            log.topics()
    with KafkaLog(config, secrets) as log:
        until_allowed(log.topics)


# ---------------------------------------------------------------------- rights


def test_an_error_names_the_thing_that_it_is_about() -> None:
    names = Names(topic="out", group="copy", transaction="copy.one")
    for code, thing in (
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "topic 'out'"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "group 'copy'"),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "transactional id 'copy.one'"),
    ):
        told = explain(KafkaError(code), doing="commit", resource=names, principal="User:a")
        assert str(told).startswith(f"cannot commit: User:a has no right to {thing}: grant it ('trunkline topics apply'")


class Right(NamedTuple):
    """What an access list allows one user."""

    kind: ResourceType
    name: str
    operation: AclOperation


class Rights:
    """A user of a cluster, whose rights are given and taken away."""

    def __init__(self, cluster: Cluster, user: str) -> None:
        self._admin = AdminClient({**cluster.client_settings()})
        self.principal = f"User:{user}"
        credential = UserScramCredentialUpsertion(user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode())
        self._admin.alter_user_scram_credentials([credential])[user].result(SECONDS)

    def give(self, right: Right) -> None:
        binding = AclBinding(*right[:2], ResourcePatternType.LITERAL, self.principal, "*", right.operation, AclPermissionType.ALLOW)
        self._admin.create_acls([binding])[binding].result(SECONDS)

    def take(self, right: Right) -> None:
        which = AclBindingFilter(*right[:2], ResourcePatternType.LITERAL, self.principal, "*", right.operation, AclPermissionType.ALLOW)
        self._admin.delete_acls([which])[which].result(SECONDS)


def until_refused(call: Callable[[], object]) -> str:
    """Repeat a call until brokers refuse it; return what it says. Brokers learn of access lists one after the other."""
    told: list[str] = []

    def refused() -> bool:
        try:
            call()
        except Misconfigured as error:
            told.append(str(error))
        return bool(told)

    eventually(refused)
    return told[0]


def as_runtimes_do(call: Callable[[], object]) -> Callable[[], object]:
    """Return a call that passes over RetryLater: a transaction that one broker allowed and another refused is told in such words first."""

    def passing() -> None:
        with suppress(RetryLater):
            call()

    return passing


def until_allowed(call: Callable[[], object]) -> None:
    """Repeat a call until brokers allow it."""

    def allowed() -> bool:
        try:
            call()
        except (Misconfigured, RetryLater):
            return False
        return True

    eventually(allowed)


class Copying(NamedTuple):
    """A step that copies one topic into another, and who looks at it with every right."""

    site: KafkaLog
    log: KafkaLog
    group: str
    first: str
    second: str

    def append(self) -> None:
        """Append one more record to the first topic, with the number of those that are there."""
        (_, end) = self.site.bounds(self.first)[TopicPartition(self.first, 0)]
        self.log.append(self.first, [Record(b"%d" % end)])

    def join(self) -> KafkaConsumer:
        return self.log.consumer(self.group, [self.first], "one", appends=[self.second])

    def copy(self, member: KafkaConsumer) -> None:
        batch = member.poll(100, 0.2)
        member.commit(batch.positions, with_appends={self.second: [Record(one.value) for one in batch.records]})

    def run(self) -> None:
        """Join, and copy what there is."""
        with self.join() as member:
            while self.copied() < self.site.bounds(self.first)[TopicPartition(self.first, 0)][1]:
                self.copy(member)

    def copied(self) -> int:
        return self.site.committed(self.group).get(TopicPartition(self.first, 0), 0)

    def lose(self, rights: Rights, right: Right) -> str:
        """Take a right away while the step runs; return what it is told."""
        with self.join() as member:
            self.append()
            self.copy(member)
            rights.take(right)

            def work() -> None:
                self.append()
                self.copy(member)

            try:
                return until_refused(work)
            except RetryLater:
                member.close()
                return until_refused(as_runtimes_do(self.run))


def test_rights_taken_away_while_a_step_runs(secured_kafka: Cluster, topic_prefix: str) -> None:
    """PD-13, ED-21: each loss is an error that names principal, resource and mend; nothing is lost or doubled.

    An appending handle goes on by itself once the right is back. A member of a group is made anew, as a role's restart does.
    """
    first, second, group, user = (f"{topic_prefix}{name}" for name in ("in", "out", "copy", "user"))
    write_first, read_first = Right(ResourceType.TOPIC, first, AclOperation.WRITE), Right(ResourceType.TOPIC, first, AclOperation.READ)
    write_second, join = Right(ResourceType.TOPIC, second, AclOperation.WRITE), Right(ResourceType.GROUP, group, AclOperation.READ)
    transaction = Right(ResourceType.TRANSACTIONAL_ID, f"{group}.one", AclOperation.WRITE)
    losses = ((read_first, "topic '"), (write_second, "topic '"), (join, "group '"), (transaction, "transactional id '"))
    rights = Rights(secured_kafka, user)
    assert secured_kafka.security is not None
    admin, ca = secured_kafka.security.admin, str(secured_kafka.security.ca)
    with (
        open_log(secured_kafka.bootstrap, KafkaSecurity(username=admin.username, password=admin.password, ca=ca), SECONDS) as site,
        open_log(secured_kafka.bootstrap, KafkaSecurity(username=user, password=PASSWORD, ca=ca), SECONDS) as log,
    ):
        site.create([Topic(first), Topic(second)])
        for right in (write_first, read_first, write_second, join, transaction):
            rights.give(right)
        step = Copying(site, log, group, first, second)
        until_allowed(step.append)
        rights.take(write_first)
        assert f"{rights.principal} has no right to topic '{first}': grant it ('trunkline topics apply'" in until_refused(step.append)
        rights.give(write_first)
        until_allowed(step.append)
        for right, thing in losses:
            until_allowed(step.run)
            assert f"{rights.principal} has no right to {thing}" in step.lose(rights, right)
            rights.give(right)
        until_allowed(step.run)
        written = [record.value for record in everything(site, first)[0]]
        assert len(written) > len(losses)
        assert [record.value for record in everything(site, second)[0]] == written
