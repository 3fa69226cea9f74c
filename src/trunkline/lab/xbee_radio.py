"""An XBee module on a pseudo terminal, and behind it the radio of an offshore well that sends pressure and temperature.

The module is in API mode 2. It answers the AT command AP, as it answers whoever opens its port, and hands out a receive packet (0x90) per
period. The payload is ten bytes, big-endian: pressure in psi and temperature in °C as float32, battery in millivolts as uint16.
Source: Digi XBee user guides, 'API frame format' and 'Frame descriptions'.
"""

import asyncio
import contextlib
import os
import random
import signal
import struct
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

#: 64-bit address of the well's radio: upper half of the maker, lower half of the radio.
NODE: Final = bytes.fromhex("0013A20041AEB54E")
#: The well's setpoints, and the scatter of one period to the next; the first frame shows the setpoints themselves.
PRESSURE, TEMPERATURE, BATTERY_MV = 185.4, 64.0, 3600
_STEP, _PULL = 1.5, 0.1

_START, _ESCAPE, _XON, _XOFF = 0x7E, 0x7D, 0x11, 0x13
_SPECIAL: Final = frozenset({_START, _ESCAPE, _XON, _XOFF})
_TURNED = 0x20
_AT_REQUEST, _AT_RESPONSE, _RECEIVED = 0x08, 0x88, 0x90
_ANSWERS: Final = {b"AP": b"\x02"}
_OK, _INVALID_COMMAND = 0, 2
_PSEUDO_TERMINALS = "/dev/pts/"


class Measured(NamedTuple):
    """What the well's instruments show: psi, °C, mV."""

    pressure: float
    temperature: float
    battery: int

    def payload(self) -> bytes:
        """Return the bytes that the radio sends."""
        return struct.pack(">ffH", *self)


def well(seed: int) -> Iterator[Measured]:
    """Yield one measurement per period for ever: walks with a pull back to the setpoints."""
    draw = random.Random(seed)  # noqa: S311 - a simulation, no secret
    pressure, temperature = PRESSURE, TEMPERATURE
    while True:
        yield Measured(pressure, temperature, BATTERY_MV)
        pressure += _PULL * (PRESSURE - pressure) + draw.gauss(0, _STEP)
        temperature += _PULL * (TEMPERATURE - temperature) + draw.gauss(0, _STEP / 10)


def frame(data: bytes) -> bytes:
    """Return an API frame with escapes around `data`."""
    body = len(data).to_bytes(2, "big") + data + bytes([0xFF - (sum(data) & 0xFF)])
    escaped = (bytes([_ESCAPE, byte ^ _TURNED]) if byte in _SPECIAL else bytes([byte]) for byte in body)
    return bytes([_START]) + b"".join(escaped)


def receive_packet(payload: bytes) -> bytes:
    """Return the frame in which the module hands out what the radio sent: acknowledged, 16-bit address not known."""
    return frame(bytes([_RECEIVED]) + NODE + b"\xff\xfe\x01" + payload)


def answers(requests: bytearray) -> Iterator[bytes]:
    """Take whole requests from what came and yield the answers; a request that is none is left out."""
    while (start := requests.find(_START)) >= 0:
        end = requests.find(_START, start + 1)
        body = _plain(requests[start + 1 : None if end < 0 else end])
        if end < 0 and len(body) < int.from_bytes(body[:2], "big") + 3:
            return
        del requests[: len(requests) if end < 0 else end]
        data = body[2:-1]
        if data[:1] == bytes([_AT_REQUEST]) and len(data) >= 4:
            value = _ANSWERS.get(data[2:4])
            status = _INVALID_COMMAND if value is None else _OK
            yield frame(bytes([_AT_RESPONSE]) + data[1:4] + bytes([status]) + (value or b""))


def _plain(escaped: bytes | bytearray) -> bytes:
    """Return bytes with their escapes undone."""
    plain = bytearray()
    turned = 0
    for byte in escaped:
        if byte == _ESCAPE:
            turned = _TURNED
        else:
            plain.append(byte ^ turned)
            turned = 0
    return bytes(plain)


@contextmanager
def port(link: Path) -> Iterator[int]:
    """Make a pseudo terminal that `link` leads to; yield the module's end of it.

    Raises:
        FileExistsError: something else is at `link`.
    """
    module, terminal = os.openpty()
    try:
        tty.setraw(terminal)
        os.set_blocking(module, False)
        if link.is_symlink() and str(link.readlink()).startswith(_PSEUDO_TERMINALS):
            link.unlink()  # left over from one that was killed
        link.symlink_to(os.ttyname(terminal))
        try:
            yield module
        finally:
            link.unlink(missing_ok=True)
    finally:
        os.close(module)
        os.close(terminal)


async def run_radio(link: Path, *, seed: int, period_ms: int, seconds: float | None, on_ready: Callable[[], None]) -> int:
    """Serve the module until SIGTERM, SIGINT or for some seconds; return how many frames it handed out.

    Raises:
        FileExistsError: something else is at `link`.
    """
    halt = asyncio.Event()
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, halt.set)
    sent = 0
    with port(link) as module:
        requests = bytearray()

        def put(wire: bytes) -> None:
            with contextlib.suppress(BlockingIOError):  # nobody reads: lost, as on a real port
                os.write(module, wire)

        def take() -> None:
            requests.extend(os.read(module, 4096))
            for answer in answers(requests):
                put(answer)

        loop.add_reader(module, take)
        try:
            on_ready()
            end = None if seconds is None else loop.time() + seconds
            for measured in well(seed):
                put(receive_packet(measured.payload()))
                sent += 1
                pause = period_ms / 1000 if end is None else min(period_ms / 1000, end - loop.time())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause)):
                        await halt.wait()
                if halt.is_set() or (end is not None and loop.time() >= end):
                    break
        finally:
            loop.remove_reader(module)
    return sent
