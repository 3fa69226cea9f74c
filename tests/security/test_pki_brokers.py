"""Certificates and passwords are replaced while a real broker runs and a client produces (PD-14)."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import create_connection
from typing import Final, Self

import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.cli.support import trunkline

from trunkline.config.secrets import SecretStore
from trunkline.lab.kafka import Cluster, ClusterSecurity, Scram
from trunkline.log.kafka.admin import ClusterAdmin
from trunkline.log.kafka.errors import HOPELESS
from trunkline.security.kafka_credentials import provision, rotate, secret_name
from trunkline.security.pki import Bundle, CertificateAuthority
from trunkline.security.pki.profile import utc_now
from trunkline.security.pki.reloading import Listener, Outcome, Shown, await_shown, reload, tls_listeners
from trunkline.security.pki.renewal import renew_all, survey
from trunkline.security.pki.verifying import served

HOSTS: Final = ("127.0.0.1", "localhost")
SECONDS: Final = 60.0
REAUTHENTICATE_MS: Final = 4000


class Plant:
    """A broker with an authority of its own."""

    def __init__(self, directory: Path) -> None:
        self.authority = CertificateAuthority.create(directory / "pki", "PLANT01")
        self.bundle = self.authority.issue("kafka-broker", hosts=HOSTS, server=True).write(self.authority.directory / "kafka-1.pem")
        self.secrets = SecretStore(directory / "secrets", directory)
        list(provision(self.secrets, ["admin", "broker", "gateway-g1"]))
        broker, admin = (Scram(user, self.password(user)) for user in ("broker", "admin"))
        security = ClusterSecurity(self.authority.trust_file, [self.bundle], broker, admin)
        # with SASL Kafka heeds `ssl.client.auth` only for a listener by name (KIP-684)
        settings = {f"listener.name.{name}.ssl.client.auth": "requested" for name in ("client", "internal")}
        settings["connections.max.reauth.ms"] = str(REAUTHENTICATE_MS)
        self.cluster = Cluster(directory / "kafka", 1, security, settings=settings)
        self.site = directory / "site.yaml"
        reference = "${secret:" + secret_name("admin") + "}"
        login = f"{{username: admin, password: '{reference}', ca: pki/ca.pem}}"
        log = f"{{engine: kafka, bootstrap: '{self.cluster.bootstrap}', profile: development, security: {login}}}"
        self.site.write_text(f"site: plant01\ndata_dir: .\nlog: {log}\n")

    def password(self, user: str) -> str:
        return self.secrets.resolve("${secret:" + secret_name(user) + "}")

    def settings(self, user: str = "admin") -> dict[str, str]:
        return self.cluster.client_settings(Scram(user, self.password(user)))

    def admin(self) -> AdminClient:
        return AdminClient({**self.settings()})

    def reload(self) -> list[Shown]:
        """Let the broker read its files, and wait for what it shows."""
        admin = self.admin()
        reload(admin, 1)
        return list(await_shown(tls_listeners(admin), [Bundle.load(self.bundle).certificate], SECONDS))


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    made = Plant(tmp_path_factory.mktemp("plant"))
    with made.cluster:
        admin = made.admin()
        admin.create_topics([NewTopic("telemetry", 1, 1)])["telemetry"].result()
        yield made


class Stream:
    """A client that produces all the time: every record must be acknowledged, and no login or handshake may fail.

    Lost connections do not count: on a loaded machine a login may come later than the broker waits for it.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        self.failures: list[str] = []
        self.sent = self.delivered = 0
        self.producer = Producer({**settings, "enable.idempotence": True, "linger.ms": 5, "error_cb": self._error})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        self.advance()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def advance(self, records: int = 50) -> None:
        """Wait until so many more records are acknowledged."""
        goal = self.delivered + records
        until(lambda: self.delivered >= goal)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.producer.produce("telemetry", str(self.sent), on_delivery=self._told)
            self.sent += 1
            self.producer.poll(0.01)
        self.producer.flush(SECONDS)

    def _told(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failures.append(error.str())

    def _error(self, error: KafkaError) -> None:
        if error.code() in HOPELESS:
            self.failures.append(error.str())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def trusts(listener: Listener, client: Path) -> bool:
    """Return whether each network thread of a listener accepts a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(client)
    for _ in range(3 * listener.threads):
        with create_connection((listener.host, listener.port)) as plain, contextlib.suppress(ConnectionError):
            try:
                with context.wrap_socket(plain) as secured:
                    # with TLS 1.3 a client learns about a refusal when it reads; an empty request ends an accepted connection
                    secured.sendall(bytes(4))
                    secured.recv(1)
            except ssl.SSLEOFError:
                continue
            except ssl.SSLError:
                return False
    return True


def test_a_broker_takes_over_a_renewed_certificate_while_a_client_produces(plant: Plant) -> None:
    """PD-14: rotation without stop, on every listener, and nothing stays in the broker's dynamic settings."""
    with Stream(plant.settings()) as stream:
        for _ in range(2):
            before = served("127.0.0.1", plant.cluster.ports[0].client)
            assert [one.why for one in renew_all(plant.authority, now=utc_now(), everything=True)] == ["asked for"]
            shown = plant.reload()
            assert [(one.listener.name, one.outcome) for one in shown] == [
                (name, Outcome.CURRENT) for name in ("CLIENT", "INTERNAL", "CONTROLLER")
            ]
            assert served("127.0.0.1", plant.cluster.ports[0].client) != before
            stream.advance()
    assert stream.failures == []
    assert stream.delivered == stream.sent


@pytest.mark.parametrize(("name", "hosts"), [("kafka-broker", HOSTS[:1]), ("another", HOSTS)])
def test_a_broker_refuses_a_certificate_that_stands_for_less(plant: Plant, name: str, hosts: tuple[str, ...]) -> None:
    """The broker goes on with what it has, and the reload says so although Kafka answered success."""
    admin, good = plant.admin(), Bundle.load(plant.bundle)
    refused = plant.authority.issue(name, hosts=hosts, server=True)
    refused.write(plant.bundle)
    reload(admin, 1)
    client = tls_listeners(admin)[:1]
    (outdated,) = await_shown(client, [refused.certificate], 2.0)
    assert outdated.outcome is Outcome.OUTDATED
    assert "broker 1, listener CLIENT: still shows the certificate of 'kafka-broker'" in outdated.problem
    with Stream(plant.settings()) as stream:
        pass
    assert stream.failures == []
    good.write(plant.bundle)
    assert {one.outcome for one in plant.reload()} == {Outcome.CURRENT}


def test_an_authority_is_replaced_while_clients_produce(plant: Plant, tmp_path: Path) -> None:
    """PD-14: trust both, re-issue, drop the old one; clients read their files when they are made, so that each step makes new ones."""
    authority, port = plant.authority, plant.cluster.ports[0].client
    with Stream(plant.settings()) as first:
        authority.prepare_successor("PLANT01")
        admin = plant.admin()
        reload(admin, 1)
        heir = CertificateAuthority.open(authority.directory)
        heir.activate_successor()
        probe = heir.issue("gateway-g1").write(tmp_path / "g1.pem")
        until(lambda: all(trusts(listener, probe) for listener in tls_listeners(admin)))
        first.advance()
        with Stream(plant.settings()) as second:
            plant.authority = heir
            assert [one.why for one in renew_all(heir, now=utc_now())] == ["new authority"]
            assert {one.outcome for one in plant.reload()} == {Outcome.CURRENT}
            predecessor = heir.retire()
            assert {one.outcome for one in plant.reload()} == {Outcome.CURRENT}
            assert served("127.0.0.1", port).issuer == heir.certificate.subject != predecessor.subject
            first.advance()
            second.advance()
    assert first.failures + second.failures == []
    assert (first.delivered, second.delivered) == (first.sent, second.sent)
    assert all(one.state == "valid" for one in survey(heir.directory, utc_now(), [f"127.0.0.1:{port}"]))


def test_a_client_reads_its_files_when_it_is_made(plant: Plant, tmp_path: Path) -> None:
    """A client that lives longer than what it trusts must be made anew: reconnecting is not enough for librdkafka 2.16."""
    trust = tmp_path / "ca.pem"
    trust.write_text(CertificateAuthority.create(tmp_path / "other", "OTHER").trust_file.read_text())
    faults: list[KafkaError] = []
    settings = {**plant.settings(), "ssl.ca.location": str(trust), "error_cb": faults.append}
    lasting = Producer(settings)
    lasting.poll(0)
    until(lambda: bool(lasting.poll(0.1) or [one for one in faults if one.code() == KafkaError._SSL]))
    trust.write_text(plant.authority.trust_file.read_text())
    faults.clear()
    until(lambda: bool(lasting.poll(0.1) or [one for one in faults if one.code() == KafkaError._SSL]))
    with Stream({**plant.settings(), "ssl.ca.location": str(trust)}) as fresh:
        pass
    assert fresh.failures == []


def test_one_file_is_certificate_and_key_of_a_client(plant: Plant, tmp_path: Path) -> None:
    """A client certificate beside the password: replaced as one file, so that no reader ever has half a pair."""
    own = str(plant.authority.issue("gateway-g1").write(tmp_path / "gateway-g1.pem"))
    with Stream({**plant.settings(), "ssl.certificate.location": own, "ssl.key.location": own}) as stream:
        pass
    assert stream.failures == []
    foreign = CertificateAuthority.create(tmp_path / "other", "OTHER").issue("gateway-g1").write(tmp_path / "foreign.pem")
    client = tls_listeners(plant.admin())[0]
    assert trusts(client, Path(own))
    assert not trusts(client, foreign)


def test_a_password_is_replaced_while_a_client_produces(plant: Plant) -> None:
    """PD-14, PD-15: brokers, secret, client, in this order; whoever keeps the old one is refused at the next login on its connection."""
    faults: list[KafkaError] = []
    with Stream(plant.settings()) as stream:
        forgotten = Producer({**plant.settings(), "error_cb": faults.append})
        forgotten.list_topics(timeout=SECONDS)
        rotate(plant.secrets, "admin", ClusterAdmin(plant.admin()).set_password)
        fresh = plant.password("admin")
        stream.producer.set_sasl_credentials("admin", fresh)

        def refused() -> bool:
            forgotten.poll(0.1)
            return any(one.code() == KafkaError._AUTHENTICATION for one in faults)

        until(refused)
        stream.advance()
    assert stream.failures == []
    assert stream.delivered == stream.sent
    forgotten.set_sasl_credentials("admin", fresh)
    forgotten.list_topics(timeout=SECONDS)


def test_one_command_lets_brokers_take_over_renewed_files(plant: Plant) -> None:
    """PD-14: renew, reload, look: what a timer does once a day."""
    directory = plant.authority.directory
    assert trunkline("pki", "renew", directory, "--all").code == 0
    said = trunkline("pki", "reload", directory, plant.site, "--json")
    *listeners, summary = said.documents
    assert (said.code, summary) == (0, {"listeners": 3, "current": 3, "outdated": 0, "passed": True})
    assert [one["listener"] for one in listeners] == ["CLIENT", "INTERNAL", "CONTROLLER"]
    assert trunkline("pki", "check", directory, "--server", listeners[0]["address"]).code == 0


def test_one_command_replaces_a_password(plant: Plant) -> None:
    """PD-15: on the brokers and in the secrets, shown nowhere."""
    before = plant.password("admin")
    said = trunkline("pki", "password", plant.site, "admin")
    assert said.code == 0
    after = plant.password("admin")
    assert after != before
    assert before not in said.text + said.out
    assert after not in said.text + said.out
    plant.admin().list_topics(timeout=SECONDS)


def test_a_gateway_is_cut_off_alone(plant: Plant) -> None:
    """PD-14: revocable alone: its open connection ends at the next login, and nobody else notices."""
    directory = plant.authority.directory
    list(provision(plant.secrets, ["gateway-g9"]))
    ClusterAdmin(plant.admin()).set_password("gateway-g9", plant.password("gateway-g9"))
    own = plant.authority.issue("gateway-g9").write(directory / "gateway-g9.pem")
    faults: list[KafkaError] = []
    stolen = Producer({**plant.settings("gateway-g9"), "error_cb": faults.append})
    stolen.list_topics(timeout=SECONDS)
    with Stream(plant.settings()) as stream:
        assert trunkline("pki", "revoke", directory, plant.site, "gateway-g9").code == 0

        def refused() -> bool:
            stolen.poll(0.1)
            return any(one.code() == KafkaError._AUTHENTICATION for one in faults)

        until(refused)
        stream.advance()
    assert stream.failures == []
    assert not own.exists()
    assert not (plant.secrets.directory / secret_name("gateway-g9")).exists()
    again = trunkline("pki", "revoke", directory, plant.site, "gateway-g9")
    assert "was not known to the brokers" in again.text
    assert "is the login that this command uses" in trunkline("pki", "revoke", directory, plant.site, "admin").text


def test_a_login_that_may_not_alter_brokers_is_named(plant: Plant) -> None:
    """A gateway's credential cannot let brokers read files again."""
    ClusterAdmin(plant.admin()).set_password("gateway-g1", plant.password("gateway-g1"))
    said = trunkline("pki", "reload", plant.authority.directory, plant.site, "--as", "gateway-g1")
    assert said.code == 2
    assert "gateway-g1" in said.text
