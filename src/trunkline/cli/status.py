"""`trunkline status` and `trunkline outbox`: how the roles, sources and edge journals are, without the API."""

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

from trunkline.cli.edge_key import open_journal
from trunkline.cli.kafka_health import kafka_away, kafka_health, show_kafka
from trunkline.cli.output import emit, fail, people, plain
from trunkline.cli.resend import resend, show
from trunkline.config.loading import Site, load
from trunkline.gateway.damage import lost_ranges
from trunkline.gateway.forecast import buffer_problems, span
from trunkline.gateway.outbox import LADDER, MAX_RETRIES, Lane, Outbox
from trunkline.historian.account import HISTORIAN_GROUP, VALIDATE_GROUP
from trunkline.ledger.status import GatewayStatus, LinkStatus, ProcessStatus, decode_status
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.reading import Quarantined
from trunkline.log.opening import layout_of
from trunkline.log.port import TopicPartition
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.supervisor.status import read_status, supervised
from trunkline.supervisor.supervisor import run_directory
from trunkline.supervisor.wiring import historian_reader, site_log

#: Gateways report every two seconds.
_REPORT_AGE: Final = 20 * times.SECOND

SiteFile = Annotated[Path, typer.Argument(help="the site file")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout")]

outbox = typer.Typer(help="What waits at the edge, and what the site log refused.", no_args_is_help=True)
outbox.command("resend")(resend)
outbox.command("show")(show)


def gateway_statuses(site: Site) -> dict[str, GatewayStatus]:
    """Return each gateway's newest report."""
    found: dict[str, GatewayStatus] = {}
    with site_log(site) as log:
        topic = layout_of(site.config.log).gateway_status
        at = TopicPartition(topic, 0)
        first, end = log.bounds(topic)[at]
        for record in log.read(at, max(first, end - 20 * max(1, len(site.config.gateways))), 1000):
            status = decode_status(record.value)
            found[status.gateway] = status
    return found


def records_behind(site: Site) -> dict[str, int]:
    """Return how many records of the site log validation and the historian have yet to read."""
    layout = layout_of(site.config.log)
    topics = {VALIDATE_GROUP: list(layout.categories("raw")), HISTORIAN_GROUP: list(layout.categories("clean"))}
    behind = {}
    with site_log(site) as log:
        for group, names in topics.items():
            reached = log.committed(group)
            ends = [(at, *bounds) for name in names for at, bounds in log.bounds(name).items()]
            behind[group] = sum(end - max(first, reached.get(at, 0)) for at, first, end in ends)
    return behind


def _unheard(site: Site, gateways: dict[str, GatewayStatus]) -> list[str]:
    """Return the gateways that have not reported lately: nothing is known of their sources."""
    recent = times.now() - _REPORT_AGE
    return [f"{one.id}: no report" for one in site.config.gateways if one.id not in gateways or gateways[one.id].at_us < recent]


def site_log_damage(site: Site) -> list[str]:
    """Return the ranges of an embedded site log that damage took, in words."""
    with site_log(site) as log:
        lost = lost_ranges(log) if isinstance(log, Journal) else []
    return [f"{one.topic}/{one.partition}@{one.first} to {one.next - 1}" for one in lost]


def _told_by_log(site: Site, *, in_trouble: bool) -> tuple[dict[str, GatewayStatus], dict[str, int], list[str], list[str]]:
    """Return gateways, records behind, damage, and why these cannot be read: no news of a cluster that is known to be in trouble."""
    try:
        return gateway_statuses(site), records_behind(site), site_log_damage(site), []
    except (RetryLater, Misconfigured) as error:
        if not in_trouble:
            raise
        return {}, {}, [], [f"site log: {error}"]


def history_problem(site: Site) -> str | None:
    """Return why the historian's database cannot be read, or None."""
    try:
        with historian_reader(site) as reader:
            reader.gateway_status()
    except (RetryLater, Misconfigured) as error:
        return str(error)
    return None


def status(file: SiteFile, as_json: AsJson = False) -> None:
    """Show roles, sources, buffers and links. Exits 1 when something is away."""
    try:
        site = load(file)
        roles = read_status(run_directory(site.data_dir))
        kafka = kafka_health(site)
        trouble = kafka_away(kafka) if kafka else []
        gateways, behind, damaged, unread = _told_by_log(site, in_trouble=bool(trouble))
    except Misconfigured as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(str(error), 3)
    runs = roles is not None and supervised(roles)
    history = history_problem(site) if runs else None
    away = [role.role for role in roles.roles if role.state != "running"] if roles and runs else ["supervisor"]
    away += [f"history: {history}"] if history else []
    away += trouble + unread
    away += [f"records of the site log, lost to damage: {place}" for place in damaged]
    away += _unheard(site, gateways)
    away += [f"{name}/{source.id}" for name, one in gateways.items() for source in one.sources if source.state != "connected"]
    away += [f"{name}: link" for name, one in gateways.items() if one.link.state != "up"]
    if as_json:
        for name, one in gateways.items():
            told: dict[str, Any] = msgspec.to_builtins(one)
            emit({"gateway": name, **{key: told[key] for key in ("at_us", "sources", "buffer", "link")}})
        words = {"behind": behind, "history": history, "away": away, "passed": not away}
        cluster = {"kafka": msgspec.to_builtins(kafka, str_keys=True)} if kafka else {}
        emit({"roles": msgspec.to_builtins(roles.roles) if roles else [], **cluster, **words})
    else:
        _show(roles.roles if roles else [], gateways)
        if behind:
            people.print(", ".join(f"{group} is {count:,} records behind" for group, count in behind.items()))
        if kafka:
            show_kafka(kafka)
        if away:
            people.print(f"[bold yellow]away:[/] {plain(', '.join(away))}", soft_wrap=True)
    raise typer.Exit(1 if away else 0)


def _show(roles: Any, gateways: dict[str, GatewayStatus]) -> None:  # noqa: ANN401 - list of RoleStatus or an empty list
    now = times.now()
    table = Table("role", "state", "pid", "restarts", "memory", box=None)
    for role in roles:
        table.add_row(role.role, role.state, str(role.pid or "—"), str(role.restarts), f"{role.rss_bytes / 1e6:,.0f} MB")
    people.print(table)
    table = Table("gateway", "source", "state", "process", "tags", "stale", "readings/s", "last reading", "error", box=None)
    for name, one in gateways.items():
        for source in one.sources:
            last = f"{(now - source.last_reading_us) / times.SECOND:.1f} s ago" if source.last_reading_us else "—"
            table.add_row(
                name,
                source.id,
                source.state,
                _process(source.process),
                str(source.tags),
                str(source.stale_tags),
                f"{source.readings_per_s:,.1f}",
                last,
                plain(source.error or ""),
            )
    people.print(table)
    for name, one in gateways.items():
        link = "up" if one.link.state == "up" else f"down since {times.to_iso(one.link.since_us)}: {one.link.error}"
        room = f"{(one.buffer.disk_bytes or one.buffer.bytes) / 1e6:,.1f} MB of {one.buffer.max_bytes / 1e9:,.1f} GB"
        took = "; appends took {:,.0f} / {:,.0f} / {:,.0f} ms (p50 / p95 / p99)".format(*one.link.append_ms) if one.link.append_ms else ""
        people.print(plain(f"{name}: link {link}; {one.buffer.waiting:,} records wait; {room}{took}"), soft_wrap=True)
        people.print(plain(f"{name}: {_quality(one.link)}"), soft_wrap=True)
        if kept_back := [f"{source.id} {source.reduced_total:,}" for source in one.sources if source.reduced_total]:
            people.print(plain(f"{name}: readings kept back by deadbands: {', '.join(kept_back)}"), soft_wrap=True)
        for problem in buffer_problems(one.buffer, one.at_us):
            people.print(f"[yellow]{plain(f'{name}: {problem}')}[/]", soft_wrap=True)


def _quality(link: LinkStatus) -> str:
    """Return what became of a link lately, in words."""
    ceiling = f" of {link.max_bytes_per_s:,}" if link.max_bytes_per_s else ""
    bytes_ = "bytes/s" if link.measured else "bytes/s of records"
    words = [
        f"{link.outages:,} outages, {link.down_24h_s:,.0f} s down in 24 h",
        f"{link.readings_per_s:,.1f} readings/s, {link.bytes_per_s:,.0f}{ceiling} {bytes_}",
    ]
    words += [f"nothing waits in {span(link.drained_in_s)} at this rate"] if link.drained_in_s is not None else []
    words += [f"{link.again:,} records are sent again"] if link.again else []
    return "; ".join(words)


def _process(process: ProcessStatus | None) -> str:
    """Return what an isolated source's process uses."""
    return "—" if process is None else f"{process.pid}, {process.rss_bytes / 1e6:,.0f} MB, {process.cpu:.0%}"


def _show_lost(gateway: str, lost: Quarantined, *, as_json: bool) -> None:
    row = {"gateway": gateway, "topic": lost.topic, "partition": lost.partition, "offset": lost.first, "next": lost.next, "status": "LOST"}
    if as_json:
        emit({**row, "at_us": lost.at, "reason": lost.reason})
    else:
        text = f"{lost.topic}/{lost.partition}@{lost.first} to {lost.next - 1}  LOST to damage at {times.to_iso(lost.at)}  {lost.reason}"
        people.print(plain(text), soft_wrap=True)


@outbox.command("list")
def outbox_list(
    file: SiteFile, gateway: Annotated[str, typer.Option(help="gateway id; empty for all")] = "", as_json: AsJson = False
) -> None:
    """Show what waits in each lane, the records that the site log refused, and those lost to damage of the journal."""
    try:
        site = load(file)
        for one in site.config.gateways:
            if gateway in ("", one.id):
                _list_one(site, one.id, as_json=as_json)
    except Misconfigured as error:
        fail(str(error), 2)


def _list_one(site: Site, gateway: str, *, as_json: bool) -> None:
    journal = open_journal(site, gateway)
    try:
        lanes = Outbox(journal).lanes
        for range_ in lost_ranges(journal):
            _show_lost(gateway, range_, as_json=as_json)
        pending = failed = 0
        for topic in journal.topics():
            for at, (first, end) in journal.bounds(topic).items():
                lane = lanes.get(at, Lane())
                pending += lane.waiting(first, end) - len(lane.poison)
                for record in lane.poison:
                    failed += record.failed
                    state = "FAILED" if record.failed else "PENDING"
                    row = {"gateway": gateway, "topic": at.topic, "partition": at.partition, "offset": record.offset, "status": state}
                    row |= {"tries": record.tries, "of": MAX_RETRIES, "due_us": record.due, "reason": record.reason}
                    if as_json:
                        emit(row)
                    else:
                        tried = f"{record.tries} of {MAX_RETRIES} tries"
                        people.print(plain(f"{at.topic}/{at.partition}@{record.offset}  {state}  {tried}  {record.reason}"), soft_wrap=True)
    finally:
        journal.close()
    if as_json:
        emit({"gateway": gateway, "pendingCount": pending, "failedCount": failed, "ladder_s": [step // times.SECOND for step in LADDER]})
    else:
        people.print(f"{gateway}: {pending:,} records pending, {failed:,} failed")
