"""The line to the devices: one pymodbus client, one request at a time, and what went wrong said in errors of ours.

pymodbus does framing and transactions. Added here, because a wrong answer is worse than none: replies are held to the function and size
that were asked for; a byte stream that stops being Modbus is given up at once; a serial line is let fall quiet after a timeout, since RTU
has no transaction ids and a late answer would pass for the next one; a lost connection ends the wait instead of running into the timeout.
"""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Callable
from typing import ClassVar

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException, ModbusIOException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest
from typing_extensions import override

from trunkline.model.errors import SourceUnavailable
from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.registers.address import Table

# The library reports each timeout and each late answer as an error, with a dump of frames; here they are qualities and counts.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

#: MODBUS over Serial Line V1.02, 2.5.1.1: frames are 3.5 characters apart, and 1.75 ms above 19,200 bit/s.
CHARACTERS_APART = 3.5
LEAST_APART = 0.001_75
#: A TCP frame is unit id, function and at most 252 bytes of data (MODBUS Messaging on TCP/IP V1.0b, 3.1.3).
LONGEST_BODY = 254


class Refused(Exception):
    """The device answered with a Modbus exception.

    Attributes:
        code: exception code (V1.1b3, section 7).
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}")
        self.code = code


class NoAnswer(Exception):
    """Nothing came within the time, though the line stands."""


class _RawReply(ModbusPDU):
    """Reply to a read, its bytes left as they came: they are unpacked in one go later."""

    rtu_byte_count_pos = 2
    payload: bytes = b""

    def decode(self, data: bytes) -> None:
        """Keep the bytes behind the byte count, if it tells the truth."""
        self.payload = data[1:] if data and data[0] == len(data) - 1 else b""


class _RawCoils(_RawReply):
    function_code = 1


class _RawDiscreteInputs(_RawReply):
    function_code = 2


class _RawHoldingRegisters(_RawReply):
    function_code = 3


class _RawInputRegisters(_RawReply):
    function_code = 4


_REPLIES = (_RawCoils, _RawDiscreteInputs, _RawHoldingRegisters, _RawInputRegisters)
_READS: dict[Table, Callable[..., ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE: ReadDiscreteInputsRequest,
    Table.HOLDING: ReadHoldingRegistersRequest,
    Table.INPUT: ReadInputRegistersRequest,
}
_UNREADABLE = (ModbusException, LookupError, ValueError, struct.error)


class _StrictTcpFramer(FramerSocket):
    """Tells at once when the stream is not Modbus TCP, instead of waiting for a frame that cannot come."""

    def __init__(self, decoder: DecodePDU, broken: Callable[[str], None]) -> None:
        super().__init__(decoder)
        self._broken = broken

    @override
    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:
        """Return how many bytes were used, and the reply if it is whole."""
        if len(data) >= 6 and (data[2:4] != b"\0\0" or not 2 <= int.from_bytes(data[4:6], "big") <= LONGEST_BODY):
            self._broken(f"bytes that are not Modbus TCP: {data[:8].hex(' ')}")
            return len(data), None
        try:
            return super().handleFrame(data, exp_devid, exp_tid)
        except _UNREADABLE as error:
            self._broken(f"a reply that cannot be read ({error})")
            return len(data), None


class _TolerantRtuFramer(FramerRTU):
    """Takes whatever cannot be read for noise on the line: the request is answered by nothing."""

    @override
    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:
        """Return how many bytes were used, and the reply if it is whole."""
        try:
            return super().handleFrame(data, exp_devid, exp_tid)
        except _UNREADABLE:
            return len(data), None


class Line:
    """One socket or serial port. Build a new one for every connection: nothing of the last one is left over.

    Attributes:
        lost: set once the connection is lost.
        took: seconds from sending the newest request that was answered to seeing its answer; more than the time-out only if we hung.
    """

    _PARITY: ClassVar[dict[str, str]] = {"none": "N", "even": "E", "odd": "O"}

    def __init__(self, config: ModbusConfig) -> None:
        self._timeout = config.timeout_ms / 1000
        self._serial = config.transport == "rtu"
        self._where = config.serial_port if self._serial else f"{config.host}:{config.port}"
        self._pause = config.request_delay_ms / 1000
        if self._serial:
            bits = 1 + 8 + (config.parity != "none") + config.stop_bits
            self._pause = max(self._pause, LEAST_APART, CHARACTERS_APART * bits / config.baudrate)
        self._free_at = 0.0
        self._late_answer_due = False
        self._lock = asyncio.Lock()
        self._broken = ""
        self.lost = asyncio.Event()
        self.took = 0.0
        self._client = self._build(config)
        for reply in _REPLIES:
            self._client.register(reply)

    def _build(self, config: ModbusConfig) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
        client: AsyncModbusSerialClient | AsyncModbusTcpClient
        if self._serial:
            client = AsyncModbusSerialClient(
                config.serial_port,
                baudrate=config.baudrate,
                parity=self._PARITY[config.parity],
                stopbits=config.stop_bits,
                timeout=self._timeout,
                retries=0,
                reconnect_delay=0,
                trace_connect=self._connection_changed,
            )
            client.ctx.framer = _TolerantRtuFramer(client.ctx.framer.decoder)
        else:
            client = AsyncModbusTcpClient(
                config.host,
                port=config.port,
                timeout=self._timeout,
                retries=0,
                reconnect_delay=0,
                trace_connect=self._connection_changed,
            )
            client.ctx.framer = _StrictTcpFramer(client.ctx.framer.decoder, self._stream_broken)
        client.set_max_no_responses(1 << 30)  # whether silence ends the connection is decided per unit id, by the scanner
        return client

    async def open(self) -> None:
        """Open the socket or port. Raises SourceUnavailable."""
        if not await self._client.connect():
            hint = "is it plugged in, and may this user open it?" if self._serial else "is it on, and is it the right address and port?"
            raise SourceUnavailable(f"cannot open {self._where}: {hint}")

    def close(self) -> None:
        """Let go of the socket or port, and of whoever waits for an answer."""
        self._client.close()
        self._give_up(f"connection to {self._where} closed")

    async def read(self, unit: int, table: Table, start: int, size: int, attempts: int = 1) -> bytes:
        """Read registers or coils.

        Returns:
            The bytes as sent: two per register, or the coils packed from the least significant bit.

        Raises:
            Refused: the device answered with a Modbus exception.
            NoAnswer: nothing usable came, in any attempt.
            SourceUnavailable: the connection is lost, or what comes is not Modbus.
        """
        wanted = (size + 7) // 8 if table.is_bits else 2 * size
        for attempt in range(attempts):
            try:
                reply = await self._ask(_READS[table](address=start, count=size, dev_id=unit))
            except NoAnswer:
                if attempt + 1 == attempts:
                    raise
                continue
            if isinstance(reply, _RawReply) and len(reply.payload) == wanted:
                return reply.payload
            raise self._mistrust(f"asked unit {unit} for {size} of {table.value}:{start}, got an answer of another size")
        raise NoAnswer

    async def send(self, request: ModbusPDU) -> None:
        """Send a write once.

        Raises:
            Refused: the device answered with a Modbus exception.
            NoAnswer: no answer; the device may have acted.
            SourceUnavailable: the connection was lost; the device may have acted.
        """
        await self._ask(request)

    async def _ask(self, request: ModbusPDU) -> ModbusPDU:
        """Send one request and return the reply of the same function."""
        async with self._lock:
            await self._keep_distance()
            if not self._client.connected:
                raise SourceUnavailable(self._broken or f"connection to {self._where} lost")
            self._late_answer_due = True  # until it has come, also when this task is cancelled
            asked = asyncio.get_running_loop().time()
            try:
                reply: ModbusPDU = await self._client.execute(False, request)
            except ConnectionException as error:
                raise self._lose(error.string) from None
            except ModbusIOException:
                if self._client.ctx.recv_buffer and not self._serial:
                    raise self._lose("half an answer came, and no more") from None
                raise NoAnswer from None
            finally:
                self._free_at = asyncio.get_running_loop().time() + self._pause
            self.took = asyncio.get_running_loop().time() - asked
            if reply.function_code & 0x7F != request.function_code:
                raise self._mistrust(f"asked for function {request.function_code}, got an answer to {reply.function_code & 0x7F}")
            self._late_answer_due = False
            if reply.isError():
                raise Refused(reply.exception_code)
            return reply

    async def _keep_distance(self) -> None:
        """Wait until the next request may be sent; on a serial line, until an answer that is overdue cannot come any more."""
        pause = self._free_at - asyncio.get_running_loop().time()
        if self._serial and self._late_answer_due:
            pause = max(pause, self._timeout)
        if pause > 0:
            await asyncio.sleep(pause)

    def _connection_changed(self, connected: bool) -> None:
        if not connected:
            self._give_up(f"connection to {self._where} lost")

    def _stream_broken(self, why: str) -> None:
        self._give_up(f"{self._where} sent {why}")
        self._client.close()

    def _mistrust(self, why: str) -> Exception:
        """Return the error for an answer to something else: on a serial line a late one, over TCP the sign of a stream out of step."""
        if self._serial:
            self._late_answer_due = True
            return NoAnswer()
        return self._lose(why)

    def _lose(self, why: str) -> SourceUnavailable:
        """Close, because what comes next cannot be trusted, and return the error to raise."""
        self._give_up(why if self._where in why else f"{self._where}: {why}")
        self._client.close()
        return SourceUnavailable(self._broken)

    def _give_up(self, why: str) -> None:
        self._broken = self._broken or why
        self.lost.set()
        waiting = self._client.ctx.response_future
        with contextlib.suppress(asyncio.InvalidStateError):
            waiting.set_exception(ConnectionException(why))
            waiting.exception()  # marks it as seen: there may be nobody waiting

    @property
    def why_lost(self) -> str:
        """What ended the connection; empty while it stands."""
        return self._broken
