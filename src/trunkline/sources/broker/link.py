"""One connection to a broker, driven by the asyncio loop: no threads but for the name look-up and handshake, no reconnection of its own."""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from socket import IPPROTO_TCP, TCP_NODELAY
from socket import socket as Socket  # noqa: N812 - 'socket' names the variables here
from typing import Any, TypeVar, cast

from paho.mqtt.client import ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.broker.client import StoringClient
from trunkline.sources.broker.config import BrokerConfig, Session
from trunkline.sources.broker.message import Message

_log = logging.getLogger(__name__)

#: Packets handled before other tasks get their turn.
_PACKETS_AT_ONCE = 100
#: Payload bytes held that nobody has read yet; beyond it the socket is left alone.
_MAX_INBOX_BYTES = 32_000_000
#: Filters in one SUBSCRIBE: brokers limit the packet.
_FILTERS_AT_ONCE = 100
#: The state of the connection is looked at so often in each keepalive; a ping that is late by one look is still in time.
_TICKS_PER_KEEPALIVE = 4

#: Answers to CONNECT that only a human can mend (MQTT 5.0, 3.2.2.2; paho gives those of 3.1.1 the same numbers).
_MISCONFIGURED = {
    0x84: "mend 'protocol'",
    0x85: "mend 'client_id'",
    0x86: "mend 'username' or 'password'",
    0x87: "mend 'username', or the broker's access rules",
    0x8A: "the broker has banned this client",
    0x8C: "the broker wants another method of authentication",
    0x9D: "the broker has moved: mend 'host'",
}
_KEEPALIVE_TIMEOUT = 0x8D
_TAKEN_OVER = 0x8E

_Answer = TypeVar("_Answer")


class BrokerLink:
    """A connection from CONNECT to its loss; a new one is made for every attempt.

    Messages are acknowledged to the broker in the order of their arrival ([MQTT-4.6.0-2]) and only by `acknowledge`. When more than
    `max_in_flight` are held, or too many bytes, the socket is no longer read: back-pressure reaches the broker through TCP, also with
    MQTT 3.1.1, which has no receive maximum.

    Attributes:
        resumed: whether the broker still had the session of an earlier connection.
    """

    def __init__(self, client: StoringClient, config: BrokerConfig, session: Session, now: Callable[[], int]) -> None:
        """Prepare a link; `open` connects it."""
        self.resumed = False
        self._client = client
        self._config = config
        self._session = session
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._inbox: deque[Message] = deque()
        self._inbox_bytes = 0
        self._unacknowledged: deque[Message] = deque()
        self._stored: set[int] = set()
        self._arrived = 0
        self._changed = asyncio.Event()
        self._paused = False
        self._reading_on = False
        self._lost: str | None = None
        self._goodbye = ""
        self._ticker: asyncio.TimerHandle | None = None
        self._tick_seconds = config.keepalive / _TICKS_PER_KEEPALIVE
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_answers
        client.on_unsubscribe = self._on_answers
        client.on_publish = self._on_answer

    async def open(self) -> None:
        """Connect and wait for CONNACK. Raises SourceUnavailable or SourceMisconfigured."""
        await self._reach()
        socket = cast("Socket | None", self._client.socket())
        if socket is None:
            hint = "; it may want a client certificate, or another one" if self._config.tls else ""
            raise SourceUnavailable(self._where(f"closed the connection at once{hint}"))
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_want_write
        self._client.on_socket_unregister_write = self._on_written
        socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # an acknowledgement must not wait for the answer to the one before
        self._loop.add_reader(socket.fileno(), self._on_readable)
        self._ticker = self._loop.call_later(self._tick_seconds, self._tick)
        try:
            reason = await self._in_time(self._connected, "does not answer")
        except SourceUnavailable as error:
            fault = self._client.fault
            if isinstance(fault, ssl.SSLError) and "ALERT" in (fault.reason or ""):
                # with TLS 1.3 the broker judges the client's certificate after the handshake
                raise SourceMisconfigured(self._where(f"refuses this client's certificate ({fault.reason}): mend 'tls'")) from error
            raise
        if reason.is_failure:
            if reason.value in _MISCONFIGURED:
                raise SourceMisconfigured(self._where(f"refuses the connection ({reason}): {_MISCONFIGURED[reason.value]}"))
            raise SourceUnavailable(self._where(f"refuses the connection ({reason})"))

    async def _reach(self) -> None:
        connect = partial(self._client.connect, self._config.host, self._config.port, self._config.keepalive, **self._connect_options())
        attempt = self._loop.run_in_executor(None, connect)
        try:
            await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # the thread cannot be stopped, but what it opens must be closed
            attempt.add_done_callback(self._discard)
            raise
        except ssl.SSLCertVerificationError as error:
            raise SourceMisconfigured(self._where(f"shows a certificate that is not trusted: {error.verify_message}")) from error
        except (OSError, ValueError) as error:
            raise SourceUnavailable(self._where(f"cannot be reached: {error}")) from error

    def _discard(self, attempt: asyncio.Future[Any]) -> None:
        if attempt.cancelled() or attempt.exception() is None:
            self._client.abandon()

    def _connect_options(self) -> dict[str, Any]:
        if self._config.protocol != "5":
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.ReceiveMaximum = self._config.max_in_flight
        if self._session.persistent:
            properties.SessionExpiryInterval = min(max(1, round(self._session.expiry)), 0xFFFF_FFFE)
        return {"clean_start": not self._session.persistent, "properties": properties}

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe and wait for the grants. Raises SourceMisconfigured naming the filter that the broker refuses."""
        for start in range(0, len(filters), _FILTERS_AT_ONCE):
            group = filters[start : start + _FILTERS_AT_ONCE]
            _, packet = self._client.subscribe([(one, self._subscription()) for one in group])
            grants = await self._answer(packet, "does not answer a subscription")
            for one, grant in zip(group, grants, strict=True):
                if grant.is_failure:
                    raise SourceMisconfigured(
                        self._where(f"refuses the subscription to {one!r} ({grant}): mend its access rules or the topic")
                    )
                if grant.value < self._session.qos:
                    _log.warning("%s", self._where(f"grants QoS {grant.value} for {one!r}, not {self._session.qos}"))

    def _subscription(self) -> Any:  # noqa: ANN401 - paho takes a number with MQTT 3.1.1 and options with MQTT 5
        if self._config.protocol != "5":
            return self._session.qos
        # 3.8.3.1: with a persistent session the retained messages came with the first subscription
        handling = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB if self._session.retained else SubscribeOptions.RETAIN_DO_NOT_SEND
        return SubscribeOptions(qos=self._session.qos, retainHandling=handling)

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Give up subscriptions of an earlier configuration that the broker's session still holds."""
        for start in range(0, len(filters), _FILTERS_AT_ONCE):
            _, packet = self._client.unsubscribe(list(filters[start : start + _FILTERS_AT_ONCE]))
            if packet is not None:
                await self._answer(packet, "does not answer")

    async def receive(self, most: int) -> list[Message]:
        """Wait for messages and return up to `most`. Raises SourceUnavailable once the connection is lost and all is handed out."""
        while not self._inbox:
            if self._lost is not None:
                raise SourceUnavailable(self._lost)
            self._changed.clear()
            await self._changed.wait()
        messages = [self._inbox.popleft() for _ in range(min(most, len(self._inbox)))]
        self._inbox_bytes -= sum(len(message.payload) for message in messages)
        self._resume_if_room()
        return messages

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that these are stored. Without a connection nothing happens: the broker sends them again."""
        self._stored.update(message.sequence for message in messages if message.qos)
        while self._unacknowledged and self._unacknowledged[0].sequence in self._stored:
            message = self._unacknowledged.popleft()
            self._stored.discard(message.sequence)
            if self._lost is None:
                self._client.ack(message.packet, message.qos)
        self._resume_if_room()

    async def publish(self, topic: str, payload: bytes, *, expiry: float | None = None, retain: bool = False) -> ReasonCode | None:
        """Publish at QoS 1. Returns the broker's answer, None if there was none in time or before the connection broke.

        Args:
            topic: topic name.
            payload: bytes to send.
            expiry: seconds after which the broker no longer delivers it (MQTT 5): a device that comes back later must not act on it.
            retain: have the broker keep it for later subscribers.
        """
        packet = self._client.publish(topic, payload, qos=1, retain=retain, properties=self._expiring(expiry)).mid
        try:
            return (await self._answer(packet, ""))[0]
        except SourceUnavailable:
            return None

    def send(self, topic: str, payload: bytes, *, expiry: float | None = None) -> None:
        """Publish at QoS 0: nobody says whether it arrived. Raises SourceUnavailable without a connection."""
        if self._lost is not None:
            raise SourceUnavailable(self._lost)
        self._client.publish(topic, payload, qos=0, properties=self._expiring(expiry))

    def _expiring(self, expiry: float | None) -> Properties | None:
        if expiry is None or self._config.protocol != "5":
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.MessageExpiryInterval = max(1, round(expiry))
        return properties

    @property
    def heard(self) -> float:
        """When the last packet came from the broker, in seconds of the loop's clock."""
        return self._client.heard

    def drop(self, why: str) -> None:
        """Break the connection and forget what was not read: the broker offers everything unacknowledged again, in order."""
        self._inbox.clear()
        self._inbox_bytes = 0
        self._lose(why)

    def close(self) -> None:
        """Say goodbye and let go of the socket; the broker keeps a persistent session."""
        if self._lost is None and self._client.is_connected():
            self._client.disconnect()
            self._client.loop_write()
        self._lose("closed")

    async def _answer(self, packet: int | None, what: str) -> list[ReasonCode]:
        if packet is None or self._lost is not None:
            raise SourceUnavailable(self._lost or self._where("is not connected"))
        answer: asyncio.Future[list[ReasonCode]] = self._loop.create_future()
        self._answers[packet] = answer
        self._resume_if_room()
        try:
            return await self._in_time(answer, what)
        finally:
            self._answers.pop(packet, None)

    async def _in_time(self, answer: asyncio.Future[_Answer], what: str) -> _Answer:
        done, _ = await asyncio.wait((answer,), timeout=self._config.timeout)
        if not done:
            raise SourceUnavailable(self._where(f"{what} within {self._config.timeout:g} s"))
        if answer.cancelled():
            raise SourceUnavailable(self._lost)
        return answer.result()

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
            if self._ticker is not None:
                self._ticker.cancel()
            self._client.abandon()
            self._connected.cancel()
            for answer in self._answers.values():
                answer.cancel()
            self._changed.set()

    def _where(self, what: str) -> str:
        return f"MQTT broker {self._config.host}:{self._config.port} {what}".rstrip()

    # what the loop calls

    def _on_readable(self) -> None:
        if self._lost is None and not self._paused:
            more = self._client.drain(_PACKETS_AT_ONCE, lambda: not self._paused)
            self._notice_loss()
            if more:
                self._read_on()

    def _read_on(self) -> None:
        """Have what was taken from the socket, but not handled yet, handled after other tasks had their turn; once, however often asked."""
        if not self._reading_on:
            self._reading_on = True
            self._loop.call_soon(self._on_rest)

    def _on_rest(self) -> None:
        self._reading_on = False
        self._on_readable()

    def _on_writable(self) -> None:
        self._client.loop_write()
        self._notice_loss()

    def _notice_loss(self) -> None:
        if self._client.socket() is None:
            fault = self._client.fault
            self._lose(self._where(f"is lost: {fault}" if fault else self._goodbye or "closed the connection"))

    def _tick(self) -> None:
        if self._paused:
            self._client.ping()
        else:
            self._client.loop_misc()
        self._notice_loss()
        if self._lost is None:
            self._ticker = self._loop.call_later(self._tick_seconds, self._tick)

    def _full(self) -> bool:
        if self._answers:
            # answers to subscriptions and writes come through the same socket, behind the messages
            return self._inbox_bytes > _MAX_INBOX_BYTES
        most = self._config.max_in_flight
        return len(self._inbox) > most or len(self._unacknowledged) > most or self._inbox_bytes > _MAX_INBOX_BYTES

    def _pause_if_full(self) -> None:
        socket = self._client.socket()
        if not self._paused and self._full() and socket is not None:
            self._paused = True
            self._loop.remove_reader(socket.fileno())

    def _resume_if_room(self) -> None:
        socket = self._client.socket()
        if self._paused and not self._full() and self._lost is None and socket is not None:
            self._paused = False
            self._client.forgive_silence()
            self._loop.add_reader(socket.fileno(), self._on_readable)
            self._read_on()

    # what paho calls, within the functions above

    def _on_connect(self, _client: object, _userdata: object, flags: ConnectFlags, reason: ReasonCode, _properties: object) -> None:
        self.resumed = flags.session_present
        if not self._connected.done():
            self._connected.set_result(reason)

    def _on_disconnect(self, _client: object, _userdata: object, flags: DisconnectFlags, reason: ReasonCode, _properties: object) -> None:
        # only noted: paho holds locks here that closing the socket takes. It also calls twice: the first time with the broker's word
        if self._goodbye:
            return
        if reason.value == _TAKEN_OVER:
            self._goodbye = f"gave the session to another client with the client id {self._client.id!r}: give each its own"
        elif flags.is_disconnect_packet_from_server:
            self._goodbye = f"ended the connection ({reason})"
        elif reason.value == _KEEPALIVE_TIMEOUT:
            self._goodbye = "is silent"
        else:
            self._goodbye = f"closed the connection; if this repeats, look for another client with the client id {self._client.id!r}"

    def _on_message(self, _client: object, _userdata: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # [MQTT-1.5.4-1] forbids it; nobody's topic, but acknowledged all the same
        payload = bytes(message.payload)
        arrived = Message(self._arrived, topic, payload, message.qos, message.mid, message.retain, self._now())
        self._arrived += 1
        if message.qos:
            self._unacknowledged.append(arrived)
        self._inbox.append(arrived)
        self._inbox_bytes += len(payload)
        self._changed.set()
        self._pause_if_full()

    def _on_answers(self, _client: object, _userdata: object, packet: int, reasons: list[ReasonCode], _properties: object) -> None:
        answer = self._answers.get(packet)
        if answer is not None and not answer.done():
            answer.set_result(reasons)

    def _on_answer(self, client: object, userdata: object, packet: int, reason: ReasonCode, properties: object) -> None:
        self._on_answers(client, userdata, packet, [reason], properties)

    def _on_want_write(self, _client: object, _userdata: object, socket: Any) -> None:  # noqa: ANN401 - paho's union of sockets
        self._loop.add_writer(socket.fileno(), self._on_writable)

    def _on_written(self, _client: object, _userdata: object, socket: Any) -> None:  # noqa: ANN401 - paho's union of sockets
        self._loop.remove_writer(socket.fileno())

    def _on_socket_close(self, _client: object, _userdata: object, socket: Any) -> None:  # noqa: ANN401 - paho's union of sockets
        self._loop.remove_reader(socket.fileno())
        self._loop.remove_writer(socket.fileno())
