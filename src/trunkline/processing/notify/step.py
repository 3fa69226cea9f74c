"""The routing step: transitions of alarms in, notification requests out (W-140)."""

from collections.abc import Callable, Mapping, Sequence

from trunkline.config.notifications import NotificationsConfig
from trunkline.log.codec.event_records import decode_event_record
from trunkline.log.codec.notifications import encode_request
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.port import StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.events import Alarm
from trunkline.model.notifications import NotificationRequest
from trunkline.model.reading import Category
from trunkline.processing.notify.router import Router
from trunkline.processing.port import Outputs


class NotifyStep:
    """Routes the alarms of a site.

    Args:
        layout: names of the topics.
        config: section `notifications`.
        zone: the site's IANA zone.
        clock: present time, µs UTC.
        schemas: what the schema ids of third parties' records mean; without it the built-in ones are known.
    """

    name = "notify"

    def __init__(
        self,
        layout: Layout,
        config: NotificationsConfig,
        zone: str,
        *,
        clock: Callable[[], int] = times.now,
        schemas: RegistryClient | None = None,
    ) -> None:
        self._layout = layout
        self._router = Router(config, zone)
        self._clock = clock
        self._schemas = schemas or RegistryClient()

    @property
    def inputs(self) -> Sequence[str]:
        """Clean alarms."""
        return self._layout.topics(Category.ALARM, "clean")

    @property
    def outputs(self) -> Sequence[str]:
        """Requests, which the channels read."""
        return (self._layout.notifications,)

    @property
    def state(self) -> str:
        """Alarms that stand, holds, digests."""
        return self._layout.state("notify")

    def process(self, records: Sequence[StoredRecord]) -> Outputs:
        """Return what these transitions ask for. Raises RetryLater: a schema has to be asked for, and the registry is away."""
        alarms = [alarm for record in records if (alarm := self._alarm(record)) is not None]
        return self._requests(self._router.evaluate(alarms, self._clock()))

    def tick(self) -> Outputs:
        """Return what is due: ends of holds, escalations, digests."""
        return self._requests(self._router.tick(self._clock()))

    def warm(self, records: Sequence[StoredRecord]) -> None:
        """Nothing: everything that the router knows is in its entries."""

    def recover(self, records: Sequence[StoredRecord]) -> None:
        """Nothing, as above."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return the entries that changed."""
        return self._router.changed()

    def entries(self) -> Mapping[str, bytes]:
        """Return every entry."""
        return self._router.entries()

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take entries back."""
        self._router.restore(entries)

    def _alarm(self, record: StoredRecord) -> Alarm | None:
        if not record.value:
            return None
        try:
            alarm = decode_event_record(record, self._schemas)
        except CorruptData:
            return None  # validation let it pass in a form that is gone: nobody can be told of it
        return alarm if isinstance(alarm, Alarm) else None

    def _requests(self, requests: Sequence[NotificationRequest]) -> Outputs:
        return {self._layout.notifications: [encode_request(one) for one in requests]} if requests else {}
