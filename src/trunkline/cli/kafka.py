"""`trunkline kafka`: real brokers on this machine for development."""

import threading
from pathlib import Path
from typing import Annotated, Any, Final, cast

import psutil
import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from trunkline.cli.kafka_cluster import (
    ADMIN,
    ROLE,
    Nodes,
    Shape,
    choose_shape,
    known_shape,
    make_cluster,
    password_file,
    ready_file,
    runner,
    site_lines,
)
from trunkline.cli.kafka_runner import start_detached, stop_runner
from trunkline.cli.output import complain, emit, fail, people, plain
from trunkline.cli.run import stop_event
from trunkline.lab.kafka import BrokerFailed, Cluster
from trunkline.model.errors import TrunklineError
from trunkline.supervisor.holding import hold_place

app = typer.Typer(help="Real Apache Kafka on this machine.", no_args_is_help=True)
dev = typer.Typer(help="One broker, or a secured cluster of three, for development.", no_args_is_help=True)
app.add_typer(dev, name="dev")

Directory = Annotated[Path, typer.Option("--dir", help="where the cluster keeps its data, settings and credentials", file_okay=False)]
_DEFAULT: Final = Path("data/kafka")
_WATCH_SECONDS: Final = 1.0
_ASK_SECONDS: Final = 5.0


@dev.command()
def up(
    directory: Directory = _DEFAULT,
    secured: Annotated[bool, typer.Option("--secured", help="TLS, passwords, nothing allowed that was not granted")] = False,
    nodes: Annotated[int | None, typer.Option(help="1 or 3; by default 3 when secured, else 1", show_default=False)] = None,
    port: Annotated[int, typer.Option(help="first port to use, when the folder is new", min=1024, max=65000)] = 19092,
    detach: Annotated[bool, typer.Option("--detach", help="return when it is ready, and let it run on")] = False,
) -> None:
    """Run it until interrupted. A broker that ends is started again."""
    count = nodes or (3 if secured else 1)
    if count not in (1, 3):
        fail(f"--nodes {count} is not possible: a quorum of controllers needs 3, development can do with 1", 2)
    try:
        if detach:
            shape = _detached(directory, ["--nodes", str(count), "--port", str(port), *(["--secured"] if secured else [])])
            _tell(directory, shape)
        else:
            _foreground(directory, cast("Nodes", count), secured=secured, port=port)
    except TrunklineError as error:
        fail(str(error), 2)


@dev.command()
def down(directory: Directory = _DEFAULT) -> None:
    """Stop the cluster in order; its data stays."""
    stop_runner(directory, "node-*/broker.log")


@dev.command()
def status(
    directory: Directory = _DEFAULT, as_json: Annotated[bool, typer.Option("--json", help="a node a line, then the whole")] = False
) -> None:
    """Show the nodes; exit 1 unless every one serves."""
    try:
        shape = known_shape(directory)
        if shape is None:
            fail(f"{directory} has no cluster: 'trunkline kafka dev up' makes one")
        pid = runner(directory)
        rows = _nodes(directory, shape, pid)
    except TrunklineError as error:
        fail(str(error), 2)
    serving = sum(row["listed"] for row in rows)
    passed = serving == shape.nodes
    for row in rows:
        state = "serves" if row["listed"] else "runs, not in the metadata" if row["pid"] else "is down"
        people.print(
            f"broker {row['node']} {row['address']}: {state}" + (f", process {row['pid']}, {row['rss_mb']} MB" if row["pid"] else "")
        )
        if as_json:
            emit(row)
    people.print(f"{shape.words}: {serving} of {shape.nodes} serve")
    if as_json:
        whole = {"running": pid is not None, "pid": pid, "bootstrap": shape.bootstrap, "secured": shape.secured}
        emit({**whole, "nodes": shape.nodes, "serving": serving, "passed": passed})
    if not passed:
        raise typer.Exit(1)


def _foreground(directory: Path, nodes: Nodes, *, secured: bool, port: int) -> None:
    with hold_place(directory, ROLE):
        shape = choose_shape(directory, nodes, secured=secured, port=port)
        stop = stop_event()
        ready = ready_file(directory)
        ready.unlink(missing_ok=True)
        with make_cluster(directory, shape) as cluster:
            ready.touch()
            try:
                _tell(directory, shape)
                _keep_running(cluster, stop)
            finally:
                ready.unlink(missing_ok=True)


def _keep_running(cluster: Cluster, stop: threading.Event) -> None:
    while not stop.wait(_WATCH_SECONDS):
        for broker in cluster.brokers:
            if broker.pid is None and not stop.is_set():
                complain(f"broker {broker.node_id} ended and is started again; {broker.tail()}")
                cluster.restart(broker.node_id)


def _detached(directory: Path, options: list[str]) -> Shape:
    start_detached(directory, ["kafka", "dev", "up", "--dir", str(directory), *options])
    shape = known_shape(directory)
    if shape is None:
        raise BrokerFailed(f"{directory / 'cluster.json'} is gone again")
    return shape


def _tell(directory: Path, shape: Shape) -> None:
    people.print(f"[bold]{shape.words}[/] at {shape.bootstrap}", soft_wrap=True)
    if shape.secured:
        people.print(f"password of the user '{ADMIN}': {plain(password_file(directory.resolve(), ADMIN))}", soft_wrap=True)
    people.print("in a site file:", style="dim")
    people.print(plain(site_lines(directory, shape)), soft_wrap=True)


def _nodes(directory: Path, shape: Shape, runner_pid: int | None) -> list[dict[str, Any]]:
    listed = _listed(directory, shape) if runner_pid else set()
    processes = _processes(directory, runner_pid)
    rows = []
    for node, (port, _, _) in enumerate(shape.ports, 1):
        process = processes.get(node)
        rss = round(process.memory_info().rss / 1e6) if process else 0
        pid = process.pid if process else None
        rows.append({"node": node, "address": f"127.0.0.1:{port}", "pid": pid, "rss_mb": rss, "listed": node in listed})
    return rows


def _processes(directory: Path, runner_pid: int | None) -> dict[int, psutil.Process]:
    """Return the brokers' processes: children of the runner, told by their settings file."""
    if runner_pid is None:
        return {}
    found = {}
    try:
        for child in psutil.Process(runner_pid).children():
            config = Path((child.cmdline() or [""])[-1])
            if config.name == "server.properties" and config.parent.parent == directory.resolve():
                found[int(config.parent.name.removeprefix("node-"))] = child
    except psutil.NoSuchProcess:
        return {}
    return found


def _listed(directory: Path, shape: Shape) -> set[int]:
    """Return the nodes in the cluster's metadata; none when nobody answers."""
    try:
        return set(AdminClient({**_login(directory, shape), "log_level": "0"}).list_topics(timeout=_ASK_SECONDS).brokers)
    except KafkaException:
        return set()


def _login(directory: Path, shape: Shape) -> dict[str, str]:
    if not shape.secured:
        return {"bootstrap.servers": shape.bootstrap}
    return {
        "bootstrap.servers": shape.bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": ADMIN,
        "sasl.password": password_file(directory, ADMIN).read_text(),
        "ssl.ca.location": str(directory / "ca" / "ca.pem"),
    }
