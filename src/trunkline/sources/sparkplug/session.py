"""What a host application knows of its edge nodes: births, deaths, aliases, sequence numbers. Without input or output.

Eclipse Sparkplug 3.0.0, chapters 5 and 6. Times called `at` are seconds of any clock that only goes forward; stamps come with the messages.
"""

import math
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from trunkline.model.quality import Quality
from trunkline.model.reading import Reading, Value
from trunkline.sources.broker.message import Message
from trunkline.sources.sparkplug import codec
from trunkline.sources.sparkplug.codec import Payload
from trunkline.sources.sparkplug.nodes import Birth, KnownMetric, Node
from trunkline.sources.sparkplug.readings import Report, TagReader, source_time
from trunkline.sources.sparkplug.topics import MessageType, Topic, parse, place
from trunkline.sources.sparkplug.wire import Undecodable

#: An edge node is asked for its births at most once in so many seconds: a birth can be large, and many hosts may ask.
REBIRTH_INTERVAL: Final = 5.0
BDSEQ: Final = "bdSeq"
_SEQUENCES: Final = 256
#: Edge nodes, and devices of one, that are remembered without having tags; a sender that invents them must not fill the memory.
_MAX_SEEN: Final = 1_000

#: Takes an event type, a sentence, the edge node, and further facts.
Tell: TypeAlias = Callable[[str, str, dict[str, Value]], None]


class Expectation:
    """A value that a tag should show soon; `met` once it has."""

    def __init__(self, path: str, value: Value) -> None:
        """Expect `value` of the tag `path`."""
        self.path = path
        self.value = value
        self.met = False


class HostSession:
    """The edge nodes of one group, from one connection to the broker to its loss; a new connection starts from nothing.

    Attributes:
        unmatched: messages that no tag and no browsing asked for.
    """

    def __init__(self, readers: Iterable[tuple[str, str, TagReader]], patience: float, at: float, report: Report, tell: Tell) -> None:
        """Start with nothing known.

        Args:
            readers: edge node, device ('' for none) and reader of every tag.
            patience: seconds until a birth that was asked for, or that has to follow, is missed.
            at: present time; every edge node that has tags is asked for its births at once.
            report: told where and what is wrong, and what becomes of it or how to mend it.
            tell: told of what people should know.
        """
        self._nodes: dict[str, Node] = {}
        self._seen: dict[str, None] = {}
        self._missed_at: dict[tuple[str, str], float] = {}
        self._absent: set[str] = set()
        self._expectations: list[Expectation] = []
        self._patience = patience
        self._report = report
        self._tell = tell
        self.unmatched = 0
        for node, device, reader in readers:
            self.follow(node).tags.setdefault(device, {}).setdefault(reader.metric, []).append(reader)
            self._missed_at[node, device] = at + patience

    @property
    def settled(self) -> bool:
        """Whether of every tag's edge node and device it is known if it lives: tags without a reading are then unchanged."""
        return not self._missed_at and all(node.doubted == math.inf for node in self._nodes.values())

    @property
    def seen(self) -> list[str]:
        """Every edge node that was heard or has tags, sorted."""
        return sorted({*self._nodes, *self._seen})

    def follow(self, node: str) -> Node:
        """Return an edge node, whose births are kept from now on, and wanted if it is not online."""
        known = self._nodes.setdefault(node, Node(node))
        if not known.online and not known.wanted:
            known.wanted = "nothing is known of it"
        return known

    def births(self, node: str) -> dict[str, Birth] | None:
        """Return the births of an edge node by device, '' for its own; None while it is not online."""
        known = self._nodes.get(node)
        return known.births if known is not None and known.online else None

    def known(self, node: str, device: str, metric: str) -> KnownMetric | None:
        """Return what the last birth says of a metric; None while its edge node or device is not online."""
        birth = self._nodes[node].births.get(device) if node in self._nodes else None
        return None if birth is None else birth.metrics.get(metric)

    def expect(self, path: str, value: Value) -> Expectation:
        """Watch for a present value of a tag until `forget`."""
        expectation = Expectation(path, value)
        self._expectations.append(expectation)
        return expectation

    def forget(self, expectation: Expectation) -> None:
        """Watch no longer."""
        self._expectations.remove(expectation)

    def rebirths(self, at: float) -> list[str]:
        """Return the edge nodes that are to be asked for their births now, each at most once in `REBIRTH_INTERVAL`."""
        due = [node for node in self._nodes.values() if node.wanted and at - node.asked >= REBIRTH_INTERVAL]
        for node in due:
            node.wanted, node.asked = "", at
        return [node.id for node in due]

    def next_due(self) -> float:
        """Return when `rebirths` or `missed` will have something to say; infinity if nothing is due."""
        waiting = (node.asked + REBIRTH_INTERVAL for node in self._nodes.values() if node.wanted)
        doubts = (node.doubted for node in self._nodes.values())
        return min((*waiting, *doubts, *self._missed_at.values()), default=math.inf)

    def missed(self, at: float, now: int) -> list[Reading]:
        """Return readings for the tags whose edge node or device is not there: no birth in time, or no word after a doubtful death."""
        late = [owner for owner, limit in self._missed_at.items() if limit <= at]
        readings: list[Reading] = []
        for node, device in late:
            del self._missed_at[node, device]
            self._report(place(node, device), f"no birth within {self._patience:g} s: it is offline, or 'node' or 'device' is misspelt")
            readings += (reader.without_value(Quality.BAD_COMMS_LOST, now) for reader in self._nodes[node].readers(device))
        for doubtful in [node for node in self._nodes.values() if node.doubted <= at]:
            readings += self._end(doubtful, now)
        return readings

    def take(self, message: Message, at: float) -> list[Reading]:
        """Return the readings of a message. Nothing that a message holds raises."""
        topic = parse(message.topic)
        node = self._nodes.get(topic.node) if topic else None
        if topic is None or node is None or message.retained:
            # [tck-id-topics-nbirth-mqtt]: births have 'retain equal to false'; a retained one is old
            self.unmatched += 1
            if topic is not None and len(self._seen) < _MAX_SEEN:
                self._seen[topic.node] = None
            return []
        try:
            payload = codec.decode(message.payload)
        except Undecodable as error:
            self._want(node, f"its {topic.type.value} could not be decoded: {error}")
            return []
        match topic.type:
            case MessageType.NBIRTH:
                return self._born(node, payload, message.received, at)
            case MessageType.NDEATH:
                return self._died(node, payload, message.received, at)
            case _:
                return self._heard(node, topic, payload, message.received)

    def _born(self, node: Node, payload: Payload, received: int, at: float) -> list[Reading]:
        """Start over with an edge node; its devices have to be born after it (5.6)."""
        if not node.online:
            self._tell("EDGE_NODE_UP", f"Sparkplug edge node {node.id} is online", {"edge_node": node.id})
        node.online, node.dead, node.doubted, node.wanted, node.births = True, False, math.inf, "", {}
        node.bd_seq = _bd_seq(payload)
        node.next_seq = ((payload.seq or 0) + 1) % _SEQUENCES
        for device in node.tags:
            if device:
                self._missed_at[node.id, device] = at + self._patience
        return self._announced(node, "", payload, received)

    def _died(self, node: Node, payload: Payload, received: int, at: float) -> list[Reading]:
        """Take a death certificate, unless it belongs to an earlier connection of the edge node.

        [tck-id-topics-ndeath-payload]: it carries 'the bdSeq number, so that the NDEATH event can be associated with the NBIRTH'. The
        broker may send the will of a lost connection after the birth of the next. Some edge nodes count wrongly, though: if this one is not
        heard again, it is dead all the same.
        """
        if node.dead:
            return []  # the edge node said so itself, and then the broker
        certified = _bd_seq(payload)
        if node.online and None not in (certified, node.bd_seq) and certified != node.bd_seq:
            self._want(node, f"a death certificate with bdSeq {certified} came after the birth with {node.bd_seq}")
            node.doubted = min(node.doubted, at + self._patience)
            return []
        return self._end(node, received)

    def _end(self, node: Node, received: int) -> list[Reading]:
        """Mark everything of an edge node."""
        for owner in [owner for owner in self._missed_at if owner[0] == node.id]:
            del self._missed_at[owner]
        if node.online:
            self._tell("EDGE_NODE_DOWN", f"Sparkplug edge node {node.id} is offline", {"edge_node": node.id})
        node.online, node.dead, node.doubted, node.wanted, node.births = False, True, math.inf, "", {}
        # its time is that of the connection, so it is stamped as 'the current Host Application's system UTC time' (5.5)
        return [reader.without_value(Quality.BAD_COMMS_LOST, received) for reader in node.readers()]

    def _heard(self, node: Node, topic: Topic, payload: Payload, received: int) -> list[Reading]:
        """Take a message that has a sequence number and needs a birth before it."""
        if not node.online:
            self._want(node, f"{topic.type.value} came before its birth")
            return []
        node.doubted = math.inf
        self._check_sequence(node, payload.seq or 0)
        if topic.type is MessageType.DBIRTH:
            return self._announced(node, topic.device, payload, received)
        if topic.type is MessageType.DDEATH:
            node.births.pop(topic.device, None)
            self._missed_at.pop((node.id, topic.device), None)
            # [tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale]: 'using the timestamp in the DDEATH'
            moment = None if payload.timestamp is None else source_time(payload.timestamp)
            return [reader.without_value(Quality.BAD_COMMS_LOST, received, moment) for reader in node.readers(topic.device)]
        birth = node.births.get(topic.device)
        if birth is None:
            self._want(node, f"{topic.type.value} of {topic.device!r:.80} came before its birth")
            return []
        return self._measured(node, topic.device, birth, payload, received)

    def _check_sequence(self, node: Node, seq: int) -> None:
        """Notice messages that are missing.

        [tck-id-topics-ndata-seq-num]: 'one greater than the previous MQTT message from the Edge Node contained unless the previous MQTT
        message contained a value of 255. In this case the sequence number MUST be 0.'
        """
        if seq != node.next_seq:
            facts: dict[str, Value] = {"edge_node": node.id, "expected": node.next_seq, "received": seq}
            text = f"Sparkplug edge node {node.id} sent sequence number {seq} where {node.next_seq} was due: messages are missing"
            if self._want(node, text):
                self._tell("SEQUENCE_GAP", text, facts)
        node.next_seq = (seq + 1) % _SEQUENCES

    def _announced(self, node: Node, device: str, payload: Payload, received: int) -> list[Reading]:
        """Keep a birth; return its values, and what says that a tag's metric is not in it."""
        birth = Birth.of(payload)
        if device in node.tags or device in node.births or len(node.births) < _MAX_SEEN:
            node.births[device] = birth
        self._missed_at.pop((node.id, device), None)
        readings = self._measured(node, device, birth, payload, received)
        for reader in node.readers(device):
            if reader.metric in birth.metrics:
                self._absent.discard(reader.path)
                continue
            readings.append(reader.without_value(Quality.BAD_UNKNOWN_ADDRESS, received))
            if reader.path not in self._absent:
                self._absent.add(reader.path)
                self._report(place(node.id, device), f"no metric {reader.metric!r} in its birth: mend 'metric' of tag {reader.path}")
        return readings

    def _measured(self, node: Node, device: str, birth: Birth, payload: Payload, received: int) -> list[Reading]:
        """Return the readings of the metrics that feed tags; what the birth does not know makes it wanted anew."""
        readings: list[Reading] = []
        tags = node.tags.get(device, {})
        for metric in payload.metrics:
            known = birth.find(metric)
            if known is None:
                what = f"metric {metric.name!r:.80}" if metric.name is not None else f"alias {metric.alias}"
                self._want(node, f"{what} is not in the birth of {place(node.id, device)!r:.80}")
                continue
            datatype = known.datatype if metric.datatype is None else metric.datatype
            for reader in tags.get(known.name, ()):
                reading = reader.reading(metric, datatype, payload.timestamp, received)
                readings.append(reading)
                if not metric.historical:
                    self._meet(reading)
        return readings

    def _meet(self, reading: Reading) -> None:
        for expectation in self._expectations:
            if expectation.path == reading.tag and expectation.value == reading.value:
                expectation.met = True

    def _want(self, node: Node, why: str) -> bool:
        """Want the births of an edge node again; returns whether that is new."""
        if node.wanted:
            return False
        node.wanted = why
        self._report(node.id, f"{why}; asked to announce itself anew")
        return True


def _bd_seq(payload: Payload) -> int | None:
    """Return the number that ties a death to its birth."""
    for metric in payload.metrics:
        if metric.name == BDSEQ and isinstance(metric.raw, int):
            return metric.raw
    return None
