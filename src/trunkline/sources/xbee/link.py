"""The serial port to the module: bytes in and out on the event loop, frames, answers to requests. No thread, no blocking read.

pyserial opens and sets up the port; after that the loop watches its file descriptor.
"""

import asyncio
import contextlib
import os
import termios
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import serial

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.xbee.config import XBeeConfig
from trunkline.sources.xbee.frames import Damaged, Decoder, encode
from trunkline.sources.xbee.messages import AtResponse, Message, RemoteAtResponse, TransmitStatus, at_request, parse

#: Seconds without a byte after which a frame that has begun will not end: a module sends a frame without pauses, adapters pause for 16 ms.
QUIET: Final = 0.25
#: Arrivals that nobody has read yet; beyond it the port is left alone.
MOST_ARRIVALS: Final = 10_000
_AT_ONCE: Final = 4096
#: Ids of requests whose answer is waited for; polls have one of their own, so that a late answer to one never passes for another.
_LAST_FRAME_ID: Final = 254
POLL_FRAME_ID: Final = 255

Answer = AtResponse | RemoteAtResponse | TransmitStatus


class Arrival(NamedTuple):
    """What came: a message, or a frame that is damaged or shorter than its type asks for; `time` is µs UTC."""

    what: Message | Damaged
    time: int


class RadioLink:
    """A connection to the module at the port, from opening to its loss; a new one is made for every attempt."""

    def __init__(self, config: XBeeConfig, now: Callable[[], int]) -> None:
        self._config = config
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder(config.api_mode)
        self._port: serial.Serial | None = None
        self._arrivals: deque[Arrival] = deque()
        self._changed = asyncio.Event()
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._last_id = 0
        self._outbox = bytearray()
        self._paused = False
        self._quiet: asyncio.TimerHandle | None = None
        self._lost: str | None = None

    async def open(self) -> None:
        """Open the port and ask the module for its API mode.

        Raises:
            SourceUnavailable: the port cannot be opened, or nobody answers.
            SourceMisconfigured: the module is in the other API mode.
        """
        config = self._config
        try:
            self._port = serial.Serial(config.port, config.baud_rate, timeout=0, exclusive=True)
        except (OSError, ValueError) as error:  # serial.SerialException is an OSError
            hint = "is it plugged in, may this user open it, and does no other program use it?"
            raise SourceUnavailable(f"cannot open {config.port}: {hint} ({error})") from error
        self._loop.add_reader(self._port.fileno(), self._on_readable)
        answer = await self.request(lambda frame_id: at_request(frame_id, b"AP"))
        if self._lost is not None:
            raise SourceUnavailable(self._lost)
        if not isinstance(answer, AtResponse):
            raise SourceUnavailable(
                f"{config.port} is open, but no XBee module answers within {config.timeout_ms} ms: "
                "is 'baud_rate' its BD, and is it in API mode (its AP is 1 or 2)?"
            )
        mode = int.from_bytes(answer.value, "big")
        if answer.status == 0 and mode in (1, 2) and mode != config.api_mode:
            raise SourceMisconfigured(
                f"the module at {config.port} is in API mode {mode}: set 'api_mode: {mode}', or its AP to {config.api_mode}"
            )

    async def receive(self) -> list[Arrival]:
        """Wait until something came and return all of it. Raises SourceUnavailable once the port is lost and all is handed out."""
        while not self._arrivals:
            if self._lost is not None:
                raise SourceUnavailable(self._lost)
            self._changed.clear()
            await self._changed.wait()
        arrivals = list(self._arrivals)
        self._arrivals.clear()
        if self._paused and self._port is not None:
            self._paused = False
            self._loop.add_reader(self._port.fileno(), self._on_readable)
        return arrivals

    async def request(self, data: Callable[[int], bytes]) -> Answer | None:
        """Send a request and return the answer to it; None if none came within `timeout_ms`, or the port was lost.

        Args:
            data: makes the data of the frame with an id.
        """
        frame_id = self._free_id()
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answers[frame_id] = answer
        try:
            self.send(data(frame_id))
            await asyncio.wait((answer,), timeout=self._config.timeout_ms / 1000)
        finally:
            self._answers.pop(frame_id, None)
        return answer.result() if answer.done() and not answer.cancelled() else None

    def send(self, data: bytes) -> None:
        """Send a frame; what the port does not take now is sent as soon as it does."""
        if self._lost is None:
            waiting = bool(self._outbox)
            self._outbox += encode(data, self._config.api_mode)
            if not waiting:
                self._on_writable()

    def close(self) -> None:
        """Let go of the port, and of whoever waits for an answer."""
        self._lose("closed")

    @property
    def lost(self) -> str | None:
        """Why the port is lost; None while it stands."""
        return self._lost

    def _free_id(self) -> int:
        for _ in range(_LAST_FRAME_ID):
            self._last_id = self._last_id % _LAST_FRAME_ID + 1
            if self._last_id not in self._answers:
                return self._last_id
        raise SourceUnavailable(f"{self._config.port}: {_LAST_FRAME_ID} requests wait for an answer; nothing was sent")

    def _lose(self, why: str) -> None:
        if self._lost is not None:
            return
        self._lost = why
        port, self._port = self._port, None
        if port is not None:
            self._loop.remove_reader(port.fileno())
            self._loop.remove_writer(port.fileno())
            _close(port)
        if self._quiet is not None:
            self._quiet.cancel()
        for answer in self._answers.values():
            answer.cancel()
        self._changed.set()

    # what the loop calls

    def _on_readable(self) -> None:
        if self._port is None:
            return
        try:
            received = os.read(self._port.fileno(), _AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(f"{self._config.port} is lost: {error.strerror or error}")
            return
        if not received:  # readable, and nothing to read: the adapter is gone
            self._lose(f"{self._config.port} is lost: the adapter was unplugged, or another program reads from it")
            return
        self._take(self._decoder.feed(received))
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = self._loop.call_later(QUIET, self._on_quiet) if self._decoder.waiting else None

    def _on_quiet(self) -> None:
        self._take(self._decoder.give_up())

    def _take(self, frames: list[bytes | Damaged]) -> None:
        for frame in frames:
            what = frame if isinstance(frame, Damaged) else _understood(frame)
            if isinstance(what, AtResponse | RemoteAtResponse | TransmitStatus):
                answer = self._answers.get(what.frame_id)
                if answer is not None and not answer.done():
                    answer.set_result(what)
            self._arrivals.append(Arrival(what, self._now()))
        if frames:
            self._changed.set()
        if len(self._arrivals) > MOST_ARRIVALS and self._port is not None and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._port.fileno())

    def _on_writable(self) -> None:
        if self._port is None:
            return
        port = self._port.fileno()
        try:
            del self._outbox[: os.write(port, self._outbox)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(f"{self._config.port} is lost: {error.strerror or error}")
            return
        if self._outbox:
            self._loop.add_writer(port, self._on_writable)
        else:
            self._loop.remove_writer(port)


def _understood(data: bytes) -> Message | Damaged:
    try:
        return parse(data)
    except ValueError as error:
        return Damaged(data, str(error))


def _close(port: serial.Serial) -> None:
    """Close a port at once: what was not sent yet would keep it open for half a minute."""
    with contextlib.suppress(OSError, termios.error):  # it may be gone already
        port.reset_output_buffer()
    port.close()
