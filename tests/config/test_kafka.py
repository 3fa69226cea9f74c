"""The site log on Apache Kafka: what the site file may say of the connection."""

from typing import Any

import pytest
from tests.config.conftest import SiteWriter

from trunkline.config.kafka import KafkaSecurity, addresses
from trunkline.config.loading import check, load
from trunkline.config.problems import errors
from trunkline.config.site import LogConfig

SCRAM = {"username": "gateway-g1", "password": "${env:KAFKA_PASSWORD}", "ca": "certs/ca.pem"}


def test_the_journal_needs_nothing() -> None:
    assert LogConfig().engine == "journal"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, "no brokers"),
        ({"bootstrap": "kafka-1"}, "'kafka-1' is no broker address"),
        ({"bootstrap": "kafka-1:0"}, "no broker address"),
        ({"bootstrap": "kafka-1:9092,"}, "'' is no broker address"),
        ({"bootstrap": "127.0.0.1:9092"}, "not secured: add a 'security' section"),
        ({"bootstrap": "127.0.0.1:9092,kafka-1:9092", "insecure": True}, "plain text to kafka-1"),
        ({"bootstrap": "127.0.0.1:9092", "insecure": True, "security": SCRAM}, "exclude each other"),
        ({"bootstrap": "kafka-1:9093", "security": {"ca": "certs/ca.pem"}}, "who this site is"),
        ({"bootstrap": "kafka-1:9093", "security": {"username": "a"}}, "'username' is given without 'password'"),
        ({"bootstrap": "kafka-1:9093", "security": {"password": "${env:A}"}}, "'password' is given without 'username'"),
        ({"bootstrap": "kafka-1:9093", "security": {"certificate": "a.pem"}}, "'certificate' is given without 'key'"),
        ({"bootstrap": "kafka-1:9093", "security": {**SCRAM, "key": "a.pem"}}, "'key' is given without 'certificate'"),
        ({"bootstrap": "kafka-1:9093", "security": {**SCRAM, "mechanism": "PLAIN"}}, "SCRAM-SHA-512"),
    ],
)
def test_half_a_connection_is_refused(keys: dict[str, Any], told: str) -> None:
    """ED-4, D-40: half-set TLS or credentials are an error; plain text is a choice, and only on this machine."""
    with pytest.raises(ValueError, match=told):
        LogConfig(engine="kafka", **keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"bootstrap": "127.0.0.1:9092, localhost:9093,[::1]:9094", "insecure": True},
        {"bootstrap": "kafka-1:9093", "security": SCRAM},
        {"bootstrap": "kafka-1:9093", "security": {"certificate": "a.pem", "key": "a.pem"}},
    ],
)
def test_a_whole_connection_is_taken(keys: dict[str, Any]) -> None:
    config = LogConfig(engine="kafka", **keys)
    assert config.profile == "production"
    assert addresses(config.bootstrap)


def test_the_principal_has_the_name_of_access_lists() -> None:
    assert KafkaSecurity(**SCRAM).principal == "User:gateway-g1"
    assert KafkaSecurity(certificate="a.pem", key="a.pem").principal == "the subject of a.pem"


def test_errors_have_a_line_and_a_mend(site_file: SiteWriter) -> None:
    (problem,) = check(site_file("site: a\nlog:\n  engine: kafka\n  bootstrap: kafka-1:9092\n"))
    assert (problem.line, problem.path) == (3, "log")
    assert problem.mend.startswith("add a 'security' section")


def test_insecure_and_idle_settings_are_told(site_file: SiteWriter) -> None:
    """D-40: a connection without encryption is visible; settings that no engine reads are a slip."""
    (warning,) = load(site_file("site: a\nlog: {engine: kafka, bootstrap: '127.0.0.1:9092', insecure: true}\n")).warnings
    assert "plain text" in warning.message
    (warning,) = load(site_file("site: a\nlog: {bootstrap: '127.0.0.1:9092', insecure: true}\n")).warnings
    assert "'bootstrap', 'insecure'" in warning.message


def test_a_password_written_out_is_told(site_file: SiteWriter) -> None:
    """W-167: secrets stay out of the file."""
    text = "site: a\nlog: {engine: kafka, bootstrap: 'k:1', security: {username: a, password: hunter2}}\n"
    (warning,) = load(site_file(text)).warnings
    assert warning.path == "log.security.password"


def test_files_that_are_missing_are_told_before_the_start(site_file: SiteWriter) -> None:
    text = "site: a\nlog: {engine: kafka, bootstrap: 'k:1', security: {ca: ca.pem, certificate: own.pem, key: own.pem}}\n"
    file = site_file(text)
    (file.parent / "own.pem").write_text("")
    (problem,) = check(file)
    assert problem.path == "log.security.ca"
    assert "no such file" in problem.message


def test_a_number_out_of_a_few_is_told_which(site_file: SiteWriter) -> None:
    (problem,) = check(site_file("site: a\nlab: {kafka_brokers: 2}\n"))
    assert problem.mend == "allowed are: 0, 1, 3"


BROKERS = "site: a\nlog: {{engine: kafka, bootstrap: '{bootstrap}', {how}}}\nlab: {{kafka_brokers: {brokers}}}\n"
OPEN = "insecure: true"
SECURED = "security: {username: site, password: '${env:A}'}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("site: a\nlab: {kafka_brokers: 1}\n", "engine is 'journal'"),
        (BROKERS.format(bootstrap="127.0.0.1:1,127.0.0.1:2", how=OPEN, brokers=1), "need as many addresses"),
        (BROKERS.format(bootstrap="k-1:1,k-2:1,k-3:1", how=SECURED, brokers=3), "on this machine"),
        (BROKERS.format(bootstrap="127.0.0.1:1", how=SECURED, brokers=1), "one broker of the lab speaks plain text"),
        (BROKERS.format(bootstrap="127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", how=OPEN, brokers=3), "three brokers of the lab are secured"),
    ],
)
def test_brokers_of_the_lab_are_those_that_the_site_uses(
    text: str, message: str, site_file: SiteWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A", "secret")
    (problem,) = errors(check(site_file(text)))
    assert message in problem.message
    assert problem.mend
