"""What the historian tells the edges of what it has stored."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.historian.support import ORIGIN, PLACE, START, TOPIC, Edge, eventually, ramp

from trunkline.config.site import HistorianConfig
from trunkline.historian.admission import Lane
from trunkline.historian.confirming import PERIOD_SECONDS, REPEAT_SECONDS, Confirmer
from trunkline.historian.role import run_historian
from trunkline.ledger.balance import REPLAY_ORIGIN
from trunkline.ledger.confirmation import Confirmation, ConfirmedLane, decode_confirmation
from trunkline.ledger.coverage import Coverage
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Positions, Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import CorruptData, RetryLater
from trunkline.model.events import Event
from trunkline.model.identity import uuid7

LAYOUT = Layout("gateway", 1)
EVENTS = TopicPartition("events.clean", 0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.db") as journal:
        journal.create(LAYOUT.catalogue(times.DAY))
        yield journal


def told(log: Journal) -> list[Confirmation]:
    records = log.read(TopicPartition(LAYOUT.confirmations, 0), 0)
    found = [decode_confirmation(record.value) for record in records]
    assert [record.key for record in records] == [one.origin.encode() for one in found]
    return found


class Desk:
    """A confirmer with a clock and a coverage that the test holds."""

    def __init__(self, log: Journal) -> None:
        self.now = 1000.0
        self.stored: dict[Lane, Coverage] = {}
        self.confirmer = Confirmer(log, LAYOUT, lambda: self.stored, lambda: self.now)

    def add(self, lo: int, hi: int, origin: str = ORIGIN, place: TopicPartition = PLACE) -> None:
        self.stored.setdefault((origin, place), Coverage()).add(lo, hi)
        self.confirmer.changed()

    def tend(self, after: float = 0.0) -> None:
        self.now += after
        self.confirmer.tend()


def test_what_changed_is_told_and_not_more_often_than_the_period(log: Journal) -> None:
    """PD-10: per origin, in the edge's own names, absolute; an origin without news is not repeated."""
    desk = Desk(log)
    desk.tend()
    assert told(log) == []
    desk.add(0, 10)
    desk.add(20, 30)
    desk.add(0, 2, place=EVENTS)
    desk.add(0, 5, "edge-2")
    desk.add(0, 7, REPLAY_ORIGIN)
    desk.tend()
    first, second = told(log)
    assert first.lanes == [ConfirmedLane("events.raw", 0, [(0, 2)]), ConfirmedLane("telemetry.raw", 0, [(0, 10), (20, 30)])]
    assert (second.origin, second.lanes) == ("edge-2", [ConfirmedLane("telemetry.raw", 0, [(0, 5)])])
    desk.add(10, 20)
    desk.tend(PERIOD_SECONDS - 1)
    assert len(told(log)) == 2
    desk.tend(1)
    third = told(log)[2]
    assert (third.origin, third.lanes[1].ranges) == (ORIGIN, [(0, 30)])
    desk.confirmer.changed()
    desk.tend(PERIOD_SECONDS)
    assert len(told(log)) == 3, "a flush that stored nothing new is no news"


def test_everything_is_told_again_every_hour(log: Journal) -> None:
    """PD-10: the topic keeps a day; the newest word of every origin outlives it."""
    desk = Desk(log)
    desk.add(0, 10)
    desk.add(0, 10, "edge-2")
    desk.tend()
    desk.tend(REPEAT_SECONDS - 1)
    assert len(told(log)) == 2
    desk.tend(1)
    assert [one.origin for one in told(log)] == [ORIGIN, "edge-2"] * 2


def test_a_log_that_is_away_delays_the_telling(log: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log's own tests make it fail for real; here its answer is switched, so that the moment of recovery is the test's choice."""
    real, away = log.append, {"log": True}

    def append(topic: str, records: list[Record]) -> Positions:
        if away["log"]:
            raise RetryLater("away")
        return real(topic, records)

    monkeypatch.setattr(log, "append", append)
    desk = Desk(log)
    desk.add(0, 10)
    desk.tend()
    away["log"] = False
    desk.tend(1)
    assert told(log) == [], "not at every turn of the loop"
    desk.tend(PERIOD_SECONDS)
    assert len(told(log)) == 1


def test_garbage_is_no_confirmation() -> None:
    with pytest.raises(CorruptData):
        decode_confirmation(b'{"origin": 1}')


def test_the_role_confirms_what_it_has_committed(log: Journal, conninfo: str) -> None:
    """PD-10: from the first flush on, and again by a role that was started anew."""
    edge = Edge()
    block = edge.block([*ramp("A", 30)])
    event = Event(id=str(uuid7()), type="UNIT_START", time=START, gateway_time=START, asset="PLANT01", text="start")
    head = BlockHead(ORIGIN, 0, 1, (Tally("plc", times.hour_of(START), 1),))
    log.append(TOPIC, [Record(block.value, block.key, block.headers, partition=0)])
    log.append(EVENTS.topic, [Record(encode_event(event), b"k", ((HEADER, encode_head(head)),))])
    for runs in (1, 2):
        stop = threading.Event()
        thread = threading.Thread(target=run_historian, args=(log, LAYOUT, conninfo, HistorianConfig(), stop))
        thread.start()
        try:
            eventually(lambda: {PLACE: 1, EVENTS: 1}.items() <= log.committed("historian").items())
            eventually(partial(lambda runs: len(told(log)) >= runs, runs))
        finally:
            stop.set()
            thread.join()
    lanes = {(lane.topic, lane.partition): lane.ranges for one in told(log) for lane in one.lanes}
    assert lanes == {("telemetry.raw", 0): [(0, 30)], ("events.raw", 0): [(0, 1)]}
