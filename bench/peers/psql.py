r"""`\copy` by psql: how fast rows go into the table when nothing has to be read from Kafka, decoded or accounted for."""

import subprocess
from pathlib import Path

from bench.peers.table import TABLE
from trunkline.historian.server import EmbeddedServer


def run(server: EmbeddedServer, conninfo: str, csv: Path) -> None:
    """Copy a file of `tag_id,time,value,quality` lines into the table."""
    command = [str(server.binaries / "psql"), conninfo, "-q", "-c", f"\\copy {TABLE} FROM '{csv}' CSV"]
    subprocess.run(command, check=True)
