"""The alarm step: clean telemetry and device alarms in, transitions of alarms out; operators' actions are answered (W-133, ED-23)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from trunkline.config.alarms import AlarmsConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec.alarm_desk import Answer, decode_request, encode_answer
from trunkline.log.codec.event_records import decode_event_record
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.head import BACKLOG
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.port import Record, StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.alarms import Lifecycle
from trunkline.model.errors import CorruptData
from trunkline.model.events import Alarm, Event
from trunkline.model.reading import Category
from trunkline.processing.alarms.book import AlarmBook
from trunkline.processing.port import Outputs
from trunkline.processing.telemetry import CleanTelemetry


class AlarmStep:
    """Evaluates the alarm definitions of a site.

    Args:
        layout: names of the topics.
        config: definitions.
        tags: what the site file says of each tag.
        clock: present time, µs UTC.
        schemas: what the schema ids of third parties' records mean; without it the built-in ones are known.
        forms: how events are written; without it as Avro.
    """

    name = "alarms"

    def __init__(
        self,
        layout: Layout,
        config: AlarmsConfig,
        tags: Mapping[str, TagConfig],
        clock: Callable[[], int] = times.now,
        schemas: RegistryClient | None = None,
        forms: Forms | None = None,
    ) -> None:
        self._layout = layout
        self._book = AlarmBook(config, tags)
        self._clock = clock
        self._schemas = schemas or RegistryClient()
        self._forms = forms or Forms()
        self._telemetry = CleanTelemetry(layout, {path: tag.value_kind for path, tag in tags.items()}, schemas)
        self._alarms = frozenset(layout.topics(Category.ALARM, "clean"))
        self._shown = 0
        self._flowing = False
        self.counts: Counter[str] = Counter()

    @property
    def inputs(self) -> Sequence[str]:
        """Clean telemetry, clean alarms, and what operators ask for."""
        return (*self._telemetry.topics, *sorted(self._alarms), self._layout.alarm_actions)

    @property
    def outputs(self) -> Sequence[str]:
        """Raw alarms and events, which validation passes on like everybody's, and answers."""
        raw = (self._layout.topic(category, "raw") for category in (Category.ALARM, Category.EVENT))
        return (*raw, self._layout.alarm_answers)

    @property
    def state(self) -> str:
        """The alarms' lives."""
        return self._layout.state("alarms")

    def process(self, records: Sequence[StoredRecord]) -> Outputs:
        """Return transitions and answers. Raises RetryLater: a schema has to be asked for, and the registry is away."""
        now = self._clock()
        out: Outputs = {}
        columns, backlog = self._telemetry.columns(records)
        self._emit(self._book.evaluate(columns, now, backlog), out)
        if len(columns):
            self._shown, self._flowing = max(self._shown, int(columns.time.max())), True
        for record in records:
            if record.topic in self._alarms:
                self._device(record, now, out)
            elif record.topic == self._layout.alarm_actions:
                self._action(record, now, out)
        return out

    def warm(self, records: Sequence[StoredRecord]) -> None:
        """Take in last values of telemetry seen before."""
        self._book.warm(*self._telemetry.columns(records))

    def tick(self) -> Outputs:
        """Return what delays, shelves and silence bring about."""
        out: Outputs = {}
        # while input flows, more of it may wait, and what was not read yet is no silence: time is what the readings say
        shown, self._flowing = self._shown if self._flowing else None, False
        self._emit(self._book.tick(self._clock(), shown), out)
        return out

    def recover(self, records: Sequence[StoredRecord]) -> None:
        """Nothing: the entries say everything."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return the lives that changed."""
        return self._book.changed()

    def entries(self) -> Mapping[str, bytes]:
        """Return every life, and last values."""
        return self._book.entries()

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take lives and last values back."""
        self._book.restore(entries)

    def _device(self, record: StoredRecord, now: int, out: Outputs) -> None:
        """Give an alarm that a device reports itself its life cycle. The step's own transitions come back here and are let pass."""
        if not record.value:
            return
        try:
            alarm = decode_event_record(record, self._schemas)
        except CorruptData:
            self.counts["broken"] += 1
            return
        if isinstance(alarm, Alarm) and Lifecycle.of(alarm) is None:
            self._emit(self._book.device(alarm, now, backlog=record.header(BACKLOG) is not None), out)

    def _action(self, record: StoredRecord, now: int, out: Outputs) -> None:
        try:
            request = decode_request(record)
        except CorruptData:
            self.counts["broken"] += 1
            return
        if now > request.expires_at:
            done, text = False, "it came too late to the alarm step and was not done: look at the alarm and ask again"
        else:
            outcome = self._book.act(request.action, now)
            done, text = not outcome.refused, outcome.refused or "done"
            self._emit(outcome.transitions, out)
        answer = Answer(id=request.id, key=request.action.key, done=done, text=text, at=now)
        out.setdefault(self._layout.alarm_answers, []).append(encode_answer(answer))

    def _emit(self, events: Iterable[Event], out: Outputs) -> None:
        for event in events:
            self.counts["transitions"] += 1
            category = Category.ALARM if isinstance(event, Alarm) else Category.EVENT
            record = Record(self._forms.event(encode_event(event)), event.asset.encode())
            out.setdefault(self._layout.topic(category, "raw"), []).append(record)
