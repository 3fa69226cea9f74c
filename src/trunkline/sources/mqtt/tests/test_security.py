"""TLS with an authority of our own, client certificates, passwords, access rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.mqtt.config import MqttConfig
from trunkline.sources.mqtt.tests.broker import Broker, Device, password_file
from trunkline.sources.mqtt.tests.certificates import Authority
from trunkline.sources.mqtt.tests.support import SECRETS, connected, source_on, values
from trunkline.sources.port import CommandOutcome, WriteCommand

PROTOCOLS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"), "plant-ca")


@pytest.fixture(scope="module")
def mutual(authority: Authority) -> Iterator[Broker]:
    """A broker that shows a certificate and wants one."""
    certificate, key = authority.issue("broker")
    settings = f"cafile {authority.file}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true"
    with Broker(settings) as broker:
        yield broker


@pytest.fixture(scope="module")
def guarded() -> Iterator[Broker]:
    """A broker with passwords and access rules."""
    broker = Broker(anonymous=False)
    password_file(broker, {"gateway": SECRETS["${secret:right}"], "device": "d"})
    rules = broker.folder / "rules"
    rules.write_text("user gateway\ntopic read unit/#\ntopic write unit/command\nuser device\ntopic readwrite #\n")
    rules.chmod(0o600)
    broker.set(f"acl_file {rules}")
    with broker:
        yield broker


@PROTOCOLS
async def test_both_sides_show_certificates(mutual: Broker, authority: Authority, tmp_path: Path, protocol: str) -> None:
    """W-43, P-94: TLS with an authority of the plant and a client certificate whose key has a password."""
    certificate, key = authority.issue("gateway", password=SECRETS["${secret:key}"])
    tls = {"ca_file": str(authority.file), "cert_file": str(certificate), "key_file": str(key), "key_password": "${secret:key}"}
    async with connected(mutual, tmp_path, protocol=protocol, tls=tls, id=f"tls-{protocol[0]}", tags=[_writable("unit/flow")]) as source:
        for number in range(300):  # more than one TLS record
            assert await source.write(WriteCommand("P.FLOW", number)) is CommandOutcome.DONE
        readings: list[object] = []
        while len(readings) < 300:
            batch = await source.read()
            readings += [reading.value for reading in batch.readings]
            await batch.ack()
        assert readings == list(range(300))


async def test_relative_files_are_in_the_folder_of_the_source(mutual: Broker, authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("relative")
    for file in (authority.file, certificate, key):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tls = {"ca_file": authority.file.name, "cert_file": certificate.name, "key_file": key.name}
    async with connected(mutual, tmp_path, tls=tls):
        pass


@PROTOCOLS
@pytest.mark.parametrize("fault", ["unknown authority", "system authorities", "other name"])
async def test_a_broker_that_is_not_trusted_is_refused(tmp_path: Path, protocol: str, fault: str) -> None:
    """P-94: the broker's certificate and name are checked, always."""
    ours, theirs = Authority.make(tmp_path, "ours"), Authority.make(tmp_path, "theirs")
    issuer = theirs if fault == "unknown authority" else ours
    certificate, key = issuer.issue("broker", host="elsewhere.example" if fault == "other name" else "127.0.0.1")
    tls = {"ca_file": "" if fault == "system authorities" else str(ours.file)}
    with Broker(f"certfile {certificate}\nkeyfile {key}") as broker:
        source = source_on(broker.port, tmp_path, protocol=protocol, tls=tls)
        with pytest.raises(SourceMisconfigured, match="not trusted"):
            await source.connect()


@PROTOCOLS
async def test_a_missing_client_certificate_is_not_a_success(mutual: Broker, authority: Authority, tmp_path: Path, protocol: str) -> None:
    source = source_on(mutual.port, tmp_path, protocol=protocol, tls={"ca_file": str(authority.file)})
    with pytest.raises((SourceMisconfigured, SourceUnavailable), match="certificate"):
        await source.connect()


@pytest.mark.parametrize(
    ("tls", "named"),
    [
        ({"ca_file": "missing.pem"}, "ca_file 'missing.pem'"),
        ({"ca_file": "junk.pem"}, "ca_file 'junk.pem'"),
        ({"cert_file": "junk.pem", "key_file": "junk.pem"}, "cert_file 'junk.pem'"),
        ({"cert_file": "{certificate}", "key_file": "{key}"}, "key_file"),
        ({"cert_file": "{certificate}", "key_file": "{key}", "key_password": "${secret:wrong}"}, "key_file"),
        ({"cert_file": "{certificate}", "key_file": "{key}", "key_password": "${secret:absent}"}, "${secret:absent}"),
    ],
)
async def test_wrong_files_are_named(authority: Authority, tmp_path: Path, tls: dict[str, str], named: str) -> None:
    """A file that is missing, is no certificate or needs another password is SourceMisconfigured, with its name and without secrets."""
    (tmp_path / "junk.pem").write_text("junk")
    certificate, key = authority.issue("locked", password="of-the-key")
    files = {option: value.replace("{certificate}", str(certificate)).replace("{key}", str(key)) for option, value in tls.items()}
    with pytest.raises(SourceMisconfigured) as refused:
        await source_on(1, tmp_path, tls=files).connect()
    assert named in str(refused.value)
    assert "canary" not in str(refused.value)


@PROTOCOLS
async def test_passwords(guarded: Broker, tmp_path: Path, protocol: str) -> None:
    """W-43, P-96: right credentials connect; wrong ones are SourceMisconfigured and are not shown."""
    right = {"protocol": protocol, "username": "gateway", "password": "${secret:right}"}
    async with connected(guarded, tmp_path, **right) as source:
        with Device(guarded.port, "device", "d") as device:
            await device.publish("unit/flow", "1")
        assert await values(source, 1, ack=True) == [1]
    wrongs: tuple[dict[str, Any], ...] = (
        {"username": "gateway", "password": "${secret:wrong}"},
        {"username": "nobody", "password": "${secret:wrong}"},
        {},
    )
    for wrong in wrongs:
        with pytest.raises(SourceMisconfigured) as refused:
            await source_on(guarded.port, tmp_path, protocol=protocol, **wrong).connect()
        assert "canary" not in str(refused.value)


async def test_a_missing_secret_is_named(guarded: Broker, tmp_path: Path) -> None:
    with pytest.raises(SourceMisconfigured, match="secret:absent"):
        await source_on(guarded.port, tmp_path, username="gateway", password="${secret:absent}").connect()


async def test_a_write_that_the_broker_refuses_is_refused(guarded: Broker, tmp_path: Path) -> None:
    """MQTT 5 says that a publication is not authorised; 3.1.1 has no word for it."""
    options: dict[str, Any] = {"username": "gateway", "password": "${secret:right}", "tags": [_writable("forbidden")], "id": "refused"}
    async with connected(guarded, tmp_path, **{**options, "tags": [{**_writable("forbidden"), "topic": "unit/flow"}]}) as source:
        assert await source.write(WriteCommand("P.FLOW", 1)) is CommandOutcome.REFUSED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"password": "plain-text", "username": "u"}, "password"),
        ({"password": "${secret:right}"}, "username"),
        ({"password": "${secret:right}", "username": "u", "host": "broker.example"}, "unencrypted"),
        ({"tls": {"insecure_skip_verify": True}}, "insecure_skip_verify"),
        ({"tls": {"cert_file": "c.pem"}}, "belong together"),
        ({"protocol": "3.1"}, "protocol"),
        ({"qos": 3}, "qos"),
        ({"subscribe": ["other/#"]}, "no filter under 'subscribe' covers"),
        ({"tags": [{"path": "P.A", "topic": "a", "timestamp": "$.t"}]}, "JSON payload"),
        ({"tags": [{"path": "P.A", "topic": "a#"}]}, "alone in the last level"),
        ({"tags": [{"path": "P.A", "topic": "a", "value": "a.b"}]}, "is not a JSONPath"),
        ({"tags": [{"path": "P.A", "topic": "a", "command_topic": "a/+"}]}, "one topic"),
    ],
)
def test_unsafe_or_impossible_configurations_are_refused(wrong: dict[str, Any], message: str) -> None:
    """P-31, P-96, PD-12: half-set TLS and passwords in the file are errors; a check of certificates cannot be switched off."""
    section = {"id": "b", "host": "localhost", "tags": [{"path": "P.A", "topic": "a"}], **wrong}
    with pytest.raises(ValidationError, match=message):
        MqttConfig.model_validate(section)


def _writable(command_topic: str) -> dict[str, Any]:
    return {"path": "P.FLOW", "topic": command_topic, "kind": "integer", "command_topic": command_topic}
