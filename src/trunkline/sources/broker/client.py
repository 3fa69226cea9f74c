"""paho's MQTT client with three things changed: when QoS 2 is acknowledged, how bytes are read, what a fault says."""

import logging
import ssl
import struct
from collections.abc import Callable

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes

from trunkline.sources.broker.config import BrokerConfig, Session
from trunkline.sources.broker.credentials import login, tls_context
from trunkline.sources.port import SourceContext

_log = logging.getLogger(__name__)

_READ_BYTES = 65_536

#: What paho's decoders raise when the other side does not speak MQTT.
_GARBAGE = (struct.error, ValueError, LookupError, TypeError, AssertionError, AttributeError)


class StoringClient(Client):
    """A client whose acknowledgements mean 'stored'.

    paho's `manual_ack` holds back PUBACK, but answers QoS 2 with PUBREC on arrival. With PUBREC the receiver takes over the message
    (MQTT 5.0, 4.3.3): the broker forgets it, and a crash before the message is stored would lose it. Here a QoS 2 message is handed on with
    its PUBLISH, PUBREC waits for `ack`, and PUBREL is answered at once.

    Attributes:
        id: the client id.
        fault: what broke the connection, where the socket or the codec said so.
    """

    def __init__(self, config: BrokerConfig, session: Session, client_id: str) -> None:
        """Make a client that does nothing on its own: no thread, no reconnection."""
        version_5 = config.protocol == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if version_5 else not session.persistent,
            protocol=MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.id = client_id
        self.connect_timeout = config.timeout
        self.fault: Exception | None = None
        self._received = b""
        self._taken = 0
        self._starved = False

    def drain(self, most: int, go_on: Callable[[], bool]) -> bool:
        """Handle up to `most` packets that have arrived, while `go_on`. Returns whether there may be more that the socket does not show."""
        self._starved = False
        try:
            for _ in range(most):
                if not go_on() or self.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or self._starved:
                    return False
        except _GARBAGE as error:
            self.fault = error
            self._sock_close()
            return False
        return True

    @property
    def heard(self) -> float:
        """When the last packet came, in seconds of the monotonic clock."""
        return float(self._last_bytes_received)

    def ping(self) -> None:
        """Tell the broker that this client is alive, without waiting for the answer: reading is paused."""
        self._send_simple_command(PacketTypes.PINGREQ << 4)

    def forgive_silence(self) -> None:
        """Start the wait for a ping's answer anew: it may lie unread in the socket after a pause."""
        if self._ping_t > 0:
            self._ping_t = self._last_msg_out

    def abandon(self) -> None:
        """Close the socket without a word to the broker."""
        self._sock_close()

    def ack(self, mid: int, qos: int) -> MQTTErrorCode:
        """Acknowledge a stored message: PUBACK at QoS 1, PUBREC at QoS 2."""
        return super()._send_pubrec(mid) if qos == 2 else super().ack(mid, qos)

    def _handle_publish(self) -> MQTTErrorCode:
        code = super()._handle_publish()
        for message in self._parked():
            self._handle_on_message(message)
        return code

    def _parked(self) -> list[MQTTMessage]:
        """Take the QoS 2 messages that paho keeps back until PUBREL."""
        with self._in_message_mutex:
            parked = list(self._in_messages.values())
            self._in_messages.clear()
        return parked

    def _send_pubrec(self, mid: int) -> MQTTErrorCode:  # noqa: ARG002 - called by paho on arrival: too early
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubrel(self) -> MQTTErrorCode:
        packet_id = int.from_bytes(self._in_packet["packet"][:2], "big")
        super()._handle_pubrel()
        return self._send_pubcomp(packet_id)

    def _sock_recv(self, bufsize: int) -> bytes:
        """Read from the socket in large pieces: paho asks for single bytes, and each would be a system call."""
        if self._taken == len(self._received):
            try:
                self._received = super()._sock_recv(_READ_BYTES)
            except BlockingIOError:
                self._starved = True
                raise
            except (OSError, ssl.SSLError) as error:
                self.fault = error
                raise
            self._taken = 0
        piece = self._received[self._taken : self._taken + bufsize]
        self._taken += len(piece)
        return piece


def make_client(config: BrokerConfig, session: Session, client_id: str, context: SourceContext) -> StoringClient:
    """Return a client with the configured login and encryption; nothing is opened. Raises SourceMisconfigured."""
    client = StoringClient(config, session, client_id)
    known = login(config, context.resolve_secret)
    if known:
        client.username_pw_set(*known)
    if config.tls:
        client.tls_set_context(tls_context(config.tls, context.directory, context.resolve_secret))
    return client
