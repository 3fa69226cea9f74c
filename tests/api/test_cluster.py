"""The brokers behind the site log, as the API tells of them."""

import asyncio
from pathlib import Path

from trunkline.api.board import Board
from trunkline.api.cluster import ClusterWatch
from trunkline.api.metrics import Metrics
from trunkline.api.models import KafkaInfo, StatusInfo
from trunkline.config.loading import load
from trunkline.lab.kafka import Cluster
from trunkline.lab.ports import free_ports

SITE = 'site: plant\nlog: {engine: kafka, bootstrap: "%s", profile: development, insecure: true, timeout_seconds: %d}\n'
TROUBLE = KafkaInfo(
    at_us=1,
    brokers=[1, 2],
    brokers_away=[3],
    partitions=2,
    under_replicated=["telemetry.raw/0", "telemetry.raw/1"],
    under_min_isr=[],
    offline=[],
    topics=[],
    groups=[],
    disks=[],
    faults=[],
)


async def seen(folder: Path, bootstrap: str, metrics: Metrics, timeout: int = 60) -> KafkaInfo:
    """Return what a watch puts on the board first."""
    file = folder / "site.yaml"
    file.write_text(SITE % (bootstrap, timeout))
    board = Board(folder)
    assert StatusInfo.model_validate(board.status()).kafka is None
    watch = asyncio.create_task(ClusterWatch(load(file), board, metrics).run())
    async with asyncio.timeout(120):
        while board.kafka is None:
            await asyncio.sleep(0.01)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    status = StatusInfo.model_validate(board.status())
    assert status.kafka is not None
    return status.kafka


async def test_the_cluster_is_on_the_board_and_in_the_metrics(kafka: Cluster, tmp_path: Path) -> None:
    """Issue 4, item 5: the cluster on the page and as metrics."""
    metrics = Metrics()
    told = await seen(tmp_path, kafka.bootstrap, metrics)
    assert (told.brokers, told.brokers_away, told.faults) == ([1], [], [])
    text = metrics.text().decode()
    assert 'trunkline_kafka_brokers{state="up"} 1.0' in text
    assert 'trunkline_kafka_partitions{state="offline"} 0.0' in text
    (disk,) = told.disks
    assert f'trunkline_kafka_disk_bytes{{broker="1",directory="{disk.directory}"}}' in text


async def test_brokers_that_do_not_answer_are_a_fault(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    told = await seen(tmp_path, f"127.0.0.1:{port}", Metrics(), 1)
    assert told.brokers == []
    assert "no broker answers" in told.faults[0]


def test_figures_that_are_not_known_any_more_are_not_told() -> None:
    metrics = Metrics()
    group = {"group": "validate", "topic": "telemetry.raw", "behind": 40}
    topic = {"topic": "telemetry.raw", "partitions": 2, "records": 7, "records_per_s": 1.5, "disk_bytes": 9}
    metrics.kafka({**TROUBLE.model_dump(), "groups": [group], "topics": [topic]})
    text = metrics.text().decode()
    assert 'trunkline_kafka_behind_records{group="validate",topic="telemetry.raw"} 40.0' in text
    assert 'trunkline_kafka_records_per_second{topic="telemetry.raw"} 1.5' in text
    assert 'trunkline_kafka_partitions{state="under_replicated"} 2.0' in text
    assert 'trunkline_kafka_brokers{state="away"} 1.0' in text
    metrics.kafka(TROUBLE.model_dump())
    assert "trunkline_kafka_behind_records{" not in metrics.text().decode()
