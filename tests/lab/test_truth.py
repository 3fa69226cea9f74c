"""The ground truth file: complete, readable after a kill, strict about anything else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab.harness import eventually

from trunkline.lab.truth import Acknowledged, FaultSwitched, Message, Refused, Run, Sample, Stopped, Truth, TruthWriter, read_truth
from trunkline.lab.vocabulary import ProtocolName
from trunkline.model.errors import CorruptData
from trunkline.model.quality import Quality
from trunkline.model.reading import Value

RUN = Run(w=1, seed=7, units=3, period_ms=100, first_cycle=0, durable_broker=True)
UNIT = "PLANT01.AREA01.UNIT_01"


def sample(number: int = 0, protocol: ProtocolName = ProtocolName.MQTT) -> Sample:
    values: dict[str, Value] = {"FLOW_RATE": 50.25, "TOTAL": 2**53 + 1, "RUNNING": True, "MODE": "AUTO", "PRESSURE": None}
    return Sample(w=10, p=protocol, c=4, a=UNIT, t=9, v=values, q={"PRESSURE": Quality.BAD_OUT_OF_RANGE}, n=number, id="x")


def message(number: int) -> Message:
    return Message(w=11, c=4, n=number, t=9, id="y", a=UNIT, category="alarm", type="HIGH_FLOW", active=True)


def write(path: Path, *records: object) -> None:
    writer = TruthWriter(path)
    writer.write(records)  # type: ignore[arg-type]  # any record
    writer.close()


def test_every_record_comes_back(tmp_path: Path) -> None:
    """What was written is read: floats exactly, 64-bit integers exactly, kinds kept."""
    fault = FaultSwitched(w=2, number=1, fault="drift", target="all", amount=5.0, seed=3, on=True)
    records = [RUN, sample(1), message(2), Acknowledged(w=12, n=[1, 2]), Refused(w=13, n=[3]), fault, Stopped(w=14)]
    write(tmp_path / "a" / "truth.jsonl", *records)
    read = list(read_truth(tmp_path / "a" / "truth.jsonl"))
    assert read == records
    assert isinstance(read[1], Sample)
    assert [type(value) for value in read[1].v.values()] == [float, int, bool, str, type(None)]


def test_flat_values_tell_what_is_owed(tmp_path: Path) -> None:
    """A reader owes what the broker acknowledged; what was never sent is not there; polled and subscribed values always count."""
    path = tmp_path / "truth.jsonl"
    opcua = sample(protocol=ProtocolName.OPCUA)
    write(path, RUN, sample(1), sample(2), sample(3), message(4), opcua, Acknowledged(w=12, n=[1, 4]), Refused(w=13, n=[3]))
    truth = Truth.load(path)
    mqtt = list(truth.values(ProtocolName.MQTT))
    assert [value.owed for value in mqtt] == [True] * 5 + [False] * 5
    assert mqtt[0][:6] == (ProtocolName.MQTT, f"{UNIT}.FLOW_RATE", 9, 10, 50.25, 0)
    assert mqtt[4].quality == Quality.BAD_OUT_OF_RANGE
    assert all(value.owed for value in truth.values(ProtocolName.OPCUA))
    assert [(m.n, taken) for m, taken in truth.messages()] == [(4, True)]


@pytest.mark.parametrize("keep", [1, 40])
def test_a_line_torn_by_a_kill_is_passed_over(tmp_path: Path, keep: int) -> None:
    """The torn line was never served; the next start keeps away from it."""
    path = tmp_path / "truth.jsonl"
    write(path, RUN, sample(1), sample(2))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:keep])
    assert list(read_truth(path)) == [RUN, sample(1)]
    write(path, RUN, sample(3))
    assert list(read_truth(path)) == [RUN, sample(1), RUN, sample(3)]


def test_damage_elsewhere_is_an_error(tmp_path: Path) -> None:
    """A checker must not pass over a file that somebody spoilt."""
    path = tmp_path / "truth.jsonl"
    write(path, RUN, sample(1), sample(2))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"k":"sam\n' + lines[2])
    with pytest.raises(CorruptData, match="line 2"):
        list(read_truth(path))
    path.write_bytes(lines[0] + b"{\n{\n")
    with pytest.raises(CorruptData, match="line 2"):
        list(read_truth(path))


def test_no_file_wanted_costs_nothing() -> None:
    writer = TruthWriter(None)
    writer.write([RUN])
    assert not writer.writes
    writer.close()


def test_kill_in_the_middle_of_writing(tmp_path: Path) -> None:
    """A SIGKILL at any instruction leaves a readable file with everything that was served (here: printed) in it."""
    path = tmp_path / "truth.jsonl"
    code = f"""
import sys
from pathlib import Path
from trunkline.lab.truth import Acknowledged, Run, TruthWriter
writer = TruthWriter(Path({str(path)!r}))
writer.write([Run(w=1, seed=7, units=3, period_ms=100, first_cycle=0, durable_broker=True)])
number = 0
while True:
    number += 1
    writer.write([Acknowledged(w=number, n=list(range(2000)))])
    sys.stdout.write(f"{{number}}\\n")
    sys.stdout.flush()
"""
    for _ in range(5):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            eventually(lambda: path.exists() and path.stat().st_size > 200_000, "the file grows")
            os.kill(process.pid, signal.SIGKILL)
            assert process.stdout is not None
            served = [int(line) for line in process.stdout.read().splitlines()[:-1]]
        written = [record.w for record in read_truth(path) if isinstance(record, Acknowledged)]
        assert written == list(range(1, len(written) + 1))
        assert len(written) >= served[-1]
