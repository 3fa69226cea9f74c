"""`trunkline lab`: run the simulated plant, write a site file for it, switch faults on and off."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import msgspec
import typer
from pydantic import ValidationError

from trunkline.config.loading import load
from trunkline.config.site import LabConfig
from trunkline.lab.control import Endpoints, Request, request
from trunkline.lab.faults import Fault, FaultKind
from trunkline.lab.plant import run_plant
from trunkline.lab.site import SitePlan, site_text
from trunkline.lab.xbee_radio import NODE, run_radio
from trunkline.model import times
from trunkline.model.errors import TrunklineError

app = typer.Typer(no_args_is_help=True, help="Simulated devices on the real protocols, faults on demand, ground truth.")
fault_app = typer.Typer(no_args_is_help=True, help="Make the devices of a running plant go wrong, and right again.")
app.add_typer(fault_app, name="fault")

_DEFAULTS = LabConfig()

Units = Annotated[int, typer.Option(help="number of units; each has seven tags")]
Seed = Annotated[int, typer.Option(help="decides every value, event and alarm")]
PeriodMs = Annotated[int, typer.Option(help="milliseconds between two values of a tag, at least 10")]
ModbusPort = Annotated[int, typer.Option(help="port of the Modbus TCP devices")]
OpcUaPort = Annotated[int, typer.Option(help="port of the OPC UA server")]
MqttPort = Annotated[int, typer.Option(help="port of the MQTT broker")]
Directory = Annotated[Path, typer.Option(help="the plant's directory: counters, the broker's sessions, how to reach it")]
Where = Annotated[Path, typer.Option("--directory", "--site", help="the plant's directory, or the site file that it was started with")]
Target = Annotated[str, typer.Argument(help="'all', a protocol (modbus, opcua, mqtt), or a path such as PLANT01.AREA01.UNIT_02.PRESSURE")]
Seconds = Annotated[float | None, typer.Option("--for", help="seconds after which it ends by itself")]
FaultSeed = Annotated[int | None, typer.Option("--seed", help="seed of its random numbers; drawn, and printed, if not given")]

#: Where 'trunkline up' keeps the plant of a site, below the site's data directory.
SITE_SUBDIRECTORY = "lab"
_DIRECTORY = Path("data") / SITE_SUBDIRECTORY


def _lab(**settings: Any) -> LabConfig:  # noqa: ANN401 - settings of several types
    try:
        return LabConfig(**settings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise typer.BadParameter(problems) from error


@app.command()
def plant(
    units: Units = _DEFAULTS.units,
    seed: Seed = _DEFAULTS.seed,
    period_ms: PeriodMs = _DEFAULTS.period_ms,
    modbus_port: ModbusPort = _DEFAULTS.modbus_port,
    opcua_port: OpcUaPort = _DEFAULTS.opcua_port,
    mqtt_port: MqttPort = _DEFAULTS.mqtt_port,
    truth: Annotated[str, typer.Option(help="file for the ground truth, relative to the directory; empty writes none")] = "",
    directory: Directory = _DIRECTORY,
    seconds: Annotated[float | None, typer.Option("--for", help="seconds to run; for ever if not given")] = None,
    broker: Annotated[Literal["auto", "mosquitto", "amqtt"], typer.Option(help="MQTT broker to start")] = "auto",
) -> None:
    """Run a plant of simulated units on Modbus TCP, OPC UA and MQTT, on loopback, until it is interrupted."""
    lab = _lab(
        units=units,
        seed=seed,
        period_ms=period_ms,
        modbus_port=modbus_port,
        opcua_port=opcua_port,
        mqtt_port=mqtt_port,
        truth=truth,
    )
    try:
        report = asyncio.run(run_plant(lab, directory, broker=broker, seconds=seconds, on_ready=lambda found: _tell_ready(lab, found)))
    except (TrunklineError, OSError, RuntimeError) as error:
        _fail(error)
    typer.echo(f"{report.cycles} cycles, {report.readings} readings shown, {report.overruns} cycles left out", err=True)


def _tell_ready(lab: LabConfig, found: Endpoints) -> None:
    typer.echo(f"{lab.units} units, a cycle every {lab.period_ms} ms, seed {lab.seed}", err=True)
    typer.echo(f"Modbus TCP  127.0.0.1:{found.modbus_port}", err=True)
    typer.echo(f"OPC UA      opc.tcp://127.0.0.1:{found.opcua_port}{found.opcua_path}", err=True)
    typer.echo(f"MQTT        127.0.0.1:{found.mqtt_port} ({found.broker})", err=True)
    if found.truth:
        typer.echo(f"truth       {found.truth}", err=True)


@app.command()
def site(
    units: Units = _DEFAULTS.units,
    seed: Seed = _DEFAULTS.seed,
    period_ms: PeriodMs = _DEFAULTS.period_ms,
    modbus_port: ModbusPort = _DEFAULTS.modbus_port,
    opcua_port: OpcUaPort = _DEFAULTS.opcua_port,
    mqtt_port: MqttPort = _DEFAULTS.mqtt_port,
    truth: Annotated[str, typer.Option(help="file for the ground truth; empty writes none")] = "",
    api_port: Annotated[int, typer.Option(help="port of the page")] = 8400,
    deadbands: Annotated[bool, typer.Option(help="let some tags report only what moved")] = True,
    kafka_port: Annotated[int | None, typer.Option(help="run a broker of Apache Kafka there as the site log", show_default=False)] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file to write; standard output if not given")] = None,
) -> None:
    """Write a site file that reads the whole plant."""
    lab = _lab(
        units=units,
        seed=seed,
        period_ms=period_ms,
        modbus_port=modbus_port,
        opcua_port=opcua_port,
        mqtt_port=mqtt_port,
        truth=truth,
    )
    kafka_ports = (kafka_port,) if kafka_port is not None else ()
    text = site_text(SitePlan(lab, api_port=api_port, deadbands=deadbands, kafka_ports=kafka_ports))
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)


@app.command()
def xbee(
    link: Annotated[Path, typer.Option(help="where to put the serial port: a link to a pseudo terminal")],
    seed: Annotated[int, typer.Option(help="decides every value")] = _DEFAULTS.seed,
    period_ms: Annotated[int, typer.Option(min=10, help="milliseconds between two frames")] = _DEFAULTS.period_ms,
    seconds: Annotated[float | None, typer.Option("--for", help="seconds to run; for ever if not given")] = None,
) -> None:
    """Run an XBee module with the radio of an offshore well behind it, on a serial port of its own, until it is interrupted."""

    def ready() -> None:
        typer.echo(f"serial port {link}, API mode 2; radio {NODE.hex().upper()} sends every {period_ms} ms", err=True)

    try:
        sent = asyncio.run(run_radio(link, seed=seed, period_ms=period_ms, seconds=seconds, on_ready=ready))
    except OSError as error:
        _fail(error)
    typer.echo(f"{sent} frames", err=True)


@fault_app.command()
def unplug(target: Target, seconds: Seconds = None, where: Where = _DIRECTORY) -> None:
    """Pull the plug of a protocol or of units."""
    _add(where, FaultKind.UNPLUG, target, seconds=seconds)


@fault_app.command()
def plug(target: Target, where: Where = _DIRECTORY) -> None:
    """Put a plug back in."""
    _show(_ask(where, Request(op="clear", kind=FaultKind.UNPLUG, target=target)), "cleared")


@fault_app.command()
def silence(target: Target, seconds: Seconds = None, where: Where = _DIRECTORY) -> None:
    """Let connections of a protocol stay open and say nothing more."""
    _add(where, FaultKind.SILENCE, target, seconds=seconds)


@fault_app.command()
def freeze(target: Target, seconds: Seconds = None, where: Where = _DIRECTORY) -> None:
    """Let values stay as they are while their times go on."""
    _add(where, FaultKind.FREEZE, target, seconds=seconds)


@fault_app.command()
def drift(
    target: Target,
    percent: Annotated[float, typer.Option(help="percent of the range a minute; negative downwards")] = 5.0,
    seconds: Seconds = None,
    where: Where = _DIRECTORY,
) -> None:
    """Let values wander off."""
    _add(where, FaultKind.DRIFT, target, amount=percent, seconds=seconds)


@fault_app.command()
def noise(
    target: Target,
    factor: Annotated[float, typer.Option(help="multiples of the variable's own noise")] = 10.0,
    seconds: Seconds = None,
    seed: FaultSeed = None,
    where: Where = _DIRECTORY,
) -> None:
    """Let values scatter."""
    _add(where, FaultKind.NOISE, target, amount=factor, seconds=seconds, seed=seed)


@fault_app.command()
def spikes(
    target: Target,
    percent: Annotated[float, typer.Option(help="percent of the readings that jump by half the range")] = 5.0,
    seconds: Seconds = None,
    seed: FaultSeed = None,
    where: Where = _DIRECTORY,
) -> None:
    """Let single readings jump."""
    _add(where, FaultKind.SPIKES, target, amount=percent, seconds=seconds, seed=seed)


@fault_app.command()
def clock(
    target: Target,
    ahead: Annotated[float, typer.Option(help="seconds by which the clock is ahead; negative for behind")],
    seconds: Seconds = None,
    where: Where = _DIRECTORY,
) -> None:
    """Set clocks wrong."""
    _add(where, FaultKind.CLOCK, target, amount=ahead, seconds=seconds)


@fault_app.command()
def clear(
    target: Annotated[str | None, typer.Argument(help="target of the faults to end; all if not given")] = None,
    number: Annotated[int | None, typer.Option(help="number of the fault to end")] = None,
    where: Where = _DIRECTORY,
) -> None:
    """End faults."""
    _show(_ask(where, Request(op="clear", target=target, number=number)), "cleared")


@fault_app.command("list")
def list_faults(where: Where = _DIRECTORY, as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False) -> None:
    """Show the faults that are on."""
    faults = _ask(where, Request(op="list"))
    if as_json:
        for fault in faults:
            typer.echo(msgspec.json.encode(fault).decode())
    else:
        _show(faults, "on")


def _add(
    where: Path, kind: FaultKind, target: str, *, amount: float | None = None, seconds: float | None = None, seed: int | None = None
) -> None:
    _show(_ask(where, Request(op="add", kind=kind, target=target, amount=amount, seconds=seconds, seed=seed)), "on")


def _ask(where: Path, what: Request) -> list[Fault]:
    try:
        return request(load(where).data_dir / SITE_SUBDIRECTORY if where.is_file() else where, what)
    except TrunklineError as error:
        _fail(error)


def _show(faults: list[Fault], state: str) -> None:
    if not faults:
        typer.echo("no faults", err=True)
    for fault in faults:
        amount = f" {fault.amount:g}" if fault.amount else ""
        until = f", until {times.to_iso(fault.until)}" if fault.until else ""
        typer.echo(f"{fault.number}: {fault.kind.value} {fault.target}{amount} {state} (seed {fault.seed}{until})")


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from error
