"""The anomaly step's heart: scores as readings of tags of their own, and events that tell of anomalies with their evidence."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from trunkline.config.anomalies import ANOMALY, AnomalyRule
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.slots import Slots, TagSlot
from trunkline.log.codec.writer import Rows
from trunkline.log.port import Record
from trunkline.log.topics import Layout
from trunkline.model.events import Event
from trunkline.model.reading import Category, Kind
from trunkline.processing.anomaly.book import AnomalyBook, Scores
from trunkline.processing.author import Author, outputs
from trunkline.processing.port import Outputs

#: Entries of the author among those of the book.
_AUTHOR = "author|"


class Anomalies:
    """Watches tags, keeps scores and tells of anomalies.

    Args:
        layout: names of the topics.
        rules: of the site file.
        tags: paths of all numeric tags that may be watched, each with its unit; no scores.
        zone: the site's IANA zone.
        new_origin: identity for the scores of a step that starts without entries: one that was never used before.
        forms: how events are written; without it as Avro.

    Raises:
        Misconfigured: a rule needs a package that is not installed.
    """

    def __init__(
        self,
        layout: Layout,
        rules: Sequence[AnomalyRule],
        tags: Mapping[str, str],
        zone: str,
        new_origin: str,
        forms: Forms | None = None,
    ) -> None:
        self._layout = layout
        self._book = AnomalyBook(rules, tags, zone)
        self._slots: list[TagSlot] = []
        self._author = Author(layout, ANOMALY, len(tags), new_origin)
        self._forms = forms or Forms()

    @property
    def topics(self) -> Sequence[str]:
        """Topics written."""
        return (*self._layout.topics(Category.TELEMETRY, "raw"), self._layout.topic(Category.EVENT, "raw"), self._layout.gateway_status)

    def evaluate(self, columns: Columns, now: int) -> Outputs:
        """Return scores and events for new readings."""
        found = self._book.evaluate(columns, now)
        written = self._author.write(self._rows(found.scores, now)) if len(found.scores.time) else []
        return self._told(found.events, outputs(written + self._author.report(now)))

    def tick(self, now: int) -> Outputs:
        """Return the ends of anomalies whose tags are silent, and the report to the ledger."""
        return self._told(self._book.tick(now), outputs(self._author.report(now)))

    def _rows(self, scores: Scores, now: int) -> Rows:
        if not self._slots:
            self._slots = [TagSlot(path, ANOMALY, Kind.DOUBLE, self._layout.lane_of(path)) for path in scores.tags]
        slots = Slots([self._slots[place] for place in scores.tag.tolist()])
        return Rows(slots, scores.time, np.full(len(scores.time), now), None, scores.value, np.empty(0, np.int64), (), None)

    def _told(self, events: Iterable[Event], out: Outputs) -> Outputs:
        records = [Record(self._forms.event(encode_event(event)), event.asset.encode()) for event in events]
        if records:
            out[self._layout.topic(Category.EVENT, "raw")] = records
        return out

    def changed(self) -> dict[str, bytes | None]:
        """Return the entries that changed."""
        return {**self._book.changed(), **{_AUTHOR + key: entry for key, entry in self._author.changed().items()}}

    def entries(self) -> dict[str, bytes]:
        """Return every entry."""
        return {**self._book.entries(), **{_AUTHOR + key: entry for key, entry in self._author.entries().items()}}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take entries back."""
        mine = {key: entry for key, entry in entries.items() if key.startswith(_AUTHOR)}
        self._author.restore({key.removeprefix(_AUTHOR): entry for key, entry in mine.items()})
        self._book.restore({key: entry for key, entry in entries.items() if key not in mine})

    def warm(self, columns: Columns) -> None:
        """Learn from readings that were judged before a restart."""
        self._book.warm(columns)
