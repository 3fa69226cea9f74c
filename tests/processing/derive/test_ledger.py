"""Derived readings on a real log, through the real validation into a real PostgreSQL: stored once, and the ledger closes over them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.historian.support import eventually
from tests.processing.derive.support import LAYOUT, RAW, at, definitions

from trunkline import __version__
from trunkline.config.derived import DERIVED
from trunkline.config.site import HistorianConfig, ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.historian.account import settled, take_account
from trunkline.historian.reader import Reader
from trunkline.historian.role import run_historian
from trunkline.ledger.balance import Balance
from trunkline.ledger.status import BufferStatus, EdgeCount, GatewayStatus, LinkStatus, encode_status
from trunkline.log.codec import columns as codec
from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.reading import Kind, Reading
from trunkline.processing.derive import DeriveStep
from trunkline.processing.port import Outputs
from trunkline.processing.validate import ValidateStep

RULES = definitions("[{path: TOTAL, calc: A + B, min: 0, max: 100}, {path: SHARE, calc: A / TOTAL}]")
TAGS = {f"P.A.U.{name}": TagConfig(path=f"P.A.U.{name}") for name in "AB"} | {rule.path: rule.tag for rule in RULES}
KINDS = {path: tag.value_kind for path, tag in TAGS.items()}


class Plant:
    """A site log with a gateway, validation and the derive step, each committing its positions with its outputs."""

    def __init__(self, log: Journal) -> None:
        self.log = log
        self.entries: dict[str, bytes] = {}
        self.second = 0
        self._seq = 0
        self._ends: dict[int, int] = {}
        self._validate = ValidateStep(LAYOUT, TAGS, ValidationConfig(), clock=lambda: at(self.second))

    def read(self, seconds: int) -> None:
        """The gateway forwards a scan of A and B each second, and its counts."""
        for _ in range(seconds):
            now = at(self.second)
            pairs = [
                (TagSlot.of(path, "plc", Kind.DOUBLE, LAYOUT.telemetry_partitions), Reading(path, value, 0, now, now))
                for path, value in (("P.A.U.A", float(self.second)), ("P.A.U.B", 3.0))
            ]
            records, self._seq = write_blocks("gw-origin", self._seq, self._ends, pairs)
            for record in records:
                assert record.partition is not None
                self._ends[record.partition] = decode_head(dict(record.headers)[HEADER]).hi
            self.log.append(RAW, records)
            self.second += 1

    def report(self) -> None:
        """The gateway tells its counts, complete up to now."""
        counts = [EdgeCount("plc", "telemetry", times.hour_of(at(0)), self._seq, self._seq, 0)]
        link, buffer = LinkStatus("up", at(0), None), BufferStatus(0, 0, None, 1)
        status = GatewayStatus("gw", "gw-origin", times.now(), __version__, [], buffer, link, counts)
        self.log.append(LAYOUT.gateway_status, [Record(encode_status(status), key=b"gw")])

    def validate(self) -> None:
        with self.log.consumer("validate", self._validate.inputs, "one", appends=self._validate.outputs) as consumer:
            while batch := consumer.poll(500, 0.0):
                consumer.commit(batch.positions, with_appends=self._validate.process(batch.records))

    def derive(self, *, killed_before_commit: bool = False, uncounted: bool = False, lost: bool = False) -> None:
        """One life of the derive step: state from the entries, turns, commits. `uncounted` and `lost` plant defects."""
        step = DeriveStep(LAYOUT, RULES, KINDS, "derived-origin")
        step.restore(self.entries)
        with self.log.consumer(step.name, step.inputs, "one", appends=step.outputs) as consumer:
            while batch := consumer.poll(500, 0.0):
                emitted = step.evaluate(codec.decode(batch.records), times.now())
                if killed_before_commit:
                    return
                emitted += step.tick(times.now() + times.MINUTE)
                outputs: Outputs = {}
                for topic, record in emitted:
                    if not (uncounted if topic == LAYOUT.gateway_status else lost):
                        outputs.setdefault(topic, []).append(record)
                consumer.commit(batch.positions, with_appends=outputs)
        self.entries = step.entries()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with Journal(tmp_path / "journal.db") as log:
        log.create(LAYOUT.catalogue(times.DAY * 36_500))
        yield Plant(log)


@contextmanager
def historian(log: Journal, conninfo: str) -> Iterator[None]:
    """The historian's role in a thread; what it has to store is stored at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=run_historian, args=(log, LAYOUT, conninfo, HistorianConfig(flush_seconds=0.1), stop))
    thread.start()
    try:
        yield
        eventually(lambda: settled(log, LAYOUT))
    finally:
        stop.set()
        thread.join()


def account(plant: Plant, conninfo: str) -> Balance:
    with historian(plant.log, conninfo):
        plant.report()
    with Reader(conninfo) as reader:
        return take_account(reader, plant.log, LAYOUT, recount=True)


def test_derived_readings_are_stored_once_and_the_ledger_closes(plant: Plant, conninfo: str) -> None:
    """Read = forwarded = stored + rejected, over lives of the step of which one ends before its commit; what is refused is counted."""
    for killed in (False, True, False):
        plant.read(50)
        plant.validate()
        plant.derive(killed_before_commit=killed)
        plant.derive()
        plant.validate()
        plant.derive()
    balance = account(plant, conninfo)
    assert balance.balanced, balance
    assert balance.quiet
    (row,) = [row for row in balance.rows if row.gateway == DERIVED]
    assert (row.source, row.read, row.forwarded, row.stored, row.rejected) == (DERIVED, 300, 300, 248, 52)
    with Reader(conninfo) as reader:
        total = reader.raw("P.A.U.TOTAL", at(0), at(1000))
        assert total.number.tolist() == [second + 3.0 for second in range(98)]
        share = reader.at("P.A.U.SHARE", at(7))
        assert share is not None
        assert share.value == 0.7


def test_the_ledger_tells_when_a_derived_reading_was_never_counted(plant: Plant, conninfo: str) -> None:
    """The planted defect: the step's reports are lost, so more is stored than was ever read."""
    plant.read(5)
    plant.validate()
    plant.derive(uncounted=True)
    plant.validate()
    balance = account(plant, conninfo)
    assert not balance.balanced
    assert sum(row.surplus for row in balance.rows) == 10


def test_the_ledger_tells_when_a_derived_reading_is_lost(plant: Plant, conninfo: str) -> None:
    """The planted defect: one scan's derived readings are counted and never appended."""
    plant.read(5)
    plant.validate()
    plant.derive()
    plant.read(1)
    plant.validate()
    plant.derive(lost=True)
    plant.read(1)
    plant.validate()
    plant.derive()
    plant.validate()
    balance = account(plant, conninfo)
    assert not balance.balanced
    assert sum(row.missing for row in balance.rows) == 2
    assert {hole.gateway for hole in balance.holes} == {DERIVED}
