r"""Ground truth: what the lab's devices showed, kept apart from everything that reads them, so that a checker can compare.

The file is JSON Lines, only ever appended to, one record a line; the member `k` says what it is (the classes below). Each record is
written to the file *before* what it speaks of can be seen outside, in one write call, so that a SIGKILL of the lab loses no record of
anything that was served. (It is not fsynced: the lab is a test bed, its enemy is the signal, not the power cut.) A line torn by a kill was
not served; `read_truth` passes over it. All times are µs UTC; `w` is the wall clock at the moment of writing, which no fault bends.

What a checker may conclude
---------------------------
Modbus, `Sample` with `p: modbus`:
    The register image of the unit changed to these values just after `w` (and `t` is the same: a Modbus device has no clock). It showed
    them until just after the `w` of the unit's next sample. So a reading whose request was sent at a and answered at b must be one of the
    samples in force between a and b; a value that no sample of about that time holds was not served. A gateway samples: it need not have
    seen every image. Values are as decoded from the registers: float32 rounded, scaled integers as `raw * scale`.
OPC UA, `Sample` with `p: opcua`:
    The server's nodes changed to these values with source time `t`; only values (or qualities) that did change are in the record, which is
    what a subscription with the default trigger (status or value) reports. While a subscription with a long enough queue lives, each of
    them must arrive exactly once and in order; while none lives, none need arrive, except the newest of each tag when one is made. A value
    of BAD quality is null, as OPC UA prescribes (Part 4, 7.7.1).
MQTT, `Sample` with `p: mqtt`, and `Message` for events and alarms:
    The device is about to publish message number `n` with QoS 1. If a later `Acknowledged` holds `n`, the broker has taken it: it must
    arrive at every persistent subscriber, at least once, and (tag, time) tell copies apart. Otherwise it may or may not arrive; if a
    `Refused` holds `n`, it was never sent. `Run.durable_broker` says whether the broker keeps messages over its own restart.
Counters and times:
    Cycle numbers `c`, message numbers `n`, message ids and TOTAL never repeat or go back, restarts included. Source times of a unit only go
    back when a fault of its clock begins or ends.
While a unit is unplugged its Modbus and MQTT devices show nothing, and its OPC UA values are null with Bad_NoCommunication; while a whole
protocol is unplugged or silent its devices go on as before, and MQTT messages wait at the broker for persistent subscribers.
`FaultSwitched` records say when which fault was switched on or off; `Run` and `Stopped` when the lab came and went.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from trunkline.lab.vocabulary import ProtocolName
from trunkline.model.errors import CorruptData
from trunkline.model.reading import Value


class Run(msgspec.Struct, frozen=True, tag_field="k", tag="run"):
    """The lab started.

    Attributes:
        w: wall clock, µs UTC.
        seed, units, period_ms: as configured.
        first_cycle: number of the first cycle of this run.
        durable_broker: whether the MQTT broker keeps messages over its own orderly restart.
    """

    w: int
    seed: int
    units: int
    period_ms: int
    first_cycle: int
    durable_broker: bool


class Sample(msgspec.Struct, frozen=True, tag_field="k", tag="sample", omit_defaults=True):
    """Values that a unit's device is about to show.

    Attributes:
        w: wall clock, µs UTC.
        p: protocol.
        c: cycle.
        a: asset path of the unit.
        t: source time as the device tells it, µs UTC.
        v: value by tag name.
        q: quality by tag name where it is not GOOD.
        n: MQTT only: number of the message.
        id: MQTT only: UUID of the message.
    """

    w: int
    p: ProtocolName
    c: int
    a: str
    t: int
    v: dict[str, Value]
    q: dict[str, int] = {}
    n: int = 0
    id: str = ""


class Message(msgspec.Struct, frozen=True, tag_field="k", tag="message"):
    """An event or alarm that a device is about to publish over MQTT.

    Attributes:
        w: wall clock, µs UTC.
        c: cycle.
        n: number of the message.
        t: when it happened, by the device's clock, µs UTC.
        id: UUID of the event.
        a: asset path.
        category: 'event' or 'alarm'.
        type: SCREAMING_SNAKE.
        active: for alarms: whether the condition came or went.
    """

    w: int
    c: int
    n: int
    t: int
    id: str
    a: str
    category: str
    type: str
    active: bool


class Acknowledged(msgspec.Struct, frozen=True, tag_field="k", tag="ack"):
    """The broker acknowledged (PUBACK) the messages `n` at or before `w`."""

    w: int
    n: list[int]


class Refused(msgspec.Struct, frozen=True, tag_field="k", tag="refused"):
    """The device gave up the messages `n` without sending them: its queue was full."""

    w: int
    n: list[int]


class FaultSwitched(msgspec.Struct, frozen=True, tag_field="k", tag="fault"):
    """A fault was switched on or off.

    Attributes:
        w: wall clock, µs UTC.
        number: of the fault, within a run.
        fault: its kind.
        target: what it acts on.
        amount: see `trunkline.lab.faults`.
        seed: of its random numbers.
        on: whether it began or ended.
    """

    w: int
    number: int
    fault: str
    target: str
    amount: float
    seed: int
    on: bool


class Stopped(msgspec.Struct, frozen=True, tag_field="k", tag="stopped"):
    """The lab stopped in an orderly way at `w`; missing after a SIGKILL."""

    w: int


TruthRecord: TypeAlias = Run | Sample | Message | Acknowledged | Refused | FaultSwitched | Stopped

_DECODER: msgspec.json.Decoder[TruthRecord] = msgspec.json.Decoder(TruthRecord)


class TruthWriter:
    """Appends records; one writer at a time. With no path it writes nothing, and costs nothing.

    Args:
        path: the file; its folder is made. None writes no truth.
    """

    def __init__(self, path: Path | None) -> None:
        self._encode = msgspec.json.Encoder().encode_lines
        self._file = -1
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # so that a line torn by a kill spoils no other

    @property
    def writes(self) -> bool:
        """Whether there is a file."""
        return self._file >= 0

    def write(self, records: Sequence[TruthRecord]) -> None:
        """Append `records`; on return they survive a SIGKILL. Raises OSError: then nothing of them may be served."""
        if self._file < 0 or not records:
            return
        rest = memoryview(self._encode(records))
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_truth(path: Path) -> Iterator[TruthRecord]:
    """Yield the records of a truth file in the order in which they were written.

    Lines torn by a kill are passed over: the last line of the file, and a line followed by the `Run` of the next start. The file may still
    be growing.

    Raises:
        CorruptData: another line cannot be read; the message says which.
    """
    torn = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # torn by a kill, or still being written
            try:
                record = _DECODER.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                if torn:
                    raise CorruptData(f"{path}: line {torn} is no record of ground truth: {error}") from error
                torn = number
                continue
            if torn and not isinstance(record, Run):
                raise CorruptData(f"{path}: line {torn} is no record of ground truth")
            torn = 0
            yield record


class TrueValue(NamedTuple):
    """One value that a device showed.

    Attributes:
        protocol: how.
        tag: full tag path.
        time: source time as the device told it, µs UTC.
        wall: when it was written to the truth, µs UTC; it was shown just afterwards.
        value: as shown; None with a BAD quality over OPC UA.
        quality: as shown; for Modbus, which cannot show it, what it would have been.
        cycle: number of the cycle.
        id: UUID of the MQTT message; else empty.
        owed: whether a perfect reader must have it, for MQTT: the broker acknowledged it; True for the others (but read the module's text).
    """

    protocol: ProtocolName
    tag: str
    time: int
    wall: int
    value: Value
    quality: int
    cycle: int
    id: str
    owed: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth file as a checker wants it: what was shown, and whether a reader must have it. Records are read only when asked for.

    Attributes:
        path: the file.
        acknowledged: numbers of the messages that the broker took.
        refused: numbers of the messages never sent.
    """

    path: Path
    acknowledged: frozenset[int]
    refused: frozenset[int]

    @classmethod
    def load(cls, path: Path) -> "Truth":
        """Read what was acknowledged in a file; what is acknowledged later is not owed. Raises CorruptData."""
        acknowledged: set[int] = set()
        refused: set[int] = set()
        for record in read_truth(path):
            if isinstance(record, Acknowledged):
                acknowledged.update(record.n)
            elif isinstance(record, Refused):
                refused.update(record.n)
        return cls(path, frozenset(acknowledged), frozenset(refused))

    def records(self) -> Iterator[TruthRecord]:
        """Yield all records, in order. Raises CorruptData."""
        return read_truth(self.path)

    def values(self, protocol: ProtocolName | None = None) -> Iterator[TrueValue]:
        """Yield each value shown, of one protocol or of all, in the order of showing; those never sent are left out."""
        for record in self.records():
            if not isinstance(record, Sample) or (protocol and record.p != protocol) or record.n in self.refused:
                continue
            owed = record.p != ProtocolName.MQTT or record.n in self.acknowledged
            for name, value in record.v.items():
                tag, quality = f"{record.a}.{name}", record.q.get(name, 0)
                yield TrueValue(record.p, tag, record.t, record.w, value, quality, record.c, record.id, owed)

    def messages(self) -> Iterator[tuple[Message, bool]]:
        """Yield each event and alarm, and whether the broker took it; those never sent are left out."""
        for record in self.records():
            if isinstance(record, Message) and record.n not in self.refused:
                yield record, record.n in self.acknowledged
