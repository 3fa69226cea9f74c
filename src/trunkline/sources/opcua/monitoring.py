"""A subscription: the server sends what changed, every message is accounted for by its sequence number (OPC UA Part 4, 5.14).

Messages are acknowledged to the server only after their readings and events are durable. A gap in the sequence is asked for again;
what the server no longer has is counted and told as an event. The publish requests stop while too much waits here, so memory stays
bounded and the server's own queues take over.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress

from asyncua import ua

from trunkline.model.quality import from_opcua
from trunkline.model.reading import Reading
from trunkline.model.times import SECOND
from trunkline.sources.opcua.addresses import UnknownNamespace
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.delivery import Counters, Outbox
from trunkline.sources.opcua.eventbook import Entry, EventBook
from trunkline.sources.opcua.items import Item, batches, is_bad
from trunkline.sources.opcua.notifiers import Notifiers
from trunkline.sources.opcua.session import Session
from trunkline.sources.opcua.stack import AttributeIds, StatusCodes, UaStatusCodeError, status_name
from trunkline.sources.port import ReadBatch, SourceContext

#: Publish requests that wait at the server: one for its next message, one to answer while the first is on its way.
PUBLISH_REQUESTS = 2
#: Readings and events that may wait here; beyond it the server is not asked for more.
HELD_READINGS = 50_000
#: Values and events in one message: decoding it must not keep other sources waiting for long.
MESSAGE_READINGS = 2_000
#: A server without news says so at least this often, in seconds: that tells a quiet tag from a dead subscription.
KEEP_ALIVE_SECONDS = 3.0
#: Unchanged tags are reported as alive at most this often, in seconds.
HEAR_EVERY_SECONDS = 1.0
#: Variables and notifiers that the server refused are tried again, in seconds: they may be created later.
RETRY_REFUSED_SECONDS = 30.0
#: A gap of more messages than this is not asked for message by message.
LARGEST_GAP = 1000
#: An overflow that goes on is told once in this time, µs.
OVERFLOW_EVENT_EVERY = 60 * SECOND

_LAST_SEQUENCE = 2**32 - 1
_DEADBANDS = {"absolute": 1, "percent": 2}

_log = logging.getLogger(__name__)


class Subscription:
    """One subscription of a session. Call `start` once, then `read`."""

    def __init__(
        self, session: Session, config: OpcUaConfig, context: SourceContext, items: Sequence[Item], counters: Counters, book: EventBook
    ) -> None:
        self._session = session
        self._config = config
        self._now = context.now
        self._items = items
        self._counters = counters
        stale_after = min([config.stale_after, *(tag.stale_after for tag in config.tags if tag.stale_after)])
        self._keep_alive = min(KEEP_ALIVE_SECONDS, stale_after / 3)
        self._outbox = Outbox(config.id, context.now, self._confirm, min(HEAR_EVERY_SECONDS, stale_after / 3), book)
        self._book = book
        # client handles: the items by their index, the notifiers behind them
        self._notifiers = Notifiers(session, config, context, counters, book, self._outbox.tell, len(items))
        self._acknowledge: list[ua.SubscriptionAcknowledgement] = []
        self._id = 0
        self._expected = 1
        self._in_order = asyncio.Lock()
        self._room = asyncio.Event()
        self._publishers = 0
        self._silence = 0.0
        self._refused: dict[int, int] = {}
        self._overflows_told = -OVERFLOW_EVENT_EVERY
        self._overflows = 0

    async def start(self) -> None:
        """Create the subscription and its monitored items.

        Raises:
            UaStatusCodeError: the server refuses subscriptions.
            SourceUnavailable: the session was lost.
        """
        request = ua.CreateSubscriptionRequest()
        wanted = request.Parameters
        interval = self._config.publishing_interval
        wanted.RequestedPublishingInterval = interval * 1000
        wanted.RequestedMaxKeepAliveCount = max(1, round(self._keep_alive / interval))
        wanted.RequestedLifetimeCount = max(3 * wanted.RequestedMaxKeepAliveCount, round(self._config.session_timeout / interval))
        wanted.MaxNotificationsPerPublish = MESSAGE_READINGS
        wanted.PublishingEnabled = True
        created = (await self._session.request(request, ua.CreateSubscriptionResponse)).Parameters
        self._id = int(created.SubscriptionId)
        self._silence = created.RevisedPublishingInterval / 1000 * created.RevisedMaxKeepAliveCount
        try:
            await self._monitor(range(len(self._items)))
        except UaStatusCodeError:
            await self._delete()
            raise
        if self._config.events:
            self._catch_up()
            self._session.run(self._hear, "events")
        self._publishers = PUBLISH_REQUESTS
        for number in range(PUBLISH_REQUESTS):
            self._session.run(self._publish, f"publish {number}")
        self._session.run(self._retry_refused, "refused nodes")

    async def read(self) -> ReadBatch:
        """Wait for changes and return all that are there. Raises SourceUnavailable."""
        while not self._outbox:
            await self._session.wait()
        batch = self._outbox.take()
        if self._outbox.held < HELD_READINGS:
            self._room.set()
        return batch

    def _catch_up(self) -> None:
        """Hand over first what an earlier session took and the gateway could not store."""
        if entries := self._book.begin():
            self._outbox.put((), entries=entries)
            self._session.changed.set()

    async def _hear(self) -> None:
        """Hear the notifiers. A task of its own: readings do not wait until the server has told its event types."""
        await self._notifiers.start(self._id)
        await self._notifiers.keep_refreshed()

    async def _monitor(self, indexes: Sequence[int]) -> None:
        """Create monitored items; the index of an item is its client handle. What is refused for the first time becomes BAD readings."""
        refused: dict[int, int] = {}
        known: list[tuple[int, ua.NodeId]] = []
        for index in indexes:
            try:
                known.append((index, self._items[index].node_id(self._session.namespaces)))
            except UnknownNamespace:
                refused[index] = StatusCodes.BadNodeIdUnknown
        for some in batches(known, self._session.limits.monitored_items):
            for (index, _), status in zip(some, await self._create_items(some), strict=True):
                if is_bad(status):
                    refused[index] = status
        now = self._now()
        for index in refused.keys() - self._refused.keys():
            item, status = self._items[index], refused[index]
            _log.warning("source %s: the server refuses %s: %s", self._config.id, item.address, status_name(status))
            self._outbox.put(item.bad(from_opcua(status), now))
        self._refused = refused
        self._counters.nodes_refused = len(refused)
        self._session.changed.set()

    async def _delete(self) -> None:
        request = ua.DeleteSubscriptionsRequest()
        request.Parameters.SubscriptionIds = [self._id]
        with suppress(UaStatusCodeError):
            await self._session.request(request, ua.DeleteSubscriptionsResponse)

    async def _create_items(self, some: Sequence[tuple[int, ua.NodeId]]) -> list[int]:
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = self._id
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.Parameters.ItemsToCreate = [self._item_request(index, node) for index, node in some]
        results = (await self._session.request(request, ua.CreateMonitoredItemsResponse)).Results
        if len(results) != len(some):
            raise self._session.fail(f"the server gave {len(results)} results for {len(some)} monitored items")
        return [result.StatusCode.value for result in results]

    def _item_request(self, index: int, node: ua.NodeId) -> ua.MonitoredItemCreateRequest:
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value)
        request.MonitoringMode = ua.MonitoringMode.Reporting
        wanted = request.RequestedParameters
        wanted.ClientHandle = index
        wanted.SamplingInterval = self._config.sampling_interval * 1000
        wanted.QueueSize = self._config.queue_size
        wanted.DiscardOldest = True
        if deadband := self._items[index].deadband:
            kind = "absolute" if deadband.absolute is not None else "percent"
            wanted.Filter = ua.DataChangeFilter(
                Trigger=ua.DataChangeTrigger.StatusValue,
                DeadbandType=_DEADBANDS[kind],
                DeadbandValue=float(getattr(deadband, kind)),
            )
        return request

    async def _publish(self) -> None:
        """Keep one publish request at the server. Requests are answered in turn, so the readers take the lock in order."""
        # Each request may have to wait until those before it were answered, at worst by a keep-alive each.
        patience = self._silence * (PUBLISH_REQUESTS + 1) + self._config.timeout
        while True:
            while self._outbox.held >= HELD_READINGS:
                self._room.clear()
                await self._room.wait()
            request = ua.PublishRequest()
            acknowledged, self._acknowledge = self._acknowledge, []
            request.Parameters.SubscriptionAcknowledgements = acknowledged
            try:
                result = (await self._session.request(request, ua.PublishResponse, patience=patience)).Parameters
            except UaStatusCodeError as error:
                if error.code == StatusCodes.BadTooManyPublishRequests and self._publishers > 1:
                    self._publishers -= 1
                    self._acknowledge.extend(acknowledged)
                    return
                raise self._session.fail(f"publishing ended: {status_name(error.code)}") from error
            async with self._in_order:
                await self._receive(result)

    async def _receive(self, result: ua.PublishResult) -> None:
        if result.SubscriptionId != self._id:
            return
        message = result.NotificationMessage
        # A keep-alive carries the number of the next message without using it up (Part 4, 5.14.1.4).
        await self._recover(message.SequenceNumber)
        if message.NotificationData and message.SequenceNumber == self._expected:
            self._accept(message)
        self._outbox.heard()
        self._session.changed.set()

    async def _recover(self, arrived: int) -> None:
        """Ask again for the messages between the one expected and the one that arrived."""
        missing = (arrived - self._expected) % _LAST_SEQUENCE
        if missing > _LAST_SEQUENCE // 2:  # older than expected: a repetition
            return
        for _ in range(min(missing, LARGEST_GAP)):
            request = ua.RepublishRequest()
            request.Parameters.SubscriptionId = self._id
            request.Parameters.RetransmitSequenceNumber = self._expected
            try:
                message = (await self._session.request(request, ua.RepublishResponse)).NotificationMessage
            except UaStatusCodeError:
                break
            if not message.NotificationData or message.SequenceNumber != self._expected:
                break
            self._accept(message)
        lost = (arrived - self._expected) % _LAST_SEQUENCE
        if lost:
            self._counters.messages_lost += lost
            self._outbox.tell("NOTIFICATIONS_LOST", f"{lost} messages of {self._config.endpoint} are lost", messages=lost)
            self._notifiers.lost()
            self._expected = arrived

    def _accept(self, message: ua.NotificationMessage) -> None:
        """Turn the message that is next in sequence into readings and events."""
        now = self._now()
        readings: list[Reading] = []
        entries: list[Entry] = []
        overflows = 0
        for part in message.NotificationData:
            if isinstance(part, ua.DataChangeNotification):
                for change in part.MonitoredItems:
                    if not 0 <= change.ClientHandle < len(self._items):
                        raise self._session.fail(f"the server sent a value for handle {change.ClientHandle}, which nobody asked for")
                    found, overflow = self._items[change.ClientHandle].readings(change.Value, now)
                    readings.extend(found)
                    overflows += overflow
                self._counters.notifications += len(part.MonitoredItems)
            elif isinstance(part, ua.EventNotificationList):
                entries.extend(self._events(part, now))
            elif isinstance(part, ua.StatusChangeNotification):
                raise self._session.fail(f"the server ended the subscription: {part.Status.name}")
        self._outbox.put(readings, message.SequenceNumber, entries)
        self._expected = message.SequenceNumber % _LAST_SEQUENCE + 1
        if overflows:
            self._overflowed(overflows, now)

    def _events(self, part: ua.EventNotificationList, now: int) -> Iterator[Entry]:
        for event in part.Events:
            try:
                yield from self._notifiers.take(event, now)
            except LookupError as error:
                raise self._session.fail(str(error)) from error

    def _overflowed(self, count: int, now: int) -> None:
        self._counters.queue_overflows += count
        self._overflows += count
        if now - self._overflows_told >= OVERFLOW_EVENT_EVERY:
            text = f"{self._config.endpoint} dropped changes {self._overflows} times because its queues were full: raise 'queue_size'"
            self._outbox.tell("DEVICE_QUEUE_OVERFLOW", text, overflows=self._overflows)
            self._overflows_told, self._overflows = now, 0

    def _confirm(self, sequences: Sequence[int]) -> None:
        for number in sequences:
            self._acknowledge.append(ua.SubscriptionAcknowledgement(SubscriptionId=self._id, SequenceNumber=number))

    async def _retry_refused(self) -> None:
        while True:
            await asyncio.sleep(RETRY_REFUSED_SECONDS)
            if self._refused:
                await self._session.load_namespaces()
                await self._monitor(tuple(self._refused))
            await self._notifiers.retry()
            self._session.changed.set()
