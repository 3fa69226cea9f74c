"""`trunkline run ROLE`: one role in the foreground, as the supervisor starts it or a service manager would."""

import asyncio
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Final

import structlog
import typer

from trunkline.cli.output import fail
from trunkline.config.loading import Site, load
from trunkline.config.stamp import write_stamp
from trunkline.log.port import Log
from trunkline.model.errors import Fenced, Misconfigured, RetryLater, TrunklineError
from trunkline.supervisor import logs
from trunkline.supervisor.collector import set_collector
from trunkline.supervisor.holding import follow_supervisor, hold_place

app = typer.Typer(help="Run one role in the foreground.", no_args_is_help=True, pretty_exceptions_enable=False)
log = structlog.get_logger("trunkline.run")

_held: list[IO[str]] = []

SiteFile = Annotated[Path, typer.Argument(help="the site file", show_default=False)]
Member = Annotated[str, typer.Option(help="name of this process in its group: its share waits for that name when it restarts")]

_MEMBER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_WATCH_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 0.1


def _open(file: Path, role: str) -> Site:
    """Read the site file and take the role's place; the lock lives as long as the process."""
    logs.configure(as_json=True)
    sys.excepthook = _last_words
    try:
        site = load(file)
        kind, _, name = role.partition(":")
        if kind == "gateway":
            site.gateway(name)  # a name that the file does not have takes no place
        _held.append(hold_place(site.data_dir, role))
        write_stamp(site.data_dir, site.config)
    except Misconfigured as error:
        fail(str(error), 2)
    follow_supervisor()
    set_collector()
    return site


def _named(member: str) -> str:
    """Return a member's name if Kafka and the file system take it; it ends up in ids and names of files."""
    if not _MEMBER.fullmatch(member):
        fail(f"--member {member!r} is no name: lower-case letters, digits, '-' and '_', at most 64", 2)
    return member


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A defect of our own ends up in the log as one line, like everything else."""
    log.critical("role died of an unexpected error", exc_info=(kind, error, trace))


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    return event


def retry(work: Callable[[], object], stop: threading.Event, what: str) -> bool:
    """Do `work` until it does not raise RetryLater; return whether it was done before the stop. Says once that it has to wait."""
    told = False
    while not stop.is_set():
        try:
            work()
        except RetryLater as error:
            if not told:
                log.warning(what, error=str(error))
            told = True
            stop.wait(_RETRY_SECONDS)
        else:
            return True
    return False


@app.command()
def gateway(file: SiteFile, gateway_id: Annotated[str, typer.Option("--id", help="gateway of the site file")]) -> None:
    """Read devices, journal, forward."""
    site = _open(file, f"gateway:{gateway_id}")
    from trunkline.cli.edge_key import naming_the_key  # noqa: PLC0415 - a role imports what it runs, and no more: memory
    from trunkline.gateway.role import Gateway  # noqa: PLC0415 - as above

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        with naming_the_key(site, gateway_id):
            role = Gateway(site.gateway(gateway_id), site.sources(gateway_id), site.config.log, site.data_dir, site.secrets)
        await role.run(stop)

    try:
        asyncio.run(main())
    except Misconfigured as error:
        fail(str(error), 2)
    except RetryLater as error:  # the journal cannot be opened on a full disk, for example: whoever supervises tries again
        fail(str(error), 3)


@app.command()
def adapter() -> None:
    """Run one source by itself; its configuration is in CONFIG_JSON."""
    logs.configure(as_json=True)
    from trunkline.gateway.adapter import make_adapter, read_config  # noqa: PLC0415

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        config = read_config()
        _held.append(hold_place(Path(config.output.data_dir), f"gateway:{config.adapter_id}"))
        await make_adapter(config).run(stop)

    try:
        asyncio.run(main())
    except Misconfigured as error:
        fail(str(error), 2)
    except RetryLater as error:  # the journal cannot be opened on a full disk, for example: whoever supervises tries again
        fail(str(error), 3)


@app.command()
def worker(file: SiteFile, member: Member = "worker-0") -> None:
    """Validate what gateways sent; several members share the partitions."""
    site = _open(file, f"worker:{_named(member)}")
    from trunkline.log.codec.forms import forms_of  # noqa: PLC0415
    from trunkline.log.housekeeping import Housekeeper  # noqa: PLC0415
    from trunkline.log.opening import layout_of, open_site_journal, open_site_log  # noqa: PLC0415
    from trunkline.processing.runtime import StepRunner  # noqa: PLC0415
    from trunkline.processing.validate import ValidateStep  # noqa: PLC0415
    from trunkline.registry.client import client_of  # noqa: PLC0415
    from trunkline.supervisor.steps import groups  # noqa: PLC0415

    tags = {path: entry.tag for path, entry in site.tags().items()}
    forms, rules = forms_of(site.config.log.form, site.typed), site.config.rules
    runner = StepRunner(
        lambda: open_site_log(site.config.log, site.data_dir, site.secrets),
        lambda: ValidateStep(layout_of(site.config.log), tags, site.config.validation, schemas=client_of(site), forms=forms, rules=rules),
        member,
    )
    stop = stop_event()
    try:
        if site.config.log.engine == "journal":
            layout = layout_of(site.config.log)
            compacted = [spec.name for spec in layout.specs() if spec.cleanup == "compact"]
            Housekeeper(open_site_journal(site.config.log, site.data_dir), groups(site), compacted, stop).start()
        runner.run(stop)
    except (Fenced, Misconfigured) as error:
        fail(str(error), 2)


@app.command()
def evaluate(file: SiteFile, member: Member = "evaluate-0") -> None:
    """Raise alarms and keep their lives. One process a site is active: a second one of the same name takes over."""
    site = _open(file, f"evaluate:{_named(member)}")
    from trunkline.log.opening import open_site_log  # noqa: PLC0415
    from trunkline.processing.runtime import StepRunner, run_together  # noqa: PLC0415
    from trunkline.supervisor.steps import evaluating_steps  # noqa: PLC0415

    stop = stop_event()
    try:
        runners = [
            StepRunner(lambda: open_site_log(site.config.log, site.data_dir, site.secrets), step, member) for step in evaluating_steps(site)
        ]
        run_together(runners, stop)
    except (Fenced, Misconfigured) as error:
        fail(str(error), 2)


@app.command()
def notify(file: SiteFile, member: Member = "notify-0") -> None:
    """Decide who is told of which alarm, and tell them by the channels of the site file."""
    site = _open(file, f"notify:{_named(member)}")
    from trunkline.log.opening import layout_of, open_site_log  # noqa: PLC0415
    from trunkline.processing.runtime import StepRunner, run_together  # noqa: PLC0415
    from trunkline.sinks.notify import port  # noqa: PLC0415
    from trunkline.sinks.notify.deliver import Deliverer  # noqa: PLC0415
    from trunkline.sinks.notify.topics import topics_of  # noqa: PLC0415
    from trunkline.supervisor.steps import routing_step  # noqa: PLC0415

    def opened() -> Log:
        return open_site_log(site.config.log, site.data_dir, site.secrets)

    deliverer = Deliverer(
        opened,
        site.config.notifications,
        topics_of(layout_of(site.config.log)),
        port.Site(site.name, site.config.title),
        site.secrets,
        member=member,
    )
    try:
        run_together([StepRunner(opened, routing_step(site), member), deliverer], stop_event())
    except (Fenced, Misconfigured) as error:
        fail(str(error), 2)


@app.command()
def kafka(file: SiteFile) -> None:
    """Run the lab's brokers of Apache Kafka."""
    site = _open(file, "kafka")
    from trunkline.cli.kafka_role import run_brokers  # noqa: PLC0415

    try:
        run_brokers(site, stop_event())
    except TrunklineError as error:
        fail(str(error), 2)


@app.command()
def database(file: SiteFile) -> None:
    """Keep the embedded PostgreSQL server running."""
    site = _open(file, "database")
    from trunkline.historian.server import EmbeddedServer  # noqa: PLC0415

    directory = site.data_dir / "historian" / "postgres"
    directory.parent.mkdir(parents=True, exist_ok=True)
    server = EmbeddedServer(directory)
    stop = stop_event()
    while not stop.is_set():
        if server.pid() is None:
            try:
                server.start()
                log.info("database is running", pid=server.pid())
            except RetryLater as error:
                log.warning("database does not start yet", error=str(error))
        stop.wait(_WATCH_SECONDS)
    server.stop()


@app.command()
def historian(file: SiteFile, member: Member = "historian-0") -> None:
    """Store what validation let through; several members share the partitions."""
    site = _open(file, f"historian:{_named(member)}")
    from trunkline.historian.migrate import migrate  # noqa: PLC0415
    from trunkline.historian.role import run_historian  # noqa: PLC0415
    from trunkline.log.opening import layout_of, open_site_log  # noqa: PLC0415
    from trunkline.log.port import Log  # noqa: PLC0415
    from trunkline.supervisor.wiring import conninfo, rollups_of, series_registry  # noqa: PLC0415

    stop = stop_event()
    address = conninfo(site)
    try:
        if not retry(lambda: migrate(address), stop, "database is away"):
            return
        opened: list[Log] = []
        if not retry(lambda: opened.append(open_site_log(site.config.log, site.data_dir, site.secrets)), stop, "the site log is away"):
            return
        layout = layout_of(site.config.log)
        rollups = rollups_of(site, opened[0])
        registry = series_registry(site)
        run_historian(opened[0], layout, address, site.config.historian, stop, registry=registry, member=member, rollups=rollups)
    except (Fenced, Misconfigured) as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(str(error), 3)


@app.command()
def api(file: SiteFile) -> None:
    """Serve REST, WebSocket and the page."""
    site = _open(file, "api")
    from trunkline.api.serve import run_api  # noqa: PLC0415
    from trunkline.supervisor.wiring import conninfo  # noqa: PLC0415

    try:
        run_api(site, conninfo(site))
    except Misconfigured as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(str(error), 3)


@app.command()
def registry(file: SiteFile) -> None:
    """Serve the schema registry (Confluent's REST API)."""
    site = _open(file, "registry")
    from trunkline.registry.serve import run_registry  # noqa: PLC0415

    try:
        run_registry(site)
    except Misconfigured as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(str(error), 3)


@app.command()
def lab(file: SiteFile) -> None:
    """Run the simulated plant of the site file."""
    site = _open(file, "lab")
    from trunkline.lab.plant import run_plant  # noqa: PLC0415

    if site.config.lab is None:
        fail(f"{file} has no 'lab:' section", 2)
    directory = site.data_dir / "lab"
    directory.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(run_plant(site.config.lab, directory))
    except Misconfigured as error:
        fail(str(error), 2)
