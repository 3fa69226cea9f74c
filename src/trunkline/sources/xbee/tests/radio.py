"""A simulated XBee module on a pseudo terminal, with radios behind it. Every frame is built and understood by Digi's own library."""

import contextlib
import os
import select
import threading
import tty
from collections.abc import Callable
from pathlib import Path

from digi.xbee.models.address import XBee16BitAddress, XBee64BitAddress
from digi.xbee.models.mode import OperatingMode
from digi.xbee.models.status import ATCommandStatus, DiscoveryStatus, ModemStatus
from digi.xbee.models.status import TransmitStatus as Delivery
from digi.xbee.packets import factory
from digi.xbee.packets.base import XBeeAPIPacket, XBeePacket
from digi.xbee.packets.common import (
    ATCommPacket,
    ATCommResponsePacket,
    IODataSampleRxIndicatorPacket,
    ModemStatusPacket,
    ReceivePacket,
    RemoteATCommandPacket,
    RemoteATCommandResponsePacket,
    TransmitPacket,
    TransmitStatusPacket,
)

NODE = "0013A20041AEB54E"
OTHER_NODE = "0013A20040522BAA"
_NETWORK = XBee16BitAddress.from_hex_string("FFFE")
_ACKNOWLEDGED = 0x01


def address(node: str) -> XBee64BitAddress:
    return XBee64BitAddress.from_hex_string(node)


class Module:
    """A module that answers AT commands, tells what became of transmissions, and hands out what radios send.

    Attributes:
        path: its serial port, the same after every `plug`.
        mode: API mode.
        silent: it neither answers nor hands anything out.
        delivery: status of transmissions; None gives none.
        samples: answers of radios to a forced sample, raw; a radio that is missing does not answer.
        transmitted: (node, payload) of every transmission, in order.
        on_transmit: called with them.
        greeted: how often a gateway asked for the API mode.
    """

    def __init__(self, path: Path, mode: int = 1) -> None:
        self.path = path
        self.mode = mode
        self.silent = False
        self.delivery: Delivery | None = Delivery.SUCCESS
        self.samples: dict[str, bytes] = {}
        self.transmitted: list[tuple[str, bytes]] = []
        self.on_transmit: Callable[[str, bytes], None] = lambda node, payload: None
        self.greeted = 0
        self._ends: tuple[int, int] | None = None
        self._lock = threading.RLock()
        self._wake, self._waker = os.pipe()
        self._ended = False
        self._buffer = bytearray()
        self._thread = threading.Thread(target=self._run, name="xbee-module", daemon=True)
        self.plug()
        self._thread.start()

    def stop(self) -> None:
        """Pull the plug and end."""
        self.unplug()
        self._ended = True
        os.write(self._waker, b".")
        self._thread.join()
        os.close(self._wake)
        os.close(self._waker)

    def plug(self) -> None:
        """Be there, if it is not."""
        with self._lock:
            if self._ends is None:
                self._ends = os.openpty()
                tty.setraw(self._ends[1])
                os.set_blocking(self._ends[0], False)
                self._buffer.clear()
                self.path.symlink_to(os.ttyname(self._ends[1]))
                os.write(self._waker, b".")

    def unplug(self) -> None:
        """Disappear, as an adapter does that is pulled out."""
        with self._lock:
            if self._ends is not None:
                self.path.unlink()
                for end in self._ends:
                    os.close(end)
                self._ends = None
                os.write(self._waker, b".")

    def receive(self, payload: bytes, node: str = NODE) -> None:
        """Hand out what a radio sent (0x90)."""
        self.emit(ReceivePacket(address(node), _NETWORK, _ACKNOWLEDGED, rf_data=bytearray(payload)))

    def sampled(self, raw: bytes, node: str = NODE) -> None:
        """Hand out an I/O sample (0x92)."""
        self.emit(IODataSampleRxIndicatorPacket(address(node), _NETWORK, _ACKNOWLEDGED, rf_data=bytearray(raw)))

    def tell(self, status: ModemStatus) -> None:
        """Hand out a modem status (0x8A)."""
        self.emit(ModemStatusPacket(status))

    def emit(self, packet: XBeeAPIPacket) -> None:
        self.put(bytes(packet.output(escaped=self.mode == 2)))

    def put(self, wire: bytes) -> None:
        """Put bytes on the port as they are; what nobody takes is lost, as on a real port."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._ends is not None and not self.silent:
                os.write(self._ends[0], wire)

    def _run(self) -> None:
        while not self._ended:
            with self._lock:
                master = self._ends[0] if self._ends else None
            ready, _, _ = select.select([self._wake, *([] if master is None else [master])], [], [], 10)
            if self._wake in ready:
                os.read(self._wake, 100)
            elif ready:
                with self._lock, contextlib.suppress(OSError):
                    if self._ends is not None and self._ends[0] == master:
                        self._buffer += os.read(master, 4096)
                        self._understand()

    def _understand(self) -> None:
        while (packet := self._packet()) is not None:
            if not self.silent:
                self._answer(packet)

    def _packet(self) -> XBeeAPIPacket | None:
        """Take the next whole frame; what the gateway sends is never damaged."""
        if self.mode == 2:
            end = self._buffer.find(0x7E, 1)
            plain = XBeePacket.unescape_data(self._buffer if end < 0 else self._buffer[:end])
            taken = len(self._buffer) if end < 0 else end
        else:
            plain = self._buffer
            taken = int.from_bytes(plain[1:3], "big") + 4
        whole = int.from_bytes(plain[1:3], "big") + 4
        if len(plain) < max(5, whole):
            return None
        frame = bytearray(plain[:whole])
        del self._buffer[:taken]
        packet: XBeeAPIPacket = factory.build_frame(frame, OperatingMode.API_MODE)
        return packet

    def _answer(self, packet: XBeeAPIPacket) -> None:
        match packet:
            case ATCommPacket() if packet.command == "AP":
                self.greeted += 1
                self.emit(ATCommResponsePacket(packet.frame_id, "AP", comm_value=bytearray([self.mode])))
            case TransmitPacket():
                node, payload = str(packet.x64bit_dest_addr), bytes(packet.rf_data or b"")
                self.transmitted.append((node, payload))
                if packet.frame_id and self.delivery is not None:
                    status = TransmitStatusPacket(packet.frame_id, _NETWORK, 0, self.delivery, DiscoveryStatus.NO_DISCOVERY_OVERHEAD)
                    self.emit(status)
                self.on_transmit(node, payload)
            case RemoteATCommandPacket() if packet.command == "IS":
                node = str(packet.x64bit_dest_addr)
                raw = self.samples.get(node)
                status_of = ATCommandStatus.OK if raw else ATCommandStatus.TX_FAILURE
                value = bytearray(raw) if raw else None
                answer = RemoteATCommandResponsePacket(packet.frame_id, address(node), _NETWORK, "IS", status_of, comm_value=value)
                self.emit(answer)
            case _:
                raise AssertionError(f"the gateway sent {packet}")
