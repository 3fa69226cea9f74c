"""`trunkline kafka edge`: a gateway's own broker, and MirrorMaker 2 to the centre (W-96 to W-100)."""

import threading
import time
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer

from trunkline.cli.kafka_cluster import ROLE, ready_file
from trunkline.cli.kafka_edge_files import centre_of, edge_directory, edge_of, write_files
from trunkline.cli.kafka_login import browsing
from trunkline.cli.kafka_runner import start_detached, stop_runner
from trunkline.cli.output import complain, emit, people, plain
from trunkline.cli.run import stop_event
from trunkline.cli.telling import telling
from trunkline.config.kafka import addresses
from trunkline.config.loading import Site, load
from trunkline.lab.kafka import Edge
from trunkline.lab.kafka.edge import BROKER_FILE, MIRROR_FILE
from trunkline.log.kafka.edge import mirrored
from trunkline.log.kafka.progress import MirrorBooks, waiting
from trunkline.log.opening import layout_of, open_site_log
from trunkline.model.errors import RetryLater, TrunklineError
from trunkline.supervisor.holding import hold_place

app = typer.Typer(help="A gateway's own Kafka, mirrored to a central cluster.", no_args_is_help=True)

SiteFile = Annotated[Path, typer.Argument(help="the site file; its 'log.edge' says where the centre is", show_default=False)]
Directory = Annotated[
    Path | None, typer.Option("--dir", help="where it keeps everything; default: kafka-edge in the data directory", file_okay=False)
]
_WATCH_SECONDS: Final = 1.0
_TOPICS_SECONDS: Final = 120.0


@app.command()
def init(file: SiteFile, directory: Directory = None) -> None:
    """Write the settings of the broker and of MirrorMaker 2, and the login to the centre, readable by this user only."""
    with telling():
        site = load(file)
        for path in write_files(site, edge_directory(site, directory)):
            people.print(f"wrote {plain(path)}", soft_wrap=True)


@app.command()
def up(
    file: SiteFile,
    directory: Directory = None,
    detach: Annotated[bool, typer.Option("--detach", help="return when the broker is ready, and let both run on")] = False,
) -> None:
    """Write the settings anew and run both until interrupted. What ends is started again."""
    with telling():
        site = load(file)
        where = edge_directory(site, directory)
        if detach:
            start_detached(where, ["kafka", "edge", "up", str(file), "--dir", str(where)])
            people.print(f"the edge's broker serves at {site.config.log.bootstrap}")
        else:
            _foreground(site, where)


@app.command()
def down(file: SiteFile, directory: Directory = None) -> None:
    """Stop both in order; what was not mirrored waits on the disk."""
    with telling():
        stop_runner(edge_directory(load(file), directory), "broker.log and mirror.log")


@app.command()
def status(
    file: SiteFile,
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="a topic a line, then the whole")] = False,
) -> None:
    """Show both processes and what waits for the centre; exit 1 unless everything runs."""
    with telling():
        site = load(file)
        pids = _processes(edge_directory(site, directory))
    for name, found in pids.items():
        told = f"process {found.pid}, {found.memory_info().rss / 1e6:.0f} MB" if found else "is down"
        people.print(f"{name}: {told}")
    whole: dict[str, Any] = {name: found.pid if found else None for name, found in pids.items()}
    problem, parts, lags = _mirroring(site)
    for part, state, reason in parts:
        people.print(f"{part}: {state.lower()}{f', {plain(reason)}' if reason else ''}", soft_wrap=True)
    for topic, count in lags.items():
        people.print(f"{topic}: {count:,} records wait")
        if as_json:
            emit({"topic": topic, "waiting": count})
    if problem:
        complain(problem)
    passed = all(pids.values()) and not problem and bool(parts) and all(state == "RUNNING" for _, state, _ in parts)
    if as_json:
        states = {part: state for part, state, _ in parts}
        emit({**whole, "parts": states, "waiting": sum(lags.values()), "problem": problem or None, "passed": passed})
    if not passed:
        raise typer.Exit(1)


def _foreground(site: Site, directory: Path) -> None:
    edge_of(site)
    directory.mkdir(parents=True, exist_ok=True)
    with hold_place(directory, ROLE):
        write_files(site, directory)
        stop = stop_event()
        ready = ready_file(directory)
        ready.unlink(missing_ok=True)
        ((_, port),) = addresses(site.config.log.bootstrap)
        with Edge(directory, port) as edge:
            _provide_topics(site, stop)
            ready.touch()
            people.print(f"the edge's broker serves at {edge.broker.address}; Ctrl-C stops it", soft_wrap=True)
            try:
                _keep_running(edge, stop)
            finally:
                ready.unlink(missing_ok=True)


def _provide_topics(site: Site, stop: threading.Event) -> None:
    """Make the topics before anybody writes, bounded by bytes. A broker that was killed before takes part again after nine seconds."""
    deadline = time.monotonic() + _TOPICS_SECONDS
    while not stop.is_set():
        try:
            open_site_log(site.config.log, site.data_dir, site.secrets).close()
        except RetryLater:
            if time.monotonic() > deadline:
                raise
            stop.wait(_WATCH_SECONDS)
        else:
            return


def _keep_running(edge: Edge, stop: threading.Event) -> None:
    """Start again what ends: MirrorMaker 2 also ends when it cannot find the centre as it starts."""
    while not stop.wait(_WATCH_SECONDS):
        for name, process in (("the broker", edge.broker), ("MirrorMaker 2", edge.mirror)):
            if process.pid is None and not stop.is_set():
                complain(f"{name} ended and is started again; {process.tail()}")
                process.spawn()


def _processes(directory: Path) -> dict[str, psutil.Process | None]:
    """Return broker and mirror of a folder, told by their settings files, whoever runs them."""
    found: dict[str, psutil.Process | None] = {"broker": None, "mirror": None}
    files = {str(directory / BROKER_FILE): "broker", str(directory / MIRROR_FILE): "mirror"}
    for process in psutil.process_iter(["cmdline"]):
        last = (process.info["cmdline"] or [""])[-1]
        if last in files:
            found[files[last]] = process
    return found


def _mirroring(site: Site) -> tuple[str, list[tuple[str, str, str]], dict[str, int]]:
    """Return what keeps us from knowing, the connectors with their states, and how many records of each topic wait."""
    topics = [spec.name for spec in mirrored(layout_of(site.config.log))]
    try:
        with browsing(site) as edge, browsing(centre_of(site)) as centre:
            books = MirrorBooks(centre, site.config.site)
            parts = [(part.name, part.state, part.reason) for part in books.parts()]
            return "", parts, waiting(edge, topics, books.positions())
    except TrunklineError as error:
        return str(error), [], {}
