"""What the benches of the Kafka path rest on: every way gets the same readings, and runs are put together pair by pair."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import chosen
from bench.peers import readings, report, topics
from trunkline.log.codec.columns import decode
from trunkline.log.partitioner import partition_of
from trunkline.log.port import StoredRecord
from trunkline.model import times


@pytest.fixture(scope="module")
def made() -> readings.Readings:
    return readings.make(5_000, tags=100, partitions=6)


def rows_of(made: readings.Readings) -> set[tuple[str, int, float]]:
    tags = [made.tags[tag] for tag in made.tag.tolist()]
    return set(zip(tags, made.time.tolist(), made.value.tolist(), strict=True))


def test_no_tag_has_two_readings_of_one_time(made: readings.Readings) -> None:
    assert len(rows_of(made)) == len({(tag, time) for tag, time, _ in rows_of(made)}) == 5_000


def test_blocks_hold_every_reading_once_and_meet_in_each_partition(made: readings.Readings) -> None:
    records = list(readings.blocks(made, size=70))
    columns = decode([StoredRecord("t", one.partition or 0, n, 0, None, one.value, one.headers) for n, one in enumerate(records)])
    tags = [columns.tags[tag] for tag in columns.tag.tolist()]
    assert set(zip(tags, columns.time.tolist(), columns.number.tolist(), strict=True)) == rows_of(made)
    assert sorted(columns.seq.tolist()) == list(range(5_000))
    assert {one.partition for one in records} == {partition_of(tag.encode(), 6) for tag in made.tags}
    reached = dict.fromkeys(range(6), 0)
    for record, head in zip(records, columns.heads, strict=True):
        assert record.partition is not None
        assert head.lo == reached[record.partition]
        assert head.readings <= 70
        reached[record.partition] = head.hi


def test_json_of_both_peers_holds_the_same_readings(made: readings.Readings) -> None:
    plain = [json.loads(record.value) for record in topics.plain_json(made)]
    wrapped = [json.loads(record.value) for record in topics.connect_json(made)]
    assert [one["payload"] for one in wrapped] == plain
    assert {field["field"] for field in wrapped[0]["schema"]["fields"]} == set(plain[0])
    found = {(made.tags[one["tag_id"]], times.from_datetime(datetime.fromisoformat(one["ts"])), one["value"]) for one in plain}
    assert found == rows_of(made)


def test_csv_has_the_order_asked_for(made: readings.Readings, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(len(made))
    readings.write_csv(made, order, tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines] == made.tag[order].tolist()
    assert float(lines[0].split(",")[2]) == made.value[order[0]]


def line(rates: list[float], peer_rates: list[float]) -> str:
    facts = {"seconds": 1.0}
    return json.dumps(
        {"bench": "x", "rates": rates, "peer_rates": peer_rates, "goal": 2.0, "passed": False, "runs": len(rates), "facts": facts}
        | {"peer_facts": facts, "cpu_s": 1, "rss_mb": 1, "peer_cpu_s": 1, "peer_rss_mb": 1}
    )


def test_parts_of_a_figure_become_one_by_pairs() -> None:
    """A machine that was slow for one pair must not shift the ratio."""
    figures = report.merged([line([100, 200], [50, 100]), line([30], [10]), json.dumps({"bench": "all", "passed": True})])
    assert list(figures) == ["x"]
    assert figures["x"]["ratio"] == 2.0
    assert figures["x"]["runs"] == 3
    assert figures["x"]["rate"] == 100
    assert figures["x"]["passed"]


def test_the_kafka_suite_runs_only_when_asked_for() -> None:
    assert all(script.suite == "" for script in chosen("", "", short=True))
    assert {script.module for script in chosen("", "kafka", short=False)} == {"path_kafka", "forward_kafka", "edge_kafka"}
    assert [script.module for script in chosen("path.kafka.blocks", "", short=False)] == ["path_kafka"]
