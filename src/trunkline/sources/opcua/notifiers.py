"""Events of a subscription: its notifiers are monitored, and what is active is asked for by a refresh (OPC UA Part 9, 5.5.7)."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from asyncua import ua

from trunkline.model.errors import SourceUnavailable
from trunkline.sources.opcua.addresses import NodeAddress, UnknownNamespace
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.delivery import Counters
from trunkline.sources.opcua.eventbook import Entry, EventBook
from trunkline.sources.opcua.eventfilter import ALL_FIELDS, BASE_FIELDS, FILTER_REFUSED, event_filter
from trunkline.sources.opcua.eventintake import Intake, Place
from trunkline.sources.opcua.eventmapping import EventMapper
from trunkline.sources.opcua.eventtypes import EventTypes, load_event_types
from trunkline.sources.opcua.items import batches, is_bad
from trunkline.sources.opcua.session import Session
from trunkline.sources.opcua.stack import AttributeIds, ObjectIds, StatusCodes, UaStatusCodeError, node_id, status_name
from trunkline.sources.port import SourceContext

#: Two refreshes are at least this far apart, in seconds: an overflow asks for one, and one may lead to an overflow.
REFRESH_EVERY_SECONDS = 10.0

_SUBSCRIBE_TO_EVENTS = 1  # bit 0 of the EventNotifier attribute (Part 3, 8.59)
_REFRESH = "ConditionRefresh"

_log = logging.getLogger(__name__)


class Notifiers:
    """The notifiers of one subscription. Call `start` once; then `take` for each event that arrives."""

    def __init__(
        self,
        session: Session,
        config: OpcUaConfig,
        context: SourceContext,
        counters: Counters,
        book: EventBook,
        tell: Callable[..., None],
        first_handle: int,
    ) -> None:
        """Prepare; `tell` takes an event of the source itself, `first_handle` is the client handle of the first notifier."""
        self._session = session
        self._config = config
        self._gateway = context.gateway
        self._counters = counters
        self._book = book
        self._tell = tell
        self._intake = Intake(config, counters, book, tell)
        self._places = {
            first_handle + number: Place(one, f"source {config.id}, events[{number}]", first_handle + number)
            for number, one in enumerate(config.events)
        }
        self._types = EventTypes()
        self._subscription = 0
        self._one_at_a_time = asyncio.Lock()

    async def start(self, subscription: int) -> None:
        """Monitor every notifier. What cannot be monitored is told, and tried again by `retry`. Raises SourceUnavailable."""
        self._subscription = subscription
        await self.retry()

    async def retry(self) -> None:
        """Try the notifiers that are not monitored. Raises SourceUnavailable."""
        async with self._one_at_a_time:
            waiting = [place for place in self._places.values() if not place.monitored]
            if not waiting:
                return
            try:
                await self._learn()
                await self._monitor(waiting)
            except UaStatusCodeError as error:  # readings go on whatever the server makes of its events
                why = f"source {self._config.id}, events: the server refuses to be asked about them: {status_name(error.code)}"
                self._tell_once("events", "NOTIFIER_REFUSED", f"{why}; they are not heard, it is tried again")
            self._counters.notifiers_refused = sum(not place.monitored for place in waiting)
            if any(place.monitored for place in waiting):
                self._intake.refresh_due.set()

    async def keep_refreshed(self) -> None:
        """Ask for the conditions of interest whenever they may not be known: at first, and after something was lost."""
        while True:
            await self._intake.refresh_due.wait()
            self._intake.refresh_due.clear()
            await self._refresh()
            await asyncio.sleep(REFRESH_EVERY_SECONDS)

    def lost(self) -> None:
        """Note that messages were lost: a refresh under way may be incomplete, and a new one is due."""
        for place in self._places.values():
            place.confirmed = None
        self._intake.refresh_due.set()

    def take(self, event: ua.EventFieldList, now: int) -> list[Entry]:
        """Return what an event that arrived leads to. Raises LookupError if nobody asked for events with its handle."""
        place = self._places.get(event.ClientHandle)
        if place is None:
            raise LookupError(f"the server sent an event for handle {event.ClientHandle}, which nobody asked for")
        return self._intake.take(place, event.EventFields, now)

    async def _learn(self) -> None:
        """Find out what the server calls itself, its namespaces and its event types."""
        await self._session.load_namespaces()
        (data,) = await self._session.read([node_id(ObjectIds.Server_ServerArray)])
        servers = data.Value.Value if data.Value is not None else None
        server = str(servers[0]) if isinstance(servers, list) and servers else self._config.endpoint
        self._types = await load_event_types(self._session)
        self._intake.mapper = EventMapper(self._config, self._gateway, server, self._session.namespaces, self._types)

    async def _monitor(self, places: Sequence[Place]) -> None:
        """Create the monitored items of notifiers that exist and send events."""
        named: list[tuple[Place, ua.NodeId]] = []
        for place in places:
            try:
                place.types = self._wanted_types(place)
                named.append((place, self._node(place.config.notifier, f"{place.where}.notifier")))
            except LookupError as error:
                self._refused(place, str(error))
        known: list[tuple[Place, ua.NodeId]] = []
        notifies = await self._session.read([node for _, node in named], AttributeIds.EventNotifier)
        for (place, node), data in zip(named, notifies, strict=True):
            if fault := _fault(data):
                self._refused(place, f"{place.where}.notifier: {place.config.notifier} {fault}")
            else:
                known.append((place, node))
        for some in batches(known, self._session.limits.monitored_items):
            await self._create(some)

    async def _create(self, some: Sequence[tuple[Place, ua.NodeId]]) -> None:
        """Create monitored items with the richest filter that the server takes."""
        rich = ALL_FIELDS if len(ALL_FIELDS) <= self._session.limits.select_clauses else BASE_FIELDS
        for fields, choosing in ((rich, True), (rich, False), (BASE_FIELDS, False)):
            again: list[tuple[Place, ua.NodeId]] = []
            for place, _ in some:
                place.fields = fields  # before the server answers: the first event may be as quick as its answer
            statuses = await self._create_items([self._item(place, node, choosing=choosing) for place, node in some])
            for (place, node), status in zip(some, statuses, strict=True):
                if not is_bad(status):
                    place.monitored = True
                    self._book.told.discard(place.where)
                elif status in FILTER_REFUSED and (choosing or fields is not BASE_FIELDS):
                    again.append((place, node))
                else:
                    why = f"the server refuses to send events of {place.config.notifier}: {status_name(status)}"
                    self._refused(place, f"{place.where}.notifier: {why}")
            if not again:
                return
            some = again

    async def _create_items(self, items: list[ua.MonitoredItemCreateRequest]) -> list[int]:
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = self._subscription
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.Parameters.ItemsToCreate = items
        try:
            results = (await self._session.request(request, ua.CreateMonitoredItemsResponse)).Results
        except UaStatusCodeError as error:
            return [error.code] * len(items)
        if len(results) != len(items):
            raise self._session.fail(f"the server gave {len(results)} results for {len(items)} notifiers")
        return [result.StatusCode.value for result in results]

    def _item(self, place: Place, node: ua.NodeId, *, choosing: bool) -> ua.MonitoredItemCreateRequest:
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.EventNotifier)
        request.MonitoringMode = ua.MonitoringMode.Reporting
        wanted = request.RequestedParameters
        wanted.ClientHandle = place.handle
        wanted.SamplingInterval = 0.0
        wanted.QueueSize = place.config.queue_size
        wanted.DiscardOldest = True
        few = len(place.types) <= self._session.limits.where_operands
        wanted.Filter = event_filter(place.fields, place.types if choosing and few else ())
        return request

    async def _refresh(self) -> None:
        """Call ConditionRefresh. A server without conditions refuses it: told once, and nothing else is wrong."""
        if not any(place.monitored for place in self._places.values()):
            return
        call = ua.CallMethodRequest()
        call.ObjectId = node_id(ObjectIds.ConditionType)
        call.MethodId = node_id(ObjectIds.ConditionType_ConditionRefresh)
        call.InputArguments = [ua.Variant(self._subscription, ua.VariantType.UInt32)]
        request = ua.CallRequest()
        request.Parameters.MethodsToCall = [call]
        try:
            results = (await self._session.request(request, ua.CallResponse, fatal=False)).Results
            status = results[0].StatusCode.value if results else StatusCodes.BadUnexpectedError
            why = status_name(status) if is_bad(status) else ""
        except UaStatusCodeError as error:
            status, why = error.code, status_name(error.code)
        except SourceUnavailable as error:
            self._session.check()  # no answer to this request alone ends nothing
            status, why = StatusCodes.BadTimeout, str(error)
        if status == StatusCodes.BadRefreshInProgress:
            self._intake.refresh_due.set()
        elif why:
            text = (
                f"{self._config.endpoint} does not tell which conditions are active now ({why}): what came before the connection "
                "is not known; on a server without alarms and conditions nothing is wrong"
            )
            self._tell_once(_REFRESH, "CONDITION_REFRESH_REFUSED", text)
        else:
            self._counters.refreshes += 1
            self._book.told.discard(_REFRESH)

    def _wanted_types(self, place: Place) -> frozenset[ua.NodeId]:
        wanted: set[ua.NodeId] = set()
        for number, text in enumerate(place.config.types):
            where = f"{place.where}.types[{number}]"
            kind = self._node(text, where)
            if self._types.below and kind not in self._types:
                raise LookupError(f"{where}: the server has no event type {text}: correct it, or leave it out")
            wanted |= self._types.with_subtypes(kind)
        return frozenset(wanted)

    def _node(self, text: str, where: str) -> ua.NodeId:
        address = NodeAddress.parse(text)
        try:
            return node_id(address.identifier, address.index(self._session.namespaces))
        except UnknownNamespace as error:
            raise LookupError(f"{where}: {error}: correct {text}") from error

    def _refused(self, place: Place, why: str) -> None:
        self._tell_once(place.where, "NOTIFIER_REFUSED", f"{why}; its events are not heard, it is tried again")

    def _tell_once(self, matter: str, kind: str, text: str) -> None:
        if matter not in self._book.told:
            self._book.told.add(matter)
            _log.warning("source %s: %s", self._config.id, text)
            self._tell(kind, text)


def _fault(data: ua.DataValue) -> str:
    """Return what keeps a node from being a notifier, by its EventNotifier attribute, with the mend; '' for nothing."""
    status = data.StatusCode.value if data.StatusCode is not None else 0
    if status in (StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid):
        return "does not exist on the server: correct it, or leave it out to hear the Server object"
    if is_bad(status) and status != StatusCodes.BadAttributeIdInvalid:
        return f"cannot be asked whether it sends events ({status_name(status)}): let our user read it, or name another notifier"
    value = data.Value.Value if data.Value is not None else None
    if not isinstance(value, int) or not value & _SUBSCRIBE_TO_EVENTS:
        return (
            "sends no events (its EventNotifier lacks SubscribeToEvents): name an object above it that does, "
            "or leave it out to hear the Server object"
        )
    return ""
