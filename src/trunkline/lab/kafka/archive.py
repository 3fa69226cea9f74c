"""An archive of the classes that a broker loads (AppCDS), made once a machine: halves the time that a broker needs to start.

It holds for one Java, one list of jars and one garbage collector; Java itself leaves it aside where it does not fit.
"""

import fcntl
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from trunkline.lab.kafka.broker import Broker, BrokerFailed
from trunkline.lab.kafka.installation import Jars
from trunkline.lab.kafka.jvm import Jvm
from trunkline.lab.kafka.ports import lasting_ports
from trunkline.lab.kafka.settings import LOG4J, NodePorts, properties, text
from trunkline.lab.kafka.storage import kept_metadata, lay_out, new_id

_SECONDS: Final = 30.0


def cache_folder(jars: Jars) -> Path:
    """Return where things derived from the jars are kept: beside them, or in the user's cache where those are not ours to write."""
    beside = jars.folder.parent
    folder = beside / "cache" if os.access(beside, os.W_OK) else platformdirs.user_cache_path("trunkline") / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def loaded_classes(jars: Jars) -> str | None:
    """Return the value of -XX:SharedArchiveFile; the first call makes the archive, others wait for it.

    None where this Java cannot make one: brokers then start without.
    """
    cache = cache_folder(jars)
    archive = cache / f"{jars.fingerprint}.jsa"
    refused = archive.with_suffix(".refused")
    if not archive.exists() and not refused.exists():
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not archive.exists() and not refused.exists():
                with suppress(BrokerFailed, KafkaException, OSError):  # brokers run without, and the next one tries again
                    _make(jars, cache, archive)
                    if not archive.exists():
                        refused.touch()
    if not archive.exists():
        return None
    base = _base(jars, cache)
    return f"{base}{os.pathsep}{archive}" if base else str(archive)


def _base(jars: Jars, cache: Path) -> Path | None:
    """The archive of Java's own classes that ours builds upon; None where Java brings one."""
    own = jars.java.parent.parent / "lib" / "server" / "classes.jsa"
    return None if own.exists() else cache / f"{jars.fingerprint}.base.jsa"


def _make(jars: Jars, cache: Path, archive: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as scratch:
        folder = Path(scratch)
        extra = [f"-XX:ArchiveClassesAtExit={folder / 'classes.jsa'}"]
        if base := _base(jars, cache):
            command = [str(jars.java), "-XX:+UseSerialGC", "-Xshare:dump", f"-XX:SharedArchiveFile={base}"]
            subprocess.run(command, capture_output=True, timeout=120, check=False)
            extra.append(f"-XX:SharedArchiveFile={base}")
        _run_broker(jars, folder, extra, kept_metadata(jars, cache))
        if (folder / "classes.jsa").exists():
            (folder / "classes.jsa").replace(archive)


def _run_broker(jars: Jars, folder: Path, extra: list[str], metadata: bytes) -> None:
    """Let a broker do what brokers do, so that it loads what they load."""
    ports = NodePorts(*lasting_ports(3))
    broker = Broker(1, folder, ports.client)
    log4j, config, data = folder / "log4j2.properties", folder / "server.properties", folder / "data"
    log4j.write_text(LOG4J)
    config.write_text(text(properties(1, [ports], data, None, {})))
    lay_out(data, metadata, new_id(), 1)
    broker.command = jars.command("kafka.Kafka", [config], [*Jvm().flags(log4j), *extra])
    broker.spawn()
    try:
        broker.wait_open()
        _use(broker.address)
    finally:
        broker.stop()


def _use(address: str) -> None:
    settings: dict[str, str | int | float | bool] = {"bootstrap.servers": address, "log_level": 2}
    admin = AdminClient(settings)
    admin.create_topics([NewTopic("t", 2, 1)])["t"].result(_SECONDS)
    for codec in ("lz4", "zstd"):
        producer = Producer({**settings, "compression.type": codec, "enable.idempotence": True, "transactional.id": codec})
        producer.init_transactions(_SECONDS)
        producer.begin_transaction()
        for number in range(10):
            producer.produce("t", f"{number}" * 100, f"{number}")
        producer.commit_transaction(_SECONDS)
    for protocol in ("classic", "consumer"):
        consumer = Consumer({**settings, "group.id": protocol, "group.protocol": protocol, "auto.offset.reset": "earliest"})
        consumer.subscribe(["t"])
        if consumer.consume(10, _SECONDS):
            consumer.commit(asynchronous=False)
        consumer.close()
