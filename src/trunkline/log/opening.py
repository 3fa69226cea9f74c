"""Opening the site log that the site file names."""

from pathlib import Path

from trunkline.config.site import LogConfig
from trunkline.log.journal.journal import Journal
from trunkline.log.topics import Layout
from trunkline.model import times


def layout_of(config: LogConfig) -> Layout:
    """Return the naming of topics."""
    return Layout(config.layout, config.partitions)


def retention_of(config: LogConfig) -> int | None:
    """Return how long raw and clean telemetry is kept, in µs; None leaves it to the layout, on Kafka without a figure of its own."""
    if config.engine == "kafka" and "retention_hours" not in config.model_fields_set:
        return None
    return int(config.retention_hours * times.HOUR)


def site_journal(data_dir: Path) -> Path:
    """Return the file of an embedded site log."""
    return data_dir / "site" / "journal.db"


def open_site_log(config: LogConfig, data_dir: Path) -> Journal:
    """Open the site log, creating its topics. Raises Misconfigured when its partitions differ from the configuration (PD-18)."""
    journal = Journal(site_journal(data_dir))
    try:
        journal.create(layout_of(config).catalogue(retention_of(config)))
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
