"""The alarm step in its runtime: every transition once and in order, whatever ends it when; people get answers (W-133, ED-23, D-36)."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.processing.test_memory import Failing
from tests.processing.test_runtime import eventually

from trunkline.config.alarms import AlarmsConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec.event_records import decode_event_record
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.alarms import Action, ActionKind, Lifecycle, State
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category, Kind, Reading
from trunkline.processing import memory
from trunkline.processing.alarms.book import AlarmBook, standing_of
from trunkline.processing.alarms.desk import ask
from trunkline.processing.alarms.plan import Plan
from trunkline.processing.alarms.step import AlarmStep
from trunkline.processing.runtime import StepRunner

LAYOUT = Layout("gateway", 3)
CLEAN = LAYOUT.topic(Category.TELEMETRY, "clean")
ALARMS = LAYOUT.topic(Category.ALARM, "raw")
TAGS = {f"P.U{number}.FLOW": TagConfig(path=f"P.U{number}.FLOW") for number in range(7)}
CONFIG = AlarmsConfig.model_validate(
    {
        "definitions": [
            {"id": "high", "tags": ["**.FLOW"], "kind": "high", "limit": 95, "deadband": 5},
            {"id": "jump", "tags": ["**.FLOW"], "kind": "rate", "limit": 30, "ack": "not"},
            {"id": "slow", "tags": ["**.FLOW"], "kind": "low", "limit": 5, "on_delay": 2, "off_delay": 1},
        ],
        "live_within": 3600 * 24 * 365,
    }
)
START = times.from_iso("2026-11-01T12:00:00Z")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Journal(tmp_path / "journal.db") as journal:
        journal.create(LAYOUT.catalogue(times.DAY))
    return tmp_path / "journal.db"


def feed(path: Path, seconds: int, seed: int) -> None:
    """Write clean blocks, one a second and partition, of values that wander over every limit."""
    dice = random.Random(seed)
    slots = [TagSlot.of(tag, "plc", Kind.DOUBLE, LAYOUT.telemetry_partitions) for tag in TAGS]
    values = dict.fromkeys(TAGS, 50.0)
    seq = 0
    ends: dict[int, int] = {}
    with Journal(path) as log:
        for second in range(seconds):
            moment = START + second * times.SECOND
            readings = []
            for slot in slots:
                values[slot.path] = min(110.0, max(-10.0, values[slot.path] + dice.gauss(0.0, 20.0)))
                readings.append((slot, Reading(slot.path, values[slot.path], 0, moment + dice.randrange(1000), moment)))
            blocks, after = write_blocks("gw", seq, {lane: ends.get(lane, 0) for lane in range(3)}, readings)
            ends = dict.fromkeys(range(3), after)
            seq = after
            log.append(CLEAN, blocks)


@contextmanager
def running(path: Path, *, seed: int | None = None, now: int | None = None) -> Iterator[StepRunner]:
    """The step at work; with a seed among failures."""
    stop = threading.Event()
    dice = random.Random(seed)
    clock = times.now if now is None else lambda: now
    runner = StepRunner(
        lambda: Journal(path) if seed is None else Failing(path, dice),  # type: ignore[arg-type,return-value]
        lambda: AlarmStep(LAYOUT, CONFIG, TAGS, clock),
        "evaluate-0",
        checkpoint_seconds=0.05,
    )
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join()


def transitions(path: Path) -> list[Event]:
    """Everything on the topic of raw alarms."""
    with Journal(path) as log:
        records = [record for at in sorted(log.bounds(ALARMS)) for record in log.read(at, 0, 100_000)]
    return [decode_event_record(record, RegistryClient()) for record in records]


def drain(path: Path) -> None:
    with Journal(path) as log:
        ends = {at: end for at, (_, end) in log.bounds(CLEAN).items() if end}
        eventually(lambda: all(log.committed("alarms").get(at) == end for at, end in ends.items()))


def told(events: list[Event]) -> dict[str, list[tuple[int, str]]]:
    """Transitions by alarm."""
    found: dict[str, list[tuple[int, str]]] = {}
    for event in events:
        life = Lifecycle.of(event)
        assert life is not None
        found.setdefault(life.key, []).append((event.time, f"{life.previous_state}>{life.state}"))
    return found


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.processing.runtime._PAUSES", (0.0,))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_transition_once_and_in_order(path: Path, tmp_path: Path, seed: int) -> None:
    """Commits that fail before or after they were stored change no transition."""
    now = START + 1000 * times.SECOND
    feed(path, 300, seed)
    with running(path, seed=seed, now=now):
        drain(path)
    calm = tmp_path / "calm.db"
    with Journal(calm) as journal:
        journal.create(LAYOUT.catalogue(times.DAY))
    feed(calm, 300, seed)
    with running(calm, now=now):
        drain(calm)
    events, expected = transitions(path), transitions(calm)
    assert len(events) > 200
    assert len({event.id for event in events}) == len(events), "each once"
    assert {event.id for event in events} == {event.id for event in expected}, "none missed"
    assert told(events) == told(expected)
    assert all(sorted(one) == one for one in told(events).values()), "in order"


def test_the_test_notices_a_step_that_forgets(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted defect: lives are left to checkpoints."""
    monkeypatch.setattr(AlarmBook, "changed", lambda _: {})
    with pytest.raises(AssertionError):
        test_every_transition_once_and_in_order(path, tmp_path, 1)


def test_a_person_gets_an_answer(path: Path) -> None:
    """W-136, D-37: what was seen is named, and an alarm that has moved on refuses."""
    with Journal(path) as log, running(path):
        slot = TagSlot.of("P.U0.FLOW", "plc", Kind.DOUBLE, LAYOUT.telemetry_partitions)
        moment = times.now()
        blocks, _ = write_blocks("gw", 0, {slot.partition: 0}, [(slot, Reading(slot.path, 99.0, 0, moment, moment))])
        log.append(CLEAN, blocks)
        eventually(lambda: bool(transitions(path)))
        (event,) = transitions(path)
        action = Action(kind=ActionKind.ACKNOWLEDGE, key="high:P.U0.FLOW", actor="north", occurrence=event.correlation_id)
        answer = ask(log, LAYOUT, action)
        assert answer is not None
        assert (answer.done, answer.key) == (True, "high:P.U0.FLOW")
        again = ask(log, LAYOUT, action)
        assert again is not None
        assert not again.done
        assert "nothing to acknowledge" in again.text
    acknowledged = transitions(path)[-1]
    life = Lifecycle.of(acknowledged)
    assert life is not None
    assert (life.state, life.acked_by, acknowledged.actor) == (State.ACKNOWLEDGED, "north", "north")


def test_what_was_asked_long_ago_is_not_done(path: Path) -> None:
    """An action that waited while the step was away is refused, and nobody is surprised by it."""
    with Journal(path) as log:
        action = Action(kind=ActionKind.SHELVE, key="high:P.U0.FLOW", actor="north", reason="works", seconds=60)
        assert ask(log, LAYOUT, action, seconds=0.05) is None
        with running(path):
            eventually(lambda: log.bounds(LAYOUT.alarm_answers)[TopicPartition(LAYOUT.alarm_answers, 0)][1] == 1)
        (record,) = log.read(TopicPartition(LAYOUT.alarm_answers, 0), 0, 10)
        assert b"too late" in record.value
        assert transitions(path) == []


def test_a_devices_own_alarm_has_a_life(path: Path) -> None:
    """It comes back from validation beside the step's own transitions, which are let pass."""
    clean = LAYOUT.topic(Category.ALARM, "clean")
    moment = times.now()
    with Journal(path) as log, running(path):
        for active in (True, True, False):
            moment += 1
            alarm = Alarm(
                id=str(uuid7()), type="HIGH_TEMP", time=moment, gateway_time=moment, asset="P.U1", source="mq",
                severity=AlarmSeverity.HIGH, active=active,
            )  # fmt: skip
            log.append(clean, [Record(encode_event(alarm), b"P.U1")])
        eventually(lambda: len(transitions(path)) == 2)
        first, second = transitions(path)
        log.append(clean, [Record(encode_event(one), b"P.U1") for one in (first, second)])
        eventually(lambda: sum(log.committed("alarms").get(at, 0) for at in log.bounds(clean)) == 5)
        assert len(transitions(path)) == 2
    lives = [Lifecycle.of(event) for event in (first, second)]
    assert [life and life.state for life in lives] == [State.UNACKNOWLEDGED, State.RETURNED_UNACKNOWLEDGED]


def test_a_shelf_expires_while_nothing_is_read(path: Path) -> None:
    with Journal(path) as log, running(path):
        action = Action(kind=ActionKind.SHELVE, key="high:P.U0.FLOW", actor="north", reason="works", seconds=0.2)
        answer = ask(log, LAYOUT, action)
        assert answer is not None
        assert answer.done
        eventually(lambda: len(transitions(path)) == 2)
    with Journal(path) as log:
        entries, _ = memory.kept(log, LAYOUT.state("alarms"))
        assert standing_of(Plan(CONFIG, TAGS), entries) == []


def test_what_waits_to_be_read_is_no_silence(path: Path) -> None:
    """After a standstill the step catches up: an hour of readings, poll by poll, is an hour without a stale alarm (D-36)."""
    config = AlarmsConfig.model_validate({"definitions": [{"id": "still", "tags": ["**.FLOW"], "kind": "stale", "silence": 20}]})
    now = START
    step = AlarmStep(LAYOUT, config, TAGS, lambda: now)
    feed(path, 30, 1)
    with Journal(path) as log:
        records = [record for at in sorted(log.bounds(CLEAN)) for record in log.read(at, 0, 100_000)]
    late, early = sorted(records, key=lambda record: -record.offset)[: len(records) // 2], records[: len(records) // 2]
    now = START + 50 * times.SECOND
    step.process(early)
    assert step.tick() == {}, "more may wait"
    step.process(late)
    assert step.tick() == {}
    assert sum(len(told) for told in step.tick().values()) == len(TAGS), "nothing came any more: now it is silence"
