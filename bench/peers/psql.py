r"""`\copy` by psql: how fast rows go into the table when nothing has to be read from Kafka, decoded or accounted for."""

from pathlib import Path

from bench.peers.table import TABLE
from bench.peers.timing import Spent, timed
from trunkline.historian.server import EmbeddedServer


def run(server: EmbeddedServer, conninfo: str, csv: Path) -> Spent:
    """Copy a file of `tag_id,time,value,quality` lines into the table."""
    return timed([str(server.binaries / "psql"), conninfo, "-q", "-c", f"\\copy {TABLE} FROM '{csv}' CSV"])
