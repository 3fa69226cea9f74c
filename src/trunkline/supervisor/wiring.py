"""From a site file to the things that commands work with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from zoneinfo import ZoneInfo

from trunkline.config.loading import Site
from trunkline.historian.account import take_account
from trunkline.historian.catalogue import SeriesInfo
from trunkline.historian.reader import Reader
from trunkline.historian.rollup.publishing import Outlet
from trunkline.historian.rollup.service import Rollups
from trunkline.historian.rollup.tiers import Tier
from trunkline.historian.server import EmbeddedServer
from trunkline.ledger.balance import Balance
from trunkline.log.opening import layout_of, open_site_log
from trunkline.log.port import Log


def embedded_server(site: Site) -> EmbeddedServer:
    """Return the embedded database server of a site, running or not."""
    return EmbeddedServer(site.data_dir / "historian" / "postgres")


def conninfo(site: Site) -> str:
    """Return how the historian's database is reached."""
    if site.config.historian.dsn:
        return site.secrets.resolve(site.config.historian.dsn)
    return embedded_server(site).conninfo


@contextmanager
def site_log(site: Site) -> Iterator[Log]:
    """Open the site log for a while."""
    log = open_site_log(site.config.log, site.data_dir, site.secrets)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def historian_reader(site: Site) -> Iterator[Reader]:
    """Open the historian's reader for a while."""
    reader = Reader(conninfo(site))
    try:
        yield reader
    finally:
        reader.close()


def account(site: Site, *, recount: bool = True) -> Balance:
    """Balance the ledger of a running site. Raises RetryLater while the database is away."""
    with site_log(site) as log, historian_reader(site) as reader:
        return take_account(reader, log, layout_of(site.config.log), recount=recount)


def series_registry(site: Site) -> dict[str, SeriesInfo]:
    """Return what the site file says of each tag, for the historian's table of series."""
    return {path: SeriesInfo.of(entry.tag, entry.gateway, entry.source.id) for path, entry in site.tags().items()}


def rollups_of(site: Site, log: Log) -> Rollups:
    """Return how the historian makes rollups of this site, and where it publishes them."""
    config = site.config.rollups
    layout = layout_of(site.config.log)
    form: Literal["block", "json"] = "block" if site.config.log.form == "block" else "json"
    outlet = Outlet(log, {tier: layout.rollup(tier.title) for tier in Tier}, form) if config.publish else None
    return Rollups(config, ZoneInfo(site.config.timezone), outlet)
