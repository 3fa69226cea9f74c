"""Broken and refused records in the stream, one in a thousand: each is kept with bytes and reason, nothing else is lost or delayed (P-18).

kafka-poison           blocks and single records with broken ones between; two workers, two historians
kafka-poison-dropped   a validation step that drops what it cannot read: must be caught
"""

import io
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

import fastavro
import numpy as np

from bench.peers import forms
from bench.peers import readings as making
from bench.peers.readings import Readings
from drills.flow import PARTITIONS, Flow, Writer, flow
from drills.stage import say
from drills.told import Told, compare, told_by
from trunkline.cli.status import records_behind
from trunkline.ledger.balance import unbalanced
from trunkline.log.codec.schemas import PARSED, SINGLE_ID, frame
from trunkline.log.opening import layout_of
from trunkline.log.partitioner import partition_of
from trunkline.log.port import Log, Record, TopicPartition
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.model.reading import Category
from trunkline.processing.deadletter import FORM, ORIGINAL, decode_dead_letter
from trunkline.processing.validate.step import ValidateStep
from trunkline.supervisor.wiring import account, conninfo, site_log

#: Records a second at most, records before the first broken one, and broken or refused ones after them.
FULL: Final = {"rate": 1_500, "clean": 45_000, "poison": 270}
SHORT: Final = {"rate": 1_000, "clean": 4_000, "poison": 12}
#: One in so many records is broken or refused.
EVERY: Final = 1000
MEMBERS: Final = 2
_TAGS: Final = 200
#: Single records to a block of 200 readings.
_SINGLES: Final = 19
#: Broken records may not hold the others up for longer.
_DELAY_SECONDS: Final = 2.0
_PAGE: Final = 1000
_FUTURE: Final = times.from_iso("2190-01-01T00:00:00Z")


@dataclass(slots=True)
class Stream:
    """What is written, and what of it has to end where.

    Attributes:
        poison: whether records are being broken now.
        blocks: good ones.
        singles: number of good ones, the first of `alone`.
        broken: bytes of records that nobody can read.
        refused: tag and time of readings that validation has to refuse.
        accounted: all blocks, the broken ones included: their headers say what was in them.
    """

    together: Readings
    alone: Readings
    poison: bool = False
    blocks: list[Record] = field(default_factory=list)
    singles: int = 0
    broken: list[bytes] = field(default_factory=list)
    refused: list[tuple[str, int]] = field(default_factory=list)
    accounted: list[Record] = field(default_factory=list)

    @property
    def poisoned(self) -> int:
        """How many records were broken, or have to be refused."""
        return len(self.broken) + len(self.refused)

    def records(self) -> Iterator[Record]:
        """Yield blocks and singles in turns, and every so often something broken, another way each time."""
        number = 0
        singles = forms.singles(self.alone)
        for block in making.blocks(self.together):
            self.accounted.append(block)
            number += 1
            if self.poison and number % EVERY < _SINGLES and len(self.broken) % 3 == 1:
                yield self._breaks(block._replace(value=block.value[: len(block.value) // 2]))
            else:
                self.blocks.append(block)
                yield block
            for single in islice(singles, _SINGLES):
                number += 1
                self.singles += 1
                yield single
                if self.poison and number % EVERY == 0:
                    yield self._poison(number, single)

    def _poison(self, number: int, single: Record) -> Record:
        ways = {
            0: lambda: self._breaks(single._replace(value=b"\x00garbage %d" % number)),
            1: lambda: self._breaks(single._replace(value=single.value[: len(single.value) // 2] + b"%d" % number)),
            2: lambda: self._breaks(single._replace(value=b'{"event_id": %d, "timestamp": "yesterday"}' % number)),
            3: lambda: self._refuses(number, single),
        }
        return ways[number // EVERY % len(ways)]()

    def _breaks(self, record: Record) -> Record:
        self.broken.append(record.value)
        return record

    def _refuses(self, number: int, single: Record) -> Record:
        """Return a record that can be read and is refused: its time lies in the far future."""
        tag, moment = (single.key or b"").decode(), _FUTURE + number
        out = io.BytesIO()
        out.write(frame(SINGLE_ID))
        fields = {"tag": tag, "value": 1.0, "source_time": moment, "gateway_time": times.now(), "source": making.SOURCE}
        fastavro.schemaless_writer(out, PARSED[SINGLE_ID], fields)
        self.refused.append((tag, moment))
        return single._replace(value=out.getvalue())

    def told(self) -> Told:
        """Return the good readings."""
        tag, moment, value = (column[: self.singles] for column in (self.alone.tag, self.alone.time, self.alone.value))
        alone = {self.alone.tags[one]: (moment[tag == one], value[tag == one]) for one in np.unique(tag).tolist()}
        return {**told_by(self.blocks), **alone}


def run(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """Write, and compare."""
    return _drill("kafka-poison", SHORT if short else FULL, seed, keep)


def run_dropped(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """The same with a step that drops broken records."""
    del short  # it has one form
    return _drill("kafka-poison-dropped", SHORT, seed, keep, sabotage="broken-records-dropped")


def _drill(name: str, size: dict[str, int], seed: int, keep: str | None, *, sabotage: str = "") -> dict[str, Any]:
    started = time.monotonic()

    def command(role: str, usual: list[str]) -> list[str]:
        if not sabotage or not role.startswith("worker"):
            return usual
        return [sys.executable, "-m", "drills.poison", *usual[usual.index("run") + 1 :]]

    stream = _stream(size, seed)
    with flow(name, keep, [*stream.together.tags, *stream.alone.tags], command) as on:
        for role in ("historian", "worker"):
            on.scale(role, MEMBERS)
            on.wait_for_shares(role, MEMBERS)
        writer = Writer(on.site, layout_of(on.site.config.log).topic(Category.TELEMETRY, "raw"), stream.records(), size["rate"])
        writer.start()
        clean = _behind(on, lambda: len(writer.written) >= size["clean"])
        stream.poison = True
        poisoned = _behind(on, lambda: stream.poisoned >= size["poison"])
        written = writer.finish()
        on.tell_ledger(stream.accounted)
        on.require(on.settled, "everything is stored")
        say("comparing what was written with what is stored and what lies with the dead letters")
        found = compare(stream.told(), conninfo(on.site))
        with site_log(on.site) as log:
            letters = _Letters.read(log, layout_of(on.site.config.log).topic(Category.TELEMETRY, "dead"))
        balance = account(on.site)
    missing = letters.missing(stream)
    delayed = poisoned - clean > _DELAY_SECONDS * size["rate"]
    for example in (*found.examples, *unbalanced(balance)[:5], *letters.strange[:5]):
        say(example)
    fine = found.clean and not missing and not letters.strange and not delayed and balance.balanced and balance.quiet
    result: dict[str, Any] = {
        "drill": name,
        "seed": seed,
        "kills": 0,
        "members": MEMBERS,
        "seconds": round(time.monotonic() - started, 1),
        "records": len(written),
        "poison": stream.poisoned,
        "quarantined": letters.count,
        "not_quarantined": missing,
        "wrong_letters": len(letters.strange),
        "readings": sum(len(one) for one, _ in stream.told().values()),
        **found.figures(),
        "rejected": balance.totals["rejected"],
        "behind_clean": clean,
        "behind_poisoned": poisoned,
        "ledger_balanced": balance.balanced,
    }
    if sabotage:
        return result | {"sabotage": sabotage, "caught": not fine, "passed": not fine}
    return result | {"passed": fine and result["poison"] > 0}


def _stream(size: dict[str, int], seed: int) -> Stream:
    records = (size["clean"] + EVERY * size["poison"]) * 2
    blocks = records // (1 + _SINGLES)
    together = making.make(blocks * making.BLOCK, _TAGS, PARTITIONS, seed)
    alone = making.make(blocks * _SINGLES, _TAGS, PARTITIONS, seed + 1)
    tags = [tag.replace("PLANT01", "PLANT02") for tag in alone.tags]
    homes = np.array([partition_of(tag.encode(), PARTITIONS) for tag in tags], np.int32)
    return Stream(together, replace(alone, tags=tags, homes=homes))


def _behind(on: Flow, enough: Callable[[], bool]) -> int:
    """Tend the roles until enough is written; return how many records validation and the historians were behind, the median of looks."""
    looks = [0]

    def look() -> bool:
        with suppress(RetryLater):
            looks.append(sum(records_behind(on.site).values()))
        return enough()

    on.require(look, "enough is written")
    return round(statistics.median(looks))


@dataclass(slots=True)
class _Letters:
    """What lies with the dead letters.

    Attributes:
        records: bytes of whole records.
        readings: tag and time of single readings.
        strange: letters that do not name the place where their record lies, or no reason.
    """

    records: Counter[bytes] = field(default_factory=Counter)
    readings: Counter[tuple[str, int]] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.records.total() + self.readings.total()

    @classmethod
    def read(cls, log: Log, topic: str) -> "_Letters":
        """Read every letter, and see that it names the place where its record lies."""
        found = cls()
        for at, (first, _) in log.bounds(topic).items():
            position = first
            while stored := log.read(at, position, _PAGE):
                position = stored[-1].offset + 1
                for record in stored:
                    letter, original = decode_dead_letter(record), record.header(ORIGINAL) or b""
                    if record.header(FORM) == b"single":
                        found.readings[letter.tag or "", letter.time_us or 0] += 1
                        continue
                    found.records[original] += 1
                    (source,) = log.read(TopicPartition(letter.topic, letter.partition), letter.offset, 1)
                    if source.offset != letter.offset or source.value != original or not letter.reason:
                        found.strange.append(f"a letter says {letter.topic}/{letter.partition}@{letter.offset}: {letter.reason!r}")
        return found

    def missing(self, stream: Stream) -> int:
        """Return how many broken records and refused readings are not there, or there more than once, or should not be there."""
        records, readings = Counter(stream.broken), Counter(stream.refused)
        unlike = (records - self.records).total() + (self.records - records).total()
        return unlike + (readings - self.readings).total() + (self.readings - readings).total()


def plant_defect() -> None:
    """Make validation drop what it cannot read."""

    def drop(*_: object) -> None:
        return

    ValidateStep._broken = drop  # type: ignore[method-assign,assignment]  # noqa: SLF001 - the defect has to be inside


if __name__ == "__main__":
    from trunkline.cli.run import app

    plant_defect()
    app()
