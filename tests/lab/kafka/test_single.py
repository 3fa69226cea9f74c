"""A broker of one node: usable from any client, its data survives whatever ends it."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from tests.lab.kafka.records import SECONDS, consume, create_topic, produce

from trunkline.lab.kafka import BrokerFailed, Cluster, Jars
from trunkline.lab.kafka.installation import LIBS_VARIABLE
from trunkline.lab.kafka.ports import is_free
from trunkline.model.errors import Misconfigured


def test_records_come_back(kafka: Cluster, topic_prefix: str) -> None:
    topic = f"{topic_prefix}echo"
    create_topic(kafka, topic)
    produce(kafka, topic, [b"a", b"b"])
    assert consume(kafka, topic, 2) == [b"a", b"b"]


def test_data_survives_a_stop_and_a_kill(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        create_topic(cluster, "kept")
        produce(cluster, "kept", [b"1"])
        cluster.kill(1)
        assert cluster.brokers[0].pid is None
        cluster.restart(1)
        produce(cluster, "kept", [b"2"])
    with Cluster(tmp_path, ports=cluster.ports) as again:
        assert consume(again, "kept", 2) == [b"1", b"2"]
        client = AdminClient({**again.client_settings()})
        again.pause(1)
        with pytest.raises(KafkaException):
            client.list_topics(timeout=0.5)
        again.resume(1)
        assert "kept" in client.list_topics(timeout=SECONDS).topics
        again.pause(1)
    assert again.brokers[0].pid is None, "a paused broker is stopped, too"


def test_brokers_die_with_whoever_started_them(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from trunkline.lab.kafka import Cluster; c = Cluster(pathlib.Path(sys.argv[1])); c.start();"
        "print(c.brokers[0].pid, c.brokers[0].port, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pid, port = map(int, owner.stdout.readline().split())
        broker = psutil.Process(pid)
        assert not is_free(port)
        owner.kill()
    broker.wait(60)
    assert is_free(port)


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, settings={"log.segment.bytes": "none"})
    with pytest.raises(BrokerFailed, match=r"(?s)broker 1 ended while starting; its log .*log.segment.bytes"):
        cluster.start()


def test_missing_jars_give_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIBS_VARIABLE, str(tmp_path))
    with pytest.raises(Misconfigured, match=rf"no broker among the jars of {tmp_path}.*tools/install kafka.*{LIBS_VARIABLE}"):
        Jars.find()
