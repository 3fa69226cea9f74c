"""Opening the site log that the site file names."""

from pathlib import Path

from trunkline.config.site import LogConfig
from trunkline.log.journal.journal import Journal
from trunkline.log.topics import Layout
from trunkline.model import times


def layout_of(config: LogConfig) -> Layout:
    """Return the naming of topics."""
    return Layout(config.layout, config.partitions)


def open_site_log(config: LogConfig, data_dir: Path) -> Journal:
    """Open the site log, creating its topics. Raises Misconfigured when its partitions differ from the configuration (PD-18)."""
    journal = Journal(data_dir / "site" / "journal.db")
    try:
        journal.create(layout_of(config).catalogue(int(config.retention_hours * times.HOUR)))
    except BaseException:
        journal.close()
        raise
    return journal


def open_edge_journal(config: LogConfig, data_dir: Path, gateway: str) -> Journal:
    """Open a gateway's edge journal. It keeps everything until the gateway prunes it."""
    journal = Journal(data_dir / "edge" / gateway / "journal.db")
    try:
        journal.create(layout_of(config).edge_catalogue())
    except BaseException:
        journal.close()
        raise
    return journal
