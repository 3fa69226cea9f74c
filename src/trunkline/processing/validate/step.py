"""The validation step: every raw record becomes a clean one or dead letters, never an exception (P-18, W-121)."""

import io
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import fastavro
import numpy as np

from trunkline.config.rules import AnyRule
from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.ledger.coverage import Coverage
from trunkline.log.codec import columns as codec
from trunkline.log.codec.columns import Columns, Rewritten
from trunkline.log.codec.event_ids import ids_of
from trunkline.log.codec.event_records import decode_event_record, is_ours
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.head import HEADER, BlockHead, Tally, decode_head, encode_head
from trunkline.log.codec.records import EVENT_IDS, gather, ids_left
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.codec.schemas import PARSED, SINGLE_ID, frame
from trunkline.log.codec.writer import ledger_hour
from trunkline.log.port import Record, StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.events import Alarm, Event
from trunkline.model.identity import LOG_ORIGIN, uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Category
from trunkline.processing.deadletter import DeadLetter, encode_dead_letter
from trunkline.processing.port import Outputs
from trunkline.processing.rules.counts import RuleCounts
from trunkline.processing.rules.overrides import Overrides
from trunkline.processing.rules.ruleset import OWN_MARKS, RuleSet
from trunkline.processing.rules.silence import Ended
from trunkline.processing.validate.memory import TagMemory
from trunkline.processing.validate.rules import Gap, Verdicts, judge

_SINGLE_FRAME: Final = frame(SINGLE_ID)
_PARTS: Final = ("rule", "count", "override")
Entry = TypeVar("Entry", bytes, bytes | None)


class ValidateStep:
    """Judges telemetry, events and alarms.

    Args:
        layout: names of the topics.
        tags: what the site file says of each tag.
        config: limits that hold for all tags.
        clock: present time in µs, for stamps of dead letters.
        schemas: what the schema ids of third parties' records mean; without it the built-in ones are known.
        forms: how clean records are written; without it as blocks and Avro.
        rules: quality rules of the site file.
    """

    name = "validate"

    def __init__(
        self,
        layout: Layout,
        tags: dict[str, TagConfig],
        config: ValidationConfig,
        clock: Callable[[], int] = times.now,
        schemas: RegistryClient | None = None,
        forms: Forms | None = None,
        rules: Sequence[AnyRule] = (),
    ) -> None:
        self._layout = layout
        self._forms = forms or Forms()
        self._memory = TagMemory(tags)
        self._rules = RuleSet(rules, tags)
        self._broken_rules = RuleCounts()
        self._said = Overrides()
        self._config = config
        self._clock = clock
        self._schemas = schemas or RegistryClient()
        self._kinds = {path: tag.value_kind for path, tag in tags.items()}
        self._category = layout.categories("raw")
        self._clean = layout.clean_of
        self._seen: defaultdict[tuple[str, str, int], Coverage] = defaultdict(Coverage)
        self.counts: Counter[str] = Counter()

    @property
    def inputs(self) -> Sequence[str]:
        """The raw topics."""
        return tuple(self._category)

    @property
    def outputs(self) -> Sequence[str]:
        """The clean topics: their last records hold what is remembered of each tag, and which ranges were judged."""
        return tuple(self._layout.categories("clean"))

    @property
    def state(self) -> str:
        """The topic of what is remembered."""
        return self._layout.state("validate")

    def recover(self, records: Sequence[StoredRecord]) -> None:
        """Rebuild the memory from own earlier output."""
        clean = self._layout.categories("clean")
        for record in records:
            self._judged_before(record, record.topic)
        self._remember([record for record in records if clean[record.topic] is Category.TELEMETRY])

    def warm(self, records: Sequence[StoredRecord]) -> None:
        """Take in input that was processed before: only the last readings and windows follow from it alone."""
        for record in records:
            self._judged_before(record, self._clean[record.topic])
        self._remember([record for record in records if self._category[record.topic] is Category.TELEMETRY])

    def _remember(self, telemetry: Sequence[StoredRecord]) -> None:
        blocks, _ = gather(telemetry, self._schemas, self._kinds)
        columns, broken = self._decode(blocks)
        ids = ids_of([record for record in blocks if record not in broken], columns)
        columns.quality[np.isin(columns.quality, OWN_MARKS)] = Quality.GOOD  # as they came, before the rules
        judge(columns, self._memory, self._config, ids, self._rules, now=0)

    def changed(self) -> dict[str, bytes | None]:
        """Return what decides later output and changed since the last call: silences told, counts, overrides."""
        return _named(self._rules.changed(), self._broken_rules.changed(), self._said.changed())

    def entries(self) -> dict[str, bytes]:
        """Return everything remembered, windows of readings as well."""
        return _named(self._rules.entries(), self._broken_rules.entries(), self._said.entries())

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take what `entries` returned."""
        parts: dict[str, dict[str, bytes]] = {part: {} for part in _PARTS}
        for name, entry in entries.items():
            part, _, rest = name.partition(":")
            parts[part][rest] = entry
        self._rules.restore(parts["rule"])
        self._broken_rules.restore(parts["count"], self._clock())
        self._said.restore(parts["override"])

    def _judged_before(self, record: StoredRecord, clean: str) -> bool:
        """Return whether a record's range was seen, and remember it: a forwarder that crashed sends its last records again."""
        header = record.header(HEADER)
        if header is None:
            return False
        try:
            head = decode_head(header)
        except CorruptData:
            return False  # a dead letter soon
        seen = self._seen[clean, head.origin, record.partition]
        if seen.covers(head.lo, head.hi):
            return True
        seen.add(head.lo, head.hi)
        return False

    def process(self, records: Sequence[StoredRecord]) -> Outputs:
        """Return clean records and dead letters; nothing for records that were judged before.

        Raises:
            RetryLater: a record's schema has to be asked for, and the registry is away.
        """
        out: Outputs = {}
        telemetry = [record for record in records if self._category[record.topic] is Category.TELEMETRY]
        blocks, unread = gather(telemetry, self._schemas, self._kinds)
        records = [*blocks, *(record for record in records if self._category[record.topic] is not Category.TELEMETRY)]
        fresh = [record for record in records if not self._judged_before(record, self._clean[record.topic])]
        self.counts["repeated_records"] += len(records) - len(fresh)
        telemetry = [record for record in fresh if self._category[record.topic] is Category.TELEMETRY]
        if telemetry or unread:
            self._telemetry(telemetry, unread, out)
        for record in fresh:
            category = self._category[record.topic]
            if category is not Category.TELEMETRY:
                self._event(record, category, out)
        return out

    def tick(self) -> Outputs:
        """Return what time alone brings: silences that have become too long, and once an hour how often rules were broken."""
        out: Outputs = {}
        now = self._clock()
        for tag, silence in self._rules.tick(now):
            self._tell(silence.event(tag, now), out)
        for event in self._broken_rules.due(now):
            self._tell(event, out)
        self._said.forget(now)
        return out

    def _emit(self, out: Outputs, topic: str, record: Record) -> None:
        out.setdefault(topic, []).append(record)

    # --- telemetry

    def _decode(self, records: Sequence[StoredRecord]) -> tuple[Columns, list[StoredRecord]]:
        """Return the columns of the records that can be decoded, and the others."""
        try:
            return codec.decode(records), []
        except CorruptData:
            if len(records) == 1:
                return codec.decode([]), list(records)
        good: list[StoredRecord] = []
        bad: list[StoredRecord] = []
        for record in records:
            _, broken = self._decode([record])
            (bad if broken else good).append(record)
        return codec.decode(good), bad

    def _telemetry(self, records: list[StoredRecord], unread: list[tuple[StoredRecord, str]], out: Outputs) -> None:
        columns, broken = self._decode(records)
        damaged = [(record, "not a block of readings, or damaged") for record in broken]
        for record, reason in sorted([*damaged, *unread], key=lambda one: one[0][:3]):
            self._broken(record, Category.TELEMETRY, f"decode: {reason}", out)
        good = [record for record in records if record not in broken] if broken else records
        self._judged(columns, good, out)

    def _judged(self, columns: Columns, good: list[StoredRecord], out: Outputs) -> None:
        verdicts = judge(columns, self._memory, self._config, ids_of(good, columns), self._rules, self._clock(), self._said)
        self._broken_rules.add(columns, verdicts.hits)
        if verdicts.held is not None:
            self._broken_rules.count(columns, np.flatnonzero(verdicts.held), "override", "override")
        self.counts.update(
            accepted=int(np.count_nonzero(~verdicts.rejected & ~verdicts.repeat)),
            rejected=int(np.count_nonzero(verdicts.rejected)),
            deduplicated=int(np.count_nonzero(verdicts.repeat)),
            gaps=len(verdicts.gaps),
        )
        changed = self._changed_blocks(columns, verdicts, good)
        passed = [_in_place(record, changed.get(number)) for number, record in enumerate(good)]
        for record, written in zip(good, self._forms.telemetry(passed), strict=True):
            out.setdefault(self._clean[record.topic], []).extend(written)
        for position in np.flatnonzero(verdicts.rejected).tolist():
            self._rejected(columns, position, verdicts.reasons[position], good[columns.block[position]], out)
        for gap in verdicts.gaps:
            if not self._rules.timed(columns.tags[columns.tag[gap.position]]):
                self._gap(columns, gap, out)
        for hit in verdicts.hits:
            for position, silence in zip(hit.positions.tolist(), hit.silences, strict=True) if isinstance(hit, Ended) else ():
                self._tell(silence.event(columns.tags[columns.tag[position]], self._clock()), out)

    def _changed_blocks(self, columns: Columns, verdicts: Verdicts, records: Sequence[StoredRecord]) -> dict[int, Record]:
        """Return new records, by number, of the blocks that do not pass as they are."""
        gone = verdicts.rejected | verdicts.repeat
        touched = np.unique(columns.block[gone | (verdicts.quality != columns.quality)])
        counts = {number: _cells(columns.heads[number]) for number in touched.tolist()}
        for position in np.flatnonzero(gone).tolist():
            hour = ledger_hour(int(columns.time[position]), int(columns.gateway_time[position]))
            cells = counts[int(columns.block[position])]
            cell = cells.setdefault((columns.sources[columns.source[position]], hour), [0, 0, 0])
            cell[0] -= 1
            cell[1 if verdicts.rejected[position] else 2] += 1
        keep = np.isin(columns.block, touched) & ~gone
        kept = columns.select(keep)
        kept.quality = verdicts.quality[keep]
        blocks = [Rewritten(number, _head(columns.heads[number], cells), records[number].partition) for number, cells in counts.items()]
        made = codec.encode_blocks(kept, blocks)
        changed = {one.number: block._replace(timestamp=records[one.number].timestamp) for one, block in zip(blocks, made, strict=True)}
        for number, block in changed.items():
            extra = tuple(one for one in records[number].headers if one[0] not in {HEADER, EVENT_IDS})
            if ids := records[number].header(EVENT_IDS):
                extra = (*extra, (EVENT_IDS, ids_left(ids, ~gone[columns.block == number])))
            changed[number] = block._replace(headers=(*block.headers, *extra))
        return changed

    def _rejected(self, columns: Columns, position: int, reason: str, record: StoredRecord, out: Outputs) -> None:
        head = columns.heads[columns.block[position]]
        tag = columns.tags[columns.tag[position]]
        value = columns.value(position)
        single = io.BytesIO()
        single.write(_SINGLE_FRAME)
        fields = {
            "tag": tag,
            "value": value,
            "quality": int(columns.quality[position]),
            "source_time": int(columns.time[position]),
            "gateway_time": int(columns.gateway_time[position]),
            "origin": head.origin,
            "seq": int(columns.seq[position]),
            "source": columns.sources[columns.source[position]],
        }
        fastavro.schemaless_writer(single, PARSED[SINGLE_ID], fields)
        letter = DeadLetter(
            reason=reason,
            topic=record.topic,
            partition=record.partition,
            offset=int(columns.seq[position]) if head.origin.startswith(LOG_ORIGIN) else record.offset,
            at_us=self._clock(),
            gateway=head.origin,
            source=columns.sources[columns.source[position]],
            tag=tag,
            value=value[:200] if isinstance(value, str) else _json_safe(value),
            time_us=int(columns.time[position]),
        )
        self._emit(out, self._layout.topic(Category.TELEMETRY, "dead"), encode_dead_letter(letter, single.getvalue(), "single"))

    def _gap(self, columns: Columns, gap: Gap, out: Outputs) -> None:
        now = self._clock()
        asset, _, name = columns.tags[columns.tag[gap.position]].rpartition(".")
        event = Event(
            id=str(uuid7()),
            type="GAP",
            time=int(columns.time[gap.position]),
            gateway_time=now,
            asset=asset,
            tag=name,
            text=f"no reading for {gap.actual / times.SECOND:.1f} s; usual are {gap.expected / times.SECOND:.1f} s",
            attributes={
                "expected_interval_ms": int(gap.expected / 1000),
                "actual_gap_ms": gap.actual // 1000,
                "missing_samples": max(1, round(gap.actual / gap.expected) - 1),
            },
        )
        self._tell(event, out)

    def _tell(self, event: Event, out: Outputs) -> None:
        """Write an event of the step's own."""
        record = Record(self._forms.event(encode_event(event)), key=event.asset.encode())
        self._emit(out, self._layout.topic(Category.EVENT, "clean"), record)

    # --- events and alarms

    def _event(self, record: StoredRecord, category: Category, out: Outputs) -> None:
        try:
            event = decode_event_record(record, self._schemas)
        except CorruptData as error:
            self._broken(record, category, f"decode: {error}", out)
            return
        problem = _event_problem(event, category)
        if problem is None:
            self.counts["accepted_events"] += 1
            self._said.take(event)
            value = record.value if is_ours(record.value) else encode_event(event)
            value = self._forms.event(value)
            self._emit(out, self._clean[record.topic], Record(value, record.key, record.headers, record.timestamp, record.partition))
        else:
            self._broken(record, category, problem, out)

    def _broken(self, record: StoredRecord, category: Category, reason: str, out: Outputs) -> None:
        """A whole record goes to the dead letters; its range stays accounted for with an empty clean record where it has a head."""
        self.counts["rejected_records"] += 1
        header = record.header(HEADER)
        head: BlockHead | None = None
        if header is not None:
            try:
                head = decode_head(header)
            except CorruptData:
                reason = f"{reason}; its header is damaged, too"
        letter = DeadLetter(
            reason=reason,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            at_us=self._clock(),
            gateway=head.origin if head else "",
            source=head.tallies[0].source if head and head.tallies else None,
        )
        self._emit(out, self._layout.topic(category, "dead"), encode_dead_letter(letter, record.value, "record"))
        if head is not None:
            tallies = tuple(Tally(one.source, one.hour, 0, one.rejected + one.readings, one.deduplicated) for one in head.tallies)
            empty = BlockHead(head.origin, head.lo, head.hi, tallies)
            if category is Category.TELEMETRY:
                block = codec.encode(codec.decode([]), empty, record.partition)
            else:
                block = Record(b"", record.key, ((HEADER, encode_head(empty)),), partition=record.partition)
            self._emit(out, self._clean[record.topic], block)


def _named(*parts: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return entries of all parts, each under the name of its part."""
    return {f"{part}:{name}": entry for part, entries in zip(_PARTS, parts, strict=True) for name, entry in entries.items()}


def _in_place(record: StoredRecord, changed: Record | None) -> StoredRecord:
    """Return a block as it is passed on: as it is, or written anew."""
    return record if changed is None else record._replace(value=changed.value, key=changed.key, headers=changed.headers)


def _cells(head: BlockHead) -> dict[tuple[str, int], list[int]]:
    """Return the counts of a head: readings, rejected, deduplicated by source and hour."""
    return {(one.source, one.hour): [one.readings, one.rejected, one.deduplicated] for one in head.tallies}


def _head(head: BlockHead, cells: dict[tuple[str, int], list[int]]) -> BlockHead:
    """Return the head with other counts."""
    return BlockHead(head.origin, head.lo, head.hi, tuple(Tally(source, hour, *cell) for (source, hour), cell in sorted(cells.items())))


def _event_problem(event: Event, category: Category) -> str | None:
    """Return what is wrong with an event, or None."""
    if isinstance(event, Alarm) != (category is Category.ALARM):
        return f"class: a record of {type(event).__name__.lower()} on a topic of {category.name.lower()}s (W-10)"
    try:
        uuid.UUID(event.id)
    except ValueError:
        return f"id: {event.id[:80]!r} is no UUID"
    if not times.EARLIEST <= event.time <= event.gateway_time + times.DAY:
        return f"time: {event.time} is before the year 2000 or more than a day ahead of the gateway's clock"
    if not event.type:
        return "type: an event needs one"
    texts = (
        event.asset,
        event.tag,
        event.type,
        event.text,
        event.actor,
        event.source,
        event.before,
        event.after,
        *event.attributes.values(),
    )
    if any(isinstance(word, str) and "\x00" in word for word in texts):
        return "text: contains a NUL character"
    return None


def _json_safe(value: float | bool | None) -> float | bool | str | None:
    """JSON has no NaN and no infinities: they are shown in words."""
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
