"""`trunkline topics` and `trunkline tail`: a site's topics from nothing to drift, and a look into them, on both engines."""

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from tests.cli.support import trunkline
from tests.log.readings import envelope

from trunkline.cli.kafka_cluster import secure
from trunkline.config.loading import load
from trunkline.lab.kafka import Cluster
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.opening import layout_of
from trunkline.log.port import Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category, Kind, Reading
from trunkline.supervisor.wiring import site_log

FLOW: Final = "PLANT01.AREA02.UNIT_05.FLOW_RATE"
LEVEL: Final = "PLANT01.AREA02.UNIT_05.LEVEL"
START: Final = 1_780_000_000_000_000

JOURNAL: Final = """\
site: plant
log: {layout: isa95, partitions: 2}
gateways: [{id: g1}]
"""
KAFKA: Final = """\
site: plant
log:
  engine: kafka
  bootstrap: %s
  profile: development
  layout: isa95
  partitions: 2
  security: {username: site, password: "${secret:kafka-site}", ca: %s}
gateways: [{id: g1}]
"""


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One secured broker for this module: its topics have the names of a site's."""
    directory = tmp_path_factory.mktemp("brokers")
    with Cluster(directory, 1, secure(directory, 1)) as cluster:
        yield cluster


@pytest.fixture
def journal_file(tmp_path: Path) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(JOURNAL)
    return file


@pytest.fixture(scope="module")
def kafka_file(tmp_path_factory: pytest.TempPathFactory, brokers: Cluster) -> Path:
    """A site whose brokers hold nothing but their administrator."""
    assert brokers.security is not None
    file = tmp_path_factory.mktemp("site") / "site.yaml"
    file.write_text(KAFKA % (brokers.bootstrap, brokers.security.ca))
    load(file).secrets.put("kafka-admin", brokers.security.admin.password)
    return file


@pytest.fixture(params=["journal", "kafka"])
def file(request: pytest.FixtureRequest) -> Path:
    """A site with its topics and something in them."""
    chosen: Path = request.getfixturevalue(f"{request.param}_file")
    assert trunkline("topics", "apply", chosen).code == 0
    fill(chosen)
    return chosen


def fill(file: Path) -> None:
    """Write two blocks and an alarm, as a gateway would; once for each log."""
    site = load(file)
    layout = layout_of(site.config.log)
    with site_log(site) as log:
        if any(first < end for first, end in log.bounds("scada.l2.alarms").values()):
            return
        slots = [TagSlot(tag, "plc", Kind.DOUBLE, layout.lane_of(tag)) for tag in (FLOW, LEVEL)]
        pairs = [(slot, Reading(slot.path, 20.0 + place, 0, START + place, START + place)) for place, slot in enumerate(slots * 2)]
        blocks, _ = write_blocks("edge", 0, {}, pairs)
        for block in blocks:
            at = layout.place_of(block.partition or 0)
            log.append(at.topic, [block._replace(partition=at.partition)])
        alarm = Alarm(id=str(uuid7()), type="HIGH_FLOW", time=START, gateway_time=START, asset="PLANT01", severity=AlarmSeverity.HIGH)
        log.append(layout.topic(Category.ALARM, "raw"), [Record(encode_event(alarm), b"PLANT01")])


# --- plan, apply, drift


def test_a_journal_from_nothing_to_drift(journal_file: Path) -> None:
    """Issue 4: the same commands on the embedded log."""
    plan = trunkline("topics", "plan", journal_file, "--json")
    assert plan.code == 0
    assert plan.documents[-1] == {"steps": len(Layout("isa95", 1).specs()), "findings": 0, "passed": True}
    assert trunkline("topics", "drift", journal_file).code == 1
    assert trunkline("topics", "apply", journal_file, "--json").documents[-1]["steps"] == len(Layout("isa95", 1).specs())
    assert trunkline("topics", "drift", journal_file).code == 0
    assert "nothing to do" in trunkline("topics", "apply", journal_file).text

    journal_file.write_text(JOURNAL.replace("partitions: 2", "partitions: 2, retention_hours: 48"))
    changed = trunkline("topics", "drift", journal_file)
    assert changed.code == 1
    assert "retention.ms 86400000 → 172800000" in changed.text
    journal_file.write_text(JOURNAL.replace("partitions: 2", "partitions: 3"))
    refused = trunkline("topics", "apply", journal_file)
    assert refused.code == 1
    assert "PD-18" in refused.text


def test_a_cluster_from_nothing_to_drift(kafka_file: Path, brokers: Cluster) -> None:
    """P-90, P-91, P-93, PD-13, PD-15: topics, users and rights by one command; passwords are made once and never shown."""
    said = trunkline("topics", "apply", kafka_file)
    assert said.code == 0, said.text
    assert "create topic scada.l2.telemetry.flow: 2 partitions, 1 copy" in said.text
    secrets = load(kafka_file).secrets.directory
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {"kafka-gateway-g1", "kafka-validate", "kafka-historian", "kafka-api", "kafka-site"} <= made.keys()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets.iterdir())
    assert not any(password in said.text + said.out for password in made.values())

    again = trunkline("topics", "apply", kafka_file, "--json")
    assert (again.code, again.documents) == (0, [{"steps": 0, "rotated": 0, "findings": 0, "passed": True}])
    assert {path.name: path.read_text() for path in secrets.iterdir()} == made
    assert trunkline("topics", "drift", kafka_file, "--json").documents == [{"steps": 0, "findings": 0, "passed": True}]

    client = AdminClient({**brokers.client_settings()})
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    (altered,) = client.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, "scada.l2.events", incremental_configs=[entry])]
    ).values()
    altered.result()
    found = trunkline("topics", "drift", kafka_file, "--json")
    assert found.code == 1
    assert found.documents[0] == {
        "action": "change settings",
        "subject": "scada.l2.events",
        "changes": {"retention.ms": {"from": "1000", "to": "2592000000"}},
    }
    assert trunkline("topics", "apply", kafka_file).code == 0
    assert trunkline("topics", "drift", kafka_file).code == 0


def test_people_of_other_houses(kafka_file: Path) -> None:
    said = trunkline("topics", "apply", kafka_file, "--reader", "bi", "--producer", "erp", "--mirror", "rig")
    assert said.code == 0
    assert "create user reader-bi (password in the secret kafka-reader-bi)" in said.text
    assert trunkline("topics", "drift", kafka_file, "--reader", "bi", "--producer", "erp", "--mirror", "rig").code == 0
    shown = trunkline("tail", kafka_file, "scada.l3.alarms", "--as", "reader-bi")
    assert (shown.code, "no such records" in shown.text) == (0, True)
    refused = trunkline("topics", "produce", kafka_file, "scada.l3.alarms", "--value", "x", "--yes", "--as", "producer-erp")
    assert refused.code == 2
    assert "no topic 'scada.l3.alarms' that User:producer-erp may see" in refused.text


def test_another_password(kafka_file: Path) -> None:
    """PD-15: the old password ends, the new one works."""
    assert trunkline("topics", "apply", kafka_file).code == 0
    store = load(kafka_file).secrets
    before = (store.directory / "kafka-api").read_text()
    assert trunkline("topics", "apply", kafka_file, "--rotate", "api", "--json").documents[-1]["rotated"] == 1
    after = (store.directory / "kafka-api").read_text()
    assert before != after
    assert trunkline("topics", "list", kafka_file, "--as", "api").code == 0
    store.put("kafka-api", before, overwrite=True)
    refused = trunkline("topics", "list", kafka_file, "--as", "api")
    store.put("kafka-api", after, overwrite=True)
    assert refused.code == 2
    assert "the brokers do not accept User:api" in refused.text
    assert before not in refused.text


def test_a_service_cannot_look_as_an_administrator(kafka_file: Path) -> None:
    assert trunkline("topics", "apply", kafka_file).code == 0
    said = trunkline("topics", "drift", kafka_file, "--as", "gateway-g1")
    assert said.code == 2
    assert "User:gateway-g1 has no right to topic" in said.text


def test_three_copies_need_three_brokers(kafka_file: Path) -> None:
    """PD-20, ED-3."""
    assert trunkline("topics", "apply", kafka_file).code == 0
    said = trunkline("topics", "plan", kafka_file, "--profile", "production", "--json")
    assert said.documents[-1]["steps"] == 0
    assert all("wants 3 copies, the cluster has 1 broker" in one["problem"] for one in said.documents[:-1])


# --- looking


def test_list(file: Path) -> None:
    """E-69."""
    said = trunkline("topics", "list", file, "--json")
    assert said.code == 0
    rows = {row["topic"]: row for row in said.documents[:-1]}
    assert said.documents[-1]["missing"] == []
    assert rows["scada.l2.telemetry.flow"]["records"] == 1
    assert rows["scada.l2.telemetry.other"]["form"] == "block"
    assert rows["scada.l2.alarms"]["records"] >= 1
    assert "scada.l2.telemetry.flow" in trunkline("topics", "list", file).text


def test_show(file: Path) -> None:
    said = trunkline("topics", "show", file, "scada.l2.telemetry.flow", "--json")
    (found,) = said.documents
    assert (found["owner"], found["form"]) == ("gateway", "block")
    assert sum(one["next"] - one["first"] for one in found["offsets"]) == 1
    assert "retention.ms" in found["settings"]
    assert "validate" in found["readers"]
    assert "flow measurements from nodes" in trunkline("topics", "show", file, "scada.l2.telemetry.flow").text
    missing = trunkline("topics", "show", file, "scada.l9")
    assert missing.code == 2
    assert "there is no topic 'scada.l9': there are" in missing.text


def test_groups_and_their_lag(file: Path) -> None:
    """P-108, E-69."""
    site = load(file)
    at = TopicPartition("scada.l2.alarms", layout_of(site.config.log).event_place(Category.ALARM, b"PLANT01").partition)
    with site_log(site) as log, log.consumer("validate", ["scada.l2.alarms"], "worker-0") as consumer:
        # a poll in which the share is dealt hands over nothing
        batch = next(batch for batch in iter(lambda: consumer.poll(1, 30), None) if batch.records)
        assert batch.records[0].partition == at.partition
        consumer.commit({at: batch.positions[at]})
    (row,) = [one for one in trunkline("topics", "groups", file, "--json").documents[:-1] if one["topic"] == at.topic]
    ends = trunkline("topics", "show", file, at.topic, "--json").documents[0]["offsets"]
    assert row["group"] == "validate"
    assert row["lag"] == sum(one["next"] for one in ends if one["partition"] == at.partition) - batch.positions[at]
    assert "validate" in trunkline("topics", "groups", file).text


def test_a_block_is_told_reading_by_reading(file: Path) -> None:
    said = trunkline("tail", file, "scada.l2.telemetry.flow", "--decode", "--json")
    (record,) = said.documents
    assert record["form"] == "block"
    assert [(one["tag"], one["value"], one["quality"]) for one in record["content"]] == [(FLOW, 20.0, "GOOD"), (FLOW, 22.0, "GOOD")]
    assert record["content"][0]["time"] == "2026-05-28T20:26:40.000000Z"
    people = trunkline("tail", file, "scada.l2.telemetry.flow", "--decode").text
    assert f"{FLOW} = 22.0 GOOD" in people
    assert "content" not in trunkline("tail", file, "scada.l2.telemetry.flow", "--json").documents[0]


@pytest.mark.parametrize(("key", "records"), [(FLOW, 1), ("PLANT01.*", 1), ("PLANT02.*", 0), (LEVEL, 0)])
def test_readings_of_one_tag(file: Path, key: str, records: int) -> None:
    said = trunkline("tail", file, "scada.l2.telemetry.flow", "--decode", "--json", "--key", key)
    assert len(said.documents) == records


def test_an_alarm(file: Path) -> None:
    said = trunkline("tail", file, "scada.l2.alarms", "--decode", "--json", "--from", "earliest", "--limit", "1")
    (record,) = said.documents
    assert (record["form"], record["key"]) == ("alarm", "PLANT01")
    assert (record["content"]["type"], record["content"]["severity"]) == ("HIGH_FLOW", "HIGH")


def test_places_and_times_to_begin_at(file: Path) -> None:
    topic = "scada.l3.log.gateways"
    for number in range(5):
        assert trunkline("topics", "produce", file, topic, "--value", f'{{"n":{number}}}', "--yes").code == 0
    last = trunkline("tail", file, topic, "--json", "--limit", "1").documents[0]["offset"]

    def numbers(*arguments: str) -> list[int]:
        said = trunkline("tail", file, topic, "--decode", "--json", *arguments)
        assert said.code == 0, said.text
        return [one["content"]["n"] for one in said.documents]

    assert numbers("--limit", "2") == [3, 4]
    assert numbers("--from", str(last - 1)) == [3, 4]
    assert numbers("--from", "1h")[-5:] == [0, 1, 2, 3, 4]
    assert numbers("--from", "2031-01-01T00:00:00Z") == []
    assert numbers("--from", "earliest", "--partition", "0", "--limit", "1") == [0]
    wrong = trunkline("tail", file, topic, "--from", "yesterday")
    assert (wrong.code, "'yesterday' is no time" in wrong.text) == (2, True)
    nowhere = trunkline("tail", file, topic, "--partition", "7")
    assert (nowhere.code, "has no partition 7: it has 1, counted from 0" in nowhere.text) == (2, True)


def test_follow(file: Path) -> None:
    """What comes is told as it comes, until Ctrl-C."""
    topic = "scada.l3.notice.overflow"
    command = [sys.executable, "-m", "trunkline.cli.entry", "tail", str(file), topic, "--follow", "--json", "--from", "earliest"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            trunkline("topics", "produce", file, topic, "--value", "first", "--key", "k", "--yes")
            assert child.stdout is not None
            assert '"key": "k"' in child.stdout.readline()
            child.send_signal(signal.SIGINT)
            assert child.wait(60) == 0
        finally:
            if child.poll() is None:
                child.kill()


# --- writing


def test_produce(file: Path, tmp_path: Path) -> None:
    """E-69: one record, with a question before it."""
    topic = "scada.l2.events"
    source = tmp_path / "value.bin"
    source.write_bytes(b"\xff\x00")
    said = trunkline("topics", "produce", file, topic, "--key", "PLANT01", "--file", source, "--header", "by=me", "--yes", "--json")
    assert said.code == 0
    (written,) = said.documents
    found = trunkline("tail", file, topic, "--decode", "--json", "--from", str(written["offset"]), "--partition", str(written["partition"]))
    (record,) = found.documents
    assert (record["content"], record["form"], record["key"], record["headers"]) == ("ff00", "bytes", "PLANT01", ["by"])
    unanswered = trunkline("topics", "produce", file, topic, "--value", "x")
    assert unanswered.code != 0


def test_produce_refuses_what_would_be_a_dead_letter(file: Path) -> None:
    said = trunkline("topics", "produce", file, "scada.l2.telemetry.other", "--value", "{}", "--yes")
    assert said.code == 2
    assert "holds blocks" in said.text
    event = envelope(category="event").decode()
    said = trunkline("topics", "produce", file, "scada.l2.telemetry.other", "--value", event, "--yes")
    assert (said.code, "category event" in said.text) == (2, True)
    clean = trunkline("topics", "produce", file, "scada.l3.telemetry.other", "--value", envelope().decode(), "--yes")
    assert (clean.code, "what validation lets pass" in clean.text) == (2, True)
    reading = trunkline(
        "topics", "produce", file, "scada.l2.telemetry.other", "--value", envelope().decode(), "--key", "P.A.U.FLOW", "--yes"
    )
    assert reading.code == 0, "an envelope is what this topic takes (P-8)"
    assert trunkline("topics", "produce", file, "scada.l2.telemetry.temperature", "--value", "{}", "--yes", "--raw").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give the value once"),
        (("--value", "a", "--file", "b"), "give the value once"),
        (("--file", "/nowhere"), "no such file"),
        (("--value", "a", "--header", "x"), "write NAME=TEXT"),
    ],
)
def test_produce_explains(journal_file: Path, arguments: tuple[str, ...], says: str) -> None:
    said = trunkline("topics", "produce", journal_file, "scada.l2.events", "--yes", *arguments)
    assert said.code == 2
    assert says in said.text
