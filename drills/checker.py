"""Compares what the devices showed, what the edge acknowledged, and where it ended.

Every reading that the edge journal holds was acknowledged to its device or broker. Each must be in the historian or in a dead letter, once;
equal repeats of the journal (an MQTT redelivery) may be stored once. Nothing may be there that the journal does not hold. On top, against
the lab's ground truth: every MQTT sample that the broker took must be in the journal, every OPC UA reading must be one that the server had,
and every Modbus value one that the registers showed at that time.
"""

import io
import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import fastavro

from trunkline.config.loading import Site
from trunkline.historian.reader import Reader
from trunkline.lab.truth import Acknowledged, Sample, read_truth
from trunkline.lab.vocabulary import ProtocolName
from trunkline.ledger.balance import Balance
from trunkline.ledger.coverage import Coverage
from trunkline.log.codec import columns as codec
from trunkline.log.codec.head import BACKLOG
from trunkline.log.codec.schemas import FRAME_BYTES, PARSED, SINGLE_ID
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_edge_journal
from trunkline.log.port import Log, StoredRecord
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Kind, Value
from trunkline.processing.deadletter import ORIGINAL
from trunkline.supervisor.wiring import site_log

_PAGE = 500
_EVERYTHING = 100_000_000
_END_OF_TIME = times.from_iso("2200-01-01T00:00:00Z")
#: A Modbus request takes at most its timeout; the value may be as old as the request.
_ANSWER_TIME = 5 * times.SECOND
#: The lab's broker stops with the lab: what it took in its last moments it may not have handed over yet.
_LAST_MOMENTS = 5 * times.SECOND


class Item(NamedTuple):
    """A reading as it is compared: quality may get worse on the way, the rest may not change."""

    tag: str
    time: int
    value: Value


@dataclass(slots=True)
class Findings:
    """What the checker counted. `examples` names a few of each kind."""

    acknowledged: int = 0
    stored: int = 0
    rejected: int = 0
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    inversions: int = 0
    missing_from_truth: int = 0
    not_in_truth: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.invented or self.inversions or self.missing_from_truth or self.not_in_truth)

    def example(self, what: str, item: object) -> None:
        """Keep a few examples."""
        if len(self.examples) < 20:
            self.examples.append(f"{what}: {item}")


def check(site: Site, conninfo: str, truth: Path, *, hung: float = 0.0) -> Findings:
    """Compare journal, dead letters, historian and ground truth of a site at rest.

    Args:
        site: the site.
        conninfo: of its historian's database.
        truth: the lab's ground truth.
        hung: seconds that the gateway may have hung between an answer and the stamp that it gave to the answer's readings.
    """
    findings = Findings()
    gateway = site.config.gateways[0].id
    layout = layout_of(site.config.log)
    with open_edge_journal(site.config.log, site.data_dir, gateway) as edge, site_log(site) as log:
        journal = _read_journal(edge, layout.topic(Category.TELEMETRY, "raw"))
        findings.inversions = inversions(log, layout.topic(Category.TELEMETRY, "clean"))
        dead = Counter(_dead_items(log, layout.topic(Category.TELEMETRY, "dead")))
    stored = Counter(_stored_items(conninfo, journal.sources))
    findings.acknowledged = journal.items.total()
    findings.stored = sum(stored.values())
    findings.rejected = sum(dead.values())
    _compare(journal.items, stored, dead, findings)
    _compare_with_truth(journal, site, truth, findings, _ANSWER_TIME + round(hung * times.SECOND))
    return findings


def figures(findings: Findings, balance: Balance) -> dict[str, Any]:
    """Return what every drill that compares reports, in the order in which it is printed."""
    return {
        "readings": balance.totals["read"],
        "acknowledged": findings.acknowledged,
        "stored": findings.stored,
        "lost": findings.lost,
        "doubled": findings.doubled,
        "invented": findings.invented,
        "inversions": findings.inversions,
        "missing_from_truth": findings.missing_from_truth,
        "not_in_truth": findings.not_in_truth,
        "rejected": findings.rejected,
        "deduplicated": balance.totals["deduplicated"],
        "dropped": balance.totals["dropped"],
        "ledger_balanced": balance.balanced,
    }


def _pages(log: Log | Journal, topic: str) -> Iterator[list[StoredRecord]]:
    for at, (first, _) in log.bounds(topic).items():
        position = first
        while records := log.read(at, position, _PAGE):
            position = records[-1].offset + 1
            yield records


def _items(columns: codec.Columns) -> Iterator[tuple[Item, str]]:
    tags, sources, kinds = columns.tags, columns.sources, columns.kinds.tolist()
    rows = zip(columns.tag.tolist(), columns.time.tolist(), columns.source.tolist(), columns.absent.tolist(), strict=True)
    number, integer = columns.number.tolist(), columns.integer.tolist()
    for place, (tag, time, source, absent) in enumerate(rows):
        kind = kinds[tag]
        if absent:
            value: Value = None
        elif kind == Kind.DOUBLE:
            value = number[place]
        elif kind == Kind.TEXT:
            value = columns.text[place]
        else:
            value = bool(integer[place]) if kind == Kind.BOOLEAN else integer[place]
        yield Item(tags[tag], time, value), sources[source]


@dataclass(slots=True)
class _Journal:
    """What the edge acknowledged.

    Attributes:
        items: every reading and how often.
        sources: source of each tag.
        marks: readings that the gateway made itself to say that a tag fell silent; no device showed them.
    """

    items: Counter[Item] = field(default_factory=Counter)
    sources: dict[str, str] = field(default_factory=dict)
    marks: set[Item] = field(default_factory=set)


def _read_journal(edge: Journal, topic: str) -> _Journal:
    found = _Journal()
    for records in _pages(edge, topic):
        columns = codec.decode(records)
        silent = ((columns.quality == Quality.UNCERTAIN_STALE) | (columns.quality == Quality.BAD_COMMS_LOST)).tolist()
        for (item, source), mark in zip(_items(columns), silent, strict=True):
            found.items[item] += 1
            found.sources[item.tag] = source
            if mark:
                found.marks.add(item)
    return found


def _dead_items(log: Log, topic: str) -> Iterator[Item]:
    for records in _pages(log, topic):
        for record in records:
            original = record.header(ORIGINAL) or b""
            single: Any = fastavro.schemaless_reader(io.BytesIO(original[FRAME_BYTES:]), PARSED[SINGLE_ID], None)
            yield Item(single["tag"], times.from_datetime(single["source_time"]), single["value"])


def _stored_items(conninfo: str, tags: Iterable[str]) -> Iterator[Item]:
    reader = Reader(conninfo)
    try:
        for tag in tags:
            raw = reader.raw(tag, times.EARLIEST, _END_OF_TIME, _EVERYTHING)
            if raw is not None:
                yield from (Item(tag, time, value) for time, value in zip(raw.time.tolist(), raw.values(), strict=True))
    finally:
        reader.close()


def inversions(log: Log, topic: str) -> int:
    """Count readings that come after a younger one of the same tag and origin, repeats by range left out.

    Live data overtakes what waited through an outage (decision 0003): order holds among live records and among those of a backlog.
    """
    inversions = 0
    for at in log.bounds(topic):
        seen: defaultdict[str, Coverage] = defaultdict(Coverage)
        newest: dict[tuple[str, str, bool], int] = {}
        position = log.bounds(topic)[at][0]
        while records := log.read(at, position, _PAGE):
            position = records[-1].offset + 1
            for record in records:
                columns = codec.decode([record])
                (head,) = columns.heads
                late = record.header(BACKLOG) is not None
                if seen[head.origin].covers(head.lo, head.hi):
                    continue
                seen[head.origin].add(head.lo, head.hi)
                for tag, seq in zip(columns.tag.tolist(), columns.seq.tolist(), strict=True):
                    key = (head.origin, columns.tags[tag], late)
                    inversions += seq < newest.get(key, -1)
                    newest[key] = max(seq, newest.get(key, -1))
    return inversions


def _compare(journal: Counter[Item], stored: Counter[Item], dead: Counter[Item], findings: Findings) -> None:
    for item, count in journal.items():
        ended = stored[item] + dead[item]
        if not ended:
            findings.lost += 1
            findings.example("lost", item)
        elif ended > count:
            findings.doubled += ended - count
            findings.example("doubled", item)
    for item in (stored + dead).keys() - journal.keys():
        findings.invented += 1
        findings.example("stored but never acknowledged", item)


@dataclass(slots=True)
class _Truth:
    """The lab's ground truth, by protocol."""

    acknowledged: set[int] = field(default_factory=set)
    mqtt: list[tuple[int, int, Item]] = field(default_factory=list)  # written at, message number, reading
    opcua: set[Item] = field(default_factory=set)
    modbus: defaultdict[str, list[tuple[int, Value]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, sample: Sample) -> None:
        """Sort one sample in."""
        for name, value in sample.v.items():
            tag = f"{sample.a}.{name}"
            match sample.p:
                case ProtocolName.MQTT:
                    self.mqtt.append((sample.w, sample.n, Item(tag, sample.t, value)))
                case ProtocolName.OPCUA:
                    self.opcua.add(Item(tag, sample.t, value))
                case ProtocolName.MODBUS:
                    self.modbus[tag].append((sample.w, value))


def _read_truth(path: Path) -> _Truth:
    truth = _Truth()
    for record in read_truth(path):
        if isinstance(record, Acknowledged):
            truth.acknowledged.update(record.n)
        elif isinstance(record, Sample):
            truth.take(record)
    return truth


def _compare_with_truth(journal: _Journal, site: Site, path: Path, findings: Findings, answer_time: int) -> None:
    types = {source.id: source.type for gateway in site.config.gateways for source in site.sources(gateway.id)}
    truth = _read_truth(path)
    shown = [item for item in journal.items if item.value is not None and item not in journal.marks]
    settled = max((written for written, _, _ in truth.mqtt), default=0) - _LAST_MOMENTS
    # what the broker took before the gateway's session began belongs to nobody
    began = min((item.time for item in shown if types[journal.sources[item.tag]] == "mqtt"), default=0)
    for written, number, item in truth.mqtt:
        if number in truth.acknowledged and item.time >= began and written < settled and item not in journal.items:
            findings.missing_from_truth += 1
            findings.example("the broker took it, the gateway has it not", item)
    for item in shown:
        protocol = types[journal.sources[item.tag]]
        if protocol == "opcua" and item not in truth.opcua:
            findings.not_in_truth += 1
            findings.example("the server never had it", item)
        elif protocol == "modbus" and not _was_shown(item, truth.modbus[item.tag], answer_time):
            findings.not_in_truth += 1
            findings.example("the registers never showed it then", item)


def _was_shown(item: Item, samples: list[tuple[int, Value]], answer_time: int) -> bool:
    """Return whether one of the samples in force within the answer time before the stamp had the value."""
    place = bisect_right(samples, item.time, key=lambda sample: sample[0])
    start = max(0, bisect_right(samples, item.time - answer_time, key=lambda sample: sample[0]) - 1)
    return any(_same(item.value, value) for _, value in samples[start : place + 1])


def _same(one: Value, other: Value) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other
