"""`trunkline up`: the whole site on one machine."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.live import Live
from rich.table import Table

from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import Site, load
from trunkline.ledger.balance import Balance, unbalanced
from trunkline.model.errors import Misconfigured, RetryLater, TrunklineError
from trunkline.supervisor import logs
from trunkline.supervisor.supervisor import Supervisor

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)

_SETTLE_SECONDS: Final = 60.0
#: A slow machine may take this long until every source has been read; '--for' counts from then on.
_START_SECONDS: Final = 60.0


@app.command()
def up(
    file: Annotated[Path, typer.Argument(help="the site file")],
    seconds: Annotated[float | None, typer.Option("--for", help="stop after so many seconds of data and say how it went")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="no status screen")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as JSON on stdout")] = False,
) -> None:
    """Run every role of a site file, restart what dies, stop all in order on Ctrl-C."""
    logs.configure(as_json=False)
    try:
        site = load(file)
        if site.config.lab is not None and site.config.lab.kafka_brokers:
            from trunkline.cli.kafka_role import prepare  # noqa: PLC0415 - only sites with brokers of their own need it

            prepare(site)
        supervisor = Supervisor(site)
    except Misconfigured as error:
        fail(str(error), 2)
    try:
        supervisor.tend()  # the roles load while the first password is hashed
        if site.config.log.edge is None:
            from trunkline.security.users import ensure_administrator  # noqa: PLC0415 - the roles need not wait for this import

            _welcome(site, ensure_administrator(site.data_dir))
        passed = _run(site, supervisor, seconds, headless=headless or as_json, as_json=as_json)
    except TrunklineError as error:
        fail(str(error), 2)
    finally:
        supervisor.stop()
        supervisor.close()
    raise typer.Exit(0 if passed else 1)


def _welcome(site: Site, password: str | None) -> None:
    api = site.config.api
    people.print(f"[bold]{plain(site.config.title or site.name)}[/]  http://{api.host}:{api.port}/")
    if password is not None:
        people.print(f"the first administrator is [bold]admin[/] with password [bold]{password}[/]: it is shown this once", soft_wrap=True)
    people.print(plain(f"data in {site.data_dir}, log files in {site.data_dir / 'logs'}"), style="dim", soft_wrap=True)


def _run(site: Site, supervisor: Supervisor, seconds: float | None, *, headless: bool, as_json: bool) -> bool:
    interrupted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: interrupted.append(signum))
    run = _Run(site, seconds)

    def over() -> bool:
        return bool(interrupted) or run.over()

    if headless:
        supervisor.run(over, lambda _: run.look())
    else:
        with Live(_screen(site, supervisor), console=people, refresh_per_second=2, transient=True) as live:

            def show(one: Supervisor) -> None:
                run.look()
                live.update(_screen(site, one))

            supervisor.run(over, show)
    if seconds is None or interrupted:
        people.print("stopping in order; what is not forwarded waits at the edge", style="dim")
        return True
    return _summary(site, supervisor, run.seconds(), as_json=as_json)


class _Run:
    """How long a run with `--for` goes on: so many seconds from when every source has been read, which on a busy machine takes its time."""

    def __init__(self, site: Site, wanted: float | None) -> None:
        self._site = site
        self._wanted = wanted
        self._started = time.monotonic()
        self._flowing: float | None = None

    def look(self) -> None:
        """Notice that data flows."""
        if self._wanted is not None and self._flowing is None and _every_source_was_read(self._site):
            self._flowing = time.monotonic()

    def over(self) -> bool:
        """Return whether it has gone on for long enough."""
        if self._wanted is None:
            return False
        if self._flowing is None:
            return time.monotonic() - self._started >= max(self._wanted, _START_SECONDS)
        return time.monotonic() - self._flowing >= self._wanted

    def seconds(self) -> float:
        """Return how long data has been flowing; all the time when it never did from every source."""
        return time.monotonic() - (self._started if self._flowing is None else self._flowing)


def _every_source_was_read(site: Site) -> bool:
    from trunkline.cli.status import gateway_statuses  # noqa: PLC0415 - the first reading need not wait for this import

    try:
        statuses = gateway_statuses(site)
    except TrunklineError:  # what is wrong for good, the roles say
        return False
    heard = {(name, source.id) for name, one in statuses.items() for source in one.sources if source.readings_total}
    return heard.issuperset((gateway.id, one.id) for gateway in site.config.gateways for one in site.sources(gateway.id) if one.enabled)


def _screen(site: Site, supervisor: Supervisor) -> Table:
    title = plain(site.config.title or site.name)
    table = Table(title=title, caption="Ctrl-C stops", box=None, title_justify="left", caption_justify="left")
    for name, align in (("role", "left"), ("state", "left"), ("pid", "right"), ("restarts", "right"), ("memory", "right")):
        table.add_column(name, justify="right" if align == "right" else "left")
    for role in supervisor.status().roles:
        state = role.state if role.state == "running" else f"[bold yellow]{role.state}[/]"
        memory = f"{role.rss_bytes / 1e6:,.0f} MB" if role.rss_bytes else "—"
        table.add_row(role.role, state, str(role.pid or "—"), str(role.restarts or ""), memory)
    return table


def drain(site: Site, supervisor: Supervisor, tell: Callable[[str], None]) -> Balance:
    """Stop what produces, wait until everything under way is settled, and return the ledger; consumers still run."""
    from trunkline.historian.account import settled  # noqa: PLC0415 - see above
    from trunkline.log.opening import layout_of  # noqa: PLC0415 - see above
    from trunkline.supervisor.wiring import account, site_log  # noqa: PLC0415 - the first reading need not wait for the database's libraries

    tell("stopping the sources, then waiting until everything under way is stored")
    supervisor.stop([name for name in supervisor.roles if name == "lab" or name.startswith("gateway:")])
    deadline = time.monotonic() + _SETTLE_SECONDS
    layout = layout_of(site.config.log)
    with site_log(site) as log:
        while time.monotonic() < deadline and not settled(log, layout):
            supervisor.tend()
            time.sleep(0.2)
    while True:
        try:
            return account(site)
        except RetryLater:
            if time.monotonic() > deadline:
                raise
            supervisor.tend()
            time.sleep(0.5)


def _summary(site: Site, supervisor: Supervisor, ran: float, *, as_json: bool) -> bool:
    result = drain(site, supervisor, lambda text: people.print(text, style="dim"))
    types = {(gateway.id, source.id): source.type for gateway in site.config.gateways for source in site.sources(gateway.id)}
    readings = dict.fromkeys(sorted(set(types.values())), 0)
    for row in result.rows:
        kind = types.get((row.gateway, row.source))
        if kind is not None and row.category == "telemetry":
            readings[kind] += row.read
    restarts = {role.name: role.restarts for role in supervisor.roles.values() if role.restarts}
    passed = result.balanced and result.quiet and all(readings.values()) and bool(readings)
    document: dict[str, Any] = {
        "seconds": round(ran, 1),
        "readings": readings,
        "stored": result.totals["stored"],
        "rejected": result.totals["rejected"],
        "ledger": {"balanced": result.balanced, "quiet": result.quiet, **result.totals, "problems": unbalanced(result)},
        "restarts": restarts,
        "passed": passed,
    }
    if as_json:
        emit(document)
    else:
        people.print_json(data=document)
    return passed
