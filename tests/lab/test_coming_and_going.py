"""Kills, restarts, orderly ends, and plants that cannot start."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.lab.harness import PlantProcess, Subscriber, alive, check_mqtt, eventually, spared_ports, subscriber
from typer.testing import CliRunner

from trunkline.lab.cli import app
from trunkline.lab.control import Endpoints, read_endpoints, write_endpoints
from trunkline.lab.truth import Acknowledged, Run, Sample, Stopped
from trunkline.lab.vocabulary import ProtocolName
from trunkline.model import times


@pytest.fixture
def own_plant(tmp_path: Path) -> Iterator[Callable[..., PlantProcess]]:
    made: list[PlantProcess] = []

    def make(*options: str) -> PlantProcess:
        made.append(PlantProcess(tmp_path / "lab", "--units", "3", "--period-ms", "50", *options))
        return made[-1]

    yield make
    for process in made:
        process.close()


def check_orderly_end(plant: PlantProcess) -> None:
    """SIGTERM ends with status 0, the truth says so, everything on its way was acknowledged, no process stays."""
    broker = broker_pid(plant)
    assert plant.end(signal.SIGTERM) == 0
    assert not alive(broker)
    records = list(plant.truth().records())
    assert isinstance(records[-1], Stopped)
    begin = max(at for at, record in enumerate(records) if isinstance(record, Run))
    taken = {n for record in records if isinstance(record, Acknowledged) for n in record.n}
    assert {record.n for record in records[begin:] if isinstance(record, Sample) and record.n} <= taken
    assert "readings shown" in plant.output


def broker_pid(plant: PlantProcess) -> int:
    pid: int = json.loads((plant.directory / "broker" / "broker.json").read_text())["pid"]
    return pid


def test_sigkill_and_restart(own_plant: Callable[..., PlantProcess]) -> None:
    """A killed plant takes its broker along, comes back on its ports, repeats no number, loses nothing acknowledged."""
    plant = own_plant()
    ports = plant.start(*spared_ports())
    same = [
        f"--{name}-port={port}" for name, port in (("modbus", ports.modbus_port), ("opcua", ports.opcua_port), ("mqtt", ports.mqtt_port))
    ]
    client = Subscriber(ports.mqtt_port).wait()
    first = times.now()
    eventually(lambda: len(client.of("telemetry")) > 10, "messages")
    client.close()  # the broker must now keep everything for it
    broker = broker_pid(plant)
    absent = times.now()
    eventually(lambda: any(v.owed and v.wall > absent + times.SECOND // 2 for v in plant.truth().values(ProtocolName.MQTT)), "more")
    plant.end(signal.SIGKILL)
    eventually(lambda: not alive(broker), "the broker ends with the plant")
    killed = times.now()
    again = plant.start(*same)
    assert (again.modbus_port, again.opcua_port, again.mqtt_port) == (ports.modbus_port, ports.opcua_port, ports.mqtt_port)
    back = Subscriber(again.mqtt_port).wait()
    back.messages[:0] = client.messages
    eventually(lambda: any(times.from_iso(b["time"]) > killed for b in back.of("telemetry")), "messages of the new run")
    truth = plant.truth()
    back.close()
    if again.broker == "mosquitto":  # amqtt keeps sessions in memory only, and says so in the truth
        assert check_mqtt(list(truth.values(ProtocolName.MQTT)), back, first, killed) > 100
    records = list(truth.records())
    runs = [at for at, record in enumerate(records) if isinstance(record, Run)]
    assert len(runs) == 2
    before, after = ([r for r in part if isinstance(r, Sample)] for part in (records[: runs[1]], records[runs[1] :]))
    assert min(r.c for r in after) > max(r.c for r in before)
    assert min(r.n for r in after if r.n) > max(r.n for r in before)
    assert min(r.t for r in after) > max(r.t for r in before)
    totals = [r.v["TOTAL"] for r in before + after if r.a == "PLANT01.AREA01.UNIT_03"]
    assert totals == sorted(totals, key=lambda total: int(total or 0))
    assert not any(isinstance(record, Stopped) for record in records[: runs[1]])
    check_orderly_end(plant)


def test_a_dead_broker_is_started_again(own_plant: Callable[..., PlantProcess]) -> None:
    """Devices keep what they have to say until the broker is back; everything it took before and after is owed."""
    plant = own_plant()
    endpoints = plant.start(*spared_ports())
    broker = broker_pid(plant)
    psutil.Process(broker).kill()
    eventually(lambda: broker_pid(plant) != broker, "another broker")
    restarted = times.now()
    eventually(lambda: any(v.owed and v.wall > restarted for v in plant.truth().values(ProtocolName.MQTT)), "acknowledged messages")
    with subscriber(endpoints.mqtt_port) as client:
        eventually(lambda: len(client.of("telemetry")) > 10, "messages")


def test_fallback_broker(own_plant: Callable[..., PlantProcess]) -> None:
    """Without mosquitto the lab starts amqtt in a process of its own, and QoS 1 works the same."""
    plant = own_plant("--broker", "amqtt")
    endpoints = plant.start(*spared_ports())
    assert endpoints.broker == "amqtt"
    with subscriber(endpoints.mqtt_port) as client:
        first = times.now()
        eventually(lambda: len(client.of("telemetry")) > 20, "messages")
        last = times.now() - times.SECOND // 4
        eventually(lambda: any(times.from_iso(b["time"]) > last + times.SECOND for b in client.of("telemetry")), "later messages")
    values = list(plant.truth().values(ProtocolName.MQTT))
    assert check_mqtt(values, client, first, last) > 20
    check_orderly_end(plant)


def test_one_plant_a_directory_and_port(plant: PlantProcess, tmp_path: Path) -> None:
    """A second plant in the directory, or on its ports, says what to do."""
    runner = CliRunner()
    spare = spared_ports()
    locked = runner.invoke(app, ["plant", "--directory", str(plant.directory), "--for", "1", *spare])
    assert locked.exit_code == 1
    assert "another plant runs in" in locked.output
    taken = str(read_endpoints(plant.directory).modbus_port)
    busy = runner.invoke(app, ["plant", "--directory", str(tmp_path), "--for", "1", *spare, "--modbus-port", taken])
    assert busy.exit_code == 1
    assert f"port {taken} for modbus" in busy.output


@pytest.mark.parametrize(("options", "words"), [(["--period-ms", "9"], "shortest period"), (["--units", "0"], "units")])
def test_settings_that_do_not_fit(tmp_path: Path, options: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["plant", "--directory", str(tmp_path), *options])
    assert result.exit_code != 0
    assert words in result.output


def test_no_truth_no_service(tmp_path: Path) -> None:
    """A disk that is full ends the plant before it shows what nobody could check."""
    result = CliRunner().invoke(app, ["plant", "--directory", str(tmp_path), "--truth", "/dev/full", *spared_ports()])
    assert result.exit_code == 1
    assert "No space left" in result.output
    assert not (tmp_path / "lab.json").exists()


def test_faults_need_a_plant(tmp_path: Path) -> None:
    """Where no plant ran, or runs no more, the command says what to do."""
    never = CliRunner().invoke(app, ["fault", "list", "--directory", str(tmp_path)])
    assert never.exit_code == 1
    assert "trunkline lab plant" in never.output
    gone = Endpoints(pid=1, modbus_port=1, opcua_port=1, mqtt_port=1, opcua_path="/", broker="amqtt", control_port=1, token="x", truth="")
    write_endpoints(tmp_path, gone)
    ended = CliRunner().invoke(app, ["fault", "list", "--directory", str(tmp_path)])
    assert ended.exit_code == 1
    assert "is it running?" in ended.output
